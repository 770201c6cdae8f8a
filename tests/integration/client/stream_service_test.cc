#include "client/stream_service.h"

#include <fstream>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "proto/event.pb.h"
#include "tests/integration/client/collector.h"
#include "tests/support/feed_stream.h"
#include "tests/support/nats_server.h"

namespace feedvault {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::FeedStream;
using testing::NatsServer;

class StreamServiceTest : public ::testing::Test {
 protected:
  void SetUp() override { feed_.create(); }

  std::unique_ptr<StreamService> connect(StreamService::Options options = {}) {
    if (!options.on_gap) {
      options.on_gap = got_.on_gap();
    }
    auto service = StreamService::connect(server_.config(), std::move(options));
    EXPECT_TRUE(service) << service.status().to_string();
    return std::move(service).value();
  }
  Status subscribe(StreamService& service, Start start) {
    SubscribeOptions options;
    options.feed = "events";
    options.start = start;
    options.history = history_;
    return service.subscribe(options, got_.callback());
  }

  NatsServer server_;
  FeedStream feed_{server_.config(), "events"};
  Collector got_;
  bool history_ = true;
};

TEST_F(StreamServiceTest, DeliversFromTheFirstOnAndThenLive) {
  feed_.publish(1, 100);
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_first()).ok());
  ASSERT_TRUE(got_.holds(100));
  feed_.publish(101, 200);
  ASSERT_TRUE(got_.holds(200));
  EXPECT_TRUE(got_.is_exactly(1, 200));
  EXPECT_TRUE(eventually([&] { return service->position("events").seq == 200; }));
  EXPECT_TRUE(got_.gaps().empty());
}

TEST_F(StreamServiceTest, NewMeansWhatIsPublishedAfterSubscribing) {
  feed_.publish(1, 100);
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_new()).ok());
  feed_.publish(101, 150);
  ASSERT_TRUE(got_.holds(50));
  EXPECT_TRUE(got_.is_exactly(101, 150));
  EXPECT_TRUE(got_.gaps().empty());
}

TEST_F(StreamServiceTest, StartsAtASeq) {
  feed_.publish(1, 100);
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_seq(42)).ok());
  ASSERT_TRUE(got_.holds(59));
  EXPECT_TRUE(got_.is_exactly(42, 100));
}

TEST_F(StreamServiceTest, StartsAtASeqThatHasYetToCome) {
  feed_.publish(1, 10);
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_seq(42)).ok());
  feed_.publish(11, 50);
  ASSERT_TRUE(got_.holds(9));
  EXPECT_TRUE(got_.is_exactly(42, 50));
}

TEST_F(StreamServiceTest, StartsAtATimeOfTheMessagesNotOfTheirStorage) {
  feed_.publish(1, 100);
  for (const auto& [time_us, first] : {std::pair{FeedStream::timestamp_us_of(42), 42},
                                       std::pair{FeedStream::timestamp_us_of(42) + 1, 43},
                                       std::pair{FeedStream::timestamp_us_of(1) - 1, 1}}) {
    Collector got;
    StreamService::Options service_options;
    service_options.on_gap = got.on_gap();
    auto service = connect(std::move(service_options));
    SubscribeOptions options;
    options.feed = "events";
    options.start = Start::at_time(time_us);
    ASSERT_TRUE(service->subscribe(options, got.callback()).ok());
    ASSERT_TRUE(got.holds(static_cast<std::size_t>(101 - first)));
    EXPECT_TRUE(got.is_exactly(static_cast<std::uint64_t>(first), 100)) << first;
    EXPECT_TRUE(got.gaps().empty());
  }
}

TEST_F(StreamServiceTest, WithoutHistoryATimeBeforeAllThatIsLeftReportsTheGap) {
  history_ = false;
  feed_.publish(1, 20);
  ASSERT_TRUE(feed_.jetstream().purge_below(feed_.name(), 11).ok());
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_time(FeedStream::timestamp_us_of(5))).ok());
  ASSERT_TRUE(got_.holds(10));
  EXPECT_TRUE(got_.is_exactly(11, 20));
  EXPECT_EQ(got_.gaps(), (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{1, 10}}));
}

TEST_F(StreamServiceTest, WithoutHistoryWhatRetentionTookIsReportedAndDeliveryGoesOn) {
  history_ = false;
  feed_.publish(1, 20);
  ASSERT_TRUE(feed_.jetstream().purge_below(feed_.name(), 11).ok());
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_seq(3)).ok());
  ASSERT_TRUE(got_.holds(10));
  EXPECT_TRUE(got_.is_exactly(11, 20));
  EXPECT_EQ(got_.gaps(), (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{3, 10}}));
}

