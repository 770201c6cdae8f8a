#include "broker/jetstream/json_reader.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/clock.h"

namespace feedvault::broker::jetstream {
namespace {

bool as_int(const ReadJson& json, std::int64_t& to) {
  if (!json.is_number_integer() ||
      (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX)) {
    return false;
  }
  to = json.get<std::int64_t>();
  return true;
}

}  // namespace

std::optional<ReadJson> parse_json(std::string_view text) {
  ReadJson json = ReadJson::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return std::nullopt;
  }
  return json;
}

bool read_object(const ReadJson& json, std::initializer_list<JsonField> fields) {
  if (json.is_null()) {
    return true;
  }
  if (!json.is_object()) {
    return false;
  }
  for (const auto& [key, value] : json.items()) {
    const std::string name = ascii_lower(key);
    const auto* const field = std::find_if(
        fields.begin(), fields.end(), [&](const JsonField& each) { return each.name == name; });
    if (field != fields.end() && !value.is_null() && !field->read(value)) {
      return false;
    }
  }
  return true;
}

JsonField text_field(std::string_view name, std::string& to) {
  return {name, [&to](const ReadJson& json) {
            if (json.is_string()) {
              to = json.get_ref<const std::string&>();
            }
            return json.is_string();
          }};
}

JsonField bool_field(std::string_view name, bool& to) {
  return {name, [&to](const ReadJson& json) {
            if (json.is_boolean()) {
              to = json.get<bool>();
            }
            return json.is_boolean();
          }};
}

JsonField int_field(std::string_view name, std::int64_t& to) {
  return {name, [&to](const ReadJson& json) { return as_int(json, to); }};
}

JsonField uint_field(std::string_view name, std::uint64_t& to) {
  return {name, [&to](const ReadJson& json) {
            if (json.is_number_unsigned()) {
              to = json.get<std::uint64_t>();
            }
            return json.is_number_unsigned();
          }};
}

JsonField time_field(std::string_view name, std::optional<std::int64_t>& to) {
  return {name, [&to](const ReadJson& json) {
            if (!json.is_string()) {
              return false;
            }
            const auto time = parse_rfc3339_ns(json.get_ref<const std::string&>());
            if (time) {
              to = *time;
            }
            return time.has_value();
          }};
}

JsonField texts_field(std::string_view name, std::vector<std::string>& to) {
  return {name, [&to](const ReadJson& json) {
            to.clear();
            for (const ReadJson& each : json) {
              if (!each.is_string()) {
                return false;
              }
              to.push_back(each.get_ref<const std::string&>());
            }
            return json.is_array();
          }};
}

JsonField ints_field(std::string_view name, std::vector<std::int64_t>& to) {
  return {name, [&to](const ReadJson& json) {
            to.clear();
            for (const ReadJson& each : json) {
              if (!as_int(each, to.emplace_back())) {
                return false;
              }
            }
            return json.is_array();
          }};
}

JsonField text_map_field(std::string_view name, std::map<std::string, std::string>& to) {
  return {name, [&to](const ReadJson& json) {
            if (!json.is_object()) {
              return false;
            }
            to.clear();
            for (const auto& [key, value] : json.items()) {
              if (!value.is_string()) {
                return false;
              }
              to.emplace(key, value.get_ref<const std::string&>());
            }
            return true;
          }};
}

JsonField present_field(std::string_view name, bool& to) {
  return {name, [&to](const ReadJson& json) {
            to = !json.empty();
            return true;
          }};
}

}  // namespace feedvault::broker::jetstream
