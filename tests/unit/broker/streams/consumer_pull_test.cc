#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

class PullConsumer : public ConsumerTest {};

TEST_F(PullConsumer, DeliversABatchWithItsMetadata) {
  publish(5);
  start();
  EXPECT_EQ(info().num_pending, 5U);
  pull(2);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(last_.to, "inbox.1");
  EXPECT_EQ(last_.subject, "ord.2");
  const auto ack = parse_ack_subject(last_.reply);
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->stream, "ORD");
  EXPECT_EQ(ack->consumer, "C");
  EXPECT_EQ(ack->deliveries, 1U);
  EXPECT_EQ(ack->stream_seq, 2U);
  EXPECT_EQ(ack->consumer_seq, 2U);
  EXPECT_EQ(ack->time_ns, clock_.unix_ns());
  EXPECT_EQ(ack->pending, 3U);
  EXPECT_EQ(info().num_pending, 3U);
  EXPECT_EQ(info().num_ack_pending, 2U);
}

TEST_F(PullConsumer, WaitsForMessagesToCome) {
  start();
  pull(3);
  EXPECT_EQ(info().num_waiting, 1U);
  publish(2);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(delivery_of("m2").pending, 0U);
  publish(2);
  EXPECT_EQ(got(), (Words{"m3"}));
  EXPECT_EQ(info().num_waiting, 0U);
  EXPECT_EQ(info().num_pending, 1U);
}

TEST_F(PullConsumer, ShowsNothingThatIsNotDurable) {
  start();
  pull(1);
  store("ord.1", "early");
  stream_->on_timer();
  EXPECT_EQ(got(), Words{});
  turn();
  EXPECT_EQ(got(), Words{"early"});
}

TEST_F(PullConsumer, SaysAtOnceThatThereIsNothing) {
  start();
  PullRequest request;
  request.no_wait = true;
  pull(request);
  EXPECT_EQ(got(), Words{"404 No Messages"});
  publish(1);
  request.batch = 5;
  pull(request);
  EXPECT_EQ(got(), (Words{"m1", "408 Request Timeout"}));
  EXPECT_EQ(info().num_waiting, 0U);
}

TEST_F(PullConsumer, ANoWaitRequestWithATimeWaitsForTheFirst) {
  start();
  PullRequest request;
  request.no_wait = true;
  request.batch = 5;
  request.expires_ns = 1'000'000'000;
  pull(request);
  EXPECT_EQ(got(), Words{});
  publish(2);
  EXPECT_EQ(got(), (Words{"m1", "m2", "408 Request Timeout"}));
}

TEST_F(PullConsumer, WhoHasEnoughPendingMakesNobodyElseWait) {
  start();
  clients_.congested = {"inbox.1"};
  pull(3);
  PullRequest two;
  two.batch = 2;
  pull(two, "inbox.2");
  publish(4);
  EXPECT_EQ(clients_.count, 2U);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(last_.to, "inbox.2");
  EXPECT_GT(stream_->next_deadline(), clock_.now());
  pull(two, "inbox.3");  // is asked although the one before it waits
  EXPECT_EQ(got(), (Words{"m3", "m4"}));
  EXPECT_EQ(last_.to, "inbox.3");
  publish(3);
  EXPECT_EQ(got(), Words{});
  clients_.congested.clear();
  set().on_receivers_ready();
  EXPECT_EQ(got(), (Words{"m5", "m6", "m7"}));
  EXPECT_EQ(last_.to, "inbox.1");
  EXPECT_EQ(info().num_waiting, 0U);
}

TEST_F(PullConsumer, ARequestOfACongestedReceiverStillExpires) {
  start();
  clients_.congested = {"inbox.1"};
  PullRequest request;
  request.expires_ns = 1'000'000'000;
  pull(request);
  publish(1);
  pass(Seconds(2));
  EXPECT_EQ(got(), Words{"408 Request Timeout"});
}

TEST_F(PullConsumer, RefusesNoWaitWhenOthersWaitForWhatIsThere) {
  consumer_config_.max_ack_pending = 1;
  publish(3);
  start();
  pull(10);
  EXPECT_EQ(got(), Words{"m1"});
  PullRequest request;
  request.no_wait = true;
  pull(request, "inbox.2");
  EXPECT_EQ(got(), Words{"408 Requests Pending"});
}

TEST_F(PullConsumer, RequestsExpireExactlyOnTime) {
  start();
  PullRequest request;
  request.batch = 3;
  request.expires_ns = 300'000'000;
  publish(1);
  pull(request);
  EXPECT_EQ(got(), Words{"m1"});
  pass(Ms(299));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  ASSERT_EQ(clients_.sent.size(), 1U);
  EXPECT_EQ(clients_.sent[0].headers,
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 2\r\n"
            "Nats-Pending-Bytes: 0\r\n\r\n");
  EXPECT_EQ(clients_.sent[0].to, "inbox.1");
  got();
  publish(1);
  EXPECT_EQ(got(), Words{});
}

