// C10 to C13 and C17: one of the three places no longer holds what it held. Broker and database
// are put back to an older copy of themselves, streams are deleted, rows are changed.

#include <gtest/gtest.h>

#include "client/nats/jetstream.h"
#include "tests/chaos/load.h"
#include "tests/chaos/restored_copy.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

void delete_stream(Installation& installation, const std::string& stream) {
  auto connection =
      nats::Connection::open(installation.config().nats, {.name = "operator", .on_state = nullptr});
  ASSERT_TRUE(connection.has_value());
  nats::JetStream jetstream(**connection, std::chrono::seconds(5));
  const Status deleted = jetstream.delete_stream(stream);
  ASSERT_TRUE(deleted.ok()) << deleted.to_string();
}

// Messages 1 to 10 stay in the ingest stream; 11 to 15 were catalogued and published, and the
// stream has lost them.
void lose_ingest_tail(Installation& installation, bool controller_lives) {
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  events.producer.plain(10);
  ASSERT_TRUE(events.wait_until_published(10));
  StreamCopy copy(installation, "INGEST_events");
  events.producer.plain(5);
  ASSERT_TRUE(events.wait_until_published(15));
  if (!controller_lives) {
    installation.controller("a").kill_hard();
  }
  copy.put_back();
}

// The lost numbers 11 to 15 are given again, and more; 11 and 15 (the checkpoint) even to messages
// that are equal to the lost ones byte by byte. They are new messages all the same.
void reuse_lost_numbers(FeedUnderTest& events) {
  const std::vector<Sent> lost = events.producer.sent();
  const auto send_again = [&](std::size_t number) {
    const std::string payload = lost.at(number - 1).payload;
    EXPECT_EQ(events.producer.publish(payload), number);
    events.producer.note({.id = {}, .payload = payload});
  };
  send_again(11);
  events.producer.plain(3);
  send_again(15);
  events.producer.plain(5);
  ASSERT_TRUE(events.wait_until_captured(20));
}

TEST(CrashMatrix, C10_IngestLostItsTailAndReusesNumbers) {
  Installation installation;
  lose_ingest_tail(installation, /*controller_lives=*/false);
  reuse_lost_numbers(installation.events());
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify({.ingest_is_whole = false}));
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Quarantine"), "0");
}

TEST(CrashMatrix, C10_IngestLosesItsTailUnderARunningController) {
  Installation installation;
  lose_ingest_tail(installation, /*controller_lives=*/true);
  reuse_lost_numbers(installation.events());
  EXPECT_TRUE(installation.verify({.ingest_is_whole = false}));
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Quarantine"), "0");
}

TEST(CrashMatrix, C10_IngestIsDeletedAndMadeAnew) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  FeedUnderTest& executions = installation.executions();
  installation.start_ready("a");
  events.producer.plain(10);
  executions.producer.acknowledged(10);
  ASSERT_TRUE(events.wait_until_published(10));
  ASSERT_TRUE(executions.wait_until_published(10));

  delete_stream(installation, "INGEST_executions");
  executions.producer.acknowledged(10);  // tries again until the controller has made the stream
  EXPECT_TRUE(executions.verify({.ingest_is_whole = false}));

  installation.controller("a").kill_hard();
  delete_stream(installation, "INGEST_events");
  installation.start_ready("a");
  events.producer.plain(10);
  EXPECT_TRUE(installation.verify({.ingest_is_whole = false}));
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Gaps WHERE first_seq = 11 AND last_seq = 0"),
            "2");
}

// Messages that somebody deleted before they could be read are gone; that is recorded, not passed
// over in silence.
TEST(CrashMatrix, C10_MessagesDeletedBeforeTheyWereReadAreAGap) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  events.producer.plain(10);
  ASSERT_TRUE(events.verify());
  installation.controller("a").kill_hard();
  for (int i = 0; i < 5; ++i) {
    events.producer.publish(events.producer.fresh_payload());
  }
  auto connection =
      nats::Connection::open(installation.config().nats, {.name = "operator", .on_state = nullptr});
  ASSERT_TRUE(connection.has_value());
  nats::JetStream jetstream(**connection, std::chrono::seconds(5));
  ASSERT_TRUE(jetstream.purge_below("INGEST_events", 16).ok());
  events.producer.plain(5);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify({.ingest_is_whole = false}));
  EXPECT_EQ(installation.value("SELECT CONCAT(first_seq, '-', last_seq) FROM Gaps"), "11-15");
}

TEST(CrashMatrix, C11_FeedStreamLostItsTail) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  events.producer.plain(10);
  ASSERT_TRUE(events.wait_until_published(10));
  StreamCopy copy(installation, "FEED_events");
  events.producer.plain(10);
  // The subscriber has seen what the stream loses now, and must not see it again.
  ASSERT_TRUE(events.verify());
  installation.controller("a").kill_hard();
  copy.put_back();
  ASSERT_EQ(events.checker.stream_tail("FEED_events"), 10U);
  events.producer.plain(10);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C11_FeedStreamLosesItsTailUnderARunningController) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  events.producer.plain(10);
  ASSERT_TRUE(events.wait_until_published(10));
  StreamCopy copy(installation, "FEED_events");
  events.producer.plain(10);
  ASSERT_TRUE(events.verify());
  copy.put_back();
  EXPECT_TRUE(installation.verify());
  events.producer.plain(10);
  EXPECT_TRUE(installation.verify());
}