TEST_F(StreamServiceTest, WithoutHistoryFirstMeansTheStreamsOldestAndIsNoGap) {
  history_ = false;
  feed_.publish(1, 20);
  ASSERT_TRUE(feed_.jetstream().purge_below(feed_.name(), 11).ok());
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_first()).ok());
  ASSERT_TRUE(got_.holds(10));
  EXPECT_TRUE(got_.is_exactly(11, 20));
  EXPECT_TRUE(got_.gaps().empty());
}

TEST_F(StreamServiceTest, WithoutHistoryAMessageDeletedInTheMiddleIsAGapOfOne) {
  history_ = false;
  feed_.publish(1, 5);
  ASSERT_TRUE(feed_.connection().request({.subject = "$JS.API.STREAM.MSG.DELETE.FEED_events",
                                          .reply = {},
                                          .headers = {},
                                          .payload = R"({"seq":3})"},
                                         5s));
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_first()).ok());
  ASSERT_TRUE(got_.holds(4));
  EXPECT_EQ(got_.seqs(), (std::vector<std::uint64_t>{1, 2, 4, 5}));
  EXPECT_EQ(got_.gaps(), (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{3, 3}}));
}

TEST_F(StreamServiceTest, DeliversBothFeedsAtOnce) {
  FeedStream executions(server_.config(), "executions");
  executions.create();
  feed_.publish(1, 500);
  executions.publish(1, 700);
  Collector other;
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_first()).ok());
  SubscribeOptions options;
  options.feed = "executions";
  options.start = Start::at_first();
  ASSERT_TRUE(service->subscribe(options, other.callback()).ok());
  ASSERT_TRUE(got_.holds(500));
  ASSERT_TRUE(other.holds(700));
  EXPECT_TRUE(got_.is_exactly(1, 500));
  EXPECT_TRUE(other.is_exactly(1, 700));
}

TEST_F(StreamServiceTest, GivesTheDecodedMessage) {
  event out;
  out.set_sport(event::GOLF);
  out.set_match_title("A - B");
  out.set_data_event("par");
  feed_.publish_payload(1, out.SerializeAsString());
  feed_.publish_payload(2, "\xff\xff");
  feed_.publish_payload(3, "");
  auto service = connect();
  std::vector<std::string> titles;
  std::atomic<int> count{0};
  SubscribeOptions options;
  options.feed = "events";
  options.start = Start::at_first();
  ASSERT_TRUE(service
                  ->subscribe(options,
                              [&](const FeedMessage& message) {
                                const auto* decoded = dynamic_cast<const event*>(message.decoded);
                                titles.push_back(decoded == nullptr ? "-" : decoded->match_title());
                                ++count;
                                return true;
                              })
                  .ok());
  ASSERT_TRUE(eventually([&] { return count == 3; }));
  service.reset();
  EXPECT_EQ(titles, (std::vector<std::string>{"A - B", "-", "-"}));
}

TEST_F(StreamServiceTest, DecodesOtherFeedsWithASchema) {
  testing::TempDir folder;
  const std::string file = folder.file("quote.proto");
  std::ofstream(file) << "syntax = \"proto3\"; package x; message Quote { string name = 1; }";
  const auto schema = MessageSchema::load(file, "x.Quote");
  ASSERT_TRUE(schema) << schema.error().to_string();
  FeedStream quotes(server_.config(), "quotes");
  quotes.create();
  quotes.publish_payload(1,
                         "\x0a\x03"
                         "abc");
  auto service = connect();
  std::string text;
  SubscribeOptions options;
  options.feed = "quotes";
  options.start = Start::at_first();
  options.schema = schema->get();
  std::atomic<bool> done{false};
  ASSERT_TRUE(service
                  ->subscribe(options,
                              [&](const FeedMessage& message) {
                                text = message.decoded == nullptr
                                           ? "none"
                                           : message.decoded->ShortDebugString();
                                done = true;
                                return true;
                              })
                  .ok());
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  service.reset();
  EXPECT_EQ(text, "name: \"abc\"");
}

TEST_F(StreamServiceTest, MegabyteMessagesComeThroughWhole) {
  feed_.publish(1, 60, 1'000'000);
  auto service = connect();
  ASSERT_TRUE(subscribe(*service, Start::at_first()).ok());
  ASSERT_TRUE(got_.holds(60));
  EXPECT_TRUE(got_.is_exactly(1, 60));
}

