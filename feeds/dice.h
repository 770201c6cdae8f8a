#pragma once

#include <cstddef>
#include <cstdint>

namespace feedvault {

/// Random numbers that are the same for a seed with every compiler and library (the standard's
/// distributions are not). SplitMix64: fast, and good enough for demo data. Value type.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }

  /// 0 to n - 1. Requires: n > 0 and small against 2^32 (the bias is n / 2^32).
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((next() >> 32U) * n >> 32U);
  }

  /// least to most, both included.
  int between(int least, int most) {
    return least + static_cast<int>(below(static_cast<std::uint32_t>(most - least + 1)));
  }

  /// True in `percent` of 100 throws.
  bool chance(std::uint32_t percent) { return below(100) < percent; }

  template <typename T, std::size_t N>
  const T& pick(const T (&array)[N]) {
    return array[below(N)];
  }

 private:
  std::uint64_t state_;
};

}  // namespace feedvault
