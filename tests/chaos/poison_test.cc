// C14, C15 and requeue: what must not become a message, what must not become one twice, and what
// becomes one late.

#include <gtest/gtest.h>

#include "base/file.h"
#include "proto/event.pb.h"
#include "tests/chaos/load.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

// Longer than the duplicate window of the ingest stream, in which the broker itself drops an id
// that it knows; what is tested here must reach the controller.
constexpr std::chrono::milliseconds kDuplicateWindow{150};

void let_duplicate_window_pass() {
  std::this_thread::sleep_for(kDuplicateWindow);
}

std::string without_required_field() {
  event message;
  message.set_sport(event::GOLF);
  message.set_match_title("no data_event");
  return message.SerializePartialAsString();
}

std::string with_unknown_enum_number() {
  event message;
  message.set_sport(event::GOLF);
  message.set_match_title("sport 99");
  message.set_data_event("goal");
  std::string bytes = message.SerializeAsString();
  bytes[1] = 99;  // the value of field 1
  return bytes;
}

std::string large_payload(std::size_t title_bytes) {
  event message;
  message.set_sport(event::GOLF);
  message.set_match_title(std::string(title_bytes, 'x'));
  message.set_data_event("goal");
  return message.SerializeAsString();
}

TEST(CrashMatrix, C14_EveryPoisonIsQuarantinedBetweenGoodMessages) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a", {{"FEEDVAULT_INGEST_MESSAGE_BYTES_MAX", "2000"}});
  struct Poison {
    std::string payload;
    std::string id;
    std::string reason;
  };
  const std::vector<Poison> poisons = {
      {"\xff\xff\xff not protobuf", "", ""},
      {without_required_field(), "", "missing required field data_event"},
      {with_unknown_enum_number(), "", "unknown number 99 for enum"},
      {"", "", "empty payload"},
      {large_payload(2000), "", "over the limit of 2000"},
      {valid_payload("events", 999), std::string(256, 'i'), "256 bytes"},
  };
  std::vector<std::uint64_t> stream_seqs;
  for (const Poison& poison : poisons) {
    events.producer.plain(1);
    stream_seqs.push_back(events.producer.publish(poison.payload, poison.id));
  }
  events.producer.plain(1);
  EXPECT_TRUE(installation.verify());

  const auto quarantined = events.checker.quarantined();
  ASSERT_EQ(quarantined.size(), poisons.size());
  for (std::size_t i = 0; i < poisons.size(); ++i) {
    const auto& found = quarantined[poisons.size() - 1 - i];  // newest first
    EXPECT_EQ(found.stream_seq, stream_seqs[i]);
    EXPECT_EQ(found.size, poisons[i].payload.size());
    EXPECT_NE(found.error.find(poisons[i].reason), std::string::npos) << found.error;
    EXPECT_FALSE(found.error.empty());
  }
  EXPECT_EQ(installation.controller("a").state_of("events"), "active");
}

TEST(CrashMatrix, C14_PoisonIsQuarantinedOnceAcrossCrashes) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a").kill_hard();
  for (const char* failpoint : {"commit.inserted", "commit.sent", "commit.done"}) {
    for (int i = 0; i < 5; ++i) {
      events.producer.publish("poison");
      events.producer.plain(1);
    }
    ASSERT_TRUE(installation.start_controller("a", crash_at(failpoint)).wait_until_killed());
  }
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
  EXPECT_EQ(events.checker.quarantined().size(), 15U);
}

TEST(CrashMatrix, C14_AnOutageOfTheDatabaseQuarantinesNothing) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(50));
    installation.database().stop();
    EXPECT_TRUE(eventually([&] { return a.get("/readyz").status == 503; }));
    const auto captured = installation.events().checker.stream_tail("INGEST_events");
    ASSERT_TRUE(installation.events().wait_until_captured(captured + 200));
    installation.database().start();
  }
  EXPECT_TRUE(installation.verify());
  EXPECT_TRUE(eventually([&] { return a.ready(); }));
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Quarantine"), "0");
}

TEST(CrashMatrix, C14_AReadOnlyDatabaseQuarantinesNothing) {
  Installation installation;
  ControllerProcess& a = installation.start_ready("a");
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(50));
    installation.sql("SET GLOBAL read_only = 1");
    EXPECT_TRUE(eventually([&] { return a.get("/readyz").status == 503; }));
    installation.sql("SET GLOBAL read_only = 0");
  }
  EXPECT_TRUE(installation.verify());
  EXPECT_EQ(installation.value("SELECT COUNT(*) FROM Quarantine"), "0");
}

