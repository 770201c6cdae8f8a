#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace feedvault {

/// Waiting times between retries: doubles from `first` to `most`, each with jitter of a quarter
/// either way, so that many clients of one broken server do not return together. One thread.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most, std::uint64_t seed)
      : first_(first), most_(most), next_(first), random_(seed) {}

  std::chrono::milliseconds next() {
    const auto base = next_;
    next_ = std::min(most_, next_ * 2);
    std::uniform_real_distribution<double> jitter(0.75, 1.25);
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(base.count()) * jitter(random_)));
  }

  /// After a success: the next wait is short again.
  void reset() { next_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds most_;
  std::chrono::milliseconds next_;
  std::mt19937_64 random_;
};

}  // namespace feedvault
