#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace feedvault::broker {

/// Time that passes only when a test says so. Any thread.
class ManualClock final : public Clock {
 public:
  SteadyTime now() const override { return SteadyTime(std::chrono::nanoseconds(now_ns_.load())); }
  std::int64_t unix_ns() const override { return now_ns_.load(); }
  void advance(std::chrono::nanoseconds by) { now_ns_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_ns_{3'600'000'000'000};
};

}  // namespace feedvault::broker
