// Broker and database away at start and later, killed with -9 under load, and controllers asked to
// stop.

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/chaos/load.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

TEST(Outage, ControllerStartsWithBothServersAway) {
  Installation installation;
  installation.broker().stop();
  installation.database().stop();
  ControllerProcess& a = installation.start_controller("a");
  ASSERT_TRUE(eventually([&] { return a.get("/readyz").status == 503; })) << a.log();
  EXPECT_EQ(a.get("/livez").status, 200);
  installation.database().start();
  installation.broker().start();
  installation.executions().producer.acknowledged(20);
  EXPECT_TRUE(eventually([&] { return a.ready(); }, std::chrono::seconds(20))) << a.log();
  installation.events().producer.plain(20);
  EXPECT_TRUE(installation.verify());
}

TEST(Outage, AnOutageIsSaidOnceAndSeenInReadyz) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  installation.broker().stop();
  ASSERT_TRUE(eventually([&] { return a.get("/readyz").status == 503; }));
  const std::string lines_at_first = a.log();
  std::this_thread::sleep_for(std::chrono::seconds(1));  // several retries
  const auto count = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_LE(count(a.log()) - count(lines_at_first), 2) << a.log();
  installation.broker().start();
  EXPECT_TRUE(eventually([&] { return a.ready(); }, std::chrono::seconds(20))) << a.log();
}

TEST(Outage, DatabaseIsKilledUnderLoad) {
  Installation installation;
  installation.start_ready("a");
  {
    const Load load(installation);
    for (int i = 1; i <= 3; ++i) {
      ASSERT_TRUE(installation.executions().wait_until_published(
          installation.executions().checker.stream_tail("FEED_executions") + 100));
      installation.database().kill_hard();
      installation.database().start();
    }
  }
  EXPECT_TRUE(installation.verify());
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Quarantine"), "0");
}

TEST(Outage, BrokerIsKilledUnderLoad) {
  Installation installation;
  installation.start_ready("a");
  {
    const Load load(installation, Load::Events::kUnsure);
    for (int i = 1; i <= 3; ++i) {
      ASSERT_TRUE(installation.executions().wait_until_published(
          installation.executions().checker.stream_tail("FEED_executions") + 100));
      installation.broker().kill_hard();
      installation.broker().start();
    }
  }
  ASSERT_TRUE(note_captured(installation.events()));
  EXPECT_TRUE(installation.verify());
}

TEST(Outage, SubscriberIsRestartedUnderLoad) {
  Installation installation;
  installation.start_ready("a");
  {
    const Load load(installation);
    for (int i = 1; i <= 10; ++i) {
      const std::size_t seen = installation.executions().subscriber.received_count();
      ASSERT_TRUE(eventually(
          [&] { return installation.executions().subscriber.received_count() > seen + 50; }));
      installation.executions().subscriber.restart();
      installation.events().subscriber.restart();
    }
  }
  EXPECT_TRUE(installation.verify());
}

TEST(Stop, SigtermUnderLoadCommitsAndPublishesWhatItHolds) {
  Installation installation;
  installation.start_ready("a");
  {
    const Load load(installation);
    for (int i = 0; i < 3; ++i) {
      ControllerProcess& a = installation.start_ready("a");
      ASSERT_TRUE(installation.executions().wait_until_published(
          installation.executions().checker.stream_tail("FEED_executions") + 100));
      EXPECT_EQ(a.terminate(std::chrono::seconds(5)), 0) << a.log();
      for (FeedUnderTest* feed : {&installation.events(), &installation.executions()}) {
        EXPECT_EQ(feed->checker.summary().state.last_seq,
                  feed->checker.stream_tail(feed->checker.places().feed.feed_stream()));
      }
    }
  }
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(Stop, SigtermWithEverythingAwayExitsInTime) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  installation.broker().stop();
  installation.database().stop();
  ASSERT_TRUE(eventually([&] { return a.get("/readyz").status == 503; }));
  EXPECT_EQ(a.terminate(std::chrono::seconds(5)), 0) << a.log();
}

}  // namespace
}  // namespace feedvault::testing
