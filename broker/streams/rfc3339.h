#pragma once

#include <cstdint>
#include <string>

namespace feedvault::broker::streams {

/// Unix nanoseconds as "2026-11-21T20:48:54.54372197Z": nine decimals without the zeros at the end,
/// as nats-server writes them.
std::string format_rfc3339_ns(std::int64_t unix_ns);

}  // namespace feedvault::broker::streams
