#include "feeds/ack_window.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

using std::chrono::steady_clock;
using Outcome = AckWindow::Outcome;
using Wait = AckWindow::Wait;

steady_clock::time_point soon() {
  return steady_clock::now() + std::chrono::milliseconds(1);
}

TEST(AckWindow, HasRoomForSoManyMessages) {
  AckWindow window(2);
  const std::uint64_t first = window.add({"s", "1", "a"});
  EXPECT_EQ(window.wait(Wait::kRoom, soon()), Outcome::kReady);
  const std::uint64_t second = window.add({"s", "2", "b"});
  EXPECT_EQ(window.wait(Wait::kRoom, soon()), Outcome::kTimeout);
  window.acknowledge(second, false);
  EXPECT_EQ(window.wait(Wait::kRoom, soon()), Outcome::kTimeout) << "the oldest is still open";
  window.acknowledge(first, false);
  EXPECT_EQ(window.wait(Wait::kEmpty, soon()), Outcome::kReady);
  EXPECT_EQ(window.acknowledged(), 2U);
}

TEST(AckWindow, CountsEachMessageOnce) {
  AckWindow window(4);
  const std::uint64_t token = window.add({"s", "1", "a"});
  window.add({"s", "2", "b"});
  window.acknowledge(token, true);
  window.acknowledge(token, true);
  window.acknowledge(0, false);
  window.acknowledge(99, false);
  EXPECT_EQ(window.acknowledged(), 1U);
  EXPECT_EQ(window.duplicates(), 1U);
}

TEST(AckWindow, RepeatsWhatIsOpenInItsOrder) {
  AckWindow window(8);
  window.add({"s", "1", "a"});
  const std::uint64_t second = window.add({"s", "2", "b"});
  window.add({"s", "3", "c"});
  window.acknowledge(second, false);
  window.fail("broken");
  EXPECT_EQ(window.wait(Wait::kRoom, soon()), Outcome::kRepeat);
  std::string reason;
  const auto open = window.take_open(reason);
  EXPECT_EQ(reason, "broken");
  ASSERT_EQ(open.size(), 2U);
  EXPECT_EQ(open[0].message.id, "1");
  EXPECT_EQ(open[1].message.id, "3");
  EXPECT_EQ(window.wait(Wait::kRoom, soon()), Outcome::kReady) << "the failure is dealt with";
  window.acknowledge(open[1].token, false);
  window.acknowledge(open[0].token, true);
  EXPECT_TRUE(window.wait_until_empty(soon()));
}

TEST(AckWindow, WakesTheSender) {
  AckWindow window(1);
  const std::uint64_t token = window.add({"s", "1", "a"});
  std::thread receiver([&] { window.acknowledge(token, false); });
  EXPECT_EQ(window.wait(Wait::kRoom, steady_clock::now() + std::chrono::minutes(1)),
            Outcome::kReady);
  receiver.join();
}

}  // namespace
}  // namespace feedvault