// What is not quarantined must be publishable, or it would stop the feed for ever.
TEST(CrashMatrix, C14_TheLargestMessageWithTheLongestIdGetsThrough) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  installation.start_ready("a");
  const std::size_t limit = installation.config().ingest.message_bytes_max;
  const std::size_t overhead = large_payload(limit).size() - limit;
  const Sent largest{.id = std::string(255, 'i'), .payload = large_payload(limit - overhead)};
  ASSERT_EQ(largest.payload.size(), limit);
  events.producer.publish(largest.payload, largest.id);
  events.producer.note(largest);
  events.producer.publish(large_payload(limit - overhead + 1));
  events.producer.plain(1);
  EXPECT_TRUE(installation.verify());
  EXPECT_EQ(events.checker.quarantined().size(), 1U);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C14_TooManyBadInARowStopTheFeed) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  ControllerProcess& a =
      installation.start_ready("a", {{"FEEDVAULT_CONTROLLER_STOP_AFTER_BAD_MESSAGES", "5"}});
  events.producer.plain(3);
  for (int i = 0; i < 4; ++i) {
    events.producer.publish("poison");
  }
  events.producer.plain(1);
  for (int i = 0; i < 5; ++i) {
    events.producer.publish("poison");
  }
  ASSERT_TRUE(eventually([&] { return a.state_of("events") == "stopped"; })) << a.log();
  EXPECT_EQ(a.get("/readyz").status, 503);
  EXPECT_NE(a.get("/readyz").body.find("5 bad messages in a row"), std::string::npos);
  EXPECT_EQ(events.checker.quarantined().size(), 9U);

  installation.executions().producer.acknowledged(10);
  EXPECT_TRUE(installation.executions().verify());

  // Good messages wait until somebody has looked and started it again.
  events.producer.plain(3);
  EXPECT_EQ(a.state_of("events"), "stopped");
  EXPECT_EQ(a.terminate(), 0);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C15_TheSameIdAgainIsDropped) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  Producer& producer = events.producer;
  installation.start_ready("a").kill_hard();
  const Sent message{.id = "order-7", .payload = producer.fresh_payload()};
  const auto send_again = [&] {
    let_duplicate_window_pass();
    producer.publish(message.payload, message.id);
  };
  // Twice in one batch: all of this waits when the controller starts.
  producer.publish(message.payload, message.id);
  producer.note(message);
  producer.plain(2);
  send_again();
  producer.plain(2);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
  // Later, and after a restart.
  send_again();
  producer.plain(1);
  EXPECT_TRUE(installation.verify());
  installation.start_ready("a");
  send_again();
  producer.plain(1);
  EXPECT_TRUE(installation.verify());

  EXPECT_EQ(events.checker.stream_tail("INGEST_events"), 10U);  // they did reach the controller
  EXPECT_EQ(events.checker.summary().duplicates, 3U);
  EXPECT_TRUE(events.checker.quarantined().empty());
}

TEST(CrashMatrix, C15_TheSameIdWithOtherBytesIsAConflict) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  Producer& producer = events.producer;
  installation.start_ready("a").kill_hard();
  const Sent first{.id = "order-7", .payload = producer.fresh_payload()};
  const std::string second = producer.fresh_payload();
  const std::string third = producer.fresh_payload();
  producer.publish(first.payload, first.id);
  producer.note(first);
  let_duplicate_window_pass();
  producer.publish(second, first.id);  // in the same batch
  producer.plain(1);
  installation.start_ready("a");
  EXPECT_TRUE(installation.verify());
  let_duplicate_window_pass();
  producer.publish(third, first.id);  // in a later one
  producer.plain(1);
  EXPECT_TRUE(installation.verify());

  const auto quarantined = events.checker.quarantined();
  ASSERT_EQ(quarantined.size(), 2U);
  EXPECT_EQ(quarantined[1].size, second.size());
  EXPECT_EQ(quarantined[0].size, third.size());
  EXPECT_EQ(quarantined[0].message_id, first.id);
}

// Ids are bytes: neither case nor trailing blanks make two of them equal.
TEST(CrashMatrix, C15_IdsAreComparedByteByByte) {
  Installation installation;
  Producer& producer = installation.events().producer;
  installation.start_ready("a");
  for (const char* id : {"order", "Order", "ORDER", "ord\xc3\xa9r", "orde\xcc\x81r"}) {
    const Sent message{.id = id, .payload = producer.fresh_payload()};
    producer.publish(message.payload, message.id);
    producer.note(message);
  }
  EXPECT_TRUE(installation.verify());
}

// The newest row is compared with the feed stream at every start: an id that changes on its way
// through the headers would stop the feed there.
TEST(CrashMatrix, C15_UnusualIdsSurviveARestart) {
  Installation installation;
  Producer& producer = installation.events().producer;
  installation.start_ready("a");
  for (const char* id :
       {"with blanks in it", "a:b", "tab\there", "\xc3\xa9\xe2\x82\xac", "\xff\xfe"}) {
    const Sent message{.id = id, .payload = producer.fresh_payload()};
    producer.publish(message.payload, message.id);
    producer.note(message);
    ASSERT_TRUE(installation.events().verify()) << id;
    installation.start_ready("a");
  }
  EXPECT_TRUE(installation.verify());
}

