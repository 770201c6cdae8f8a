#include "gateway/history_query.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "gateway/limits.h"

namespace feedvault::gateway {
namespace {

constexpr std::uint64_t kLimitMax = 1'000'000'000'000;
constexpr std::uint64_t kSeqMax = std::numeric_limits<std::uint64_t>::max() / 2;

Result<Bound> parse_bound(std::string_view name, const std::string& text, bool first_is_known) {
  if (first_is_known && text == "first") {
    return Bound{.seq = 1, .time_us = 0};
  }
  if (const auto seq = parse_number(text)) {
    return Bound{.seq = std::min(*seq, kSeqMax), .time_us = 0};
  }
  if (const auto ns = parse_rfc3339_ns(text)) {
    // Upwards, as Start does: rows have microseconds.
    const std::int64_t us = *ns / 1000;
    return Bound{.seq = std::nullopt, .time_us = us * 1000 < *ns ? us + 1 : us};
  }
  return invalid_argument(std::string(name) + "='" + text + "' is no position; give " +
                          (first_is_known ? "first, " : "") +
                          "a seq (4711) or a time (2026-11-21T20:48:54Z)");
}

bool is_number_type(std::string_view type) {
  return type == "float" || type == "double" || type == "int32" || type == "uint32" ||
         type == "sint32" || type == "fixed32" || type == "sfixed32";
}

// protobuf's JSON mapping puts these in quotes: they do not fit a double.
bool is_long_type(std::string_view type) {
  return type == "int64" || type == "uint64" || type == "sint64" || type == "fixed64" ||
         type == "sfixed64";
}

// "-007" as JSON has it, or nullopt.
std::optional<std::string> canonical_integer(const std::string& text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  if (const auto [stop, error] = std::from_chars(text.data(), end, value);
      error == std::errc() && stop == end) {
    return std::to_string(value);
  }
  const auto large = parse_number(text);
  return large ? std::optional(std::to_string(*large)) : std::nullopt;
}

Result<FieldFilter> make_filter(const MessageSchema::Field& field, const std::string& value) {
  FieldFilter filter;
  filter.json_name = field.json_name;
  filter.text = value;
  const auto wrong = [&](const std::string& right) {
    return invalid_argument(field.name + "='" + value + "' cannot be: the field is of type " +
                            field.type + "; give " + right);
  };
  if (is_number_type(field.type)) {
    if (value == "NaN" || value == "Infinity" || value == "-Infinity") {
      return filter;  // texts in JSON
    }
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, filter.number);
    if (error != std::errc() || stop != end || !std::isfinite(filter.number)) {
      return wrong("a number");
    }
    filter.kind = FieldFilter::Kind::kNumber;
  } else if (is_long_type(field.type)) {
    const auto text = canonical_integer(value);
    if (!text) {
      return wrong("a whole number");
    }
    filter.text = *text;
  } else if (field.type == "bool") {
    if (value != "true" && value != "false") {
      return wrong("true or false");
    }
    filter.kind = FieldFilter::Kind::kBoolean;
  } else if (field.type != "string" && field.type.rfind("enum ", 0) != 0) {
    return invalid_argument("messages cannot be filtered by " + field.name + " of type " +
                            field.type + "; take a field with one value");
  }
  return filter;
}

std::string field_names(const Feed& feed) {
  std::string names;
  for (const MessageSchema::Field& field : feed.schema->fields()) {
    names += (names.empty() ? "" : ", ") + field.name;
  }
  return names;
}

Status add_item(const Feed& feed,
                const std::string& name,
                const std::string& value,
                HistoryQuery& query) {
  if (name == "from") {
    ASSIGN_OR_RETURN(query.from, parse_bound(name, value, /*first_is_known=*/true));
    return {};
  }
  if (name == "to") {
    ASSIGN_OR_RETURN(query.to, parse_bound(name, value, /*first_is_known=*/false));
    return {};
  }
  if (name == "limit") {
    const auto limit = parse_number(value);
    if (!limit || *limit == 0 || *limit > kLimitMax) {
      return invalid_argument("limit='" + value + "' cannot be; give a number from 1 to " +
                              std::to_string(kLimitMax));
    }
    query.limit = *limit;
    return {};
  }
  const std::string prefix = "body.";
  const bool prefixed = name.rfind(prefix, 0) == 0;
  const auto* field = feed.find_field(prefixed ? name.substr(prefix.size()) : name);
  if (field == nullptr) {
    return invalid_argument("'" + name + "' is neither from, to nor limit, nor a field of feed " +
                            feed.name() + "; its fields are " + field_names(feed));
  }
  if (query.filters.size() == storage::Scan::kEqualMax) {
    return invalid_argument("too many conditions; give at most " +
                            std::to_string(storage::Scan::kEqualMax));
  }
  ASSIGN_OR_RETURN(FieldFilter filter, make_filter(*field, value));
  query.filters.push_back(std::move(filter));
  return {};
}

struct MediaRange {
  std::string_view type;
  double quality = 1;
};

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  const std::size_t end = text.find_last_not_of(" \t");
  return end == std::string_view::npos ? std::string_view() : text.substr(begin, end + 1 - begin);
}

