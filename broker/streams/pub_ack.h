#pragma once

#include <string>
#include <string_view>

#include "broker/streams/answer_queue.h"
#include "broker/streams/api_error.h"

namespace feedvault::broker::streams {

/// The payloads that publishers get, as nats-server writes them, spaces included: clients parse
/// JSON, tools compare texts. Made once a stream, so that an answer costs a few copies.
class PubAckWriter {
 public:
  PubAckWriter(std::string_view stream, std::string_view domain);

  /// {"stream":"S", "seq":7} or {"stream":"S", "seq":7,"duplicate": true}, with the domain if there
  /// is one. Lives until the next call.
  std::string_view acknowledge(StreamSeq seq, bool duplicate);
  /// {"error":{...},"stream":"S","seq":0}
  std::string refuse(const ApiError& error) const;

 private:
  std::string stream_;  // quoted
  std::string domain_;  // with its key, or ""
  std::string start_;
  std::string text_;
};

/// As a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
std::string json_quoted(std::string_view text);

}  // namespace feedvault::broker::streams