// The broker does not know any more which numbers it gave out, and leaves some out for safety.
TEST(CrashMatrix, C11_FeedStreamSkipsNumbers) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  const std::string mark = installation.broker().stream_folder("FEED_events") + "/messages/synced";
  if (!std::filesystem::exists(mark)) {
    GTEST_SKIP() << "nats-server never does";
  }
  events.producer.plain(10);
  ASSERT_TRUE(events.verify());
  installation.controller("a").kill_hard();
  installation.broker().kill_hard();
  std::filesystem::remove(mark);
  installation.broker().start();
  ASSERT_GT(events.checker.stream_tail("FEED_events"), 10U);

  ControllerProcess& a = installation.start_controller("a");
  ASSERT_TRUE(eventually([&] { return a.state_of("events") == "stopped"; })) << a.log();
  const HttpAnswer ready = a.get("/readyz");
  EXPECT_NE(ready.body.find("delete stream FEED_events"), std::string::npos) << ready.body;
  a.kill_hard();
  delete_stream(installation, "FEED_events");
  events.producer.plain(10);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

void lose_rows(bool controller_lives) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  FeedUnderTest& executions = installation.executions();
  installation.start_ready("a");
  events.producer.plain(10);
  executions.producer.acknowledged(10);
  ASSERT_TRUE(events.wait_until_published(10));
  ASSERT_TRUE(executions.wait_until_published(10));
  DatabaseCopy copy(installation);
  events.producer.plain(10);
  executions.producer.acknowledged(10);
  ASSERT_TRUE(installation.verify());
  const auto rows_before = events.checker.table();
  if (!controller_lives) {
    installation.controller("a").kill_hard();
  }
  copy.put_back();
  if (!controller_lives) {
    ASSERT_EQ(events.checker.table().size(), 10U);
    installation.start_controller("a");
  }
  events.producer.plain(10);
  executions.producer.acknowledged(10);
  EXPECT_TRUE(installation.verify());
  // Not only equal to the stream: the rows came back as they were.
  const auto rows_after = events.checker.table();
  ASSERT_GE(rows_after.size(), rows_before.size());
  EXPECT_TRUE(std::equal(rows_before.begin(), rows_before.end(), rows_after.begin()));
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Messages WHERE body IS NULL"), "0");
}

TEST(CrashMatrix, C12_DatabaseIsPutBackToAnOlderState) {
  lose_rows(/*controller_lives=*/false);
}

TEST(CrashMatrix, C12_DatabaseIsPutBackUnderARunningController) {
  lose_rows(/*controller_lives=*/true);
}

TEST(CrashMatrix, C13_TableAndFeedStreamDisagree) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  FeedUnderTest& executions = installation.executions();
  installation.start_ready("a");
  events.producer.plain(10);
  ASSERT_TRUE(installation.verify());
  installation.controller("a").kill_hard();
  installation.sql("UPDATE Messages SET id = 'another' WHERE feed = 1 AND seq = 10");

  ControllerProcess& a = installation.start_controller("a");
  ASSERT_TRUE(eventually([&] { return a.state_of("events") == "stopped"; })) << a.log();
  const HttpAnswer ready = a.get("/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(ready.body.find("delete stream FEED_events"), std::string::npos) << ready.body;

  // Nothing of this feed is written any more; the other one goes on.
  events.producer.plain(5);
  executions.producer.acknowledged(20);
  EXPECT_TRUE(executions.verify());
  EXPECT_EQ(events.checker.table().size(), 10U);
  EXPECT_EQ(events.checker.stream_tail("FEED_events"), 10U);

  // One side is put right by hand.
  a.kill_hard();
  installation.sql("UPDATE Messages SET id = '" + events.subscriber.received().back().id +
                   "' WHERE feed = 1 AND seq = 10");
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C17_FeedStreamIsDeletedWhileRunning) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  events.producer.plain(20);
  ASSERT_TRUE(events.verify());
  delete_stream(installation, "FEED_events");
  events.producer.plain(20);
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C17_FeedStreamIsDeletedWhileTheFeedIsSilent) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  events.producer.plain(20);
  ASSERT_TRUE(events.verify());
  delete_stream(installation, "FEED_events");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C17_FeedStreamIsDeletedUnderLoad) {
  Installation installation;
  installation.start_ready("a");
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(100));
    delete_stream(installation, "FEED_executions");
    ASSERT_TRUE(installation.executions().wait_until_published(500));
  }
  EXPECT_TRUE(installation.verify());
}

}  // namespace
}  // namespace feedvault::testing
