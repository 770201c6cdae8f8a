#include "broker/options_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace feedvault::broker {
namespace {

using Kind = ConfValue::Kind;

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return "a text";
    case Kind::kInteger:
    case Kind::kFloat:
      return "a number";
    case Kind::kBool:
      return "a yes or no";
    case Kind::kArray:
      return "a list";
    case Kind::kMap:
      return "a map";
  }
  return "something else";
}

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           const auto lower = [](char c) {
             return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
           };
           return lower(x) == lower(y);
         });
}

// Is `key` one of "a|b|c"?
bool named(std::string_view names, std::string_view key) {
  for (;;) {
    const std::size_t bar = names.find('|');
    if (same_word(names.substr(0, bar), key)) {
      return true;
    }
    if (bar == std::string_view::npos) {
      return false;
    }
    names.remove_prefix(bar + 1);
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string remedy_for_unknown(std::string_view key, const std::vector<ConfKey>& keys) {
  std::string_view best;
  std::size_t least = 3;  // further away is another word
  if (key.size() <= 64) {
    for (const ConfKey& known : keys) {
      const std::string_view name = known.names.substr(0, known.names.find('|'));
      const std::size_t distance = edit_distance(key, name);
      if (distance < least && distance < name.size()) {
        least = distance;
        best = name;
      }
    }
  }
  return best.empty() ? "remove it" : fmt::format("did you mean '{}'?", best);
}

struct Unit {
  std::string_view name;
  double ns;
};
// Longest names first where one begins another.
constexpr Unit kUnits[] = {{"ns", 1},
                           {"us", 1e3},
                           {"\xc2\xb5s", 1e3},  // micro sign
                           {"\xce\xbcs", 1e3},  // Greek mu
                           {"ms", 1e6},
                           {"s", 1e9},
                           {"m", 60e9},
                           {"h", 3600e9}};

// Far below 2^63 ns, so that sums of two still fit.
constexpr double kDurationNsMax = 4e18;

Status seconds(const ConfValue& value, double count, std::chrono::nanoseconds& target) {
  if (count < 0 || count * 1e9 > kDurationNsMax) {
    return bad_value(value, "is out of range; write a duration such as \"2s\"");
  }
  target = std::chrono::nanoseconds(std::llround(count * 1e9));
  return {};
}

}  // namespace

Status bad_value(const ConfValue& value, std::string_view text) {
  return invalid_argument(
      fmt::format("{}{}{}{}", value.place(), value.key, value.key.empty() ? "" : ": ", text));
}

Status read_text(const ConfValue& value, std::string& target) {
  if (value.kind == Kind::kInteger || value.kind == Kind::kFloat) {
    target = value.text;  // a password, or a name, of digits
    return {};
  }
  if (value.kind != Kind::kString) {
    return bad_value(
        value, fmt::format("is {} instead of a text; write it in quotes", kind_name(value.kind)));
  }
  target = value.text;
  return {};
}

Status read_bool(const ConfValue& value, bool& target) {
  if (value.kind != Kind::kBool) {
    return bad_value(value, fmt::format("is {}; write true or false", kind_name(value.kind)));
  }
  target = value.boolean;
  return {};
}

Status read_texts(const ConfValue& value, std::vector<std::string>& target) {
  target.clear();
  if (value.kind != Kind::kArray) {
    return read_text(value, target.emplace_back());
  }
  for (const ConfValue& item : value.items) {
    RETURN_IF_ERROR(read_text(item, target.emplace_back()));
  }
  return {};
}

Status read_integer(const ConfValue& value,
                    std::int64_t least,
                    std::int64_t most,
                    std::int64_t& target) {
  std::int64_t number = value.integer;
  if (value.kind == Kind::kString) {
    // In quotes, as TOML and environment variables have sizes: "64mb".
    const auto read = parse_nats_conf_value(value.text, "value");
    if (!read.has_value() || read->kind != Kind::kInteger) {
      return bad_value(value, "is not a number; write one such as 4096 or 64mb");
    }
    number = read->integer;
  } else if (value.kind != Kind::kInteger) {
    return bad_value(value,
                     fmt::format("is {} instead of a whole number; write one such as 4096 or 64mb",
                                 kind_name(value.kind)));
  }
  if (number < least || number > most) {
    return bad_value(
        value,
        fmt::format("is {}, out of range; write a number from {} to {}", number, least, most));
  }
  target = number;
  return {};
}

bool parse_go_duration(std::string_view text, std::chrono::nanoseconds& duration) {
  double total = 0;
  if (text == "0") {
    duration = {};
    return true;
  }
  if (text.empty()) {
    return false;
  }
  while (!text.empty()) {
    double count = 0;
    const std::size_t digits = text.find_first_not_of("0123456789.");
    if (digits == 0 || digits == std::string_view::npos) {
      return false;
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + digits, count);
    if (error != std::errc() || end != text.data() + digits) {
      return false;
    }
    text.remove_prefix(digits);
    const auto unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& known) {
      // "m" must not take "ms": the unit ends where a digit, or nothing, follows.
      return text.substr(0, known.name.size()) == known.name &&
             (text.size() == known.name.size() ||
              std::string_view("0123456789.").find(text[known.name.size()]) !=
                  std::string_view::npos);
    });
    if (unit == std::end(kUnits)) {
      return false;
    }
    total += count * unit->ns;
    text.remove_prefix(unit->name.size());
  }
  if (total > kDurationNsMax) {
    return false;
  }
  duration = std::chrono::nanoseconds(std::llround(total));
  return true;
}