TEST(CrashMatrix, C15_AnIdWithBlanksAroundItSurvivesARestart) {
  Installation installation;
  Producer& producer = installation.events().producer;
  installation.start_ready("a");
  for (const char* id : {" before", "after ", "\tboth\t"}) {
    producer.publish(producer.fresh_payload(), id);
    installation.executions().producer.acknowledged(1);
    ASSERT_TRUE(installation.executions().verify());
    installation.start_ready("a");
  }
  ASSERT_TRUE(installation.events().wait_until_published(3));
  const auto rows = installation.events().checker.table();
  EXPECT_EQ(rows, installation.events().checker.feed_stream());
  EXPECT_TRUE(eventually([&] { return installation.events().subscriber.received() == rows; }));
}

class Requeue : public ::testing::Test {
 protected:
  // A sport that the first schema does not know, and the second does.
  Requeue() {
    const std::string proto = installation_.folder() + "/proto/event.proto";
    const std::string full = read_file(proto).value();
    std::string old = full;
    old.replace(old.find("TENNIS = 7;"), 11, "           ");
    EXPECT_TRUE(replace_file(proto, old).ok());
    installation_.start_ready("a");
    events_.producer.plain(3);
    event message;
    message.set_sport(event::TENNIS);
    message.set_match_title("final");
    message.set_data_event("ace");
    tennis_ = message.SerializeAsString();
    events_.producer.publish(tennis_);
    events_.producer.plain(3);
    EXPECT_TRUE(events_.verify());
    EXPECT_TRUE(replace_file(proto, full).ok());
  }

  std::uint64_t quarantine_id() { return events_.checker.quarantined().at(0).id; }

  Status request() {
    return storage::CatalogueReader::create(installation_.config().mysql)
        ->request_requeue(quarantine_id());
  }

  // The message, once, behind those that overtook it, under its own id and time.
  void expect_requeued_once() {
    events_.producer.note({.id = {}, .payload = tennis_});
    EXPECT_TRUE(eventually([&] { return events_.checker.quarantined()[0].state == "requeued"; }));
    EXPECT_TRUE(events_.verify());
    EXPECT_EQ(events_.checker.quarantined()[0].seq, events_.producer.sent_count());
    events_.producer.plain(2);
    EXPECT_TRUE(events_.verify());
    EXPECT_EQ(request().code(), StatusCode::kDuplicate);
  }

  Installation installation_;
  FeedUnderTest& events_ = installation_.events();
  std::string tennis_;
};

TEST_F(Requeue, GivesANewSeqOnce) {
  ASSERT_EQ(events_.checker.quarantined().size(), 1U);
  installation_.start_ready("a");
  ASSERT_TRUE(request().ok());
  expect_requeued_once();
}

TEST_F(Requeue, WhatIsTooLargeToBePublishedStaysInQuarantine) {
  installation_.start_ready("a", {{"FEEDVAULT_INGEST_MESSAGE_BYTES_MAX", "2000"}});
  events_.producer.publish(large_payload(3000));
  ASSERT_TRUE(eventually([&] { return events_.checker.quarantined().size() == 2; }));
  const auto too_large = [&] { return events_.checker.quarantined().at(0); };  // the newest
  ASSERT_TRUE(storage::CatalogueReader::create(installation_.config().mysql)
                  ->request_requeue(too_large().id)
                  .ok());
  EXPECT_TRUE(eventually([&] { return too_large().state == "failed"; }));
  EXPECT_NE(too_large().error.find("over the limit of 2000"), std::string::npos);
  events_.producer.plain(2);
  EXPECT_TRUE(events_.verify());
}

TEST_F(Requeue, IsExactlyOnceAcrossACrashInsideItsTransaction) {
  ControllerProcess& doomed = installation_.start_controller("a", crash_at("requeue.inserted"));
  ASSERT_TRUE(request().ok());
  ASSERT_TRUE(doomed.wait_until_killed()) << doomed.log();
  installation_.start_ready("a");
  expect_requeued_once();
}

TEST_F(Requeue, IsExactlyOnceAcrossACrashBeforeItIsPublished) {
  ControllerProcess& doomed = installation_.start_controller("a", crash_at("publish.before"));
  ASSERT_TRUE(request().ok());
  ASSERT_TRUE(doomed.wait_until_killed()) << doomed.log();
  installation_.start_ready("a");
  expect_requeued_once();
}

}  // namespace
}  // namespace feedvault::testing
