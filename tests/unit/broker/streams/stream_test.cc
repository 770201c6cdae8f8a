#include "broker/streams/stream.h"

#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {
namespace {

using Outcome = Stream::Outcome;

class PublishTest : public StreamTest {};

TEST_F(PublishTest, AnswersOnlyWhatIsDurable) {
  create();
  EXPECT_EQ(store("ord.a", "hello", {}, "inbox"), Outcome::kStored);
  EXPECT_TRUE(output_.sent.empty());
  EXPECT_EQ(stream_->visible_seq(), 0U);
  EXPECT_EQ(payload_of(1), "no message found");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_TRUE(output_.sent.empty());
  const Status synced = stream_->sync();
  EXPECT_TRUE(output_.sent.empty());
  stream_->end_commit(synced);
  EXPECT_EQ(output_.payloads("inbox"), std::vector<std::string>{R"({"stream":"ORD", "seq":1})"});
  EXPECT_EQ(payload_of(1), "hello");
}

TEST_F(PublishTest, WhatArrivesDuringASyncWaitsForTheNext) {
  create();
  store("ord.a", "one", {}, "r1");
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  store("ord.a", "two", {}, "r2");
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(output_.payloads("r1").size(), 1U);
  EXPECT_EQ(output_.payloads("r2").size(), 0U);
  EXPECT_EQ(stream_->visible_seq(), 1U);
  EXPECT_EQ(stream_->state().messages, 1U);
  EXPECT_EQ(stream_->state().last_seq, 1U);
  EXPECT_TRUE(stream_->needs_commit());
  stream_->commit();
  EXPECT_EQ(output_.payloads("r2").size(), 1U);
  EXPECT_EQ(stream_->state().messages, 2U);
  EXPECT_FALSE(stream_->needs_commit());
}

TEST_F(PublishTest, ADuplicateIsAnsweredWithTheFirstNumberOnceThatIsDurable) {
  create();
  store("ord.a", "one", {{"Nats-Msg-Id", "x"}}, "r1");
  EXPECT_EQ(store("ord.a", "again", {{"Nats-Msg-Id", "x"}}, "r2"), Outcome::kDuplicate);
  EXPECT_TRUE(output_.sent.empty());
  stream_->commit();
  ASSERT_EQ(output_.sent.size(), 2U);
  EXPECT_EQ(output_.sent[1].payload, R"({"stream":"ORD", "seq":1,"duplicate": true})");
  EXPECT_EQ(stream_->state().messages, 1U);
}

TEST_F(PublishTest, ADuplicateIsNewAgainAfterTheWindow) {
  config_.duplicate_window_ns = 1'000'000'000;
  create();
  EXPECT_EQ(request("ord.a", "1", {{"Nats-Msg-Id", "x"}}), R"({"stream":"ORD", "seq":1})");
  advance(std::chrono::milliseconds(999));
  EXPECT_EQ(request("ord.a", "1", {{"Nats-Msg-Id", "x"}}),
            R"({"stream":"ORD", "seq":1,"duplicate": true})");
  advance(std::chrono::milliseconds(2));
  EXPECT_EQ(request("ord.a", "1", {{"Nats-Msg-Id", "x"}}), R"({"stream":"ORD", "seq":2})");
}

TEST_F(PublishTest, TheWindowSurvivesAStart) {
  create();
  request("ord.a", "1", {{"Nats-Msg-Id", "x"}});
  request("ord.a", "2", {{"Nats-Msg-Id", "last"}});
  reopen();
  EXPECT_EQ(request("ord.a", "1", {{"Nats-Msg-Id", "x"}}),
            R"({"stream":"ORD", "seq":1,"duplicate": true})");
  EXPECT_EQ(request("ord.a", "3", {{"Nats-Expected-Last-Msg-Id", "last"}}),
            R"({"stream":"ORD", "seq":3})");
}

std::string refusal(int code, int err_code, const std::string& text) {
  return R"({"error":{"code":)" + std::to_string(code) + R"(,"err_code":)" +
         std::to_string(err_code) + R"(,"description":")" + text + R"("},"stream":"ORD","seq":0})";
}

TEST_F(PublishTest, TheWindowIsReadBackAfterAStopAndOnlyWhereItFits) {
  const auto publish = [&](const std::string& id) {
    return store("ord.a", id, {{"Nats-Msg-Id", id}});
  };
  const auto stop = [&] {
    stream_->commit();
    ASSERT_TRUE(stream_->close().ok());
    stream_.reset();
  };
  create();
  publish("one");
  publish("two");
  stream_->commit();
  // Ids of messages that are gone can only come from the file.
  ASSERT_FALSE(stream_->delete_message(1, false).has_value());
  stop();
  const std::string ids = disk_.contents("/streams/ORD/ids");
  reopen();
  EXPECT_EQ(publish("one"), Outcome::kDuplicate);
  EXPECT_EQ(publish("two"), Outcome::kDuplicate);
  EXPECT_EQ(request("ord.a", "x", {{"Nats-Expected-Last-Msg-Id", "two"}, {"Nats-Msg-Id", "last"}}),
            R"({"stream":"ORD", "seq":3})");
  // One of another time knows nothing of what came later: the messages do.
  stop();
  disk_.set_contents("/streams/ORD/ids", ids);
  reopen();
  EXPECT_EQ(publish("last"), Outcome::kDuplicate);
  EXPECT_EQ(publish("one"), Outcome::kStored);
  // A damaged one counts for nothing, wherever it is damaged.
  stop();
  const std::string whole = disk_.contents("/streams/ORD/ids");
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    disk_.set_contents("/streams/ORD/ids", at % 2 == 0 ? bad : whole.substr(0, at));
    reopen();
    ASSERT_EQ(publish("last"), Outcome::kDuplicate) << at;
    ASSERT_EQ(publish("one"), Outcome::kDuplicate) << at;
    ASSERT_TRUE(stream_->close().ok());
    ASSERT_EQ(disk_.contents("/streams/ORD/ids").size(), whole.size());
  }
}

