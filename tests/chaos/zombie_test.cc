// C8 and C9: a controller that is stopped (SIGSTOP, as in a paused virtual machine) long enough
// for a standby to take over, and then goes on as if nothing had happened. Both writers it could
// still use, the database session and the broker connection, must be of no use to it.

#include <chrono>

#include <gtest/gtest.h>

#include "tests/chaos/load.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTakeOverMax{5000};

bool is_in_state(ControllerProcess& controller, const std::string& state) {
  return controller.state_of("events") == state && controller.state_of("executions") == state;
}

bool becomes_standby(ControllerProcess& controller) {
  return eventually([&] { return is_in_state(controller, "standby"); });
}

/// Measures a take-over, from its construction on, under load.
class TakeOver {
 public:
  explicit TakeOver(Installation& installation)
      : installation_(installation), before_(positions()) {}

  /// How long it took until another controller had catalogued something of both feeds.
  milliseconds wait() {
    const auto grown = [](const storage::FeedState& now, const storage::FeedState& before) {
      return now.epoch > before.epoch && now.last_seq > before.last_seq;
    };
    std::vector<storage::FeedState> taken_over(2);
    eventually(
        [&] {
          const auto now = positions();
          for (std::size_t i = 0; i < now.size(); ++i) {
            // What it finds waiting counts as well as what comes later.
            if (taken_over[i].epoch == 0 && now[i].epoch > before_[i].epoch) {
              taken_over[i] = now[i];
            }
          }
          return grown(now[0], before_[0]) && grown(now[1], before_[1]) &&
                 now[0].last_seq > taken_over[0].last_seq &&
                 now[1].last_seq > taken_over[1].last_seq;
        },
        std::chrono::seconds(20));
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - started_);
  }

 private:
  std::vector<storage::FeedState> positions() {
    return {installation_.events().checker.summary().state,
            installation_.executions().checker.summary().state};
  }

  Installation& installation_;
  std::vector<storage::FeedState> before_;
  steady_clock::time_point started_ = steady_clock::now();
};

// "a" freezes at the failpoint under load, "b" takes over, "a" goes on.
void freeze_and_thaw(const std::string& failpoint, int pass) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a", freeze_at(failpoint, pass));
  ControllerProcess& b = installation.start_ready("b");
  ASSERT_TRUE(becomes_standby(b)) << b.log();
  {
    const Load load(installation);
    ASSERT_TRUE(a.wait_until_frozen()) << a.log();
    EXPECT_LE(TakeOver(installation).wait(), kTakeOverMax);
    a.thaw();
    // Usually it finds itself the standby. Where its late publish took a slot first, its successor
    // starts a new session, and either may win that election.
    EXPECT_TRUE(eventually([&] {
      return a.ready() && b.ready() && a.state_of("events") != b.state_of("events") &&
             a.state_of("executions") != b.state_of("executions");
    })) << a.log();
  }
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C8_ZombieGoesOnInsideItsTransaction) {
  freeze_and_thaw("commit.inserted", 20);
}

TEST(CrashMatrix, C8_ZombieGoesOnBeforeItsTransaction) {
  freeze_and_thaw("commit.begin", 20);
}

TEST(CrashMatrix, C8_ZombieGoesOnAfterItsCommitIsSent) {
  freeze_and_thaw("commit.sent", 20);
}

// The fence by itself: the database session of the fenced controller lives, and so does its
// election. Only the epoch says that somebody else writes now.
TEST(CrashMatrix, C8_RaisedEpochFencesALiveSession) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(100));
    for (int i = 0; i < 3; ++i) {
      const auto before = installation.executions().checker.summary().state;
      installation.sql("UPDATE Feeds SET epoch = epoch + 10");
      // It had to take over again before it could write anything.
      EXPECT_TRUE(eventually([&] {
        const auto now = installation.executions().checker.summary().state;
        return now.epoch == before.epoch + 11 && now.last_seq > before.last_seq;
      })) << a.log();
    }
  }
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C9_ZombiePublishesARowThatItsSuccessorPublished) {
  freeze_and_thaw("publish.before", 50);
}

TEST(CrashMatrix, C9_ZombieFlushesItsBufferLate) {
  freeze_and_thaw("publish.sent", 50);
}

TEST(Standby, TakesOverWithinFiveSecondsOfKill9) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  ControllerProcess& b = installation.start_ready("b");
  ASSERT_TRUE(becomes_standby(b)) << b.log();
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(200));
    TakeOver take_over(installation);
    a.kill_hard();
    const milliseconds taken = take_over.wait();
    RecordProperty("take_over_ms", static_cast<int>(taken.count()));
    EXPECT_LE(taken, kTakeOverMax);
  }
  EXPECT_TRUE(installation.verify());
}

TEST(Standby, TakesOverAtOnceFromOneThatIsAskedToStop) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  ControllerProcess& b = installation.start_ready("b");
  ASSERT_TRUE(becomes_standby(b)) << b.log();
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(200));
    TakeOver take_over(installation);
    EXPECT_EQ(a.terminate(), 0) << a.log();
    EXPECT_LE(take_over.wait(), kTakeOverMax);
  }
  EXPECT_TRUE(installation.verify());
}

}  // namespace
}  // namespace feedvault::testing
