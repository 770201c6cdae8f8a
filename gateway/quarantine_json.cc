#include "gateway/quarantine_json.h"

#include <algorithm>

#include "base/clock.h"
#include "gateway/http/problem.h"

namespace feedvault::gateway {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text.push_back(k <= count ? kDigits[group >> (18 - 6 * k) & 63U] : '=');
    }
  }
  return text;
}

void append_quarantined_json(const FeedList& feeds,
                             const storage::QuarantinedMessage& message,
                             bool with_data,
                             std::string& json) {
  std::string feed = std::to_string(message.feed);
  for (const auto& known : feeds.all()) {
    feed = known->config.number == message.feed ? known->name() : feed;
  }
  json += "{\"id\":" + std::to_string(message.id) + ",\"feed\":";
  append_json_string(json, feed);
  json += ",\"message_id\":";
  append_json_string(json, message.message_id);
  json += ",\"stream_seq\":" + std::to_string(message.stream_seq) + ",\"timestamp\":";
  append_json_string(json, format_rfc3339_us(message.timestamp_us));
  json += ",\"size\":" + std::to_string(message.size) + ",\"error\":";
  append_json_string(json, message.error);
  json += ",\"state\":";
  append_json_string(json, message.state);
  json += ",\"seq\":" + (message.seq == 0 ? "null" : std::to_string(message.seq));
  if (with_data) {
    json += ",\"data\":";
    append_json_string(json, base64(message.data));
  }
  json += "}";
}

}  // namespace feedvault::gateway