MediaRange parse_media_range(std::string_view text) {
  MediaRange range;
  bool is_type = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(';'), text.size());
    const std::string_view part = trimmed(text.substr(0, end));
    if (is_type) {
      range.type = part;
      is_type = false;
    } else if (part.rfind("q=", 0) == 0 || part.rfind("Q=", 0) == 0) {
      double quality = 0;
      std::from_chars(part.data() + 2, part.data() + part.size(), quality);
      range.quality = quality;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return range;
}

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           const auto lower = [](char c) {
             return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
           };
           return lower(x) == lower(y);
         });
}

// 3: the type itself, 2: its "application/*", 1: "*/*", 0: not.
int how_near(std::string_view range, std::string_view type) {
  if (same_word(range, type)) {
    return 3;
  }
  const std::size_t slash = type.find('/');
  if (range.size() == slash + 2 &&
      same_word(range.substr(0, slash + 1), type.substr(0, slash + 1)) && range.back() == '*') {
    return 2;
  }
  return range == "*/*" ? 1 : 0;
}

// The quality that a header gives one type: that of the nearest range.
double quality_of(std::string_view accept, std::string_view type) {
  int nearest = 0;
  double quality = 0;
  while (!accept.empty()) {
    const std::size_t end = std::min(accept.find(','), accept.size());
    const MediaRange range = parse_media_range(accept.substr(0, end));
    if (const int near = how_near(range.type, type); near > nearest) {
      nearest = near;
      quality = range.quality;
    }
    accept.remove_prefix(std::min(end + 1, accept.size()));
  }
  return quality;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && !text.empty() ? std::optional(number)
                                                              : std::nullopt;
}

bool FieldFilter::matches(std::string_view body) const {
  const nlohmann::json message = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object()) {
    return false;
  }
  const auto value = message.find(json_name);
  if (value == message.end()) {
    return false;
  }
  switch (kind) {
    case Kind::kText:
      return value->is_string() && value->get_ref<const std::string&>() == text;
    case Kind::kNumber:
      return value->is_number() && value->get<double>() == number;
    case Kind::kBoolean:
      return value->is_boolean() && value->get<bool>() == (text == "true");
  }
  return false;
}

bool HistoryQuery::has_conditions() const {
  return !filters.empty() || (to && !to->seq);
}

storage::Scan HistoryQuery::scan() const {
  storage::Scan scan;
  scan.positions_max = kScanPositions;
  if (to && !to->seq) {
    scan.to_us = to->time_us;
  }
  for (const FieldFilter& filter : filters) {
    // Names are protobuf's: letters, digits and _. In quotes they may begin with any.
    scan.equal.push_back({.path = "$.\"" + filter.json_name + "\"",
                          .value = filter.text,
                          .numeric = filter.kind == FieldFilter::Kind::kNumber});
  }
  return scan;
}

Result<HistoryQuery> parse_history_query(const Feed& feed, const QueryItems& items) {
  HistoryQuery query;
  query.limit = kLimitDefault;
  std::vector<std::string_view> seen;
  for (const auto& [name, value] : items) {
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      return invalid_argument("'" + name + "' is given twice; give it once");
    }
    seen.push_back(name);
    RETURN_IF_ERROR(add_item(feed, name, value, query));
  }
  return query;
}

std::optional<Format> choose_format(std::string_view accept) {
  if (trimmed(accept).empty()) {
    return Format::kJson;
  }
  std::optional<Format> best;
  double best_quality = 0;
  for (const Format format : {Format::kJson, Format::kNdjson, Format::kCsv}) {
    double quality = quality_of(accept, media_type(format));
    if (format == Format::kNdjson) {
      quality = std::max(quality, quality_of(accept, "application/ndjson"));
      quality = std::max(quality, quality_of(accept, "application/jsonl"));
    }
    if (quality > best_quality) {
      best = format;
      best_quality = quality;
    }
  }
  return best;
}

bool accepts(std::string_view accept, std::string_view type) {
  return quality_of(accept, type) > 0;
}

bool accepts_explicitly(std::string_view accept, std::string_view type) {
  while (!accept.empty()) {
    const std::size_t end = std::min(accept.find(','), accept.size());
    const MediaRange range = parse_media_range(accept.substr(0, end));
    if (same_word(range.type, type) && range.quality > 0) {
      return true;
    }
    accept.remove_prefix(std::min(end + 1, accept.size()));
  }
  return false;
}

std::string_view media_type(Format format) {
  switch (format) {
    case Format::kNdjson:
      return "application/x-ndjson";
    case Format::kCsv:
      return "text/csv";
    case Format::kJson:
      break;
  }
  return "application/json";
}

std::string next_target(const Feed& feed, const QueryItems& items, std::uint64_t next_seq) {
  std::string target =
      "/feeds/" + percent_encode(feed.name()) + "/messages?from=" + std::to_string(next_seq);
  for (const auto& [name, value] : items) {
    if (name != "from") {
      target += "&" + percent_encode(name) + "=" + percent_encode(value);
    }
  }
  return target;
}

}  // namespace feedvault::gateway
