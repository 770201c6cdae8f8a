// The tests of the tests: the checker that all the others rely on must see every kind of damage.

#include <gtest/gtest.h>

#include "client/nats/connection.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

class CheckerNotices : public ::testing::Test {
 protected:
  CheckerNotices() {
    installation_.start_ready("a");
    events_.producer.plain(5);
    events_.producer.acknowledged(5);
    EXPECT_TRUE(events_.verify());
    installation_.controller("a").kill_hard();
  }

  void expect_difference(const std::string& text) {
    const auto verdict = events_.verify({.settle = std::chrono::milliseconds(0)});
    EXPECT_FALSE(verdict);
    EXPECT_NE(std::string(verdict.message()).find(text), std::string::npos) << verdict.message();
  }

  Installation installation_;
  FeedUnderTest& events_ = installation_.events();
};

TEST_F(CheckerNotices, ALostMessage) {
  events_.producer.note(Sent{.id = {}, .payload = "never catalogued"});
  expect_difference("11 messages were sent, the table holds 10");
}

TEST_F(CheckerNotices, ARepeatedRow) {
  installation_.sql(
      "INSERT INTO Messages SELECT feed, 11, 'again', timestamp, size, data, body FROM Messages "
      "WHERE feed = 1 AND seq = 10");
  expect_difference("10 messages were sent, the table holds 11");
}

TEST_F(CheckerNotices, AGapInSeq) {
  installation_.sql("UPDATE Messages SET seq = 11 WHERE feed = 1 AND seq = 10");
  expect_difference("message 10 was sent");
}

TEST_F(CheckerNotices, AnotherOrder) {
  installation_.sql(
      "UPDATE Messages SET seq = 100 WHERE feed = 1 AND seq = 6;"
      "UPDATE Messages SET seq = 6 WHERE feed = 1 AND seq = 7;"
      "UPDATE Messages SET seq = 7 WHERE feed = 1 AND seq = 100");
  expect_difference("message 6 was sent");
}

TEST_F(CheckerNotices, AnotherId) {
  installation_.sql("UPDATE Messages SET id = 'another' WHERE feed = 1 AND seq = 7");
  expect_difference("message 7 was sent");
}

TEST_F(CheckerNotices, OtherBytes) {
  installation_.sql("UPDATE Messages SET data = CONCAT(data, '!') WHERE feed = 1 AND seq = 3");
  expect_difference("message 3 was sent");
}

TEST_F(CheckerNotices, ATimestampOneMicrosecondOff) {
  installation_.sql(
      "UPDATE Messages SET timestamp = timestamp + INTERVAL 1 MICROSECOND "
      "WHERE feed = 1 AND seq = 4");
  expect_difference("the table and the feed stream differ at place 4");
}

TEST_F(CheckerNotices, AMessageInTheFeedStreamThatIsNoRow) {
  auto connection = nats::Connection::open(installation_.config().nats,
                                           {.name = "intruder", .on_state = nullptr});
  ASSERT_TRUE(connection.has_value());
  const nats::Header headers[] = {{"Nats-Msg-Id", "events-11"},
                                  {"Feed-Id", "intruder"},
                                  {"Feed-Seq", "11"},
                                  {"Feed-Timestamp", "2026-11-21T20:48:54.543721Z"}};
  ASSERT_TRUE((*connection)
                  ->publish({.subject = "feed.events",
                             .reply = {},
                             .headers = headers,
                             .payload = "not of the catalogue"})
                  .ok());
  ASSERT_TRUE((*connection)->flush(std::chrono::seconds(5)).ok());
  ASSERT_TRUE(events_.wait_until_published(11));
  expect_difference("the table holds 10 messages, the feed stream holds 11");
}

TEST_F(CheckerNotices, AMessageThatTheSubscriberDidNotGet) {
  events_.subscriber.stop();
  installation_.start_ready("a");
  events_.producer.plain(1);
  ASSERT_TRUE(events_.wait_until_published(11));
  expect_difference("the table holds 11 messages, the subscriber holds 10");
}

}  // namespace
}  // namespace feedvault::testing
