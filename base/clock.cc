#include "base/clock.h"

#include <cstdlib>

#include <fmt/format.h>

namespace feedvault {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kUsPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;

class SystemClock final : public Clock {
 public:
  SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  std::int64_t unix_ns() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

// Reads `digits` decimal digits at `pos` and moves past them; -1 when they are not there.
int take_number(std::string_view text, std::size_t& pos, std::size_t digits) {
  if (pos + digits > text.size()) {
    return -1;
  }
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const char c = text[pos + i];
    if (c < '0' || c > '9') {
      return -1;
    }
    value = value * 10 + (c - '0');
  }
  pos += digits;
  return value;
}

bool take_char(std::string_view text, std::size_t& pos, std::string_view any_of) {
  if (pos < text.size() && any_of.find(text[pos]) != std::string_view::npos) {
    ++pos;
    return true;
  }
  return false;
}

// Decimals after the point, as nanoseconds; -1 when malformed. No point: 0.
std::int64_t take_fraction_ns(std::string_view text, std::size_t& pos) {
  if (!take_char(text, pos, ".")) {
    return 0;
  }
  std::int64_t ns = 0;
  int digits = 0;
  while (pos < text.size() && text[pos] >= '0' && text[pos] <= '9') {
    if (digits < 9) {
      ns = ns * 10 + (text[pos] - '0');
      ++digits;
    }
    ++pos;
  }
  if (digits == 0) {
    return -1;
  }
  for (; digits < 9; ++digits) {
    ns *= 10;
  }
  return ns;
}

// Seconds east of UTC; false when malformed. Nothing there means UTC.
bool take_offset(std::string_view text, std::size_t& pos, std::int64_t& seconds) {
  seconds = 0;
  if (pos == text.size() || take_char(text, pos, "Zz")) {
    return true;
  }
  const bool negative = text[pos] == '-';
  if (!take_char(text, pos, "+-")) {
    return false;
  }
  const int hours = take_number(text, pos, 2);
  const bool colon = take_char(text, pos, ":");
  const int minutes = take_number(text, pos, 2);
  if (hours < 0 || !colon || minutes < 0 || hours > 23 || minutes > 59) {
    return false;
  }
  seconds = (hours * std::int64_t{60} + minutes) * 60 * (negative ? -1 : 1);
  return true;
}

}  // namespace

const Clock& Clock::system() {
  static const SystemClock clock;
  return clock;
}

std::string format_rfc3339_us(std::int64_t unix_us) {
  using std::chrono::days;
  using std::chrono::sys_days;
  std::int64_t seconds = unix_us / kUsPerSecond;
  std::int64_t us = unix_us % kUsPerSecond;
  if (us < 0) {
    us += kUsPerSecond;
    --seconds;
  }
  std::int64_t day = seconds / kSecondsPerDay;
  std::int64_t of_day = seconds % kSecondsPerDay;
  if (of_day < 0) {
    of_day += kSecondsPerDay;
    --day;
  }
  const std::chrono::year_month_day date{sys_days{days{day}}};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                     static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()),
                     of_day / 3600,
                     of_day / 60 % 60,
                     of_day % 60,
                     us);
}

Result<std::int64_t> parse_rfc3339_ns(std::string_view text) {
  std::size_t pos = 0;
  const int year = take_number(text, pos, 4);
  bool well_formed = take_char(text, pos, "-");
  const int month = take_number(text, pos, 2);
  well_formed = take_char(text, pos, "-") && well_formed;
  const int day = take_number(text, pos, 2);
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (pos < text.size()) {
    well_formed = take_char(text, pos, "Tt ") && well_formed;
    hour = take_number(text, pos, 2);
    well_formed = take_char(text, pos, ":") && well_formed;
    minute = take_number(text, pos, 2);
    well_formed = take_char(text, pos, ":") && well_formed;
    second = take_number(text, pos, 2);
  }
  const std::int64_t fraction_ns = well_formed ? take_fraction_ns(text, pos) : -1;
  std::int64_t offset_s = 0;
  const bool in_range = year >= 0 && month >= 1 && day >= 1 && hour >= 0 && hour <= 23 &&
                        minute >= 0 && minute <= 59 && second >= 0 && second <= 60 &&
                        fraction_ns >= 0;
  if (!well_formed || !in_range || !take_offset(text, pos, offset_s) || pos != text.size()) {
    return invalid_argument(
        fmt::format("'{}' is not a time; write it like 2026-11-21T20:48:54.5Z", text));
  }
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  // Unix nanoseconds in 64 bits end in 2262 and begin in 1677; what lies outside is no feed's time.
  if (!date.ok() || year < 1678 || year > 2261) {
    return invalid_argument(fmt::format("'{}' is not a date between 1678 and 2261", text));
  }
  const std::int64_t seconds =
      std::chrono::sys_days{date}.time_since_epoch().count() * kSecondsPerDay +
      hour * std::int64_t{3600} + minute * std::int64_t{60} + second - offset_s;
  return seconds * kNsPerSecond + fraction_ns;
}

}  // namespace feedvault