TEST_F(PublishTest, TheWindowIsReadFromTheMessagesAfterAKill) {
  create();
  EXPECT_EQ(store("ord.a", "1", {{"Nats-Msg-Id", "one"}}), Outcome::kStored);
  stream_->commit();
  ASSERT_TRUE(stream_->close().ok());
  reopen();
  EXPECT_EQ(store("ord.a", "2", {{"Nats-Msg-Id", "two"}}), Outcome::kStored);
  stream_->commit();
  reopen();  // without a close
  EXPECT_EQ(store("ord.a", "1", {{"Nats-Msg-Id", "one"}}), Outcome::kDuplicate);
  EXPECT_EQ(store("ord.a", "2", {{"Nats-Msg-Id", "two"}}), Outcome::kDuplicate);
}

TEST_F(PublishTest, ExpectationsAreCheckedWithExactTexts) {
  config_.max_msg_size = 200;
  create();
  EXPECT_EQ(request("ord.a", "1", {{"Nats-Msg-Id", "one"}}), R"({"stream":"ORD", "seq":1})");
  EXPECT_EQ(request("ord.b", "2", {{"Nats-Msg-Id", "two"}}), R"({"stream":"ORD", "seq":2})");
  EXPECT_EQ(request("ord.a", "", {{"Nats-Expected-Stream", "X"}}),
            refusal(400, 10060, "expected stream does not match"));
  EXPECT_EQ(request("ord.a", "", {{"Nats-Expected-Last-Subject-Sequence", "2"}}),
            refusal(400, 10071, "wrong last sequence: 1"));
  EXPECT_EQ(request("ord.c", "", {{"Nats-Expected-Last-Subject-Sequence", "2"}}),
            refusal(400, 10071, "wrong last sequence: 0"));
  EXPECT_EQ(request("ord.a", "", {{"Nats-Expected-Last-Sequence", "99"}}),
            refusal(400, 10071, "wrong last sequence: 2"));
  EXPECT_EQ(request("ord.a", "", {{"Nats-Expected-Last-Sequence", "rubbish"}}),
            refusal(400, 10071, "wrong last sequence: 2"));
  EXPECT_EQ(request("ord.a", "", {{"Nats-Expected-Last-Msg-Id", "one"}}),
            refusal(400, 10070, "wrong last msg ID: two"));
  EXPECT_EQ(request("ord.a", "", {{"Nats-Rollup", "sub"}}),
            refusal(500, 10111, "rollup not permitted"));
  EXPECT_EQ(request("ord.a", std::string(201, 'x')),
            refusal(400, 10054, "message size exceeds maximum allowed"));
  EXPECT_EQ(request("ord.c",
                    "3",
                    {{"Nats-Expected-Stream", "ORD"},
                     {"Nats-Expected-Last-Subject-Sequence", "0"},
                     {"Nats-Expected-Last-Sequence", "2"},
                     {"Nats-Expected-Last-Msg-Id", "two"}}),
            R"({"stream":"ORD", "seq":3})");
}

TEST_F(PublishTest, ARefusalThatTellsOfAMessageWaitsForIt) {
  create();
  store("ord.a", "1", {}, "r1");
  EXPECT_EQ(store("ord.a", "2", {{"Nats-Expected-Last-Sequence", "7"}}, "r2"), Outcome::kRefused);
  EXPECT_EQ(store("ord.a", "3", {{"Nats-Expected-Stream", "X"}}, "r3"), Outcome::kRefused);
  EXPECT_TRUE(output_.sent.empty());
  stream_->commit();
  ASSERT_EQ(output_.sent.size(), 3U);
  EXPECT_EQ(output_.sent[0].to, "r1");
  EXPECT_EQ(output_.sent[1].to, "r2");
  EXPECT_EQ(output_.sent[2].to, "r3");
}

TEST_F(PublishTest, NoAckMeansNoAnswersAtAll) {
  config_.no_ack = true;
  create();
  store("ord.a", "1", {}, "inbox");
  store("ord.a", "1", {{"Nats-Expected-Stream", "X"}}, "inbox");
  stream_->commit();
  EXPECT_TRUE(output_.sent.empty());
  EXPECT_EQ(stream_->state().messages, 1U);
}

TEST_F(PublishTest, MemoryStreamsAreVisibleAfterACommitAndCountAsNatsServerDoes) {
  config_.storage = StorageType::kMemory;
  create();
  EXPECT_EQ(request("ord.a", "hello", {{"K", "v"}}), R"({"stream":"ORD", "seq":1})");
  EXPECT_EQ(stream_->state().bytes, 16U + 5 + header_block({{"K", "v"}}).size() + 5);
  EXPECT_EQ(stream_->consumers_dir(), "");
  EXPECT_TRUE(disk_.files().empty());
}

}  // namespace
}  // namespace feedvault::broker::streams
