#include "base/random.h"

#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

TEST(Random, FillsAllOfAnySizeAndNothingBehind) {
  for (const std::size_t size : {0U, 1U, 255U, 256U, 257U, 1000U}) {
    // Each byte differs from the mark in one of 40 rounds, unless it is never written.
    std::vector<bool> written(size);
    for (int round = 0; round < 40; ++round) {
      std::vector<unsigned char> bytes(size + 1, 0xA5);
      fill_random(bytes.data(), size);
      EXPECT_EQ(bytes.back(), 0xA5);
      for (std::size_t i = 0; i < size; ++i) {
        written[i] = written[i] || bytes[i] != 0xA5;
      }
    }
    EXPECT_EQ(std::count(written.begin(), written.end(), false), 0) << size;
  }
}

TEST(Random, DiffersEachTime) {
  std::array<unsigned char, 32> a{};
  std::array<unsigned char, 32> b{};
  fill_random(a.data(), a.size());
  fill_random(b.data(), b.size());
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace feedvault
