// The other way to read a feed, without any code of ours: a durable pull consumer on the feed
// stream, with cnats' own JetStream calls, as docs/subscribers.md shows it.

#include <gtest/gtest.h>
#include <nats/nats.h>

#include "tests/support/feed_stream.h"
#include "tests/support/nats_server.h"

namespace feedvault {
namespace {

using testing::FeedStream;
using testing::NatsServer;

class DurableConsumerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    feed_.create();
    feed_.publish(1, 10);
    ASSERT_EQ(natsConnection_ConnectTo(&connection_, server_.url().c_str()), NATS_OK);
    ASSERT_EQ(natsConnection_JetStream(&js_, connection_, nullptr), NATS_OK);
  }
  void TearDown() override {
    natsSubscription_Destroy(subscription_);
    jsCtx_Destroy(js_);
    natsConnection_Destroy(connection_);
  }

  void subscribe(std::int64_t ack_wait_ms, std::int64_t max_ack_pending) {
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = "FEED_events";
    options.Config.AckPolicy = js_AckExplicit;
    options.Config.DeliverPolicy = js_DeliverAll;
    options.Config.AckWait = ack_wait_ms * 1'000'000;
    options.Config.MaxAckPending = max_ack_pending;
    ASSERT_EQ(
        js_PullSubscribe(&subscription_, js_, "feed.events", "billing", nullptr, &options, nullptr),
        NATS_OK)
        << nats_GetLastError(nullptr);
  }

  /// Stream sequences of what a fetch returns; acknowledges them when asked to.
  std::vector<std::uint64_t> fetch(int batch, std::int64_t timeout_ms, bool acknowledge) {
    natsMsgList list{};
    std::vector<std::uint64_t> seqs;
    const natsStatus code =
        natsSubscription_Fetch(&list, subscription_, batch, timeout_ms, nullptr);
    EXPECT_TRUE(code == NATS_OK || code == NATS_TIMEOUT) << natsStatus_GetText(code);
    for (int i = 0; i < list.Count; ++i) {
      jsMsgMetaData* meta = nullptr;
      EXPECT_EQ(natsMsg_GetMetaData(&meta, list.Msgs[i]), NATS_OK);
      seqs.push_back(meta->Sequence.Stream);
      jsMsgMetaData_Destroy(meta);
      if (acknowledge) {
        EXPECT_EQ(natsMsg_AckSync(list.Msgs[i], nullptr, nullptr), NATS_OK);
      }
    }
    natsMsgList_Destroy(&list);
    return seqs;
  }

  NatsServer server_;
  FeedStream feed_{server_.config(), "events"};
  natsConnection* connection_ = nullptr;
  jsCtx* js_ = nullptr;
  natsSubscription* subscription_ = nullptr;
};

using Seqs = std::vector<std::uint64_t>;

TEST_F(DurableConsumerTest, WhatIsAcknowledgedDoesNotComeAgainAndTheRestDoes) {
  subscribe(3000, 100);
  EXPECT_EQ(fetch(3, 5000, true), (Seqs{1, 2, 3}));
  EXPECT_EQ(fetch(2, 5000, false), (Seqs{4, 5}));  // not acknowledged: a crash, say
  EXPECT_EQ(fetch(5, 5000, true), (Seqs{6, 7, 8, 9, 10}));
  Seqs again = fetch(2, 5000, true);  // ack wait has passed for both by then
  if (again.size() == 1) {
    for (const std::uint64_t seq : fetch(1, 5000, true)) {
      again.push_back(seq);
    }
  }
  std::sort(again.begin(), again.end());
  EXPECT_EQ(again, (Seqs{4, 5}));
  EXPECT_EQ(fetch(1, 1000, true), Seqs{});
}

TEST_F(DurableConsumerTest, MaxAckPendingHoldsTheBrokerBack) {
  subscribe(60'000, 2);
  EXPECT_EQ(fetch(2, 5000, false), (Seqs{1, 2}));
  EXPECT_EQ(fetch(2, 300, false), Seqs{});
}

TEST_F(DurableConsumerTest, ItsPositionOutlivesTheClient) {
  subscribe(60'000, 100);
  EXPECT_EQ(fetch(4, 5000, true), (Seqs{1, 2, 3, 4}));
  natsSubscription_Destroy(subscription_);
  subscription_ = nullptr;
  subscribe(60'000, 100);
  EXPECT_EQ(fetch(2, 5000, true), (Seqs{5, 6}));
}

}  // namespace
}  // namespace feedvault
