#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <spdlog/spdlog.h>

#include "base/status.h"

namespace feedvault {

// Event first, then key=value: `log.warn("slow consumer cid={} pending_bytes={}", cid, bytes)`.
// error: a human must act. warn: we coped. info: life cycle. debug: per operation. No payloads, no
// secrets. Log an error once, where it is handled.
using Logger = std::shared_ptr<spdlog::logger>;

/// The logger of one folder ("controller"), made at the first call. All share one sink: stderr,
/// UTC with microseconds. Any thread.
Logger logger(const std::string& folder);

/// Sets the level of every logger, also of those made later: trace, debug, info, warn, error, off.
Status set_log_level(const std::string& level);

/// Lets through the first of a run of equal lines and then one per interval, with the number held
/// back: for lines that a broken peer could repeat without end. One thread.
class LogThrottle {
 public:
  explicit LogThrottle(std::chrono::milliseconds interval) : interval_(interval) {}
  /// True when the line may be written; `suppressed` is how many were held back before it.
  bool allow(std::uint64_t& suppressed);

 private:
  std::chrono::milliseconds interval_;
  std::chrono::steady_clock::time_point next_{};
  std::uint64_t held_back_ = 0;
};

}  // namespace feedvault
