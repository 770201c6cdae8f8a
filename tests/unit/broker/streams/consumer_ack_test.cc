#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

class Acks : public ConsumerTest {};

TEST_F(Acks, ExplicitOnesCountOneByOne) {
  publish(4);
  start();
  pull(4);
  answer("m2");
  EXPECT_EQ(info().ack_floor, (SequencePair{0, 0}));
  EXPECT_EQ(info().num_ack_pending, 3U);
  answer("m1");
  EXPECT_EQ(info().ack_floor, (SequencePair{2, 2}));
  answer("m4");
  answer("m3");
  EXPECT_EQ(info().ack_floor, (SequencePair{4, 4}));
  EXPECT_EQ(info().num_ack_pending, 0U);
  EXPECT_EQ(info().last_ack_ns, clock_.unix_ns());
}

TEST_F(Acks, AllCoversEverythingBefore) {
  consumer_config_.ack_policy = AckPolicy::kAll;
  publish(5);
  start();
  pull(5);
  answer("m3");
  EXPECT_EQ(info().ack_floor, (SequencePair{3, 3}));
  EXPECT_EQ(info().num_ack_pending, 2U);
  answer("m2");
  EXPECT_EQ(info().ack_floor, (SequencePair{3, 3}));
  pass(Seconds(31));
  pull(5);
  EXPECT_EQ(deliveries_of("m3"), 1U);
  EXPECT_EQ(deliveries_of("m4"), 2U);
}

TEST_F(Acks, NoneNeedsNone) {
  consumer_config_.ack_policy = AckPolicy::kNone;
  publish(3);
  start();
  pull(2);
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(info().ack_floor, (SequencePair{2, 2}));
  EXPECT_EQ(info().num_ack_pending, 0U);
  pass(Seconds(60));
  pull(5);
  EXPECT_EQ(got(), Words{"m3"});
}

TEST_F(Acks, UnacknowledgedMessagesComeAgainExactlyOnTime) {
  consumer_config_.ack_wait_ns = 2'000'000'000;
  publish(2);
  start();
  pull(2);
  got();
  pull(5);
  pass(Ms(1999));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  EXPECT_EQ(got(), (Words{"m1", "m2"}));
  EXPECT_EQ(deliveries_of("m2"), 2U);
  EXPECT_EQ(delivery_of("m2").consumer_seq, 4U);
  EXPECT_EQ(info().num_redelivered, 2U);
  EXPECT_EQ(info().delivered, (SequencePair{4, 2}));
  answer("m1");
  answer("m2");
  EXPECT_EQ(info().num_redelivered, 0U);
  EXPECT_EQ(info().ack_floor, (SequencePair{4, 2}));
}

TEST_F(Acks, BackoffSaysWhen) {
  consumer_config_.backoff_ns = {1'000'000'000, 3'000'000'000, 5'000'000'000};
  consumer_config_.max_deliver = 5;
  publish(1);
  start();
  pull(10);
  EXPECT_EQ(got(), Words{"m1"});
  for (const int wait : {1000, 3000, 5000, 5000}) {
    pass(Ms(wait - 1));
    EXPECT_EQ(got(), Words{}) << wait;
    pass(Ms(1));
    EXPECT_EQ(got(), Words{"m1"}) << wait;
  }
  EXPECT_EQ(deliveries_of("m1"), 5U);
  EXPECT_EQ(clients_.advisories_of<MaxDeliveries>().size(), 0U);
  pass(Seconds(60));
  EXPECT_EQ(got(), Words{});
  const auto events = clients_.advisories_of<MaxDeliveries>();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].stream_seq, 1U);
  EXPECT_EQ(events[0].deliveries, 5U);
  EXPECT_EQ(info().num_ack_pending, 0U);
  EXPECT_EQ(info().num_redelivered, 1U);
  answer("m1");
  EXPECT_EQ(info().num_redelivered, 0U) << "a late acknowledgement counts";
}

TEST_F(Acks, NakBringsItBackAtOnce) {
  publish(2);
  start();
  pull(1);
  pull(5);
  got();
  answer("m1", "-NAK");
  EXPECT_EQ(got(), Words{"m1"});
  EXPECT_EQ(deliveries_of("m1"), 2U);
  const auto events = clients_.advisories_of<MessageNaked>();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].deliveries, 1U);
  EXPECT_EQ(events[0].stream_seq, 1U);
  EXPECT_EQ(events[0].consumer_seq, 1U);
}

TEST_F(Acks, NakWithADelayBringsItBackThen) {
  publish(1);
  start();
  pull(5);
  got();
  answer("m1", "-NAK 100ms");
  pass(Ms(99));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  EXPECT_EQ(got(), Words{"m1"});
  answer("m1", "-NAK 60s");
  pass(Seconds(59));
  EXPECT_EQ(got(), Words{}) << "longer than the ack wait";
  pass(Seconds(1));
  EXPECT_EQ(got(), Words{"m1"});
}

