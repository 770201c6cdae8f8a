#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

class Starts : public ConsumerTest {
 protected:
  /// What a new consumer of this configuration gets.
  Words all() {
    start();
    pull(100);
    return got();
  }
};

TEST_F(Starts, AtTheBeginning) {
  publish(3);
  EXPECT_EQ(all(), (Words{"m1", "m2", "m3"}));
}

TEST_F(Starts, AtTheFirstThatIsLeft) {
  publish(3);
  ASSERT_TRUE(stream_->purge({{}, 3, 0}).has_value());
  EXPECT_EQ(all(), (Words{"m3"}));
}

TEST_F(Starts, AtTheLast) {
  consumer_config_.deliver_policy = DeliverPolicy::kLast;
  publish(3);
  EXPECT_EQ(all(), Words{"m3"});
}

TEST_F(Starts, AtTheLastThatMatches) {
  consumer_config_.deliver_policy = DeliverPolicy::kLast;
  consumer_config_.filter_subject = "ord.1";
  publish(6);
  EXPECT_EQ(all(), Words{"m4"});
}

TEST_F(Starts, WithNewOnes) {
  consumer_config_.deliver_policy = DeliverPolicy::kNew;
  publish(3);
  EXPECT_EQ(all(), Words{});
  EXPECT_EQ(info().delivered, (SequencePair{0, 3}));
  EXPECT_EQ(info().ack_floor, (SequencePair{0, 0}));
  publish(1);
  EXPECT_EQ(got(), Words{"m4"});
}

TEST_F(Starts, AtANumber) {
  consumer_config_.deliver_policy = DeliverPolicy::kByStartSequence;
  consumer_config_.opt_start_seq = 2;
  publish(3);
  EXPECT_EQ(all(), (Words{"m2", "m3"}));
}

TEST_F(Starts, AtANumberToCome) {
  consumer_config_.deliver_policy = DeliverPolicy::kByStartSequence;
  consumer_config_.opt_start_seq = 5;
  publish(3);
  EXPECT_EQ(all(), Words{});
  EXPECT_EQ(info().num_pending, 0U);
  publish(3);
  EXPECT_EQ(got(), (Words{"m5", "m6"}));
}

TEST_F(Starts, AtATime) {
  publish(2);
  clock_.advance(Seconds(10));
  consumer_config_.deliver_policy = DeliverPolicy::kByStartTime;
  consumer_config_.opt_start_time_ns = clock_.unix_ns() - 5'000'000'000;
  publish(2);
  EXPECT_EQ(all(), (Words{"m3", "m4"}));
}

TEST_F(Starts, WithEachSubjectsLast) {
  consumer_config_.deliver_policy = DeliverPolicy::kLastPerSubject;
  consumer_config_.filter_subject = "ord.*";
  publish(7);
  start();
  EXPECT_EQ(info().num_pending, 3U);
  pull(100);
  EXPECT_EQ(got(), (Words{"m5", "m6", "m7"}));
  EXPECT_EQ(delivery_of("m7").pending, 0U);
  publish(2);
  EXPECT_EQ(got(), (Words{"m8", "m9"}));
}

TEST_F(Starts, WithEachSubjectsLastAndWhatCameMeanwhile) {
  consumer_config_.deliver_policy = DeliverPolicy::kLastPerSubject;
  consumer_config_.filter_subject = "ord.*";
  publish(6);
  start();
  publish(2);
  EXPECT_EQ(info().num_pending, 5U);
  pull(1);
  EXPECT_EQ(delivery_of("m4").pending, 4U);
  EXPECT_FALSE(stream_->delete_message(5, false).has_value());
  EXPECT_EQ(info().num_pending, 3U);
  pull(100);
  EXPECT_EQ(got(), (Words{"m4", "m6", "m7", "m8"}));
  EXPECT_EQ(info().num_pending, 0U);
}

