#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

class PushConsumer : public ConsumerTest {
 protected:
  PushConsumer() {
    consumer_config_.deliver_subject = "deliver.x";
    clients_.subscribed.insert("deliver.x");
  }
  void unsubscribe() {
    clients_.subscribed.erase("deliver.x");
    set().on_interest_changed("deliver.x");
    turn();
  }
  void subscribe() {
    clients_.subscribed.insert("deliver.x");
    set().on_interest_changed("deliver.x");
    turn();
  }
};

TEST_F(PushConsumer, DeliversWhatIsThereAndWhatComes) {
  publish(2);
  start();
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(last_.to, "deliver.x");
  EXPECT_EQ(last_.subject, "ord.2");
  EXPECT_TRUE(info().push_bound);
  publish(1);
  EXPECT_EQ(got(), Words{"m3"});
}

TEST_F(PushConsumer, AnswersNoPulls) {
  start();
  pull(1);
  EXPECT_EQ(got(), Words{"409 Consumer is push based"});
}

TEST_F(PushConsumer, WaitsForSomebodyToListen) {
  clients_.subscribed.erase("deliver.x");
  publish(2);
  start();
  EXPECT_EQ(got(), Words{});
  EXPECT_FALSE(info().push_bound);
  EXPECT_EQ(info().num_pending, 2U);
  subscribe();
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  unsubscribe();
  publish(1);
  EXPECT_EQ(got(), Words{});
  EXPECT_FALSE(info().push_bound);
}

TEST_F(PushConsumer, WaitsForAReceiverThatHasEnoughPending) {
  clients_.congested = {"deliver.x"};
  publish(2);
  start();
  publish(1);
  EXPECT_EQ(got(), Words{});
  EXPECT_EQ(info().num_pending, 3U);
  EXPECT_EQ(info().num_ack_pending, 0U);
  EXPECT_GT(stream_->next_deadline(), clock_.now());  // and does not turn round and round meanwhile
  clients_.congested.clear();
  EXPECT_TRUE(set().awaits_receivers());
  set().on_receivers_ready();
  EXPECT_EQ(got(), (Words{"m1", "m2", "m3"}));
  EXPECT_FALSE(set().awaits_receivers());
}

TEST_F(PushConsumer, DoesNotWaitForAReceiverThatIsGone) {
  clients_.congested = {"deliver.x"};
  publish(2);
  start();
  EXPECT_EQ(got(), Words{});
  unsubscribe();
  clients_.congested.clear();  // whose connection never said that it had caught up
  subscribe();
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
}

TEST_F(PushConsumer, OneThatWaitsForReceiversCanBeDeleted) {
  clients_.congested = {"deliver.x"};
  publish(1);
  start();
  EXPECT_FALSE(set().remove("C").has_value());
  EXPECT_FALSE(set().awaits_receivers());
}

TEST_F(PushConsumer, FindsOutByItselfWhoListens) {
  clients_.subscribed.erase("deliver.x");
  publish(1);
  start();
  clients_.subscribed.insert("deliver.x");
  pass(Ms(250));
  EXPECT_EQ(got(), Words{"m1"});
  clients_.subscribed.erase("deliver.x");
  publish(1);
  EXPECT_FALSE(info().push_bound) << "nobody took it";
  EXPECT_EQ(info().delivered, (SequencePair{1, 1}));
  clients_.subscribed.insert("deliver.x");
  pass(Ms(250));
  EXPECT_EQ(got(), Words{"m2"});
  EXPECT_EQ(deliveries_of("m2"), 1U) << "that was no delivery";
}