TEST_F(PullConsumer, BeatsWhileARequestWaits) {
  start();
  PullRequest request;
  request.expires_ns = 700'000'000;
  request.idle_heartbeat_ns = 200'000'000;
  pull(request);
  pass(Ms(700));
  EXPECT_EQ(got(),
            (Words{"100 Idle Heartbeat",
                   "100 Idle Heartbeat",
                   "100 Idle Heartbeat",
                   "408 Request Timeout"}));
  request.batch = 2;
  pull(request);
  pass(Ms(150));
  publish(1);
  got();
  pass(Ms(199));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  EXPECT_EQ(got(), Words{"100 Idle Heartbeat"});
}

TEST_F(PullConsumer, RefusesWhatIsNotAllowed) {
  consumer_config_.max_batch = 10;
  consumer_config_.max_expires_ns = 50'000'000;
  consumer_config_.max_bytes = 1000;
  start();
  PullRequest request;
  request.expires_ns = 300;
  request.idle_heartbeat_ns = 200;
  pull(request);
  EXPECT_EQ(got(), Words{"400 Bad Request - heartbeat value too large"});
  request = {};
  request.batch = 11;
  pull(request);
  EXPECT_EQ(got(), Words{"409 Exceeded MaxRequestBatch of 10"});
  request = {};
  request.expires_ns = 50'000'001;
  pull(request);
  EXPECT_EQ(got(), Words{"409 Exceeded MaxRequestExpires of 50ms"});
  request = {};
  request.max_bytes = 1001;
  pull(request);
  EXPECT_EQ(got(), Words{"409 Exceeded MaxRequestMaxBytes of 1000"});
  EXPECT_EQ(info().num_waiting, 0U);
}

TEST_F(PullConsumer, EndsARequestWhoseBytesDoNotSuffice) {
  publish(2);
  start();
  PullRequest request;
  request.batch = 5;
  request.max_bytes = 10;
  pull(request);
  ASSERT_EQ(clients_.sent.size(), 1U);
  EXPECT_EQ(clients_.sent[0].headers,
            "NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 5\r\n"
            "Nats-Pending-Bytes: 10\r\n\r\n");
  got();
  EXPECT_EQ(info().num_pending, 2U);
  pull(5);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
}

TEST_F(PullConsumer, CountsSubjectReplyHeadersAndPayloadAgainstTheBytes) {
  publish(2);
  start();
  pull(1);
  got();
  const auto one =
      static_cast<std::int64_t>(last_.subject.size() + last_.reply.size() + last_.payload.size());
  PullRequest request;
  request.batch = 5;
  request.max_bytes = one;
  pull(request);
  EXPECT_EQ(got(), Words{"m2"});
  EXPECT_EQ(info().num_waiting, 0U) << "exactly used up";
}

TEST_F(PullConsumer, RequestsTakeTurns) {
  start();
  PullRequest request;
  request.batch = 2;
  pull(request, "inbox.a");
  pull(request, "inbox.b");
  publish(4);
  std::string order;
  for (const Sent& each : clients_.sent) {
    order += each.to.back();
  }
  EXPECT_EQ(order, "abab");
}

TEST_F(PullConsumer, SkipsRequestersThatAreGone) {
  start();
  pull({}, "gone.1");
  PullRequest two;
  two.batch = 2;
  pull(two, "inbox.1");
  publish(2);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(info().num_ack_pending, 2U);
  EXPECT_EQ(info().delivered, (SequencePair{2, 2}));
}

TEST_F(PullConsumer, KeepsTheMessageWhenNobodyIsLeft) {
  start();
  pull({}, "gone.1");
  publish(1);
  EXPECT_EQ(info().num_pending, 1U);
  EXPECT_EQ(info().num_ack_pending, 0U);
  EXPECT_EQ(info().delivered, (SequencePair{0, 0}));
  pull(1);
  EXPECT_EQ(got(), Words{"m1"});
}

TEST_F(PullConsumer, BoundsWhoWaits) {
  consumer_config_.max_waiting = 2;
  start();
  pull({}, "gone.1");
  pull({}, "inbox.1");
  pass(Seconds(2));
  pull({}, "inbox.2");
  EXPECT_EQ(got(), Words{}) << "the one that is gone makes room";
  pull({}, "inbox.3");
  EXPECT_EQ(got(), Words{"409 Exceeded MaxWaiting"});
  EXPECT_EQ(info().num_waiting, 2U);
}

