#include "client/nats/jetstream.h"

#include <gtest/gtest.h>

#include "base/mutex.h"
#include "tests/support/nats_server.h"

namespace feedvault::nats {
namespace {

using namespace std::chrono_literals;
using testing::NatsServer;

class JetStreamTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { shared_server = new NatsServer(); }
  static void TearDownTestSuite() {
    delete shared_server;
    shared_server = nullptr;
  }
  void SetUp() override {
    connection_ = Connection::open(shared_server->config(), {}).value();
    js_.emplace(*connection_, 2s);
    const std::string test = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    config_.name = test;
    config_.subjects = {test + ".>"};
  }

  std::uint64_t publish(const std::string& payload, std::span<const Header> headers = {}) {
    const std::string subject = config_.name + ".a";
    const auto seq =
        js_->publish({.subject = subject, .reply = {}, .headers = headers, .payload = payload});
    EXPECT_TRUE(seq) << seq.status().to_string();
    return seq ? *seq : 0;
  }

  static NatsServer* shared_server;
  std::unique_ptr<Connection> connection_;
  std::optional<JetStream> js_;
  StreamConfig config_;
};

NatsServer* JetStreamTest::shared_server = nullptr;

TEST_F(JetStreamTest, CreatesAStreamExactlyAsAsked) {
  config_.description = "what it is for";
  config_.max_age_ns = 3'600'000'000'000;
  config_.max_bytes = 1 << 20;
  config_.max_msgs = 1000;
  config_.duplicate_window_ns = 5'000'000'000;
  config_.deny_delete = true;
  config_.allow_direct = true;
  config_.discard_new = true;
  const auto created = js_->create_stream(config_);
  ASSERT_TRUE(created) << created.error().to_string();
  const auto info = js_->stream_info(config_.name);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->config.name, config_.name);
  EXPECT_EQ(info->config.description, config_.description);
  EXPECT_EQ(info->config.subjects, config_.subjects);
  EXPECT_EQ(info->config.max_age_ns, config_.max_age_ns);
  EXPECT_EQ(info->config.max_bytes, config_.max_bytes);
  EXPECT_EQ(info->config.max_msgs, config_.max_msgs);
  EXPECT_EQ(info->config.duplicate_window_ns, config_.duplicate_window_ns);
  EXPECT_TRUE(info->config.deny_delete);
  EXPECT_FALSE(info->config.deny_purge);
  EXPECT_TRUE(info->config.allow_direct);
  EXPECT_TRUE(info->config.discard_new);
  EXPECT_EQ(info->messages, 0U);
  EXPECT_EQ(info->first_seq, 1U);
  EXPECT_EQ(info->last_seq, 0U);
  EXPECT_EQ(info->last_time_ns, 0);
  EXPECT_EQ(info->created_ns, created->created_ns);
  EXPECT_GT(info->created_ns, 0);
}

TEST_F(JetStreamTest, CreatingTheSameAgainIsFineAndSomethingElseIsNot) {
  ASSERT_TRUE(js_->create_stream(config_));
  EXPECT_TRUE(js_->create_stream(config_));
  config_.max_msgs = 7;
  const auto other = js_->create_stream(config_);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), StatusCode::kInvalidArgument) << other.error().to_string();
  EXPECT_NE(other.error().message().find("10058"), std::string::npos);
  const auto updated = js_->update_stream(config_);
  ASSERT_TRUE(updated) << updated.error().to_string();
  EXPECT_EQ(updated->config.max_msgs, 7);
}

TEST_F(JetStreamTest, WhatIsMissingIsNotFound) {
  EXPECT_EQ(js_->stream_info("NONE").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(js_->delete_stream("NONE").code(), StatusCode::kNotFound);
  EXPECT_EQ(js_->purge_below("NONE", 5).code(), StatusCode::kNotFound);
  EXPECT_EQ(js_->get_message("NONE", 1).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(js_->create_stream(config_));
  EXPECT_EQ(js_->get_message(config_.name, 1).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(js_->publish({.subject = "uncaptured", .reply = {}, .headers = {}, .payload = "x"})
                .status()
                .code(),
            StatusCode::kNotFound);
}

TEST_F(JetStreamTest, ReadsBackWhatWasStored) {
  ASSERT_TRUE(js_->create_stream(config_));
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) {
    all_bytes.push_back(static_cast<char>(i));
  }
  const Header headers[] = {{"Nats-Msg-Id", "id-1"}, {"Feed-Id", "f"}};
  ASSERT_EQ(publish(all_bytes, headers), 1U);
  ASSERT_EQ(publish(""), 2U);
  const auto first = js_->get_message(config_.name, 1);
  ASSERT_TRUE(first) << first.error().to_string();
  EXPECT_EQ(first->seq, 1U);
  EXPECT_EQ(first->payload, all_bytes);
  EXPECT_EQ(first->subject, config_.name + ".a");
  EXPECT_EQ(first->header("Nats-Msg-Id"), "id-1");
  EXPECT_EQ(first->header("Feed-Id"), "f");
  EXPECT_EQ(first->header("Other"), std::nullopt);
  const auto second = js_->get_message(config_.name, 2);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->payload, "");
  EXPECT_EQ(second->headers, "");
  EXPECT_GT(second->time_ns, first->time_ns);
  const auto info = js_->stream_info(config_.name);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->messages, 2U);
  EXPECT_EQ(info->last_seq, 2U);
  EXPECT_EQ(info->last_time_ns, second->time_ns);
}

