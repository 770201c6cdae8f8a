// Consumers that get messages before they are durable (kDeliverKey).

#include "tests/unit/broker/streams/consumer_fixture.h"

namespace feedvault::broker::streams {
namespace {

using testing::PowerLossFileSystem;

class Written : public ConsumerTest {
 protected:
  Written() {
    consumer_config_.durable_name.clear();
    consumer_config_.name = "C";
    consumer_config_.ack_policy = AckPolicy::kNone;
    consumer_config_.mem_storage = true;
    consumer_config_.metadata[kDeliverKey] = "written";
  }

  /// A consumer that waits for what comes.
  void begin() {
    start();
    pull(100);
    EXPECT_EQ(got(), Words{});
  }
  /// One message, whose PubAck goes to inbox.acks.
  void send(const std::string& payload) { store("ord.1", payload, {}, "inbox.acks"); }
  /// What came, without the PubAcks; those are counted.
  Words messages() {
    Words words;
    for (const Sent& each : clients_.sent) {
      if (each.to == "inbox.acks") {
        acks_ += each.payload.find("\"error\"") == std::string::npos ? 1 : 0;
        errors_ += each.payload.find("\"error\"") == std::string::npos ? 0 : 1;
      } else {
        words.push_back(word(each));
      }
    }
    clients_.sent.clear();
    return words;
  }
  std::string refusal() {
    if (stream_ == nullptr) {
      create();
    }
    const auto created = set().create(consumer_config_, ConsumerSet::CreateAction::kCreate);
    return created.has_value() ? std::string() : created.error().description;
  }

