#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace feedvault {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Source of time, so that tests can turn it. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime now() const = 0;
  /// Nanoseconds since the Unix epoch, UTC.
  virtual std::int64_t unix_ns() const = 0;

  /// The operating system's clock; lives for ever.
  static const Clock& system();
};

/// Unix microseconds as RFC 3339 in UTC with six decimals: "2026-11-21T20:48:54.543721Z".
/// Range: years 0000 to 9999.
std::string format_rfc3339_us(std::int64_t unix_us);

/// Reads RFC 3339 ("2026-11-21T20:48:54.543721973Z", "+01:00" offsets, 0 to 9 decimals; a space may
/// stand for the T, and a missing offset means UTC). Result in Unix nanoseconds.
Result<std::int64_t> parse_rfc3339_ns(std::string_view text);

}  // namespace feedvault
