// Broker and database away at start and later, killed with -9 under load, and controllers asked to
// stop.

#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "client/nats/jetstream.h"
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
  std::this_thread::sleep_for(std::chrono::seconds(1));  // time for several attempts
  installation.broker().start();
  EXPECT_TRUE(eventually([&] { return a.ready(); }, std::chrono::seconds(20))) << a.log();

  // Each line of the outage once a feed: none came again with the next attempt.
  std::set<std::string> said;
  std::istringstream log(a.log());
  for (std::string line; std::getline(log, line);) {
    const std::size_t time = line.find(' ');
    if (line.find(" warning ") != std::string::npos) {
      EXPECT_TRUE(said.insert(line.substr(time)).second) << "said twice: " << line;
    }
  }
  EXPECT_FALSE(said.empty());
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

TEST(Standby, TwoControllersStartAtOnceOnNothing) {
  Installation installation;
  ControllerProcess& a = installation.start_controller("a");
  ControllerProcess& b = installation.start_controller("b");
  ASSERT_TRUE(eventually([&] { return a.ready() && b.ready(); }, std::chrono::seconds(20)))
      << a.log() << b.log();
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(100));
  }
  EXPECT_TRUE(installation.verify());
}

// The ingest stream keeps a catalogued message for a while and then lets it go; a restart in
// between must neither read again what is gone nor miss it.
TEST(Keep, CataloguedMessagesArePurgedFromTheIngestStream) {
  Installation installation;
  const Environment keep = {{"FEEDVAULT_INGEST_KEEP_S", "1"}};
  installation.start_ready("a", keep);
  {
    const Load load(installation);
    const auto purged = [&] {
      auto connection = nats::Connection::open(installation.config().nats,
                                               {.name = "purged", .on_state = nullptr});
      nats::JetStream jetstream(**connection, std::chrono::seconds(5));
      return jetstream.stream_info("INGEST_executions")->first_seq > 1;
    };
    ASSERT_TRUE(eventually(purged)) << installation.controller("a").log();
    installation.start_ready("a", keep);
  }
  EXPECT_TRUE(installation.verify({.ingest_is_whole = false}));
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Gaps"), "0");
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
