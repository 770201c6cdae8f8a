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

std::string known_ms(const LatencySpread& latency, double ms) {
  return latency.count == 0 ? "null" : fmt::format("{:.3f}", ms);
}

std::string_view name_of(Flow flow) {
  switch (flow) {
    case Flow::kSilent:
      return "silent";
    case Flow::kFlowing:
      return "flowing";
    case Flow::kStuck:
      return "stuck";
    default:
      return "unknown";
  }
}

/// One figure of all samples: ,"name":[1,2,null].
template <typename Figure>
void append_column(std::string_view name,
                   const std::vector<ActivitySample>& samples,
                   std::string& json,
                   const Figure& figure) {
  json.append(",\"").append(name).append("\":[");
  for (const ActivitySample& sample : samples) {
    json += json.back() == '[' ? "" : ",";
    json += figure(sample);
  }
  json += "]";
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
  append_member(json, "state", name_of(status.flow));
  append_member(json, "reason", status.reason);
  json += ",\"captured\":" + known_number(status.captured) +
          ",\"published\":" + known_number(status.published);
  json += ",\"latency\":{\"p50_ms\":" + known_ms(status.latency, status.latency.p50_ms) +
          ",\"p99_ms\":" + known_ms(status.latency, status.latency.p99_ms) + "}";
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

void append_activity_json(const Feed& feed,
                          const std::vector<ActivitySample>& samples,
                          std::string& json) {
  json += "{\"name\":";
  append_json_string(json, feed.name());
  append_column("at", samples, json, [](const auto& s) { return std::to_string(s.unix_ms); });
  append_column("rate", samples, json, [](const auto& s) { return fmt::format("{:.3f}", s.rate); });
  append_column(
      "uncatalogued", samples, json, [](const auto& s) { return known_number(s.waiting); });
  append_column(
      "unpublished", samples, json, [](const auto& s) { return known_number(s.unpublished); });
  append_column(
      "p50_ms", samples, json, [](const auto& s) { return known_ms(s.latency, s.latency.p50_ms); });
  append_column(
      "p99_ms", samples, json, [](const auto& s) { return known_ms(s.latency, s.latency.p99_ms); });
  json += "}";
}

}  // namespace feedvault::gateway