TEST_F(PushConsumer, BeatsWhenIdle) {
  consumer_config_.idle_heartbeat_ns = 500'000'000;
  publish(2);
  start();
  got();
  pass(Ms(499));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  ASSERT_EQ(clients_.sent.size(), 1U);
  EXPECT_EQ(clients_.sent[0].to, "deliver.x");
  EXPECT_EQ(clients_.sent[0].headers,
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n");
  got();
  pass(Ms(300));
  publish(1);
  got();
  pass(Ms(499));
  EXPECT_EQ(got(), Words{}) << "it was not idle";
  pass(Ms(1));
  EXPECT_EQ(got(), Words{"100 Idle Heartbeat"});
  unsubscribe();
  pass(Seconds(5));
  EXPECT_EQ(got(), Words{});
}

TEST_F(PushConsumer, FlowControlStopsAndGoesOn) {
  consumer_config_.ack_policy = AckPolicy::kNone;
  consumer_config_.durable_name.clear();
  consumer_config_.name = "C";
  consumer_config_.flow_control = true;
  consumer_config_.idle_heartbeat_ns = 5'000'000'000;
  create();
  const std::string large(100'000, 'x');
  for (int i = 0; i < 100; ++i) {
    store("ord.1", large);
  }
  turn();
  start();
  // Half of 2 MiB, and somebody asks; all of it, and it waits.
  std::size_t messages = 0;
  std::string asked;
  for (const Sent& each : clients_.sent) {
    if (word(each) == "100 FlowControl Request") {
      EXPECT_TRUE(asked.empty());
      EXPECT_EQ(messages, 11U);
      EXPECT_EQ(each.to, "deliver.x");
      asked = each.reply;
    } else {
      ++messages;
    }
  }
  EXPECT_EQ(messages, 21U);
  EXPECT_EQ(asked.rfind("$JS.FC.ORD.C.", 0), 0U);
  clients_.sent.clear();
  pass(Seconds(5));
  ASSERT_EQ(got(), Words{"100 Idle Heartbeat"});
  consumer().on_flow_control("$JS.FC.ORD.C.wrong");
  turn();
  EXPECT_EQ(got(), Words{});
  consumer().on_flow_control(asked);
  turn();
  EXPECT_GT(clients_.sent.size(), 21U) << "the window has doubled";
  EXPECT_LT(info().delivered.stream, 100U);
}

TEST_F(PushConsumer, GoesOnAtOnceAlsoWhenItsStateWasWrittenMeanwhile) {
  const int many = static_cast<int>(Consumer::kTurnMessages) + 100;
  publish(many);
  consumer_config_.ack_policy = AckPolicy::kNone;
  clients_.leaving = [this] { set().flush_before_output(); };
  start();
  clients_.leaving = nullptr;
  EXPECT_EQ(clients_.count, static_cast<std::uint64_t>(many));
}

TEST_F(PushConsumer, AStalledOnesHeartbeatSaysHowToGoOn) {
  consumer_config_.flow_control = true;
  consumer_config_.idle_heartbeat_ns = 5'000'000'000;
  consumer_config_.max_ack_pending = -1;
  create();
  for (int i = 0; i < 30; ++i) {
    store("ord.1", std::string(100'000, 'x'));
  }
  turn();
  start();
  clients_.sent.clear();
  pass(Seconds(5));
  ASSERT_EQ(clients_.sent.size(), 1U);
  const std::string& headers = clients_.sent[0].headers;
  const std::size_t at = headers.find("Nats-Consumer-Stalled: $JS.FC.ORD.C.");
  ASSERT_NE(at, std::string::npos) << headers;
  const std::string reply = headers.substr(at + 23, headers.find("\r\n", at) - at - 23);
  clients_.sent.clear();
  consumer().on_flow_control(reply);
  turn();
  EXPECT_EQ(info().delivered.stream, 30U);
}

TEST_F(PushConsumer, ANewListenerStartsWithAFreeWindow) {
  consumer_config_.flow_control = true;
  consumer_config_.idle_heartbeat_ns = 5'000'000'000;
  consumer_config_.max_ack_pending = -1;
  create();
  for (int i = 0; i < 30; ++i) {
    store("ord.1", std::string(100'000, 'x'));
  }
  turn();
  start();
  EXPECT_LT(info().delivered.stream, 30U);
  unsubscribe();
  subscribe();
  EXPECT_EQ(info().delivered.stream, 30U);
}

TEST_F(PushConsumer, KeepsToItsRate) {
  consumer_config_.rate_limit_bps = 8'000'000;  // a megabyte a second
  config_.max_msg_size = 10'000;
  create();
  for (int i = 0; i < 100; ++i) {
    store("ord.1", std::string(10'000, 'x'));
  }
  turn();
  start();
  EXPECT_LE(clients_.sent.size(), 1U);
  pass(Ms(500));
  EXPECT_NEAR(static_cast<double>(clients_.sent.size()), 50, 2);
  pass(Ms(600));
  EXPECT_EQ(clients_.sent.size(), 100U);
}

TEST_F(PushConsumer, EphemeralsGoAfterTheirListener) {
  consumer_config_.durable_name.clear();
  consumer_config_.name = "C";
  start();
  pass(Seconds(60));
  EXPECT_NE(set().find("C"), nullptr);
  unsubscribe();
  pass(Ms(4900));
  EXPECT_NE(set().find("C"), nullptr);
  subscribe();
  pass(Seconds(60));
  unsubscribe();
  pass(Ms(5100));
  EXPECT_EQ(set().find("C"), nullptr);
}

TEST_F(PushConsumer, WithAnotherSubjectPendingMessagesGoThere) {
  publish(2);
  start();
  got();
  consumer_config_.deliver_subject = "deliver.y";
  auto updated = set().create(consumer_config_, ConsumerSet::CreateAction::kCreateOrUpdate);
  ASSERT_FALSE(updated.has_value());
  EXPECT_EQ(updated.error().err_code, 10013U) << "somebody listens";
  unsubscribe();
  clients_.subscribed.insert("deliver.y");
  updated = set().create(consumer_config_, ConsumerSet::CreateAction::kCreateOrUpdate);
  ASSERT_TRUE(updated.has_value());
  turn();
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(last_.to, "deliver.y");
  EXPECT_EQ(deliveries_of("m2"), 2U);
}

TEST_F(PushConsumer, OrderedConsumersGetGaplessNumbers) {
  consumer_config_ = {};
  consumer_config_.deliver_subject = "deliver.x";
  consumer_config_.ack_policy = AckPolicy::kNone;
  consumer_config_.max_deliver = 1;
  consumer_config_.flow_control = true;
  consumer_config_.idle_heartbeat_ns = 5'000'000'000;
  consumer_config_.mem_storage = true;
  consumer_config_.num_replicas = 1;
  consumer_config_.ack_wait_ns = 79'200'000'000'000;
  consumer_config_.deliver_policy = DeliverPolicy::kByStartSequence;
  consumer_config_.opt_start_seq = 3;
  publish(5);
  Consumer& made = start();
  EXPECT_EQ(got(), (Words{"m3", "m4", "m5"}));
  EXPECT_EQ(delivery_of("m5").consumer_seq, 3U);
  EXPECT_EQ(delivery_of("m5").pending, 0U);
  EXPECT_EQ(made.info().ack_floor, (SequencePair{3, 5}));
  EXPECT_TRUE(made.config().durable_name.empty());
  EXPECT_EQ(disk_.files().size(), [&] {
    kill();
    return disk_.files().size();
  }()) << "nothing of it is on disk";
  EXPECT_EQ(set().count(), 0U);
}

}  // namespace
}  // namespace feedvault::broker::streams
