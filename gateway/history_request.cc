#include "gateway/history_request.h"

#include <algorithm>
#include <limits>
#include <string>

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace feedvault::gateway {
namespace {

using nlohmann::json;

constexpr const char* kKnown =
    "known are from_seq or from_time, to_seq or to_time, max_messages, max_bytes, packed";

/// Part of a stranger's text, fit for a header.
std::string shown(const std::string& text) {
  std::string out;
  for (const char c : text.substr(0, 40)) {
    out.push_back(c >= 0x20 && c < 0x7F ? c : '?');
  }
  return out;
}

Result<std::uint64_t> number(const std::string& key, const json& value) {
  if (!value.is_number_unsigned()) {
    return invalid_argument(key + " must be a whole number, 0 or more");
  }
  return value.get<std::uint64_t>();
}

Result<std::int64_t> time_us(const std::string& key, const json& value) {
  const auto ns = value.is_string() ? parse_rfc3339_ns(value.get_ref<const std::string&>())
                                    : invalid_argument("");
  if (!ns) {
    return invalid_argument(key + " must be a time like \"2026-11-21T20:48:54.5Z\"");
  }
  return *ns / 1000;
}

Status take(const std::string& key, const json& value, HistoryAsk& ask) {
  if (key == "from_seq") {
    ASSIGN_OR_RETURN(ask.page.range.first, number(key, value));
  } else if (key == "to_seq") {
    ASSIGN_OR_RETURN(ask.page.range.last, number(key, value));
  } else if (key == "from_time") {
    ASSIGN_OR_RETURN(ask.from_time_us, time_us(key, value));
  } else if (key == "to_time") {
    ASSIGN_OR_RETURN(ask.to_time_us, time_us(key, value));
  } else if (key == "max_messages") {
    ASSIGN_OR_RETURN(const std::uint64_t most, number(key, value));
    ask.page.messages_max = std::min<std::uint64_t>(most, kHistoryMessagesMax);
  } else if (key == "max_bytes") {
    ASSIGN_OR_RETURN(const std::uint64_t most, number(key, value));
    ask.page.bytes_max = std::min<std::uint64_t>(most, kHistoryBytesMax);
  } else if (key == "packed") {
    if (!value.is_boolean()) {
      return invalid_argument("packed must be true or false");
    }
    ask.packed = value.get<bool>();
  } else {
    return invalid_argument("unknown key '" + shown(key) + "'; " + kKnown);
  }
  return {};
}

}  // namespace

Result<HistoryAsk> parse_history_request(std::string_view payload) {
  HistoryAsk ask;
  ask.page.range = {.first = 1, .last = std::numeric_limits<std::uint64_t>::max() - 1};
  ask.page.messages_max = kHistoryMessagesDefault;
  ask.page.bytes_max = kHistoryBytesDefault;
  if (payload.empty()) {
    return ask;
  }
  const json request = json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object()) {
    return invalid_argument(std::string("the request is not a JSON object; ") + kKnown);
  }
  for (const auto& [key, value] : request.items()) {
    RETURN_IF_ERROR(take(key, value, ask));
  }
  if ((ask.from_time_us && request.contains("from_seq")) ||
      (ask.to_time_us && request.contains("to_seq"))) {
    return invalid_argument("give a seq or a time for an end of the range, not both");
  }
  ask.page.range.first = std::max<std::uint64_t>(1, ask.page.range.first);
  return ask;
}

}  // namespace feedvault::gateway
