#include "base/backoff.h"

#include <gtest/gtest.h>

namespace feedvault {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, DoublesUpToTheMostWithAQuarterOfJitter) {
  Backoff backoff(milliseconds(100), milliseconds(1000), 1);
  for (const int base : {100, 200, 400, 800, 1000, 1000, 1000}) {
    const auto wait = backoff.next().count();
    EXPECT_GE(wait, base * 3 / 4);
    EXPECT_LE(wait, base * 5 / 4);
  }
}

TEST(Backoff, IsShortAgainAfterASuccess) {
  Backoff backoff(milliseconds(100), milliseconds(1000), 1);
  for (int i = 0; i < 5; ++i) {
    (void)backoff.next();
  }
  backoff.reset();
  EXPECT_LE(backoff.next().count(), 125);
}

TEST(Backoff, DiffersFromSeedToSeed) {
  bool differs = false;
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    Backoff a(milliseconds(10'000), milliseconds(10'000), seed);
    Backoff b(milliseconds(10'000), milliseconds(10'000), seed + 1);
    differs = differs || a.next() != b.next();
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace feedvault
