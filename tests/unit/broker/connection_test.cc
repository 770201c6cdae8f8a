// A connection's clocks, bounds and end, without a socket, a loop or a second of real time.

#include <sys/epoll.h>

#include <string>

#include <gtest/gtest.h>

#include "tests/unit/broker/fake_host.h"

namespace feedvault::broker::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kQuiet = "CONNECT {\"verbose\":false,\"protocol\":1}\r\n";
// bcrypt of "secret", cost 4.
constexpr const char* kHash = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// Delivers a message of `bytes` to the connection's subscription "1".
bool deliver(FakeHost& host, std::size_t bytes) {
  const std::string body(bytes, 'x');
  const std::string tail = std::to_string(bytes) + "\r\n" + body + "\r\n";
  Publish message;
  message.subject = "a";
  message.body = body;
  message.tail = tail;
  const auto found = host.connection->subscriptions().find("1");
  return found != host.connection->subscriptions().end() &&
         host.connection->deliver(*found->second, message);
}

// --- pings ---

TEST(ConnectionPings, TheFirstComesSoonAndMeasuresTheRoundTrip) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.advance(1999ms);
  EXPECT_EQ(host.sent(), "");
  host.advance(1ms);
  EXPECT_EQ(host.sent(), "PING\r\n");
  host.advance(7ms);
  host.answer("PONG\r\n");
  EXPECT_EQ(host.connection->snapshot(false).rtt_ns, 7'000'000);
}

TEST(ConnectionPings, WhoTalksIsNotAskedAgain) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.advance(2s);
  host.advance(1ms);
  host.answer("PONG\r\n");
  for (int minute = 0; minute < 10; ++minute) {
    host.advance(1min);
    EXPECT_EQ(host.answer("PUB a 1\r\nx\r\n"), "");
  }
  host.advance(2min - 1ms);
  EXPECT_EQ(host.sent(), "");
  host.advance(1ms);
  EXPECT_EQ(host.sent(), "PING\r\n");
}

TEST(ConnectionPings, WhoIsHeldBackByStreamsIsNotAsked) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.connection->hold(Connection::Hold::kLoop);
  EXPECT_FALSE(host.watches_read);
  host.advance(1h);
  EXPECT_EQ(host.sent(), "");
  EXPECT_TRUE(host.connection->open());
  host.connection->release(Connection::Hold::kLoop);
  EXPECT_TRUE(host.watches_read);
  host.advance(2min);
  EXPECT_EQ(host.sent(), "PING\r\n");
  EXPECT_TRUE(host.connection->open());
}

TEST(ConnectionHold, ABrokenSocketIsReadToItsEndWhenThereIsRoom) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.connection->hold(Connection::Hold::kLoop);
  host.transport->input.push_back("PUB a 1\r\nx\r\n");
  host.transport->peer_ended = true;
  host.turn(EPOLLHUP | EPOLLERR);
  EXPECT_TRUE(host.muted);
  EXPECT_TRUE(host.connection->open());
  EXPECT_TRUE(host.published.empty());
  host.connection->release(Connection::Hold::kLoop);
  host.turn(EPOLLIN | EPOLLHUP);
  EXPECT_EQ(host.published.size(), 1U);
  host.turn(EPOLLIN | EPOLLHUP);
  EXPECT_FALSE(host.connection->open());
}

TEST(ConnectionPings, UnansweredOnesEndTheConnection) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.advance(2s);
  EXPECT_EQ(host.sent(), "PING\r\n");
  host.advance(2min);
  EXPECT_EQ(host.sent(), "PING\r\n");
  host.advance(2min - 1ms);
  EXPECT_TRUE(host.connection->open());
  host.advance(1ms);
  EXPECT_EQ(host.sent(), "-ERR 'Stale Connection'\r\n");
  EXPECT_EQ(host.connection->close_reason(), "Stale Connection");
  EXPECT_EQ(host.counters.stale_connections.get(), 1U);
}

TEST(ConnectionPings, ALatePongForgivesAll) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.advance(2s + 2min);
  host.answer("PONG\r\n");
  host.advance(4min - 1ms);
  EXPECT_TRUE(host.connection->open());
}

// --- authentication ---

Options& with_token(Options& options) {
  options.authorization.token = "t0ken";
  return options;
}

