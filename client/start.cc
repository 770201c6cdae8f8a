#include <charconv>

#include "base/clock.h"
#include "client/stream_service.h"

namespace feedvault {

Result<Start> Start::parse(std::string_view text) {
  if (text == "new") {
    return at_new();
  }
  if (text == "first") {
    return at_first();
  }
  std::int64_t seq = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, seq);
  if (error == std::errc() && after == end && seq >= 0) {
    return at_seq(static_cast<std::uint64_t>(seq));
  }
  if (const auto time_ns = parse_rfc3339_ns(text)) {
    // Upwards: positions carry microseconds, and a start must not lie before the time asked for.
    const std::int64_t us = *time_ns / 1000;
    return at_time(us * 1000 < *time_ns ? us + 1 : us);
  }
  return invalid_argument("cannot start at '" + std::string(text) +
                          "': give new, first, a position (4711) or a time "
                          "(2026-11-21T20:48:54Z)");
}

}  // namespace feedvault
