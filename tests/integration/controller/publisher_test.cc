// The publisher's two lanes against a real broker. The rows never come out of a database: each
// publisher starts where stream and table agree.

#include "controller/publisher.h"

#include <gtest/gtest.h>

#include "client/nats/jetstream.h"
#include "controller/limits.h"
#include "controller/streams.h"
#include "tests/support/nats_server.h"
#include "tests/support/process.h"
#include "tests/support/tcp_gate.h"

namespace feedvault::controller {
namespace {

using namespace std::chrono_literals;

class PublisherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    feed_.name = "events";
    feed_.subjects = {"event"};
    feed_.republish = "feed.events";
    bulk_ = nats::Connection::open(server_.config(), {}).value();
    NatsConfig through_gate = server_.config();
    through_gate.port = gate_.port();
    nats::ConnectionOptions prompt;
    prompt.send_asap = true;
    prompt_ = nats::Connection::open(through_gate, prompt).value();
    jetstream_.emplace(*bulk_, 20s);
    ASSERT_TRUE(jetstream_->create_stream(feed_stream_config(config_, feed_)));
    start(0);
  }

  void start(std::uint64_t tail) {
    publisher_.emplace(
        Publisher::Options{
            .feed = feed_, .stream_tail = tail, .committed_tail = tail, .window = 256},
        *bulk_,
        *prompt_,
        storage::CatalogueReader::create(config_.mysql),
        session_,
        metrics_);
    ASSERT_TRUE(publisher_->start().ok());
  }

  /// Offers the next `count` rows, as the committer would.
  void offer(std::size_t count) {
    std::vector<CommittedRow> rows(count);
    for (CommittedRow& row : rows) {
      row.seq = ++last_seq_;
      row.id = "id-" + std::to_string(row.seq);
      row.data = "payload of " + row.id;
    }
    publisher_->offer(std::move(rows));
  }

  bool drained() { return publisher_->drain(std::chrono::steady_clock::now() + 20s).ok(); }

  std::string stored(std::uint64_t seq) {
    const auto message = jetstream_->get_message(feed_.feed_stream(), seq);
    return message.has_value() ? message->payload : "";
  }

  testing::NatsServer server_;
  testing::TcpGate gate_{server_.port()};
  Config config_;
  FeedConfig feed_;
  std::unique_ptr<nats::Connection> bulk_;
  std::unique_ptr<nats::Connection> prompt_;
  std::optional<nats::JetStream> jetstream_;
  Metrics registry_;
  FeedMetrics metrics_{registry_, "events"};
  Session session_;
  std::optional<Publisher> publisher_;
  std::uint64_t last_seq_ = 0;
};

// Every row names its predecessor: one that overtook another would be refused and end the session.
TEST_F(PublisherTest, RowsKeepTheirOrderWhicheverLaneTheyTake) {
  for (int round = 0; round < 20; ++round) {
    for (const std::size_t count : {1U, 1U, 3U, 16U, 17U, 1U, 65U, 2U, 700U, 1U, 1U}) {
      offer(count);
    }
    if (round % 4 == 3) {
      ASSERT_TRUE(drained()) << session_.failure().to_string();
    }
  }
  ASSERT_TRUE(drained()) << session_.failure().to_string();
  EXPECT_FALSE(session_.failed()) << session_.failure().to_string();
  EXPECT_EQ(publisher_->published(), last_seq_);
  for (const std::uint64_t seq : {std::uint64_t{1}, last_seq_ / 2, last_seq_}) {
    EXPECT_EQ(stored(seq), "payload of id-" + std::to_string(seq));
  }
}

// A broker whose max_payload was lowered: said once, with the remedy, instead of tried for ever.
TEST_F(PublisherTest, ARowThatTheBrokerCannotTakeStopsTheFeed) {
  std::vector<CommittedRow> rows(1);
  rows[0].seq = 1;
  rows[0].id = "id-1";
  rows[0].data = std::string(static_cast<std::size_t>(bulk_->max_payload()), 'x');
  publisher_->offer(std::move(rows));
  ASSERT_TRUE(testing::eventually([&] { return session_.failed(); }));
  EXPECT_EQ(session_.failure().code(), StatusCode::kCorruption);
  EXPECT_NE(session_.failure().message().find("over the broker's max_payload"), std::string::npos);
  EXPECT_NE(session_.failure().message().find("restart the controller"), std::string::npos);
}

TEST_F(PublisherTest, AFewRowsGoByTheCommittersThread) {
  offer(1);
  ASSERT_TRUE(drained());
  gate_.drop();  // only what goes the prompt lane is held up
  offer(kPromptRows + 1);
  EXPECT_TRUE(testing::eventually([&] { return publisher_->published() == last_seq_; }))
      << session_.failure().to_string();
  // While the publisher's thread has not yet done with the many, one more goes behind them.
  EXPECT_TRUE(testing::eventually([&] {
    offer(1);
    return !publisher_->drain(std::chrono::steady_clock::now() + 50ms).ok() &&
           stored(last_seq_).empty();
  }));
}

TEST_F(PublisherTest, ALostLaneEndsTheSession) {
  offer(5);
  ASSERT_TRUE(drained());
  gate_.close_all();
  ASSERT_TRUE(testing::eventually([&] { return session_.failed(); }));
  EXPECT_NE(session_.failure().message().find("lost"), std::string::npos)
      << session_.failure().to_string();
  EXPECT_EQ(publisher_->published(), last_seq_);
}

// Nobody calls the publisher while a quiet feed has nothing to say: its own thread looks.
TEST_F(PublisherTest, APublishThatIsNeverAcknowledgedEndsTheSession) {
  gate_.drop();
  offer(1);
  ASSERT_TRUE(testing::eventually([&] { return session_.failed(); }, 60s));
  EXPECT_NE(session_.failure().message().find("no PubAck"), std::string::npos)
      << session_.failure().to_string();
}

}  // namespace
}  // namespace feedvault::controller
