// Quantiles of latencies, and that each is told once.

#include "gateway/latency.h"

#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace feedvault::gateway {
namespace {

TEST(LatencyRecorderTest, NothingIsNothing) {
  LatencyRecorder recorder;
  EXPECT_EQ(recorder.take().count, 0U);
}

TEST(LatencyRecorderTest, QuantilesAreAnEighthTooHighAtMost) {
  constexpr std::int64_t kValues[] = {
      0, 1, 7, 8, 9, 15, 16, 1000, 1023, 1024, 123'456, 3'600'000'000};
  for (const std::int64_t us : kValues) {
    LatencyRecorder recorder;
    recorder.record(us);
    const LatencySpread spread = recorder.take();
    EXPECT_EQ(spread.count, 1U);
    EXPECT_GT(spread.p50_ms * 1000, static_cast<double>(us));
    EXPECT_LE(spread.p50_ms * 1000, static_cast<double>(us) * 1.125 + 1);
    EXPECT_EQ(spread.p50_ms, spread.p99_ms);
  }
}

TEST(LatencyRecorderTest, TellsTheMedianFromTheWorstHundredth) {
  LatencyRecorder recorder;
  for (int i = 0; i < 980; ++i) {
    recorder.record(1000);
  }
  for (int i = 0; i < 20; ++i) {
    recorder.record(1'000'000);
  }
  const LatencySpread spread = recorder.take();
  EXPECT_EQ(spread.count, 1000U);
  EXPECT_NEAR(spread.p50_ms, 1, 0.13);
  EXPECT_NEAR(spread.p99_ms, 1000, 130);
  EXPECT_EQ(recorder.take().count, 0U) << "each is told once";
}

TEST(LatencyRecorderTest, TakesWhatClocksMayBring) {
  LatencyRecorder recorder;
  recorder.record(-5);
  recorder.record(std::numeric_limits<std::int64_t>::max());
  const LatencySpread spread = recorder.take();
  EXPECT_EQ(spread.count, 2U);
  EXPECT_NEAR(spread.p50_ms, 0.001, 1e-9);
}

}  // namespace
}  // namespace feedvault::gateway