TEST_F(Acks, NakAtTheLimitEndsIt) {
  consumer_config_.max_deliver = 2;
  publish(1);
  start();
  pull(5);
  answer("m1", "-NAK");
  answer("m1", "-NAK");
  EXPECT_EQ(got(), (Words{"m1", "m1"}));
  EXPECT_EQ(clients_.advisories_of<MaxDeliveries>().size(), 1U);
  EXPECT_EQ(info().num_ack_pending, 0U);
}

TEST_F(Acks, ProgressStartsTheWaitAnew) {
  consumer_config_.ack_wait_ns = 1'000'000'000;
  publish(1);
  start();
  pull(5);
  got();
  for (int i = 0; i < 5; ++i) {
    pass(Ms(900));
    answer("m1", "+WPI");
  }
  EXPECT_EQ(got(), Words{});
  pass(Ms(1000));
  EXPECT_EQ(got(), Words{"m1"});
}

TEST_F(Acks, TermEndsIt) {
  publish(1);
  start();
  pull(5);
  got();
  answer("m1", "+TERM bad order");
  pass(Seconds(60));
  EXPECT_EQ(got(), Words{});
  const auto events = clients_.advisories_of<MessageTerminated>();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reason, "bad order");
  EXPECT_EQ(info().ack_floor, (SequencePair{1, 1}));
}

TEST_F(Acks, AreAnsweredWhenSomebodyWaits) {
  publish(3);
  start();
  pull(3);
  got();
  for (const char* const payload : {"+ACK", "", "-NAK 1h", "+WPI", "rubbish", "+TERM"}) {
    answer("m1", payload, "inbox.ack");
    ASSERT_EQ(clients_.sent.size(), 1U) << payload;
    EXPECT_EQ(clients_.sent[0].to, "inbox.ack");
    EXPECT_EQ(clients_.sent[0].payload + clients_.sent[0].headers + clients_.sent[0].reply, "");
    got();
  }
}

TEST_F(Acks, TheAnswerComesWhenTheAcknowledgementIsDurable) {
  publish(1);
  start();
  pull(1);
  got();
  Ack ack;
  const std::string subject = last_.reply;
  ack.subject = *parse_ack_subject(subject);
  ack.kind = AckKind::kAck;
  ack.reply = "inbox.ack";
  consumer().on_ack(ack);
  EXPECT_EQ(clients_.sent.size(), 0U);
  set().flush();
  EXPECT_EQ(clients_.sent.size(), 0U);
  ASSERT_TRUE(set().wants_sync());
  ConsumerSet::Sync sync = set().begin_sync();
  EXPECT_FALSE(set().wants_sync()) << "it is on its way";
  sync.run();
  EXPECT_EQ(clients_.sent.size(), 0U);
  set().end_sync(sync);
  EXPECT_EQ(clients_.sent.size(), 1U);
  cut_power();
  EXPECT_EQ(info().num_ack_pending, 0U);
  EXPECT_EQ(info().ack_floor.stream, 1U);
}

TEST_F(Acks, WithSyncEveryIntervalTheAnswerComesOnceItIsWritten) {
  options_.sync = SyncPolicy::kInterval;
  publish(1);
  start();
  pull(1);
  got();
  Ack ack;
  const std::string subject = last_.reply;
  ack.subject = *parse_ack_subject(subject);
  ack.kind = AckKind::kAck;
  ack.reply = "inbox.ack";
  consumer().on_ack(ack);
  EXPECT_EQ(clients_.sent.size(), 0U);
  set().flush();
  EXPECT_EQ(clients_.sent.size(), 1U);
  EXPECT_FALSE(set().wants_sync());
  clock_.advance(options_.sync_interval);
  EXPECT_TRUE(set().wants_sync());
  kill();
  EXPECT_EQ(info().ack_floor.stream, 1U);
}

TEST_F(Acks, AreNotAnsweredWhenTheDiskFails) {
  publish(1);
  start();
  pull(1);
  got();
  disk_.set_fault([](testing::PowerLossFileSystem::Op op, const std::string& path) {
    return op == testing::PowerLossFileSystem::Op::kSync && path.find("consumers") != path.npos
               ? io_error("gone")
               : Status();
  });
  answer("m1", "+ACK", "inbox.ack");
  EXPECT_EQ(clients_.sent.size(), 0U);
  EXPECT_EQ(consumer().failure().code(), StatusCode::kIo);
  publish(1);
  pull(1);
  EXPECT_EQ(got(), Words{}) << "it stops";
}

