// C3 and C5 without a crash: the network cuts a connection of the controller at the one byte
// sequence that leaves it in doubt, and it has to find out by itself what happened.

#include <gtest/gtest.h>

#include "tests/chaos/load.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

using Cut = TcpGate::Cut;
using From = TcpGate::From;

// A COM_QUERY packet: the command's byte, then its text.
const std::string kCommit =
    "\x03"
    "COMMIT";
const std::string kPubAck = R"({"stream":"FEED_executions", "seq":)";
const std::string kPublish = "HPUB feed.executions ";

// Cuts three times, with both feeds busy, and waits each time until messages get through again.
void cut_under_load(
    Installation& installation, TcpGate& gate, From from, const std::string& bytes, Cut cut) {
  ControllerProcess& a = installation.start_ready("a");
  const Load load(installation);
  for (int cuts = 1; cuts <= 3; ++cuts) {
    gate.cut_on(from, bytes, cut);
    ASSERT_TRUE(eventually([&] { return gate.cuts() == cuts; })) << "never seen: " << bytes;
    const auto published = installation.executions().checker.stream_tail("FEED_executions");
    ASSERT_TRUE(installation.executions().wait_until_published(published + 50)) << a.log();
  }
}

void cut_database(Cut cut) {
  Installation installation({.gate_database = true});
  cut_under_load(installation, installation.database_gate(), From::kClient, kCommit, cut);
  EXPECT_TRUE(installation.verify());
  EXPECT_TRUE(installation.controller("a").running());
}

void cut_broker(From from, const std::string& bytes, Cut cut) {
  Installation installation({.gate_broker = true});
  cut_under_load(installation, installation.broker_gate(), from, bytes, cut);
  EXPECT_TRUE(installation.verify());
  EXPECT_TRUE(installation.controller("a").running());
}

TEST(CrashMatrix, C3_CommitForwardedAndItsReplyLost) {
  cut_database(Cut::kAfter);
}

TEST(CrashMatrix, C3_CommitLostBeforeItArrives) {
  cut_database(Cut::kBefore);
}

TEST(CrashMatrix, C5_PubAckLost) {
  cut_broker(From::kServer, kPubAck, Cut::kBefore);
}

TEST(CrashMatrix, C5_PublishLostBeforeItArrives) {
  cut_broker(From::kClient, kPublish, Cut::kBefore);
}

TEST(CrashMatrix, C6_ConnectionCutRightBehindAPublish) {
  cut_broker(From::kClient, kPublish, Cut::kAfter);
}

TEST(Outage, NetworkIsPartitionedUnderLoad) {
  Installation installation({.gate_broker = true, .gate_database = true});
  ControllerProcess& a = installation.start_ready("a");
  {
    const Load load(installation);
    for (TcpGate* gate : {&installation.broker_gate(), &installation.database_gate()}) {
      const auto published = installation.executions().checker.stream_tail("FEED_executions");
      ASSERT_TRUE(installation.executions().wait_until_published(published + 50));
      gate->refuse_new(true);
      gate->close_all();
      EXPECT_TRUE(eventually([&] { return a.get("/readyz").status == 503; }));
      gate->pass();
      EXPECT_TRUE(eventually([&] { return a.ready(); })) << a.log();
    }
  }
  EXPECT_TRUE(installation.verify());
}

// The server ends the silent session, which frees the feed for the standby; what the cut-off
// controller had on its way never arrives.
TEST(Standby, TakesOverFromOneThatLostItsDatabaseLink) {
  Installation installation({.gate_database = true});
  ControllerProcess& a = installation.start_ready("a");
  ControllerProcess& b = installation.start_ready(
      "b", {{"FEEDVAULT_MYSQL_PORT", std::to_string(installation.database().port())}});
  ASSERT_TRUE(eventually([&] { return b.state_of("executions") == "standby"; })) << b.log();
  {
    const Load load(installation);
    ASSERT_TRUE(installation.executions().wait_until_published(50));
    installation.database_gate().drop();
    EXPECT_TRUE(eventually([&] { return b.state_of("executions") == "active"; })) << b.log();
    EXPECT_TRUE(eventually([&] { return b.state_of("events") == "active"; })) << b.log();
    installation.database_gate().pass();
    const auto published = installation.executions().checker.stream_tail("FEED_executions");
    ASSERT_TRUE(installation.executions().wait_until_published(published + 50));
    a.kill_hard();
  }
  EXPECT_TRUE(installation.verify());
}

}  // namespace
}  // namespace feedvault::testing
