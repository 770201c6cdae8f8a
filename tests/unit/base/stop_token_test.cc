#include "base/stop_token.h"

#include <thread>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

TEST(StopSource, WakesEveryWaiter) {
  StopSource stop;
  std::atomic<int> woken{0};
  std::thread first([&] { woken += stop.wait_for(std::chrono::minutes(1)) ? 1 : 0; });
  std::thread second([&] { woken += stop.wait_for(std::chrono::minutes(1)) ? 1 : 0; });
  stop.request_stop();
  first.join();
  second.join();
  EXPECT_EQ(woken, 2);
  EXPECT_TRUE(stop.stop_requested());
}

TEST(StopSource, WaitsNoLongerThanItsDeadline) {
  StopSource stop;
  EXPECT_FALSE(stop.wait_for(std::chrono::milliseconds(1)));
  stop.request_stop();
  EXPECT_TRUE(stop.wait_for(std::chrono::minutes(1)));
}

}  // namespace
}  // namespace feedvault