TEST_F(Starts, WithEachSubjectsLastAndGoesOnAfterAKill) {
  consumer_config_.deliver_policy = DeliverPolicy::kLastPerSubject;
  consumer_config_.filter_subject = "ord.*";
  publish(6);
  start();
  pull(1);
  EXPECT_EQ(got(), (Words{"m4"}));
  publish(1);
  kill();
  EXPECT_EQ(info().num_pending, 3U);
  pull(100);
  EXPECT_EQ(got(), (Words{"m5", "m6", "m7"}));
  kill();
  publish(1);
  pull(100);
  EXPECT_EQ(got(), Words{"m8"});
}

TEST_F(Starts, WithEachSubjectsLastThoughTheNextOneIsRemovedAtTheLastMoment) {
  consumer_config_.deliver_policy = DeliverPolicy::kLastPerSubject;
  consumer_config_.filter_subject = "ord.*";
  publish(6);
  start();
  // Read, and kept for somebody whose bytes suffice.
  PullRequest small;
  small.max_bytes = 5;
  for (const StreamSeq seq : {StreamSeq{4}, StreamSeq{5}, StreamSeq{6}}) {
    pull(small);
    EXPECT_EQ(got(), Words{"409 Message Size Exceeds MaxBytes"});
    EXPECT_FALSE(stream_->delete_message(seq, false).has_value());
    EXPECT_EQ(info().num_pending, 6 - seq);
  }
  pull(100);
  EXPECT_EQ(got(), Words{}) << "nothing from before the beginning";
  publish(1);
  EXPECT_EQ(got(), Words{"m7"});
}

TEST_F(Starts, FiltersSeveralSubjects) {
  consumer_config_.filter_subjects = {"ord.0", "ord.2"};
  publish(7);
  start();
  EXPECT_EQ(info().num_pending, 4U);
  pull(3);
  EXPECT_EQ(got(), (Words{"m2", "m3", "m5"}));
  EXPECT_EQ(delivery_of("m5").pending, 1U);
  EXPECT_EQ(info().delivered, (SequencePair{3, 5}));
  answer("m2");
  answer("m3");
  answer("m5");
  EXPECT_EQ(info().ack_floor, (SequencePair{3, 5}));
}

TEST_F(Starts, PendingFollowsRemovals) {
  consumer_config_.filter_subject = "ord.1";
  publish(9);
  start();
  EXPECT_EQ(info().num_pending, 3U);
  EXPECT_FALSE(stream_->delete_message(4, false).has_value());
  EXPECT_EQ(info().num_pending, 2U);
  EXPECT_FALSE(stream_->delete_message(5, false).has_value());
  EXPECT_EQ(info().num_pending, 2U);
  ASSERT_TRUE(stream_->purge({"ord.1", 0, 0}).has_value());
  EXPECT_EQ(info().num_pending, 0U);
}

TEST_F(Starts, LimitsOvertakeASlowConsumer) {
  config_.max_msgs = 3;
  create();
  start();
  publish(10);
  EXPECT_EQ(info().num_pending, 3U);
  pull(100);
  EXPECT_EQ(got(), (Words{"m8", "m9", "m10"}));
}

TEST_F(Starts, SendsHeadersOnly) {
  consumer_config_.headers_only = true;
  create();
  store("ord.1", "hello", {{"A", "b"}});
  turn();
  start();
  pull(1);
  ASSERT_EQ(clients_.sent.size(), 1U);
  EXPECT_EQ(clients_.sent[0].headers, "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 5\r\n\r\n");
  EXPECT_EQ(clients_.sent[0].payload, "");
}

TEST_F(Starts, ReplaysWithTheOriginalGaps) {
  consumer_config_.replay_policy = ReplayPolicy::kOriginal;
  publish(1);
  clock_.advance(Ms(300));
  publish(1);
  clock_.advance(Ms(500));
  publish(1);
  clock_.advance(Seconds(9));
  start();
  pull(100);
  EXPECT_EQ(got(), Words{"m1"});
  pass(Ms(299));
  EXPECT_EQ(got(), Words{});
  pass(Ms(1));
  EXPECT_EQ(got(), Words{"m2"});
  pass(Ms(500));
  EXPECT_EQ(got(), Words{"m3"});
  clock_.advance(Seconds(9));
  publish(1);
  EXPECT_EQ(got(), Words{"m4"}) << "caught up";
}

}  // namespace
}  // namespace feedvault::broker::streams
