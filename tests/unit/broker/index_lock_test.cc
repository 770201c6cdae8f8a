#include "broker/index_lock.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace feedvault::broker {
namespace {

using SteadyClock = std::chrono::steady_clock;

void work_for(std::chrono::microseconds time) {
  for (const auto end = SteadyClock::now() + time; SteadyClock::now() < end;) {
  }
}

/// How often others had more than a few turns while one thread waited for the lock. By the lock's
/// rules never; but the system may take the processor away right before a thread waits.
class LongWaits {
 public:
  void note(int turns) { count_ += turns > 20 ? 1 : 0; }
  bool are_rare() const { return count_ <= 5; }

 private:
  int count_ = 0;
};

TEST(IndexLock, KeepsReadersAndWritersApart) {
  IndexLock lock(2);
  // Not atomic: ThreadSanitizer sees where the lock does not order them, and pairs would differ.
  std::array<std::uint64_t, 2> value{};
  std::array<std::uint64_t, 2> torn{};
  std::vector<std::thread> threads;
  for (std::size_t loop = 0; loop < 2; ++loop) {
    threads.emplace_back([&, loop] {
      for (int i = 0; i < 5000; ++i) {
        lock.lock_read(loop);
        torn.at(loop) += value[0] != value[1] ? 1U : 0U;
        lock.unlock_read(loop);
        if (i % 3 == 0) {
          lock.lock_write();
          ++value[0];
          ++value[1];
          lock.unlock_write();
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(torn[0] + torn[1], 0U);
  EXPECT_EQ(value[0], 2U * 1667U);
}

// Clients on two loops that subscribe without end, and one that publishes on a third. (With
// plain mutexes hundreds of writers went before the reader once in a hundred times.)
TEST(IndexLock, AReaderWaitsForAWriterOrTwoHoweverManyComeAgain) {
  constexpr std::size_t kWriters = 2;
  IndexLock lock(kWriters + 1);
  std::atomic<bool> stop{false};
  std::atomic<int> writes{0};
  std::vector<std::thread> writers;
  for (std::size_t loop = 0; loop < kWriters; ++loop) {
    writers.emplace_back([&, loop] {
      while (!stop) {
        lock.lock_read(loop);
        lock.unlock_read(loop);
        lock.lock_write();
        work_for(std::chrono::microseconds(50));
        ++writes;
        lock.unlock_write();
      }
    });
  }
  LongWaits long_waits;
  for (const auto end = SteadyClock::now() + std::chrono::milliseconds(800);
       SteadyClock::now() < end || writes <= 100;) {
    const int before = writes;
    lock.lock_read(kWriters);
    long_waits.note(writes - before);
    lock.unlock_read(kWriters);
    work_for(std::chrono::microseconds(20));
  }
  stop = true;
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_TRUE(long_waits.are_rare());
}

TEST(IndexLock, AWriterIsNotStarvedByAReaderThatComesAgainAtOnce) {
  IndexLock lock(2);
  std::atomic<bool> stop{false};
  std::atomic<int> reads{0};
  std::thread reader([&] {
    while (!stop) {
      lock.lock_read(0);
      work_for(std::chrono::microseconds(200));
      ++reads;
      lock.unlock_read(0);
    }
  });
  LongWaits long_waits;
  for (const auto end = SteadyClock::now() + std::chrono::milliseconds(300);
       SteadyClock::now() < end || reads <= 100;) {
    const int before = reads;
    lock.lock_write();
    long_waits.note(reads - before);
    lock.unlock_write();
  }
  stop = true;
  reader.join();
  EXPECT_TRUE(long_waits.are_rare());
}

}  // namespace
}  // namespace feedvault::broker
