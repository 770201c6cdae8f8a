#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace feedvault::broker {

// Private to monitoring: values in nats-server's spelling, and queries.

/// RFC 3339 in UTC with as many decimals as are needed: "2026-11-21T22:27:58.6Z".
std::string format_time(std::int64_t unix_ns);
/// Whole units from the largest that is not 0 on: "2m59s", "1d2h0m3s", "1y0d0h0m0s", "0s".
std::string format_uptime(std::int64_t ns);
/// Go's durations, from a microsecond on cut to microseconds: "332us" (with the micro sign),
/// "1.25ms", "2m0.5s".
std::string format_go_duration(std::int64_t ns);

/// "a=1&b=x%2Ay" as pairs, decoded; the first of equal names counts, an empty one is absent. Errors
/// are texts that nats-server answers such queries with.
class HttpQuery {
 public:
  explicit HttpQuery(std::string_view text);
  std::string_view get(std::string_view name) const;
  Result<bool> get_bool(std::string_view name) const;
  Result<std::int64_t> get_int(std::string_view name) const;
  Result<std::uint64_t> get_uint(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace feedvault::broker
