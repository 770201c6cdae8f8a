#include "gateway/feed_list_json.h"

#include <fmt/format.h>

#include "base/clock.h"
#include "gateway/http/problem.h"

namespace feedvault::gateway {
namespace {

void append_member(std::string& json, std::string_view name, std::string_view text) {
  json.append(",\"").append(name).append("\":");
  append_json_string(json, text);
}

void append_position(std::string& json,
                     std::string_view name,
                     const std::string& feed,
                     std::uint64_t seq) {
  json.append(",\"").append(name).append("\":");
  if (seq == 0) {
    json.append("null");
  } else {
    append_json_string(json, feed + ":" + std::to_string(seq));
  }
}

std::string known_number(std::int64_t number) {
  return number < 0 ? "null" : std::to_string(number);
}

}  // namespace

void append_feed_json(const Feed& feed, const FeedStatus& status, std::string& json) {
  json += "{\"name\":";
  append_json_string(json, feed.name());
  json += ",\"number\":" + std::to_string(feed.config.number);
  append_member(json, "subject", feed.config.republish);
  json += fmt::format(",\"messages\":{}",
                      status.first_seq == 0 ? 0 : status.last_seq - status.first_seq + 1);
  append_position(json, "first", feed.name(), status.first_seq);
  append_position(json, "last", feed.name(), status.last_seq);
  json += ",\"last_timestamp\":";
  if (status.last_timestamp_us == 0) {
    json += "null";
  } else {
    append_json_string(json, format_rfc3339_us(status.last_timestamp_us));
  }
  json += fmt::format(",\"rate\":{:.3f}", status.rate);
  json += ",\"lag\":{\"uncatalogued\":" + known_number(status.waiting) +
          ",\"unpublished\":" + known_number(status.unpublished) + "}";
  json += fmt::format(",\"duplicates\":{},\"quarantined\":{},\"gaps\":{}",
                      status.duplicates,
                      status.quarantined,
                      status.gaps);
  json += ",\"schema\":{\"message\":";
  append_json_string(json, feed.schema->type_name());
  json += ",\"fields\":[";
  for (const MessageSchema::Field& field : feed.schema->fields()) {
    json += json.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_json_string(json, field.name);
    append_member(json, "json_name", field.json_name);
    append_member(json, "type", field.type);
    json += field.required ? ",\"required\":true}" : ",\"required\":false}";
  }
  json += "]}";
  append_member(json, "live", "/feeds/" + feed.name() + "/live");
  append_member(json, "history", "/feeds/" + feed.name() + "/messages");
  json += "}";
}

}  // namespace feedvault::gateway
