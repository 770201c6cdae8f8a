// What the monitor measures of a stream with a backlog, beside a pipeline that the test plays.

#include "controller/feed_monitor.h"

#include <gtest/gtest.h>

#include "controller/streams.h"
#include "tests/support/nats_server.h"

namespace feedvault::controller {
namespace {

using namespace std::chrono_literals;

class FeedMonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.nats = server_.config();
    feed_.name = "events";
    feed_.subjects = {"event"};
    feed_.republish = "feed.events";
    connection_ = nats::Connection::open(config_.nats, {}).value();
    jetstream_.emplace(*connection_, 20s);
    ASSERT_TRUE(jetstream_->create_stream(ingest_stream_config(config_, feed_)));
    ASSERT_TRUE(jetstream_->create_stream(feed_stream_config(config_, feed_)));
    metrics_.emplace(registry_, feed_.name);
    publisher_.emplace(Publisher::Options{.feed = feed_},
                       *connection_,
                       *connection_,
                       storage::CatalogueReader::create(config_.mysql),
                       session_,
                       *metrics_);
  }

  void capture() {
    ASSERT_TRUE(
        jetstream_->publish({.subject = "event", .reply = {}, .headers = {}, .payload = "x"}));
  }

  /// How long the stream has had this message.
  double age_seconds(std::uint64_t seq) {
    const auto message = jetstream_->get_message(feed_.ingest_stream(), seq).value();
    return static_cast<double>(Clock::system().unix_ns() - message.time_ns) * 1e-9;
  }

  /// The view of a measurement that began after this message was captured.
  FeedView measured(std::uint64_t captured_seq) {
    FeedView view;
    EXPECT_TRUE(testing::eventually([&] {
      view = health_.view();
      return view.captured_seq == captured_seq;
    }));
    return view;
  }

  testing::NatsServer server_;
  Config config_;
  FeedConfig feed_;
  std::unique_ptr<nats::Connection> connection_;
  std::optional<nats::JetStream> jetstream_;
  Metrics registry_;
  std::optional<FeedMetrics> metrics_;
  Session session_;
  FeedHealth health_{"events"};
  std::optional<Publisher> publisher_;
};

// Once for each message that gets through, as the monitor only guesses when the broker takes longer
// than kApiTimeout to show it the message.
TEST_F(FeedMonitorTest, LagIsTheAgeOfTheOldestMessageThatWaitsThoughOthersGetThrough) {
  capture();
  capture();
  const FeedMonitor monitor(
      config_, feed_, *connection_, *publisher_, session_, health_, *metrics_);
  measured(2);
  bool seen = false;
  for (std::uint64_t done = 1; done <= 10 && !seen; ++done) {
    const double waited = age_seconds(done + 1);
    health_.update([&](FeedView& view) { view.ingest_seq = done; });
    capture();
    seen = measured(done + 2).lag_seconds >= waited;
  }
  EXPECT_TRUE(seen);
  EXPECT_FALSE(session_.failed());
}

TEST_F(FeedMonitorTest, WhatWasPurgedUnreadDoesNotWait) {
  for (int i = 0; i < 3; ++i) {
    capture();
  }
  ASSERT_TRUE(jetstream_->purge_below(feed_.ingest_stream(), 3).ok());
  const FeedMonitor monitor(
      config_, feed_, *connection_, *publisher_, session_, health_, *metrics_);
  measured(3);
  EXPECT_EQ(metrics_->lag_messages.value(), 1);
  ASSERT_TRUE(jetstream_->purge_below(feed_.ingest_stream(), 4).ok());
  EXPECT_TRUE(testing::eventually([&] { return metrics_->lag_messages.value() == 0; }));
}

TEST_F(FeedMonitorTest, ALimitOfTheIngestStreamIsATimeToLoss) {
  nats::StreamConfig limited = ingest_stream_config(config_, feed_);
  limited.max_age_ns = 3'600'000'000'000;
  ASSERT_TRUE(jetstream_->update_stream(limited));
  capture();
  EXPECT_GT(metrics_->time_to_loss.value(), 3600);
  const FeedMonitor monitor(
      config_, feed_, *connection_, *publisher_, session_, health_, *metrics_);
  measured(1);
  EXPECT_LE(metrics_->time_to_loss.value(), 3600);
}

}  // namespace
}  // namespace feedvault::controller
