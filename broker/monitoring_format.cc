#include "broker/monitoring_format.h"

#include <charconv>
#include <ctime>

#include <fmt/format.h>

namespace feedvault::broker {
namespace {

constexpr std::int64_t kMicro = 1000;
constexpr std::int64_t kMilli = 1000 * kMicro;
constexpr std::int64_t kSecond = 1000 * kMilli;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decode(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                        hex_digit(text[i + 2]) >= 0;
    if (escape) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += text[i] == '+' ? ' ' : text[i];
    }
  }
  return result;
}

Status undecodable(std::string_view type,
                   std::string_view name,
                   std::string_view function,
                   std::string_view text) {
  return invalid_argument(
      fmt::format("Error decoding {} for '{}': strconv.{}: parsing \"{}\": invalid syntax",
                  type,
                  name,
                  function,
                  text));
}

template <typename T>
bool parse_whole(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "5", "0.25", "1.5": a number of units with up to `digits` decimals and no zeros at its end.
std::string decimal(std::int64_t value, std::int64_t unit, int digits) {
  std::string text = std::to_string(value / unit);
  if (value % unit != 0) {
    text += fmt::format(".{:0{}}", value % unit, digits);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

}  // namespace

std::string format_time(std::int64_t unix_ns) {
  std::time_t seconds = unix_ns / kSecond;
  std::int64_t fraction = unix_ns % kSecond;
  if (fraction < 0) {
    fraction += kSecond;
    --seconds;
  }
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                                 utc.tm_year + 1900,
                                 utc.tm_mon + 1,
                                 utc.tm_mday,
                                 utc.tm_hour,
                                 utc.tm_min,
                                 utc.tm_sec);
  if (fraction != 0) {
    text += fmt::format(".{:09}", fraction);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

std::string format_uptime(std::int64_t ns) {
  const std::int64_t total = ns > 0 ? ns / kSecond : 0;
  const std::int64_t minutes = total / 60;
  const std::int64_t hours = minutes / 60;
  const std::int64_t days = hours / 24;
  const std::int64_t years = days / 365;
  std::string text;
  if (years > 0) {
    text += fmt::format("{}y", years);
  }
  if (days > 0) {
    text += fmt::format("{}d", days % 365);
  }
  if (hours > 0) {
    text += fmt::format("{}h", hours % 24);
  }
  if (minutes > 0) {
    text += fmt::format("{}m", minutes % 60);
  }
  return text + fmt::format("{}s", total % 60);
}

std::string format_go_duration(std::int64_t ns) {
  if (ns <= 0) {
    return "0s";
  }
  if (ns < kMicro) {
    return fmt::format("{}ns", ns);
  }
  const std::int64_t cut = ns - ns % kMicro;
  if (cut < kMilli) {
    return fmt::format("{}\xc2\xb5s", cut / kMicro);
  }
  if (cut < kSecond) {
    return decimal(cut, kMilli, 6) + "ms";
  }
  const std::int64_t minutes = cut / (60 * kSecond);
  std::string text;
  if (minutes >= 60) {
    text += fmt::format("{}h", minutes / 60);
  }
  if (minutes > 0) {
    text += fmt::format("{}m", minutes % 60);
  }
  return text + decimal(cut % (60 * kSecond), kSecond, 9) + "s";
}

HttpQuery::HttpQuery(std::string_view text) {
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    const std::size_t equals = pair.find('=');
    pairs_.emplace_back(decode(pair.substr(0, equals)),
                        equals == std::string_view::npos ? "" : decode(pair.substr(equals + 1)));
  }
}

std::string_view HttpQuery::get(std::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) {
      return value;
    }
  }
  return {};
}

Result<bool> HttpQuery::get_bool(std::string_view name) const {
  const std::string_view text = get(name);
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) {
      return true;
    }
  }
  for (const char* no : {"", "0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) {
      return false;
    }
  }
  return undecodable("boolean", name, "ParseBool", text);
}

Result<std::int64_t> HttpQuery::get_int(std::string_view name) const {
  const std::string_view text = get(name);
  std::int64_t number = 0;
  if (!text.empty() && !parse_whole(text, number)) {
    return undecodable("int", name, "Atoi", text);
  }
  return number;
}

Result<std::uint64_t> HttpQuery::get_uint(std::string_view name) const {
  const std::string_view text = get(name);
  std::uint64_t number = 0;
  if (!text.empty() && !parse_whole(text, number)) {
    return undecodable("uint64", name, "ParseUint", text);
  }
  return number;
}

}  // namespace feedvault::broker
