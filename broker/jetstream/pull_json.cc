#include "broker/jetstream/pull_json.h"

#include <algorithm>
#include <charconv>

#include "broker/jetstream/json_reader.h"

namespace feedvault::broker::jetstream {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos
             ? std::string_view()
             : text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

// A number is a batch, an object says more, and anything else asks for one message.
bool read_pull_request(std::string_view payload, streams::PullRequest& request) {
  payload = trimmed(payload);
  if (payload.empty()) {
    return true;
  }
  if (payload.front() != '{') {
    if (payload.front() == '+' && payload.size() > 1 && payload[1] != '-') {
      payload.remove_prefix(1);
    }
    const char* const end = payload.data() + payload.size();
    std::int64_t batch = 0;
    const auto [stopped, error] = std::from_chars(payload.data(), end, batch);
    if (error == std::errc() && stopped == end) {
      request.batch = batch;
    }
    return true;
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
