#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace feedvault::broker::jetstream {

// Private to the wire API: reading JSON as the reference's language does. Names of fields count
// whatever their case, unknown ones are passed over, null leaves a field as it is, and a value of
// the wrong type makes the whole request unreadable.

using ReadJson = nlohmann::json;  // a map: many keys cost no square of their number

/// One field and what takes its value; false when the value cannot be that.
struct JsonField {
  std::string_view name;  // in lower case
  std::function<bool(const ReadJson&)> read;
};

/// Nothing when it is no JSON.
std::optional<ReadJson> parse_json(std::string_view text);
/// False when `json` is no object or a field cannot be read.
bool read_object(const ReadJson& json, std::initializer_list<JsonField> fields);

JsonField text_field(std::string_view name, std::string& to);
JsonField bool_field(std::string_view name, bool& to);
JsonField int_field(std::string_view name, std::int64_t& to);
JsonField uint_field(std::string_view name, std::uint64_t& to);
/// RFC 3339, as Unix nanoseconds.
JsonField time_field(std::string_view name, std::optional<std::int64_t>& to);
JsonField texts_field(std::string_view name, std::vector<std::string>& to);
JsonField ints_field(std::string_view name, std::vector<std::int64_t>& to);
JsonField text_map_field(std::string_view name, std::map<std::string, std::string>& to);
/// Is there anything but null, an empty list or an empty object?
JsonField present_field(std::string_view name, bool& to);

/// A word that stands for a number.
template <typename Enum>
struct JsonWord {
  std::string_view word;
  Enum value;
};
template <typename Enum, std::size_t kCount>
JsonField word_field(std::string_view name, const JsonWord<Enum> (&words)[kCount], Enum& to) {
  return {name, [&words, &to](const ReadJson& json) {
            if (!json.is_string()) {
              return false;
            }
            for (const JsonWord<Enum>& each : words) {
              if (json.get_ref<const std::string&>() == each.word) {
                to = each.value;
                return true;
              }
            }
            return false;
          }};
}
template <typename Enum, std::size_t kCount>
std::string_view word_of(const JsonWord<Enum> (&words)[kCount], Enum value) {
  for (const JsonWord<Enum>& each : words) {
    if (each.value == value) {
      return each.word;
    }
  }
  return {};
}

}  // namespace feedvault::broker::jetstream
