#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace feedvault::broker::streams {

/// A duration as Go writes it: "10s", "1h2m", "1.5ms", "0". In nanoseconds; nothing when it is none
/// or out of range.
std::optional<std::int64_t> parse_go_duration(std::string_view text);

/// The same text that Go makes: "1h0m0s", "1.5s", "50ms", "2\u00b5s", "0s".
std::string format_go_duration(std::int64_t ns);

}  // namespace feedvault::broker::streams
