#include "base/log.h"

#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace feedvault {
namespace {

TEST(LogThrottle, LetsOneThroughAndCountsTheRest) {
  LogThrottle throttle(std::chrono::hours(1));
  std::uint64_t suppressed = 7;
  EXPECT_TRUE(throttle.allow(suppressed));
  EXPECT_EQ(suppressed, 0U);
  EXPECT_FALSE(throttle.allow(suppressed));
  EXPECT_FALSE(throttle.allow(suppressed));
}

TEST(LogThrottle, SaysHowManyWereHeldBack) {
  LogThrottle throttle(std::chrono::milliseconds(20));
  std::uint64_t suppressed = 0;
  ASSERT_TRUE(throttle.allow(suppressed));
  std::uint64_t refused = 0;
  ASSERT_TRUE(testing::eventually([&] {
    const bool allowed = throttle.allow(suppressed);
    refused += allowed ? 0U : 1U;
    return allowed;
  }));
  EXPECT_EQ(suppressed, refused);
}

TEST(Log, OneLoggerAFolder) {
  EXPECT_EQ(logger("log_test"), logger("log_test"));
  EXPECT_NE(logger("log_test"), logger("log_test_other"));
}

TEST(Log, LevelsGoToEveryLogger) {
  const Logger before = logger("log_test_before");
  ASSERT_TRUE(set_log_level("error").ok());
  EXPECT_EQ(before->level(), spdlog::level::err);
  EXPECT_EQ(logger("log_test_after")->level(), spdlog::level::err);
  EXPECT_EQ(set_log_level("loud").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(before->level(), spdlog::level::err);
  ASSERT_TRUE(set_log_level("off").ok());
  ASSERT_TRUE(set_log_level("info").ok());
}

}  // namespace
}  // namespace feedvault
