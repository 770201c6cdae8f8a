#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace feedvault::gateway {

/// Over some time; in milliseconds.
struct LatencySpread {
  std::uint64_t count = 0;  // 0: the others say nothing
  double p50_ms = 0;
  double p99_ms = 0;
};

/// Counts how long messages took, in buckets of which eight make an octave: quantiles are too high
/// by at most an eighth. Any thread; record() is a relaxed increment.
class LatencyRecorder {
 public:
  /// Clocks of several machines may make it negative: then it is 0.
  void record(std::int64_t us);
  /// What was recorded since the last call.
  LatencySpread take();

 private:
  static constexpr std::size_t kOctaves = 34;  // up to 38 hours
  static constexpr std::size_t kBuckets = (kOctaves + 1) * 8;
  static std::size_t bucket_of(std::uint64_t us);
  /// The first value that is above the bucket's.
  static double end_ms(std::size_t bucket);

  std::array<std::atomic<std::uint32_t>, kBuckets> counts_{};
};

}  // namespace feedvault::gateway
