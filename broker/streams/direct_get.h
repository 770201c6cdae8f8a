#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/streams/stream.h"

namespace feedvault::broker::streams {

/// A request to $JS.API.DIRECT.GET, read from JSON by whoever has it. Exactly one way to choose
/// messages should be set; which are, decides the answer (ADR-31).
struct DirectGetRequest {
  StreamSeq seq = 0;
  std::optional<std::int64_t> start_time_ns;
  std::string last_by_subject;  // the API's last_by_subj
  std::string next_by_subject;  // next_by_subj; a filter
  // Batches.
  std::uint64_t batch = 0;
  std::uint64_t max_bytes = 0;
  std::vector<std::string> multi_last;
  StreamSeq up_to_seq = 0;
  std::optional<std::int64_t> up_to_time_ns;
};

/// Answers with messages or a status ("404 Message Not Found", "408 Empty Request", ...) to `reply`
/// through the stream's Output. Returns whether a message was found. Requires: allow_direct.
bool direct_get(const Stream& stream, const DirectGetRequest& request, std::string_view reply);

/// "NATS/1.0 <status>\r\n\r\n" to `reply`: for requests that cannot even be read
/// ("408 Malformed Request").
void send_status(Output& output, std::string_view reply, std::string_view status);

}  // namespace feedvault::broker::streams