TEST(ConnectionAuthentication, TakesTwoSecondsAtMost) {
  FakeHost host(with_token);
  host.start();
  host.advance(1999ms);
  EXPECT_TRUE(host.connection->open());
  host.advance(1ms);
  EXPECT_EQ(host.sent(), "-ERR 'Authentication Timeout'\r\n");
  EXPECT_EQ(host.connection->close_reason(), "Authentication Timeout");
  EXPECT_EQ(host.counters.auth_failures.get(), 1U);
}

TEST(ConnectionAuthentication, AByteAtATimeGainsNoTime) {
  FakeHost host(with_token);
  host.start();
  const std::string connect = "CONNECT {\"auth_token\":\"t0ken\",\"verbose\":false}\r\n";
  for (std::size_t i = 0; host.connection->open() && i < connect.size(); ++i) {
    host.receive({connect.substr(i, 1)});
    host.advance(100ms);
  }
  EXPECT_EQ(host.sent(), "-ERR 'Authentication Timeout'\r\n");
}

TEST(ConnectionAuthentication, AByteAtATimeIsEnoughWhenItIsQuick) {
  FakeHost host(with_token);
  host.start();
  std::vector<std::string> bytes;
  for (const char c : std::string("CONNECT {\"auth_token\":\"t0ken\"}\r\nPING\r\n")) {
    bytes.emplace_back(1, c);
  }
  for (const std::string& byte : bytes) {
    host.receive({byte});
  }
  EXPECT_EQ(host.sent(), "+OK\r\nPONG\r\n");
  host.advance(1min);
  EXPECT_TRUE(host.connection->open());
}

