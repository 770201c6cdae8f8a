#include "broker/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/broker/manual_clock.h"

namespace feedvault::broker {
namespace {

using namespace std::chrono_literals;
using Log = std::vector<std::string>;

/// A loop on this thread. Each end of a turn runs the next step of the test, and the loop ends with
/// the last one.
class EventLoopTest : public ::testing::Test, public TurnHandler {
 protected:
  struct Alarm final : Timer {
    Alarm(std::string given, Log& into) : name(std::move(given)), log(into) {}
    void on_timer() override {
      log.push_back(name);
      if (then) {
        then();
      }
    }
    std::string name;
    Log& log;
    std::function<void()> then;
  };

  void begin_turn() override { log_.emplace_back("begin"); }
  void end_turn() override {
    log_.emplace_back("end");
    if (next_ < steps_.size()) {
      steps_[next_++]();
      loop_->wake();
    } else {
      loop_->stop();
    }
  }
  /// `steps` each run after a turn; another turn follows. What happened, without the turn in which
  /// the loop ends.
  Log run(std::vector<std::function<void()>> steps = {}) {
    steps_ = std::move(steps);
    loop_->wake();
    loop_->run(*this);
    EXPECT_GE(log_.size(), 2U);
    log_.resize(log_.size() - 2);
    return log_;
  }
  SteadyTime in(std::chrono::nanoseconds time) { return clock_.now() + time; }

  ManualClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::make(clock_).value();
  Log log_;
  std::vector<std::function<void()>> steps_;
  std::size_t next_ = 0;
};

TEST_F(EventLoopTest, TimersFireInOrderOfTimeAndNotBefore) {
  Alarm late("late", log_);
  Alarm early("early", log_);
  Alarm never("never", log_);
  loop_->schedule(late, in(30ms));
  loop_->schedule(early, in(10ms));
  loop_->schedule(never, in(31ms));
  EXPECT_EQ(run({[&] { clock_.advance(30ms); }}),
            (Log{"begin", "end", "begin", "early", "late", "end"}));
  EXPECT_FALSE(early.scheduled());
  EXPECT_TRUE(never.scheduled());
  loop_->cancel(never);
}

TEST_F(EventLoopTest, ATimerFiresOnceAndMayBeMovedOrCancelled) {
  Alarm moved("moved", log_);
  Alarm cancelled("cancelled", log_);
  loop_->schedule(moved, in(10ms));
  loop_->schedule(moved, in(20ms));
  loop_->schedule(cancelled, in(10ms));
  EXPECT_EQ(moved.when(), in(20ms));
  loop_->cancel(cancelled);
  loop_->cancel(cancelled);
  EXPECT_EQ(run({[&] { clock_.advance(10ms); }, [&] { clock_.advance(10ms); }, [] {}}),
            (Log{"begin", "end", "begin", "end", "begin", "moved", "end", "begin", "end"}));
}

TEST_F(EventLoopTest, ATimerMayScheduleItselfAndCancelOthers) {
  Alarm first("first", log_);
  Alarm second("second", log_);
  loop_->schedule(first, in(1ms));
  loop_->schedule(second, in(1ms));
  first.then = [&] {
    loop_->cancel(second);
    loop_->schedule(first, in(5ms));
  };
  EXPECT_EQ(run({[&] { clock_.advance(1ms); }, [&] { clock_.advance(5ms); }}),
            (Log{"begin", "end", "begin", "first", "end", "begin", "first", "end"}));
  loop_->cancel(first);
}

TEST_F(EventLoopTest, TheTimeOfATurnStandsStill) {
  SteadyTime before;
  SteadyTime after;
  loop_->post([&] {
    before = loop_->now();
    clock_.advance(1s);
    after = loop_->now();
  });
  run();
  EXPECT_EQ(before, after);
}

TEST_F(EventLoopTest, EventsComeBeforeTasksAndTasksBeforeTimers) {
  struct Readable final : EventHandler {
    explicit Readable(Log& into) : log(into) {}
    void on_events(std::uint32_t events) override {
      log.push_back((events & EPOLLIN) != 0 ? "event" : "?");
    }
    Log& log;
  };
  Readable handler(log_);
  const UniqueFd fd(::eventfd(1, EFD_CLOEXEC));
  ASSERT_TRUE(loop_->add(fd.get(), EPOLLIN, handler).ok());
  Alarm alarm("timer", log_);
  loop_->schedule(alarm, in(0ms));
  loop_->post([&] { log_.emplace_back("task"); });
  const Log log = run();
  EXPECT_EQ(log, (Log{"begin", "event", "task", "timer", "end"}));
  loop_->remove(fd.get());
}

TEST_F(EventLoopTest, TasksThatTasksPostRunInTheNextTurn) {
  loop_->post([&] {
    log_.emplace_back("one");
    loop_->post([&] { log_.emplace_back("two"); });
  });
  EXPECT_EQ(run({[] {}}), (Log{"begin", "one", "end", "begin", "two", "end"}));
}

TEST_F(EventLoopTest, TasksThatAreWaitingAtTheEndAreRun) {
  bool ran = false;
  loop_->post([&] {
    loop_->post([&] { ran = true; });
    loop_->stop();
  });
  run();
  EXPECT_TRUE(ran);
}

TEST_F(EventLoopTest, KnowsItsThread) {
  EXPECT_FALSE(EventLoop::on_loop_thread());
  bool inside = false;
  loop_->post([&] { inside = EventLoop::on_loop_thread(); });
  run();
  EXPECT_TRUE(inside);
  EXPECT_FALSE(EventLoop::on_loop_thread());
}

// Another loop fills our inbox, which begin_turn empties, and wakes us. When that happens just
// after begin_turn has looked, the turn that has begun must not swallow it.
TEST(EventLoopThreads, AWakeUpDuringATurnLeadsToOneMore) {
  struct Turns final : TurnHandler {
    explicit Turns(EventLoop& of) : loop(of) {}
    void begin_turn() override {
      if (++count == 1) {
        for (int i = 0; i < 1000; ++i) {
          loop.wake();
        }
      }
    }
    void end_turn() override {
      if (count == 2) {
        loop.stop();
      }
    }
    EventLoop& loop;
    int count = 0;
  };
  struct Rescue final : Timer {
    void on_timer() override { needed = true; }
    bool needed = false;
  };
  const auto loop = EventLoop::make(Clock::system()).value();
  Rescue rescue;
  loop->schedule(rescue, Clock::system().now() + 2s);
  Turns turns(*loop);
  loop->wake();
  loop->run(turns);
  EXPECT_FALSE(rescue.needed);
  EXPECT_EQ(turns.count, 3);  // the last is the loop's end
  loop->cancel(rescue);
}

// With the system's clock: the loop sleeps until then, and another thread wakes it.
TEST(EventLoopThreads, PostedTasksAndTimersWakeASleepingLoop) {
  struct Turns final : TurnHandler {
    void begin_turn() override { ++count; }
    void end_turn() override {}
    std::atomic<int> count{0};
  };
  struct Stop final : Timer {
    explicit Stop(EventLoop& of) : loop(of) {}
    void on_timer() override { loop.stop(); }
    EventLoop& loop;
  };
  Turns turns;
  const auto loop = EventLoop::make(Clock::system()).value();
  std::thread thread([&] { loop->run(turns); });
  std::atomic<int> done{0};
  std::vector<std::thread> posters(4);
  for (std::thread& poster : posters) {
    poster = std::thread([&] {
      for (int i = 0; i < 1000; ++i) {
        loop->post([&] { ++done; });
      }
    });
  }
  for (std::thread& poster : posters) {
    poster.join();
  }
  Stop stop(*loop);
  const SteadyTime start = Clock::system().now();
  loop->post([&] { loop->schedule(stop, start + 20ms); });
  thread.join();
  EXPECT_EQ(done, 4000);
  EXPECT_GE(Clock::system().now() - start, 20ms);
  EXPECT_LE(turns.count, 4100);  // it slept in between: no more turns than reasons
}

}  // namespace
}  // namespace feedvault::broker