  int acks_ = 0;
  int errors_ = 0;
};

TEST_F(Written, GetAMessageBeforeItsSync) {
  begin();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_EQ(messages(), Words{"a"});
  EXPECT_EQ(acks_, 0) << "acknowledged before it is durable";
  EXPECT_EQ(stream_->state().last_seq, 0U) << "shown to everybody";
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(messages(), Words{}) << "delivered again";
  EXPECT_EQ(acks_, 1);
  EXPECT_EQ(stream_->state().last_seq, 1U);
}

TEST_F(Written, GetWhatComesDuringASync) {
  begin();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  send("b");
  send("c");
  stream_->write();
  EXPECT_EQ(messages(), (Words{"a", "b", "c"}));
  EXPECT_EQ(acks_, 0);
  EXPECT_EQ(stream_->written_seq(), 3U);
  // The sync that is under way may have begun before the other two were written.
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(messages(), Words{});
  EXPECT_EQ(acks_, 1);
  ASSERT_TRUE(stream_->needs_commit()) << "nobody would sync the others";
  stream_->commit();
  EXPECT_EQ(messages(), Words{});
  EXPECT_EQ(acks_, 3);
  EXPECT_FALSE(stream_->needs_commit());
}

TEST_F(Written, OthersGetItWhenItIsDurable) {
  begin();
  consumer_config_.name = "D";
  consumer_config_.metadata[kDeliverKey] = "durable";
  start();
  consumer("D").on_pull("inbox.2", {});
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_EQ(messages(), Words{"a"});
  EXPECT_EQ(consumer("D").info().num_pending, 0U);
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(messages(), Words{"a"});
}

TEST_F(Written, WithoutThemNothingIsWrittenDuringASync) {
  create();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  send("b");
  stream_->write();
  EXPECT_EQ(stream_->written_seq(), 1U);
  stream_->end_commit(stream_->sync());
  stream_->commit();
  EXPECT_EQ(stream_->state().last_seq, 2U);
}

TEST_F(Written, CountWhatTheyMaySee) {
  start();
  send("a");
  send("b");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_EQ(info().num_pending, 2U);
  PullRequest one;
  one.batch = 1;
  consumer().on_pull("inbox.1", one);
  EXPECT_EQ(messages(), Words{"a"});
  EXPECT_EQ(info().num_pending, 1U);
  send("c");
  stream_->write();
  EXPECT_EQ(info().num_pending, 2U);
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(info().num_pending, 2U);
}

TEST_F(Written, MayBeginBehindWhatIsDurable) {
  create();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  consumer_config_.deliver_policy = DeliverPolicy::kNew;
  ASSERT_EQ(refusal(), "");
  consumer().on_pull("inbox.1", {});
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(messages(), Words{}) << "it was there before the consumer";
  send("b");
  stream_->commit();
  EXPECT_EQ(messages(), Words{"b"});
}

TEST_F(Written, APowerCutTakesBackWhatWasNotAcknowledged) {
  begin();
  send("a");
  turn();
  send("b");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_EQ(messages(), (Words{"a", "b"}));
  EXPECT_EQ(acks_, 1);
  cut_power();
  EXPECT_EQ(stream_->state().last_seq, 1U);
  EXPECT_EQ(set().count(), 0U) << "such a consumer leaves nothing behind";
  EXPECT_EQ(request("ord.1", "c"), "0 answers");  // FakeClients have it
  EXPECT_EQ(payload_of(2), "c");
}

TEST_F(Written, AKillTakesNothingBack) {
  begin();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_EQ(messages(), Words{"a"});
  kill();
  EXPECT_EQ(payload_of(1), "a");
}

TEST_F(Written, AFailedSyncAcknowledgesNothing) {
  begin();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  send("b");
  stream_->write();
  EXPECT_EQ(messages(), (Words{"a", "b"}));
  disk_.set_fault([](PowerLossFileSystem::Op op, const std::string&) {
    return op == PowerLossFileSystem::Op::kSync ? Status(StatusCode::kIo, "broken") : Status();
  });
  stream_->end_commit(stream_->sync());
  disk_.set_fault({});
  EXPECT_FALSE(stream_->failure().ok());
  messages();
  EXPECT_EQ(acks_, 0);
  EXPECT_EQ(errors_, 2);
}

TEST_F(Written, WhatWasWrittenBeforeTheDiskWasFullIsAcknowledged) {
  disk_.set_reserves(false);
  begin();
  send("a");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  send("b");
  stream_->write();
  send("c");
  disk_.set_capacity(disk_.total_bytes());
  stream_->end_commit(stream_->sync());
  while (stream_->needs_commit()) {
    stream_->commit();
  }
  EXPECT_EQ(messages(), (Words{"a", "b"}));
  EXPECT_EQ(acks_, 2) << "the room that c waits for is no business of b's";
  disk_.set_capacity(1U << 30U);
  pass(Seconds(1));
  EXPECT_EQ(messages(), Words{"c"});
  EXPECT_EQ(acks_, 3);
}

TEST_F(Written, AreRefusedWhereSomethingIsKeptForThem) {
  const std::string why =
      "feedvault.deliver written needs ack policy none, memory storage and a stream with limits "
      "retention";
  consumer_config_.ack_policy = AckPolicy::kExplicit;
  EXPECT_EQ(refusal(), why);
  consumer_config_.ack_policy = AckPolicy::kNone;
  consumer_config_.mem_storage = false;
  EXPECT_EQ(refusal(), why);
  consumer_config_.mem_storage = true;
  consumer_config_.metadata[kDeliverKey] = "at once";
  EXPECT_EQ(refusal(), "feedvault.deliver is durable or written, not \"at once\"");
  consumer_config_.metadata[kDeliverKey] = "written";
  EXPECT_EQ(refusal(), "");
  consumer_config_.metadata.clear();
  const auto updated = set().create(consumer_config_, ConsumerSet::CreateAction::kUpdate);
  ASSERT_FALSE(updated.has_value());
  EXPECT_EQ(updated.error().description, "feedvault.deliver can not be updated");
}

TEST_F(Written, KeepTheirStreamFromInterestRetention) {
  begin();
  StreamConfig interest = stream_->config();
  interest.retention = Retention::kInterest;
  const auto refused = stream_->update(interest);
  ASSERT_TRUE(refused.has_value());
  EXPECT_NE(refused->description.find("feedvault.deliver"), std::string::npos);
}

TEST_F(Written, NeedNotWaitForConsumersThatAreSynced) {
  begin();
  send("a");
  stream_->write();  // no commit is under way, the disk is busy otherwise
  EXPECT_EQ(messages(), Words{"a"});
  EXPECT_EQ(acks_, 0);
  ASSERT_TRUE(stream_->needs_commit());
  stream_->commit();
  EXPECT_EQ(messages(), Words{});
  EXPECT_EQ(acks_, 1);
}

TEST_F(Written, AreRefusedWhereMessagesGoWithInterest) {
  config_.retention = Retention::kInterest;
  EXPECT_NE(refusal(), "");
}

}  // namespace
}  // namespace feedvault::broker::streams