TEST(ConnectionAuthentication, AnythingButConnectIsAViolation) {
  FakeHost host(with_token);
  host.start();
  EXPECT_EQ(host.answer("SUB a 1\r\n"), "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(host.subjects.empty());
}

Options& with_bcrypt(Options& options) {
  options.authorization.user = "u";
  options.authorization.password = kHash;
  return options;
}

TEST(ConnectionAuthentication, WhatFollowsASlowCheckWaitsForIt) {
  FakeHost host(with_bcrypt);
  host.start();
  host.receive(
      {"CONNECT {\"user\":\"u\",\"pass\":\"secret\",\"verbose\":false}\r\nSUB a 1\r\nPING\r\n"});
  ASSERT_EQ(host.to_check.size(), 1U);
  EXPECT_EQ(host.to_check[0].password, "secret");
  EXPECT_FALSE(host.watches_read);
  EXPECT_TRUE(host.subjects.empty());
  User user;
  user.account = "$G";
  host.connection->authenticated(std::make_shared<const User>(user));
  host.end_turn();
  EXPECT_EQ(host.sent(), "PONG\r\n");
  EXPECT_EQ(host.subjects, std::vector<std::string>{"a"});
  EXPECT_TRUE(host.watches_read);
}

// As many clients as connect at once wait for each other's checks, which is not their fault.
TEST(ConnectionAuthentication, WhoIsBeingCheckedHasTime) {
  FakeHost host(with_bcrypt);
  host.start();
  host.advance(1999ms);
  host.receive({"CONNECT {\"user\":\"u\",\"pass\":\"secret\",\"verbose\":false}\r\nPING\r\n"});
  ASSERT_EQ(host.to_check.size(), 1U);
  host.advance(1ms);
  for (int minute = 0; minute < 10; ++minute) {
    host.advance(1min);
    ASSERT_TRUE(host.connection->open()) << "after minutes: " << minute;
  }
  EXPECT_EQ(host.sent(), "") << "it could not answer";
  User user;
  user.account = "$G";
  host.connection->authenticated(std::make_shared<const User>(user));
  host.end_turn();
  EXPECT_EQ(host.sent(), "PONG\r\n");
}

TEST(ConnectionAuthentication, ASlowCheckThatFailsIsAViolation) {
  FakeHost host(with_bcrypt);
  host.start();
  host.receive({"CONNECT {\"user\":\"u\",\"pass\":\"wrong\"}\r\nSUB a 1\r\n"});
  host.connection->authenticated(Status(StatusCode::kInvalidArgument, "wrong password"));
  host.end_turn();
  EXPECT_EQ(host.sent(), "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(host.connection->close_reason(), "Authentication Failure");
  EXPECT_TRUE(host.subjects.empty());
}

TEST(ConnectionAuthentication, WhoCannotBeCheckedNowMayComeAgain) {
  FakeHost host(with_bcrypt);
  host.checks_max = 0;
  host.start();
  host.receive({"CONNECT {\"user\":\"u\",\"pass\":\"secret\"}\r\nSUB a 1\r\n"});
  EXPECT_EQ(host.sent(), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_EQ(host.connection->close_reason(), "Maximum Connections Exceeded");
  EXPECT_EQ(host.counters.auth_failures.get(), 0U);
  EXPECT_TRUE(host.subjects.empty());
}

TEST(ConnectionAuthentication, ACheckThatEndsAfterTheConnectionIsNobodys) {
  FakeHost host(with_bcrypt);
  host.start();
  host.receive({"CONNECT {\"user\":\"u\",\"pass\":\"secret\"}\r\nSUB a 1\r\n"});
  host.connection->close("Server Shutdown");
  host.end_turn();
  host.connection->authenticated(std::make_shared<const User>());
  host.end_turn();
  EXPECT_EQ(host.sent(), "");
  EXPECT_TRUE(host.subjects.empty());
}

TEST(ConnectionAuthentication, AReloadWithoutTheUserEndsIt) {
  FakeHost host(with_token);
  host.start();
  EXPECT_EQ(host.answer("CONNECT {\"auth_token\":\"t0ken\",\"verbose\":false}\r\n"), "");
  host.reconfigure([](Options& options) { options.authorization.token = "another"; });
  host.connection->options_changed(/*check_user=*/true);
  host.end_turn();
  EXPECT_EQ(host.sent(), "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(host.connection->close_reason(), "Credentials Revoked");
}

// --- slow receivers ---

TEST(ConnectionOutput, NothingTakenWithinTheWriteDeadlineEndsIt) {
  FakeHost host;
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  host.advance(3s);  // beyond the first ping
  host.sent();
  host.transport->room = 10;
  ASSERT_TRUE(deliver(host, 1000));
  host.end_turn();
  EXPECT_TRUE(host.watches_write);
  host.advance(10s - 1ms);
  EXPECT_TRUE(host.connection->open());
  host.advance(1ms);
  EXPECT_FALSE(host.connection->open());
  EXPECT_TRUE(host.is_finished);  // nobody is told, nothing lingers
  EXPECT_EQ(host.sent().size(), 10U);
  EXPECT_EQ(host.connection->close_reason(), "Slow Consumer (Write Deadline)");
  EXPECT_EQ(host.counters.slow_consumers_deadline.get(), 1U);
}

TEST(ConnectionOutput, ALittleProgressIsProgress) {
  FakeHost host([](Options& options) { options.timeouts.ping_interval = 1h; });
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  host.advance(2s);
  host.answer("PONG\r\n");
  host.transport->room = 1;
  ASSERT_TRUE(deliver(host, 1000));
  host.end_turn();
  for (int i = 0; i < 20; ++i) {
    host.advance(9s);
    host.transport->room = 1;
    host.turn(EPOLLOUT);
    ASSERT_TRUE(host.connection->open());
  }
  host.transport->room = SIZE_MAX;
  host.turn(EPOLLOUT);
  EXPECT_FALSE(host.watches_write);
  EXPECT_EQ(host.connection->pending_bytes(), 0U);
  host.advance(1min);
  EXPECT_TRUE(host.connection->open());
}

TEST(ConnectionOutput, TooMuchPendingEndsItAtOnceAndFreesTheMemory) {
  FakeHost host([](Options& options) { options.limits.max_pending = 10'000; });
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  host.transport->room = 0;
  int delivered = 0;
  while (deliver(host, 1000)) {
    ++delivered;
    host.end_turn();
    ASSERT_LT(delivered, 20);
  }
  EXPECT_EQ(delivered, 10);  // the tenth is the one too many
  EXPECT_EQ(host.connection->pending_bytes(), 0U);
  host.end_turn();
  EXPECT_TRUE(host.is_finished);
  EXPECT_EQ(host.sent(), "");
  EXPECT_EQ(host.connection->close_reason(), "Slow Consumer (Pending Bytes)");
  EXPECT_EQ(host.counters.slow_consumers_pending.get(), 1U);
}

TEST(ConnectionOutput, AReaderThatKeepsUpMayReceiveMoreThanThat) {
  FakeHost host([](Options& options) { options.limits.max_pending = 10'000; });
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(deliver(host, 1000));  // within one turn
  }
  EXPECT_GT(host.turn_output_bytes, kTurnOutputBytesMax) << "nobody is asked to write before";
  host.end_turn();
  EXPECT_TRUE(host.connection->open());
}

TEST(ConnectionOutput, ProducersAreAskedToWaitOnlyForReadersThatRead) {
  FakeHost host([](Options& options) { options.timeouts.ping_interval = 1h; });
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  host.transport->room = 0;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(deliver(host, 1'000'000));
  }
  host.end_turn();
  EXPECT_GT(host.times_congested, 0);
  EXPECT_GT(host.connection->stall_for_producers().count(), 0);  // new ones are taken for fast
  host.advance(200ms);  // a window in which it took nothing
  EXPECT_EQ(host.connection->stall_for_producers().count(), 0);
  host.transport->room = 2'000'000;
  host.turn(EPOLLOUT);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(deliver(host, 1'000'000));
  }
  EXPECT_GT(host.connection->stall_for_producers().count(), 0);
}

TEST(ConnectionOutput, ABrokenSocketEndsIt) {
  FakeHost host;
  host.start();
  host.transport->broken = true;
  host.receive({"PING\r\n"});
  EXPECT_TRUE(host.is_finished);
  EXPECT_EQ(host.connection->close_reason(), "Write Error");
}

// --- the end ---

TEST(ConnectionEnd, LastWordsAreHeardThoughTheClientKeepsTalking) {
  FakeHost host;
  host.start();
  host.transport->room = 5;
  host.receive({"NONSENSE\r\n", std::string(1000, 'x')});
  EXPECT_EQ(host.sent(), "-ERR ");
  EXPECT_FALSE(host.transport->write_shut);
  EXPECT_TRUE(host.watches_write);
  host.transport->room = SIZE_MAX;
  host.turn(EPOLLOUT);
  EXPECT_EQ(host.sent(), "'Unknown Protocol Operation'\r\n");
  EXPECT_TRUE(host.transport->write_shut);
  EXPECT_FALSE(host.is_finished);
  host.receive({"PING\r\n"});
  EXPECT_EQ(host.sent(), "");
  host.transport->peer_ended = true;
  host.turn(EPOLLIN);
  EXPECT_TRUE(host.is_finished);
}

TEST(ConnectionEnd, NobodyLingersForMoreThanASecond) {
  FakeHost host;
  host.start();
  host.answer("NONSENSE\r\n");
  host.advance(999ms);
  EXPECT_FALSE(host.is_finished);
  host.advance(1ms);
  EXPECT_TRUE(host.is_finished);
}

TEST(ConnectionEnd, NobodyLingersForMoreThanSomeMegabytes) {
  FakeHost host;
  host.start();
  host.answer("NONSENSE\r\n");
  std::size_t taken = 0;
  while (!host.is_finished && taken < 2 * kLingerBytesMax) {
    taken += 1U << 20U;
    host.receive({std::string(1U << 20U, 'x')});
  }
  EXPECT_TRUE(host.is_finished);
  EXPECT_LE(taken, kLingerBytesMax + (2U << 20U));
}

TEST(ConnectionEnd, WhatIsPendingAtAGracefulEndIsDelivered) {
  FakeHost host;
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  host.transport->room = 0;
  ASSERT_TRUE(deliver(host, 5));
  host.connection->close("Server Shutdown");
  host.end_turn();
  EXPECT_FALSE(host.is_finished);
  EXPECT_FALSE(deliver(host, 5));
  host.transport->room = SIZE_MAX;
  host.turn(EPOLLOUT);
  EXPECT_EQ(host.sent(), "MSG a 1 5\r\nxxxxx\r\n");
  EXPECT_TRUE(host.transport->write_shut);
}

TEST(ConnectionEnd, AClientThatHasEndedNeedsNoFarewell) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.transport->peer_ended = true;
  host.turn(EPOLLIN);
  EXPECT_TRUE(host.is_finished);
  EXPECT_EQ(host.connection->close_reason(), "Client Closed");
}

TEST(ConnectionEnd, WhatAClientSaidBeforeItEndedIsCarriedOut) {
  FakeHost host;
  host.start();
  host.transport->peer_ended = true;
  host.receive({std::string(kQuiet) + "PUB a 1\r\nx\r\n"});
  host.turn(EPOLLIN);
  EXPECT_EQ(host.published, std::vector<std::string>{"a x"});
  EXPECT_TRUE(host.is_finished);
}

TEST(ConnectionEnd, ARefusedClientIsToldWhy) {
  FakeHost host;
  host.connection->refuse("maximum connections exceeded", "Maximum Connections Exceeded");
  host.end_turn();
  EXPECT_EQ(host.sent(), "INFO {} \r\n-ERR 'maximum connections exceeded'\r\n");
}

TEST(ConnectionEnd, ASocketThatBreaksWhileNobodyReadsItIsNoticed) {
  FakeHost host;
  host.start();
  host.connection->pause_reading();
  EXPECT_FALSE(host.watches_read);
  host.receive({"PING\r\n"});
  EXPECT_EQ(host.sent(), "");
  host.transport->peer_ended = true;
  host.turn(EPOLLHUP);
  host.turn(EPOLLHUP);
  EXPECT_EQ(host.sent(), "PONG\r\n") << "what it had sent before counts";
  EXPECT_FALSE(host.connection->open());
}

// --- accounts ---

TEST(ConnectionAccounts, RequestsToTheServerGoThere) {
  FakeHost host;
  host.start();
  host.answer(std::string(kQuiet) +
              "PUB $SYS.REQ.USER.INFO inbox 0\r\n\r\nPUB $SYS.REQ.USER.INFO 1\r\nx\r\n"
              "PUB $SYS.REQUEST inbox 1\r\ny\r\n");
  EXPECT_EQ(host.asked, std::vector<std::string>{"$SYS.REQ.USER.INFO"});
  // Without a reply, and elsewhere, it is a message as any other.
  EXPECT_EQ(host.published, (std::vector<std::string>{"$SYS.REQ.USER.INFO x", "$SYS.REQUEST y"}));
}

TEST(ConnectionAccounts, BecomingASystemUserEndsSubscriptions) {
  FakeHost host([](Options& options) {
    UserOptions admin;
    admin.user = "admin";
    admin.password = "s";
    admin.system = true;
    options.authorization.users = {admin};
  });
  host.start();
  host.answer(std::string(kQuiet) + "SUB a 1\r\n");
  EXPECT_EQ(host.connection->account(), Account::kUsers);
  host.answer(kQuiet);  // again, as the same
  EXPECT_EQ(host.subjects, std::vector<std::string>{"a"});
  host.answer("CONNECT {\"user\":\"admin\",\"pass\":\"s\"}\r\n");
  EXPECT_EQ(host.connection->account(), Account::kSystem);
  EXPECT_TRUE(host.subjects.empty());
  EXPECT_TRUE(host.connection->subscriptions().empty());
  EXPECT_EQ(host.times_connected, 1);
}

// --- news ---

TEST(ConnectionNews, LameDuckModeIsForClientsThatUnderstandIt) {
  FakeHost modern;
  modern.start();
  modern.connection->send_info_update(/*lame_duck=*/true);
  modern.end_turn();
  EXPECT_EQ(modern.sent(), "");  // before CONNECT nobody knows
  modern.answer(kQuiet);
  modern.connection->send_info_update(/*lame_duck=*/true);
  modern.end_turn();
  EXPECT_EQ(modern.sent(), "INFO {\"ldm\":true} \r\n");

  FakeHost old;
  old.start();
  old.answer("CONNECT {\"verbose\":false,\"protocol\":0}\r\n");
  old.connection->send_info_update(/*lame_duck=*/true);
  old.end_turn();
  EXPECT_EQ(old.sent(), "");
}

TEST(ConnectionNews, ReloadedLimitsHoldForConnectedClients) {
  FakeHost host;
  host.start();
  host.answer(kQuiet);
  host.reconfigure([](Options& options) { options.limits.max_payload = 10; });
  host.connection->options_changed(/*check_user=*/false);
  EXPECT_EQ(host.answer("PUB a 11\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
}

// --- what is logged of refused clients ---

TEST(WarningLimit, WritesTheFirstOnesAndCountsTheOthers) {
  WarningLimit limit;
  SteadyTime now{std::chrono::hours(1)};
  for (std::uint32_t i = 0; i < WarningLimit::kBurst; ++i) {
    EXPECT_EQ(limit.take(now), 0U);
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(limit.take(now).has_value());
  }
  now += WarningLimit::kInterval - 1ns;
  EXPECT_FALSE(limit.take(now).has_value());
  now += 1ns;
  EXPECT_EQ(limit.take(now), 6U);
  EXPECT_EQ(limit.take(now), 0U);
}

}  // namespace
}  // namespace feedvault::broker::testing