TEST_F(Acks, AreKeptInMemoryWhileTheDiskIsFull) {
  publish(3);
  start();
  pull(3);
  got();
  disk_.set_fault([](testing::PowerLossFileSystem::Op op, const std::string& path) {
    return op == testing::PowerLossFileSystem::Op::kWrite && path.find("consumers") != path.npos
               ? Status(StatusCode::kExhausted, "full")
               : Status();
  });
  answer("m1", "+ACK", "inbox.ack");
  answer("m2");
  EXPECT_EQ(clients_.sent.size(), 0U);
  EXPECT_TRUE(consumer().failure().ok());
  disk_.set_fault(nullptr);
  turn();
  ASSERT_EQ(clients_.sent.size(), 1U);
  kill();
  EXPECT_EQ(info().ack_floor, (SequencePair{2, 2}));
}

TEST_F(Acks, OfUnknownMessagesChangeNothing) {
  publish(2);
  start();
  pull(1);
  ack("$JS.ACK.ORD.C.1.2.2.1.0", "+ACK", "inbox.ack");
  ack("$JS.ACK.ORD.C.1.99.99.1.0", "-NAK");
  EXPECT_EQ(got(), (Words{"m1", ""}));
  pull(1);
  EXPECT_EQ(got(), Words{"m2"});
}

TEST_F(Acks, RedeliveriesComeBeforeNewMessagesInOrder) {
  consumer_config_.ack_wait_ns = 1'000'000'000;
  publish(6);
  start();
  pull(3);
  got();
  pass(Ms(1000));
  pull(5);
  EXPECT_EQ(got(), (Words{"m1", "m2", "m3", "m4", "m5"}));
}

TEST_F(Acks, AreSampled) {
  consumer_config_.sample_freq = "100%";
  publish(2);
  start();
  pull(2);
  pass(Ms(250));
  answer("m2");
  const auto events = clients_.advisories_of<AckMetric>();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].stream_seq, 2U);
  EXPECT_EQ(events[0].delay_ns, 250'000'000);
  EXPECT_EQ(events[0].deliveries, 1U);
}

TEST_F(Acks, AMessageThatIsRemovedIsNotWaitedFor) {
  publish(3);
  start();
  pull(3);
  got();
  EXPECT_FALSE(stream_->delete_message(2, false).has_value());
  EXPECT_EQ(info().num_ack_pending, 2U);
  pass(Seconds(31));
  pull(5);
  EXPECT_EQ(got(), (Words{"m1", "m3"}));
}

TEST_F(Acks, APurgeEndsAllWaiting) {
  publish(5);
  start();
  pull(3);
  got();
  ASSERT_TRUE(stream_->purge({}).has_value());
  EXPECT_EQ(info().num_ack_pending, 0U);
  EXPECT_EQ(info().num_pending, 0U);
  publish(1);
  pull(5);
  EXPECT_EQ(got(), Words{"m6"});
}

TEST_F(Acks, WorkQueuesLoseWhatIsDone) {
  config_.retention = Retention::kWorkQueue;
  publish(4);
  start();
  pull(3);
  answer("m2");
  EXPECT_EQ(stream_->state().messages, 3U);
  answer("m1", "+TERM");
  EXPECT_EQ(stream_->state().messages, 2U);
  answer("m3", "-NAK 1s");
  EXPECT_EQ(stream_->state().messages, 2U);
  EXPECT_EQ(stream_->state().first_seq, 3U);
}

TEST_F(Acks, InterestStreamsLoseWhatEverybodyHasDone) {
  config_.retention = Retention::kInterest;
  create();
  start();
  consumer_config_.durable_name = "D";
  consumer_config_.ack_policy = AckPolicy::kAll;
  start();
  publish(3);
  EXPECT_EQ(stream_->state().messages, 3U);
  PullRequest three;
  three.batch = 3;
  consumer("C").on_pull("inbox.c", three);
  answer("m1");
  answer("m3");
  EXPECT_EQ(stream_->state().messages, 3U);
  consumer("D").on_pull("inbox.d", three);
  answer("m2");
  EXPECT_EQ(stream_->state().messages, 2U) << "m1 is done by both";
  EXPECT_FALSE(set().remove("C").has_value());
  EXPECT_EQ(stream_->state().messages, 1U) << "nobody else needs m2";
  EXPECT_FALSE(set().remove("D").has_value());
  EXPECT_EQ(stream_->state().messages, 0U);
}

TEST_F(Acks, AnExhaustedMessageStaysOnAWorkQueue) {
  config_.retention = Retention::kWorkQueue;
  consumer_config_.max_deliver = 1;
  publish(1);
  start();
  pull(5);
  pass(Seconds(31));
  EXPECT_EQ(stream_->state().messages, 1U);
  EXPECT_EQ(info().num_redelivered, 0U);
  kill();
  EXPECT_EQ(stream_->state().messages, 1U);
  pull(5);
  EXPECT_EQ(got(), Words{"m1"}) << "delivered once, before the kill";
  answer("m1");
  EXPECT_EQ(stream_->state().messages, 0U) << "late, and still an acknowledgement";
}

}  // namespace
}  // namespace feedvault::broker::streams
