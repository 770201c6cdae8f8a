#include "broker/streams/go_duration.h"

#include <array>
#include <cstddef>
#include <limits>

namespace feedvault::broker::streams {
namespace {

struct DurationUnit {
  std::string_view name;
  std::int64_t ns;
};
// Longer names before their prefixes.
constexpr std::array<DurationUnit, 8> kDurationUnits{{{"ns", 1},
                                                      {"us", 1'000},
                                                      {"\xC2\xB5s", 1'000},  // the micro sign
                                                      {"\xCE\xBCs", 1'000},  // the Greek letter mu
                                                      {"ms", 1'000'000},
                                                      {"s", 1'000'000'000},
                                                      {"m", 60'000'000'000},
                                                      {"h", 3'600'000'000'000}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// `value` with as many of `digits` decimals as it needs.
std::string with_decimals(std::uint64_t value, int digits) {
  std::string decimals;
  for (; digits > 0; --digits, value /= 10) {
    if (value % 10 != 0 || !decimals.empty()) {
      decimals.insert(decimals.begin(), static_cast<char>('0' + value % 10));
    }
  }
  return std::to_string(value) + (decimals.empty() ? "" : "." + decimals);
}

}  // namespace

std::optional<std::int64_t> parse_go_duration(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") {
    return 0;
  }
  if (text.empty()) {
    return std::nullopt;
  }
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::int64_t total = 0;
  while (!text.empty()) {
    std::int64_t whole = 0;
    double fraction = 0;
    double place = 0.1;
    bool digits = false;
    bool point = false;
    std::size_t at = 0;
    for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !point)); ++at) {
      if (text[at] == '.') {
        point = true;
        continue;
      }
      digits = true;
      const int digit = text[at] - '0';
      if (point) {
        fraction += digit * place;
        place /= 10;
      } else if (whole > (kMax - digit) / 10) {
        return std::nullopt;
      } else {
        whole = whole * 10 + digit;
      }
    }
    text.remove_prefix(at);
    std::int64_t unit = 0;
    for (const DurationUnit& each : kDurationUnits) {
      if (text.starts_with(each.name)) {
        unit = each.ns;
        text.remove_prefix(each.name.size());
        break;
      }
    }
    if (!digits || unit == 0 || whole > (kMax - unit) / unit) {
      return std::nullopt;
    }
    const std::int64_t part =
        whole * unit + static_cast<std::int64_t>(fraction * static_cast<double>(unit));
    if (total > kMax - part) {
      return std::nullopt;
    }
    total += part;
  }
  return negative ? -total : total;
}

std::string format_go_duration(std::int64_t ns) {
  const std::string sign = ns < 0 ? "-" : "";
  const std::uint64_t value =
      ns < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  if (value == 0) {
    return "0s";
  }
  if (value < 1'000) {
    return sign + std::to_string(value) + "ns";
  }
  if (value < 1'000'000) {
    return sign + with_decimals(value, 3) + "\xC2\xB5s";
  }
  if (value < 1'000'000'000) {
    return sign + with_decimals(value, 6) + "ms";
  }
  const std::uint64_t minutes = value / 60'000'000'000U;
  std::string text = with_decimals(value % 60'000'000'000U, 9) + "s";
  if (minutes > 0) {
    text.insert(0, std::to_string(minutes % 60) + "m");
  }
  if (minutes >= 60) {
    text.insert(0, std::to_string(minutes / 60) + "h");
  }
  return sign + text;
}

}  // namespace feedvault::broker::streams
