#include "controller/bounded_queue.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace feedvault::controller {
namespace {

using std::chrono::steady_clock;

steady_clock::time_point soon() {
  return steady_clock::now() + std::chrono::seconds(10);
}

TEST(BoundedQueue, GivesEverythingThatIsThereInOrder) {
  BoundedQueue<int> queue(10, 1000);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(queue.push(i, 1));
  }
  std::vector<int> out;
  ASSERT_TRUE(queue.pop_batch(out, 10, 1000, soon()));
  EXPECT_EQ(out, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(BoundedQueue, CutsABatchAtItsBounds) {
  BoundedQueue<int> queue(10, 1000);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(queue.push(i, 10));
  }
  std::vector<int> by_items;
  ASSERT_TRUE(queue.pop_batch(by_items, 2, 1000, soon()));
  EXPECT_EQ(by_items, (std::vector<int>{0, 1}));
  std::vector<int> by_bytes;
  ASSERT_TRUE(queue.pop_batch(by_bytes, 10, 25, soon()));
  EXPECT_EQ(by_bytes, (std::vector<int>{2, 3}));
}

TEST(BoundedQueue, TakesOneItemHoweverLarge) {
  BoundedQueue<int> queue(10, 100);
  ASSERT_TRUE(queue.push(1, 5000));
  std::vector<int> out;
  ASSERT_TRUE(queue.pop_batch(out, 10, 100, soon()));
  EXPECT_EQ(out, std::vector<int>{1});
}

TEST(BoundedQueue, MakesTheProducerWaitWhenItIsFull) {
  BoundedQueue<int> queue(2, 1000);
  std::atomic<int> pushed{0};
  std::thread producer([&] {
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(queue.push(i, 1));
      pushed.store(i + 1);
    }
  });
  std::vector<int> all;
  while (all.size() < 6) {
    EXPECT_LE(pushed.load(), static_cast<int>(all.size()) + 2 + 1);
    ASSERT_TRUE(queue.pop_batch(all, 1, 1000, soon()));
  }
  producer.join();
  EXPECT_EQ(all, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST(BoundedQueue, ClosingReleasesBothSidesAndKeepsWhatIsInside) {
  BoundedQueue<int> queue(1, 1000);
  ASSERT_TRUE(queue.push(1, 1));
  std::thread producer([&] { EXPECT_FALSE(queue.push(2, 1)); });
  queue.close();
  producer.join();
  EXPECT_FALSE(queue.drained());
  std::vector<int> out;
  ASSERT_TRUE(queue.pop_batch(out, 10, 1000, soon()));
  EXPECT_EQ(out, std::vector<int>{1});
  EXPECT_FALSE(queue.pop_batch(out, 10, 1000, soon()));
  EXPECT_TRUE(queue.drained());
}

TEST(BoundedQueue, WaitsNoLongerThanTheDeadline) {
  BoundedQueue<int> queue(1, 1000);
  std::vector<int> out;
  EXPECT_FALSE(queue.pop_batch(out, 1, 1, steady_clock::now()));
  EXPECT_FALSE(queue.drained());
}

}  // namespace
}  // namespace feedvault::controller