TEST_F(StreamServiceTest, FalseStopsTheSubscriptionAtThatMessage) {
  feed_.publish(1, 10);
  auto service = connect();
  SubscribeOptions options;
  options.feed = "events";
  options.start = Start::at_first();
  ASSERT_TRUE(
      service->subscribe(options, [](const FeedMessage& m) { return m.position.seq < 4; }).ok());
  ASSERT_TRUE(eventually([&] { return !service->running("events"); }));
  EXPECT_EQ(service->position("events").seq, 3U);
  // It may be subscribed to again, from there.
  ASSERT_TRUE(subscribe(*service, Start::at_seq(4)).ok());
  ASSERT_TRUE(got_.holds(7));
  EXPECT_TRUE(got_.is_exactly(4, 10));
}

TEST_F(StreamServiceTest, AnExceptionInTheCallbackStopsOnlyItsSubscription) {
  feed_.publish(1, 10);
  auto service = connect();
  SubscribeOptions options;
  options.feed = "events";
  options.start = Start::at_first();
  for (const bool standard : {true, false}) {
    ASSERT_TRUE(service
                    ->subscribe(options,
                                [&](const FeedMessage&) -> bool {
                                  if (standard) {
                                    throw std::runtime_error("subscriber's bug");
                                  }
                                  throw 7;
                                })
                    .ok());
    ASSERT_TRUE(eventually([&] { return !service->running("events"); }));
    EXPECT_EQ(service->position("events").seq, 0U);
  }
}

TEST_F(StreamServiceTest, RefusesWhatCannotBeMeant) {
  auto service = connect();
  SubscribeOptions options;
  for (const char* name : {"", "a.b", "a b", ">", "*"}) {
    options.feed = name;
    EXPECT_EQ(service->subscribe(options, got_.callback()).code(), StatusCode::kInvalidArgument);
  }
  options.feed = "events";
  options.start = Start::at_stored();
  EXPECT_EQ(service->subscribe(options, got_.callback()).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(subscribe(*service, Start::at_new()).ok());
  EXPECT_EQ(subscribe(*service, Start::at_new()).code(), StatusCode::kDuplicate);
}

TEST_F(StreamServiceTest, DrainDeliversWhatIsInMemoryAndSavesThePosition) {
  feed_.publish(1, 5000);
  testing::TempDir folder;
  auto store = open_file_position_store(folder.path()).value();
  auto service = connect();
  SubscribeOptions options;
  options.feed = "events";
  options.start = Start::at_stored();
  options.positions = store.get();
  options.save_every = 1'000'000;
  options.max_in_flight = 300;
  std::atomic<bool> hold{true};
  std::atomic<bool> entered{false};
  auto callback = got_.callback();
  ASSERT_TRUE(service
                  ->subscribe(options,
                              [&](const FeedMessage& message) {
                                entered = true;
                                EXPECT_TRUE(eventually([&] { return !hold; }));
                                return callback(message);
                              })
                  .ok());
  ASSERT_TRUE(eventually([&] { return entered.load(); }));
  EXPECT_EQ(service->drain(50ms).code(), StatusCode::kTimeout);  // the callback is still busy
  hold = false;
  ASSERT_TRUE(service->drain(10s).ok());
  const std::uint64_t last = got_.count();
  EXPECT_GE(last, 1U);
  EXPECT_LE(last, 1 + 300U);
  EXPECT_TRUE(got_.is_exactly(1, last));
  EXPECT_EQ(store->load("events").value(), last);
  EXPECT_EQ(service->position("events").seq, last);
  EXPECT_FALSE(service->running("events"));
}

TEST_F(StreamServiceTest, ASlowCallbackHoldsNoMoreThanItsWindow) {
  feed_.publish(1, 20'000);
  auto service = connect();
  SubscribeOptions options;
  options.feed = "events";
  options.start = Start::at_first();
  options.max_in_flight = 100;
  std::atomic<std::uint64_t> allowed{1000};
  auto callback = got_.callback();
  ASSERT_TRUE(service
                  ->subscribe(options,
                              [&](const FeedMessage& message) {
                                EXPECT_TRUE(
                                    eventually([&] { return message.position.seq <= allowed; }));
                                return callback(message);
                              })
                  .ok());
  ASSERT_TRUE(got_.holds(1000));
  // The broker counts what it sent: what we took, the one in the callback, and a window at most.
  auto list = feed_.connection().request(
      {.subject = "$JS.API.CONSUMER.LIST.FEED_events", .reply = {}, .headers = {}, .payload = {}},
      5s);
  ASSERT_TRUE(list);
  const std::string text(list->payload());
  const std::size_t at = text.find("\"delivered\":{\"consumer_seq\":");
  ASSERT_NE(at, std::string::npos) << text;
  EXPECT_LE(std::stoull(text.substr(at + 28)), 1000U + 1 + 100);
  allowed = 20'000;
  ASSERT_TRUE(got_.holds(20'000));
  EXPECT_TRUE(got_.is_exactly(1, 20'000));
}

}  // namespace
}  // namespace feedvault
