#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace feedvault::testing {

/// An answer as it came, its body put together again.
struct HttpExchange {
  int status = 0;                              // 0: no answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool whole = false;  // it came to its end, and was not cut

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

/// A connection to a server on loopback that sends what it is told, well-formed or not. One thread.
class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port,
                      std::chrono::milliseconds patience = std::chrono::seconds(30));

  bool connected() const { return fd_.valid(); }
  /// False when the server has closed.
  bool send(const std::string& bytes);
  /// The next answer on this connection. `head`: to a HEAD request.
  HttpExchange receive(bool head = false);
  /// The answer's status and headers; its body is read by receive_some().
  HttpExchange receive_head();
  /// Bytes of a body as they come, chunks put together; "" at the end or when none come in time.
  std::string receive_some();
  /// True when the server closes the connection, whatever it says before.
  bool wait_for_end();
  /// At most so many bytes are kept for us in the kernel from now on.
  void limit_receive_buffer(int bytes);

 private:
  bool fill();
  std::optional<std::string> take_line();
  std::string take_chunk();

  UniqueFd fd_;
  std::string buffer_;
  bool chunked_ = false;
  bool ended_ = false;
};

/// One request on a connection of its own.
HttpExchange http_request(std::uint16_t port,
                          const std::string& method,
                          const std::string& target,
                          const std::vector<std::string>& headers = {},
                          const std::string& body = {});

/// A server-sent event.
struct SentEvent {
  std::string id;
  std::string event;  // "" for a message
  std::string data;
};

/// Reads events as a browser does, and remembers the last id, also one that came without data.
class EventReader {
 public:
  EventReader(std::uint16_t port,
              const std::string& target,
              const std::vector<std::string>& headers = {},
              std::chrono::milliseconds patience = std::chrono::seconds(30));

  const HttpExchange& head() const { return head_; }
  /// The next event; nullopt at the stream's end, or when none comes in time.
  std::optional<SentEvent> next();
  const std::string& last_id() const { return last_id_; }
  HttpClient& client() { return client_; }

 private:
  HttpClient client_;
  HttpExchange head_;
  std::string text_;
  std::string last_id_;
};

}  // namespace feedvault::testing