TEST_F(JetStreamTest, ADuplicateIsASuccessWithTheFirstOnesSequence) {
  ASSERT_TRUE(js_->create_stream(config_));
  const Header headers[] = {{"Nats-Msg-Id", "same"}};
  EXPECT_EQ(publish("a", headers), 1U);
  EXPECT_EQ(publish("a", headers), 1U);
  EXPECT_EQ(publish("b"), 2U);
}

TEST_F(JetStreamTest, AWrongExpectedSequenceComesBackWithTheActualOne) {
  ASSERT_TRUE(js_->create_stream(config_));
  for (const char* expected : {"0", "1"}) {
    const Header headers[] = {{"Nats-Expected-Last-Sequence", expected}};
    publish("x", headers);
  }
  const Header headers[] = {{"Nats-Expected-Last-Sequence", "0"}};
  const std::string subject = config_.name + ".a";
  const auto answer = connection_->request(
      {.subject = subject, .reply = {}, .headers = headers, .payload = "x"}, 2s);
  ASSERT_TRUE(answer);
  const auto ack = parse_pub_ack(*answer);
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->error_code, 10071);
  EXPECT_EQ(ack->actual_last_seq, 2U);
}

TEST_F(JetStreamTest, NobodyCapturingIsToldApartInThePubAck) {
  std::optional<PubAck> ack;
  Mutex mutex;
  auto inbox = connection_->subscribe("acks.*", [&](Message message) {
    MutexLock lock(mutex);
    ack = parse_pub_ack(message).value();
  });
  ASSERT_TRUE(
      connection_
          ->publish({.subject = "uncaptured", .reply = "acks.1", .headers = {}, .payload = "x"})
          .ok());
  ASSERT_TRUE(testing::eventually([&] {
    MutexLock lock(mutex);
    return ack.has_value();
  }));
  EXPECT_EQ(ack->error_code, -1);
}

TEST_F(JetStreamTest, PurgesBelowASequence) {
  ASSERT_TRUE(js_->create_stream(config_));
  for (int i = 0; i < 10; ++i) {
    publish("x");
  }
  ASSERT_TRUE(js_->purge_below(config_.name, 0).ok());
  EXPECT_EQ(js_->stream_info(config_.name)->first_seq, 1U);
  ASSERT_TRUE(js_->purge_below(config_.name, 4).ok());
  EXPECT_EQ(js_->stream_info(config_.name)->first_seq, 4U);
  ASSERT_TRUE(js_->purge_below(config_.name, 11).ok());
  const auto empty = js_->stream_info(config_.name);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->messages, 0U);
  EXPECT_EQ(empty->first_seq, 11U);
  EXPECT_EQ(empty->last_seq, 10U);
}

TEST_F(JetStreamTest, FindsTheFirstSequenceAtATime) {
  ASSERT_TRUE(js_->create_stream(config_));
  EXPECT_EQ(js_->seq_at_time(config_.name, 0).value(), 1U);
  std::vector<std::int64_t> times;
  for (int i = 0; i < 20; ++i) {
    publish("x");
  }
  ASSERT_TRUE(js_->purge_below(config_.name, 6).ok());
  for (std::uint64_t seq = 6; seq <= 20; ++seq) {
    times.push_back(js_->get_message(config_.name, seq)->time_ns);
  }
  for (std::uint64_t seq = 6; seq <= 20; ++seq) {
    EXPECT_EQ(js_->seq_at_time(config_.name, times[seq - 6]).value(), seq);
    EXPECT_EQ(js_->seq_at_time(config_.name, times[seq - 6] - 1).value(), seq);
  }
  EXPECT_EQ(js_->seq_at_time(config_.name, times.back() + 1).value(), 21U);
  EXPECT_EQ(js_->seq_at_time(config_.name, 0).value(), 6U);
}

TEST_F(JetStreamTest, DeletesAStream) {
  ASSERT_TRUE(js_->create_stream(config_));
  ASSERT_TRUE(js_->delete_stream(config_.name).ok());
  EXPECT_EQ(js_->stream_info(config_.name).status().code(), StatusCode::kNotFound);
}

TEST_F(JetStreamTest, FirstSequenceIsObeyedOrVisiblyNot) {
  config_.first_seq = 100;
  const auto created = js_->create_stream(config_);
  ASSERT_TRUE(created) << created.error().to_string();
  // Servers before 2.10 ignore the field; whoever asked can see that in the answer.
  EXPECT_EQ(publish("x"), created->first_seq);
  const std::string version = connection_->server_version();
  EXPECT_EQ(created->first_seq, version.starts_with("2.9.") ? 1U : 100U);
}

TEST(JetStreamOff, IsUnavailable) {
  NatsServer server;
  NatsConfig config = server.config();
  auto connection = Connection::open(config, {}).value();
  server.kill_hard();
  JetStream js(*connection, 1s);
  EXPECT_EQ(js.stream_info("X").status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace feedvault::nats
