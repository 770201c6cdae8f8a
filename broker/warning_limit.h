#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace feedvault::broker {

/// Bounds how often a warning is written that any client can cause: the first kBurst within
/// kInterval are, and the one after it says how many were not. One thread.
class WarningLimit {
 public:
  static constexpr std::uint32_t kBurst = 10;
  static constexpr std::chrono::seconds kInterval{10};

  /// Nothing: do not write it. Otherwise how many were not written since the last one that was.
  std::optional<std::uint64_t> take(SteadyTime now) {
    if (now >= ends_) {
      ends_ = now + kInterval;
      written_ = 0;
    }
    if (written_ == kBurst) {
      ++left_out_;
      return std::nullopt;
    }
    ++written_;
    const std::uint64_t left_out = left_out_;
    left_out_ = 0;
    return left_out;
  }

 private:
  SteadyTime ends_;
  std::uint32_t written_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace feedvault::broker
