#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/feed.h"
#include "gateway/http/target.h"
#include "storage/catalogue_reader.h"

namespace feedvault::gateway {

/// One end of a range of messages: a position or a time.
struct Bound {
  std::optional<std::uint64_t> seq;
  std::int64_t time_us = 0;  // when there is no seq
};

/// A field must have this value.
struct FieldFilter {
  enum class Kind : std::uint8_t { kText, kNumber, kBoolean };
  std::string json_name;
  Kind kind = Kind::kText;
  std::string text;   // as JSON has it, without quotes
  double number = 0;  // kNumber

  /// Whether the message with this body (JSON) passes.
  bool matches(std::string_view body) const;
};

/// What GET /feeds/{feed}/messages asks for. `from`: from this position on; a time stands for the
/// position of the first message at or after it. `to`: positions, or times, before this one. (A
/// requeued message has an old time and a new position.) Value type.
struct HistoryQuery {
  Bound from{.seq = 1, .time_us = 0};
  std::optional<Bound> to;
  std::uint64_t limit = 0;
  std::vector<FieldFilter> filters;

  bool has_conditions() const;
  /// The part of it that the database can do; positions are the caller's to fill.
  storage::Scan scan() const;
};

/// Reads `from`, `to`, `limit` and FIELD=VALUE, where FIELD is a field's name in the .proto file or
/// in JSON; `body.FIELD` where it would be one of those words. kInvalidArgument with what would be
/// right.
Result<HistoryQuery> parse_history_query(const Feed& feed, const QueryItems& items);

/// The formats that history comes in.
enum class Format : std::uint8_t { kJson, kNdjson, kCsv };

/// What an Accept header wants most, by RFC 9110, 12.5.1; an empty one wants JSON. nullopt: none of
/// ours.
std::optional<Format> choose_format(std::string_view accept);

/// Whether an Accept header takes this media type.
bool accepts(std::string_view accept, std::string_view media_type);

/// Whether it names the type itself.
bool accepts_explicitly(std::string_view accept, std::string_view media_type);

/// "application/x-ndjson".
std::string_view media_type(Format format);

/// The target of the next page: the same query, from `next_seq` on.
std::string next_target(const Feed& feed, const QueryItems& items, std::uint64_t next_seq);

/// A whole number without sign, or nullopt.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace feedvault::gateway
