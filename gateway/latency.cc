#include "gateway/latency.h"

#include <algorithm>
#include <bit>

namespace feedvault::gateway {

// Values below 8 have a bucket each; above, the three bits behind the highest one tell which of the
// octave's eight it is:
//
//   0..7 | 8 9 .. 15 | 16-17 18-19 .. 30-31 | 32-35 ...
std::size_t LatencyRecorder::bucket_of(std::uint64_t us) {
  if (us < 8) {
    return us;
  }
  const auto exponent = static_cast<std::size_t>(std::bit_width(us)) - 1;
  const std::size_t bucket = (exponent - 2) * 8 + (us >> (exponent - 3) & 7U);
  return std::min(bucket, kBuckets - 1);
}

double LatencyRecorder::end_ms(std::size_t bucket) {
  const std::size_t octave = bucket / 8;
  const std::uint64_t end = octave == 0 ? bucket + 1 : (bucket % 8 + 9) << (octave - 1);
  return static_cast<double>(end) / 1000;
}

void LatencyRecorder::record(std::int64_t us) {
  counts_[bucket_of(static_cast<std::uint64_t>(std::max<std::int64_t>(us, 0)))].fetch_add(
      1, std::memory_order_relaxed);
}

LatencySpread LatencyRecorder::take() {
  std::array<std::uint32_t, kBuckets> counts{};
  LatencySpread spread;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    counts[i] = counts_[i].exchange(0, std::memory_order_relaxed);
    spread.count += counts[i];
  }
  const auto quantile = [&counts](std::uint64_t rank) {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += counts[i];
      if (seen >= rank) {
        return end_ms(i);
      }
    }
    return 0.0;
  };
  if (spread.count > 0) {
    spread.p50_ms = quantile((spread.count + 1) / 2);
    spread.p99_ms = quantile((spread.count * 99 + 99) / 100);
  }
  return spread;
}

}  // namespace feedvault::gateway