Status read_duration(const ConfValue& value, std::chrono::nanoseconds& target) {
  if (value.kind == Kind::kInteger &&
      value.text.find_first_not_of("-0123456789") == std::string::npos) {
    return seconds(value, static_cast<double>(value.integer), target);
  }
  if (value.kind == Kind::kFloat) {
    return seconds(value, value.number, target);
  }
  if (value.kind == Kind::kInteger) {
    return bad_value(value,
                     fmt::format("{} without quotes is the number {}; for a duration write \"{}\"",
                                 value.text,
                                 value.integer,
                                 value.text));
  }
  if (value.kind != Kind::kString || !parse_go_duration(value.text, target)) {
    return bad_value(value, "is no duration; write one such as \"2s\" or \"1h30m\"");
  }
  return {};
}

Status read_port(const ConfValue& value, int& port) {
  return read_number(value, port, -1, 65535);
}

Status read_address(const ConfValue& value, std::string& host, int& port) {
  if (value.kind == Kind::kInteger) {
    return read_port(value, port);
  }
  std::string text;
  RETURN_IF_ERROR(read_text(value, text));
  constexpr std::string_view kRemedy = "; write \"127.0.0.1:4222\", \"[::1]:4222\" or a port";
  const std::size_t colon = text.rfind(':');
  const std::string port_text = colon == std::string::npos ? text : text.substr(colon + 1);
  std::string host_text = colon == std::string::npos ? "" : text.substr(0, colon);
  if (host_text.size() >= 2 && host_text.front() == '[' && host_text.back() == ']') {
    host_text = host_text.substr(1, host_text.size() - 2);
  } else if (host_text.find(':') != std::string::npos) {
    return bad_value(value, fmt::format("'{}' is no address{}", text, kRemedy));
  }
  int number = 0;
  const char* last = port_text.data() + port_text.size();
  const auto parsed = std::from_chars(port_text.data(), last, number);
  if (parsed.ec != std::errc() || parsed.ptr != last || number < -1 || number > 65535) {
    return bad_value(value, fmt::format("'{}' has no valid port{}", text, kRemedy));
  }
  port = number;
  if (!host_text.empty()) {
    host = std::move(host_text);
  }
  return {};
}

Status read_map(const ConfValue& map,
                const std::vector<ConfKey>& keys,
                const std::vector<UnsupportedKey>& unsupported,
                std::vector<std::string>& warnings) {
  if (map.kind != Kind::kMap) {
    return bad_value(map,
                     fmt::format("is {} instead of a map; write {{ ... }}", kind_name(map.kind)));
  }
  for (const ConfValue& entry : map.entries) {
    const auto known = std::find_if(
        keys.begin(), keys.end(), [&](const ConfKey& key) { return named(key.names, entry.key); });
    if (known != keys.end()) {
      RETURN_IF_ERROR(known->set(entry));
      continue;
    }
    const auto other =
        std::find_if(unsupported.begin(), unsupported.end(), [&](const UnsupportedKey& key) {
          return named(key.names, entry.key);
        });
    if (other != unsupported.end()) {
      Status problem =
          bad_value(entry, fmt::format("is not supported by this broker; {}", other->why));
      if (other->then == UnsupportedKey::Then::kRefuse) {
        return problem;
      }
      warnings.push_back(problem.message());
    } else if (!entry.variable) {
      return bad_value(entry, "unknown key; " + remedy_for_unknown(entry.key, keys));
    }
  }
  return {};
}

bool is_known_key(const std::vector<ConfKey>& keys, std::string_view name) {
  return std::any_of(
      keys.begin(), keys.end(), [&](const ConfKey& key) { return named(key.names, name); });
}

ConfKey key_text(std::string_view names, std::string& target) {
  return {names, [&target](const ConfValue& value) { return read_text(value, target); }};
}
ConfKey key_bool(std::string_view names, bool& target) {
  return {names, [&target](const ConfValue& value) { return read_bool(value, target); }};
}
ConfKey key_texts(std::string_view names, std::vector<std::string>& target) {
  return {names, [&target](const ConfValue& value) { return read_texts(value, target); }};
}
ConfKey key_duration(std::string_view names, std::chrono::nanoseconds& target) {
  return {names, [&target](const ConfValue& value) { return read_duration(value, target); }};
}

}  // namespace feedvault::broker
