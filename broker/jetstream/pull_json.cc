#include "broker/jetstream/pull_json.h"

#include <algorithm>
#include <charconv>

#include "broker/jetstream/json_reader.h"

namespace feedvault::broker::jetstream {

bool read_pull_request(std::string_view payload, streams::PullRequest& request) {
  if (payload.empty()) {
    return true;
  }
  if (payload.front() != '{') {
    const char* const end = payload.data() + payload.size();
    const auto [stopped, error] = std::from_chars(payload.data(), end, request.batch);
    return error == std::errc() && stopped == end;
  }
  const auto json = parse_json(payload);
  return json && read_object(*json,
                             {int_field("batch", request.batch),
                              int_field("max_bytes", request.max_bytes),
                              bool_field("no_wait", request.no_wait),
                              int_field("expires", request.expires_ns),
                              int_field("idle_heartbeat", request.idle_heartbeat_ns)});
}

std::int64_t read_nak_delay(std::string_view json) {
  std::int64_t delay = 0;
  const auto parsed = parse_json(json);
  return parsed && read_object(*parsed, {int_field("delay", delay)})
             ? std::max<std::int64_t>(delay, 0)
             : 0;
}

}  // namespace feedvault::broker::jetstream
