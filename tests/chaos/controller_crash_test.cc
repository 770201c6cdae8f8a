// C1 to C7: the controller dies with SIGKILL at a named point between reading a message and knowing
// that it is published, both feeds under load, early and late in its life. What its successor
// makes of the state left is compared message by message.

#include <initializer_list>

#include <gtest/gtest.h>

#include "tests/chaos/load.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

void crash_under_load(const std::string& failpoint, std::initializer_list<int> passes) {
  Installation installation;
  installation.start_ready("a");
  for (const int pass : passes) {
    ControllerProcess& doomed = installation.start_controller("a", crash_at(failpoint, pass));
    const Load load(installation);
    ASSERT_TRUE(doomed.wait_until_killed()) << failpoint << " was not passed " << pass << " times\n"
                                            << doomed.log();
  }
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C1_KilledAfterReadBeforeTransaction) {
  crash_under_load("read.received", {1, 2, 200});
}

TEST(CrashMatrix, C2_KilledBeforeTheTransactionWrites) {
  crash_under_load("commit.begin", {1, 40});
}

TEST(CrashMatrix, C2_KilledInsideTheTransaction) {
  crash_under_load("commit.inserted", {1, 2, 40});
}

TEST(CrashMatrix, C3_KilledAfterCommitIsSent) {
  crash_under_load("commit.sent", {1, 2, 40});
}

TEST(CrashMatrix, C4_KilledAfterCommitBeforePublish) {
  crash_under_load("commit.done", {1, 40});
}

TEST(CrashMatrix, C4_KilledBeforeARowIsPublished) {
  crash_under_load("publish.before", {1, 200});
}

TEST(CrashMatrix, C5_KilledAfterPublishBeforePubAck) {
  crash_under_load("publish.sent", {1, 2, 200});
}

TEST(CrashMatrix, C6_KilledWithHalfAWindowPublished) {
  constexpr int kBacklog = 3000;
  Installation installation;
  installation.start_ready("a").kill_hard();
  installation.events().producer.plain(kBacklog);
  ASSERT_TRUE(installation.events().wait_until_captured(kBacklog));

  ASSERT_TRUE(installation.start_controller("a", crash_at("publish.sent", kBacklog / 2))
                  .wait_until_killed());
  const auto published = installation.events().checker.stream_tail("FEED_events");
  EXPECT_LT(published, static_cast<std::uint64_t>(kBacklog));

  ASSERT_TRUE(
      installation.start_controller("a", crash_at("publish.acked", 500)).wait_until_killed());
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C7_KilledAfterPubAck) {
  crash_under_load("publish.acked", {1, 2, 200});
}

}  // namespace
}  // namespace feedvault::testing
