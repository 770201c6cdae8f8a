// The wire table, against our broker and against nats-server: the table itself is checked, too.

#include <gtest/gtest.h>

#include "broker/server.h"
#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/wire_table.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

struct Dialogue {
  std::string received;
  bool closed = false;
};

// Sends in pieces of `piece` bytes. That nothing else follows is shown by a PING at the end, whose
// PONG must come next.
Dialogue hold(std::uint16_t port,
              const std::string& sent,
              bool expect_close,
              std::size_t expected,
              std::size_t piece) {
  RawClient client(port);
  for (std::size_t at = 0; at < sent.size(); at += piece) {
    client.send(std::string_view(sent).substr(at, piece));
  }
  Dialogue dialogue;
  if (expect_close) {
    dialogue.received = client.receive_to_end(dialogue.closed);
    return dialogue;
  }
  dialogue.received = client.receive(expected);
  client.send("PING\r\n");
  const std::string pong = client.receive_until("PONG\r\n");
  if (pong != "PONG\r\n") {
    dialogue.received += "[instead of PONG:]" + pong;
  }
  return dialogue;
}

void check_ours(std::size_t loops, std::size_t piece) {
  BrokerFixture broker(loops);
  for (const WireCase& each : wire_table()) {
    SCOPED_TRACE(each.shows);
    const Dialogue dialogue =
        hold(broker.port(), each.sent, each.closed, each.received.size(), piece);
    EXPECT_EQ(dialogue.received, each.received);
    EXPECT_EQ(dialogue.closed, each.closed);
    // Its subscriptions must not count as responders of the next one.
    ASSERT_TRUE(feedvault::testing::eventually(
        [&] { return broker.server().server_snapshot().connections == 0; }));
  }
}

TEST(WireTable, OursDoesWhatItSays) {
  check_ours(1, 1U << 20U);
}

TEST(WireTable, OursDoesItWithSeveralLoopsAndBytesInPieces) {
  check_ours(2, 7);
}

TEST(WireTable, NatsServerDoesWhatItSays) {
  const std::uint16_t port = feedvault::testing::free_port();
  feedvault::testing::Process reference(
      {{"nats-server", "-a", "127.0.0.1", "-p", std::to_string(port)}, {}, "/dev/null", ""});
  ASSERT_TRUE(feedvault::testing::eventually(
      [&] { return feedvault::testing::accepts_connections(port); }));
  for (const WireCase& each : wire_table()) {
    SCOPED_TRACE(each.shows);
    const bool differs = !each.reason_to_differ.empty();
    const std::string& received = differs ? each.reference_received : each.received;
    const bool closed = differs ? each.reference_closed : each.closed;
    const Dialogue dialogue = hold(port, each.sent, closed, received.size(), 1U << 20U);
    EXPECT_EQ(dialogue.received, received);
    EXPECT_EQ(dialogue.closed, closed);
  }
}

}  // namespace
}  // namespace feedvault::broker::testing