TEST_F(PullConsumer, TellsWaitingRequestsWhenItGoes) {
  start();
  pull(1);
  EXPECT_FALSE(set().remove("C").has_value());
  EXPECT_EQ(got(), Words{"409 Consumer Deleted"});
  EXPECT_EQ(set().find("C"), nullptr);
}

TEST_F(PullConsumer, TellsWaitingRequestsWhenTheBrokerStops) {
  start();
  PullRequest request;
  request.batch = 3;
  pull(request);
  ASSERT_TRUE(stream_->close().ok());
  ASSERT_EQ(clients_.sent.size(), 1U);
  EXPECT_EQ(clients_.sent[0].headers,
            "NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 3\r\n"
            "Nats-Pending-Bytes: 0\r\n\r\n");
}

TEST_F(PullConsumer, StopsAtMaxAckPending) {
  consumer_config_.max_ack_pending = 2;
  publish(4);
  start();
  pull(10);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  answer("m1");
  EXPECT_EQ(got(), Words{"m3"});
  answer("m2", "+TERM");
  EXPECT_EQ(got(), Words{"m4"});
}

TEST_F(PullConsumer, AnAckCanAskForMore) {
  publish(5);
  start();
  pull(1);
  EXPECT_EQ(got(), Words{"m1"});
  answer("m1", "+NXT", "inbox.2");
  EXPECT_EQ(got(), Words{"m2"});
  EXPECT_EQ(last_.to, "inbox.2");
  answer("m2", "+NXT 2", "inbox.2");
  EXPECT_EQ(got(), (Words{"m3", "m4"}));
  EXPECT_EQ(info().ack_floor, (SequencePair{2, 2}));
}

TEST_F(PullConsumer, PauseHoldsMessagesBack) {
  publish(1);
  start();
  ASSERT_TRUE(set().pause("C", clock_.unix_ns() + 1'000'000'000).has_value());
  PullRequest request;
  request.expires_ns = 5'000'000'000;
  pull(request);
  EXPECT_TRUE(info().paused);
  EXPECT_EQ(info().pause_remaining_ns, 1'000'000'000);
  pass(Ms(999));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  EXPECT_EQ(got(), Words{"m1"});
  EXPECT_FALSE(info().paused);
  const auto events = clients_.advisories_of<ConsumerPaused>();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_TRUE(events[0].paused);
}

TEST_F(PullConsumer, ATurnEndsAndGoesOn) {
  const int many = static_cast<int>(Consumer::kTurnMessages) + 100;
  consumer_config_.ack_policy = AckPolicy::kNone;
  publish(many);
  start();
  clients_.keep = false;
  clients_.count = 0;
  PullRequest request;
  request.batch = many;
  consumer().on_pull("inbox.1", request);
  EXPECT_EQ(clients_.count, Consumer::kTurnMessages);
  EXPECT_LE(stream_->next_deadline(), clock_.now());
  turn();
  EXPECT_EQ(clients_.count, static_cast<std::uint64_t>(many));
}

TEST_F(PullConsumer, EphemeralsGoWhenNobodyUsesThem) {
  consumer_config_.durable_name.clear();
  consumer_config_.name = "C";
  consumer_config_.inactive_threshold_ns = 1'000'000'000;
  start();
  pass(Ms(900));
  PullRequest request;
  request.expires_ns = 3'000'000'000;
  pull(request);
  pass(Ms(3100));
  EXPECT_NE(set().find("C"), nullptr) << "a request waited";
  pass(Ms(2000));
  EXPECT_EQ(set().find("C"), nullptr);
  EXPECT_EQ(clients_.advisories_of<ConsumerAction>().back().action, Action::kDelete);
}

TEST_F(PullConsumer, EphemeralsStayWhileSomebodyWorks) {
  consumer_config_.durable_name.clear();
  consumer_config_.name = "C";
  consumer_config_.inactive_threshold_ns = 1'000'000'000;
  consumer_config_.ack_wait_ns = 10'000'000'000;
  publish(1);
  start();
  pull(1);
  pass(Ms(10'900));
  EXPECT_NE(set().find("C"), nullptr);
  pass(Ms(1'200));
  EXPECT_EQ(set().find("C"), nullptr);
}

TEST_F(PullConsumer, DurablesStayForever) {
  start();
  pass(std::chrono::hours(48));
  EXPECT_NE(set().find("C"), nullptr);
}

TEST_F(PullConsumer, WaitingCostsNoTimers) {
  start();
  EXPECT_EQ(stream_->next_deadline(), SteadyTime::max());
  publish(3);
  pull(10);
  pass(Seconds(3));
  for (const char* const each : {"m1", "m2", "m3"}) {
    answer(each);
  }
  pass(Seconds(3));
  EXPECT_EQ(stream_->next_deadline(), SteadyTime::max());
}

}  // namespace
}  // namespace feedvault::broker::streams
