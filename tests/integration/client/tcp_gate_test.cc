#include "tests/support/tcp_gate.h"

#include <gtest/gtest.h>

#include "client/nats/connection.h"
#include "client/nats/jetstream.h"
#include "tests/support/nats_server.h"

namespace feedvault::testing {
namespace {

using namespace std::chrono_literals;
using nats::Connection;
using nats::JetStream;

class TcpGateTest : public ::testing::Test {
 protected:
  TcpGateTest() : gate_(server_.port()) {}

  void SetUp() override {
    NatsConfig config = server_.config();
    direct_ = Connection::open(config, {}).value();
    config.port = gate_.port();
    gated_ = Connection::open(config, {}).value();
    nats::StreamConfig stream;
    stream.name = "S";
    stream.subjects = {"s"};
    ASSERT_TRUE(JetStream(*direct_, 5s).create_stream(stream));
  }

  static nats::Outgoing text(std::string_view payload) {
    return {.subject = "s", .reply = {}, .headers = {}, .payload = payload};
  }
  std::uint64_t stored() { return JetStream(*direct_, 5s).stream_info("S")->last_seq; }
  bool reconnected(std::uint64_t times) {
    return eventually([&] { return gated_->connected() && gated_->reconnects() == times; });
  }

  NatsServer server_;
  TcpGate gate_;
  std::unique_ptr<Connection> direct_;
  std::unique_ptr<Connection> gated_;
};

TEST_F(TcpGateTest, PassesBytesBothWays) {
  EXPECT_EQ(JetStream(*gated_, 5s).publish(text("x")).value(), 1U);
  EXPECT_EQ(gate_.connections(), 1);
  const std::string large(900'000, 'x');
  EXPECT_EQ(JetStream(*gated_, 5s).publish(text(large)).value(), 2U);
}

TEST_F(TcpGateTest, SlicedBytesStillMakeWholeMessages) {
  gate_.slice(1);
  EXPECT_EQ(JetStream(*gated_, 5s).publish(text("hello")).value(), 1U);
  EXPECT_EQ(JetStream(*gated_, 5s).get_message("S", 1)->payload, "hello");
}

TEST_F(TcpGateTest, DelaysEachDirection) {
  gate_.delay(100ms);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(JetStream(*gated_, 5s).publish(text("x")).value(), 1U);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 200ms);
}

TEST_F(TcpGateTest, DroppedBytesNeverArriveButTheConnectionStays) {
  gate_.drop();
  EXPECT_EQ(JetStream(*gated_, 200ms).publish(text("lost")).status().code(), StatusCode::kTimeout);
  EXPECT_TRUE(gated_->connected());
  EXPECT_EQ(stored(), 0U);
}

TEST_F(TcpGateTest, ClosesAllAndRefusesNew) {
  gate_.refuse_new(true);
  gate_.close_all();
  ASSERT_TRUE(eventually([&] { return !gated_->connected(); }));
  ASSERT_TRUE(eventually([&] { return gate_.open_connections() == 0; }));
  gate_.refuse_new(false);
  EXPECT_TRUE(reconnected(1));
}

TEST_F(TcpGateTest, CutsBeforeAPatternReachesTheServer) {
  gate_.cut_on(TcpGate::From::kClient, "secret", TcpGate::Cut::kBefore);
  EXPECT_FALSE(JetStream(*gated_, 5s).publish(text("secret")));
  EXPECT_EQ(gate_.cuts(), 1);
  EXPECT_EQ(stored(), 0U);
  ASSERT_TRUE(reconnected(1));
  EXPECT_EQ(JetStream(*gated_, 5s).publish(text("secret")).value(), 1U);  // it strikes once
}

TEST_F(TcpGateTest, CutsAfterAPatternHasReachedTheServer) {
  gate_.cut_on(TcpGate::From::kClient, "secret\r\n", TcpGate::Cut::kAfter);
  EXPECT_FALSE(JetStream(*gated_, 5s).publish(text("secret")));
  EXPECT_EQ(gate_.cuts(), 1);
  EXPECT_TRUE(eventually([&] { return stored() == 1; }));
}

TEST_F(TcpGateTest, CutsAtTheServersAnswer) {
  gate_.cut_on(TcpGate::From::kServer, "\"seq\":", TcpGate::Cut::kBefore);
  EXPECT_FALSE(JetStream(*gated_, 5s).publish(text("x")));
  EXPECT_EQ(gate_.cuts(), 1);
  EXPECT_EQ(stored(), 1U);  // it happened, and only the answer was lost
}

}  // namespace
}  // namespace feedvault::testing
