#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace feedvault::gateway {

// What handlers get and give: no sockets, no library's types.

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A whole request. Value type.
struct Request {
  std::string method;  // "GET"
  std::string path;    // as it came, percent-encoded: "/feeds/events"
  std::string query;   // as it came, without '?'
  Headers headers;     // names in lower case
  std::string body;
  bool http11 = true;      // the answer may be chunked
  bool keep_alive = true;  // as the client wishes

  /// First value of the header, "" for none. `name` in lower case.
  std::string_view header(std::string_view name) const;
  bool is_head() const { return method == "HEAD"; }
};

/// Bytes that several connections may send at once; never changed once they are made.
using Piece = std::shared_ptr<const std::string>;

/// A body that comes in pieces, as the reader takes them. take(), heartbeat() and finish() are
/// called on the loop's thread only.
class BodyStream {
 public:
  enum class State {
    kMore,    // ask again once these are sent
    kWait,    // nothing further now: the function given to on_ready() is called
    kEnd,     // these are the last
    kBroken,  // it cannot go on; the reader must see that the body is not whole
  };

  virtual ~BodyStream() = default;

  /// `wake` may be called from any thread, also without need, until this object is gone.
  virtual void on_ready(std::function<void()> wake) = 0;
  /// Appends what is to be sent next, at most kWritePieces and about kWriteBytes.
  virtual State take(std::vector<Piece>& pieces) = 0;

  /// Without an end of its own; then the connection is watched for the reader's leaving, and gets
  /// heartbeats when nothing was sent for a while.
  virtual bool endless() const { return false; }
  virtual Piece heartbeat() { return nullptr; }
  /// The process is about to end, or the reader is too slow: an endless stream ends at the next
  /// take().
  virtual void finish() {}
};

/// Value type. Content-Length, Transfer-Encoding, Connection and Date are the connection's.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::shared_ptr<BodyStream> stream;  // in place of body

  Response& set(std::string_view name, std::string value) {
    headers.emplace_back(std::string(name), std::move(value));
    return *this;
  }
};

/// Gives the answer to a request; to be called once, by any thread. When the last copy goes without
/// a call, the client gets 503.
using Respond = std::function<void(Response)>;

/// The answer's first lines with the empty one behind them. Bytes that would end a header early
/// become spaces. `close`: the connection ends behind this answer. `chunked`: the body's length is
/// not known.
std::string response_head(const Response& response,
                          bool close,
                          bool chunked,
                          std::string_view date);

/// "404" in words.
std::string_view reason_phrase(int status);

}  // namespace feedvault::gateway
