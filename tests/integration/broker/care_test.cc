// Limits, authorization, and clients that mean harm.

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bench/broker/load.h"
#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::eventually;

bool serves(RawClient& client) {
  client.send("PING\r\n");
  return client.receive_until("PONG\r\n") == "PONG\r\n";
}

bool serves(std::uint16_t port) {
  RawClient client(port);
  client.send(kQuiet);
  return serves(client);
}

// A PONG, before or after which the server may send a PING of its own.
bool receives_pong(RawClient& client, std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
  std::string line = client.receive(6, timeout);
  if (line == "PING\r\n") {
    line = client.receive(6, timeout);
  }
  return line == "PONG\r\n";
}

std::string farewell(RawClient& client) {
  bool closed = false;
  const std::string text = client.receive_to_end(closed);
  return closed ? text : "[open]" + text;
}

// "0.0.0.0" is where nats-server listens for IPv6's clients, too.
TEST(Listening, OnAllAddressesServesBothProtocols) {
  BrokerFixture broker(1, [](Options& options) { options.host = "0.0.0.0"; });
  RawClient v4(broker.port());
  EXPECT_NE(v4.info().find("\"client_ip\":\"127.0.0.1\""), std::string::npos) << v4.info();
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(broker.port());
  address.sin6_addr = in6addr_loopback;
  const auto* const any = reinterpret_cast<const sockaddr*>(&address);
  {
    const UniqueFd there(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 free_port = address;
    free_port.sin6_port = 0;
    if (::bind(there.get(), reinterpret_cast<const sockaddr*>(&free_port), sizeof free_port) != 0) {
      // As in many containers: there is nothing to listen on, and IPv4 was served above.
      GTEST_SKIP() << "this machine has no ::1";
    }
  }
  const UniqueFd v6(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(v6.get(), any, sizeof address), 0) << std::strerror(errno);
  std::string info(4096, '\0');
  const ssize_t size = ::recv(v6.get(), info.data(), info.size(), 0);
  ASSERT_GT(size, 0);
  EXPECT_NE(info.find("\"client_ip\":\"::1\""), std::string::npos) << info;
}

TEST(Limits, ClientsOverTheMaximumAreToldSo) {
  BrokerFixture broker(1, [](Options& options) { options.limits.max_connections = 2; });
  RawClient a(broker.port());
  RawClient b(broker.port());
  RawClient c(broker.port());
  EXPECT_EQ(farewell(c), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_EQ(broker.server().server_snapshot().refused_connections, 1U);
}

TEST(Limits, WhoIsOverANewMaximumGoesAndTheOldestStay) {
  BrokerFixture broker(2);
  RawClient first(broker.port());
  RawClient second(broker.port());
  ASSERT_TRUE(first.send(kQuiet) && second.send(kQuiet));
  ASSERT_TRUE(serves(first) && serves(second));
  RawClient third(broker.port());
  RawClient fourth(broker.port());
  Options options = *broker.server().server_snapshot().options;
  options.limits.max_connections = 2;
  ASSERT_TRUE(broker.server().reload(options, /*authorization_changed=*/false).ok());
  EXPECT_EQ(farewell(third), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_EQ(farewell(fourth), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_TRUE(serves(first) && serves(second));
}

TEST(Limits, SubscriptionsOverTheMaximumAreRefused) {
  BrokerFixture broker(1, [](Options& options) { options.limits.max_subscriptions = 1; });
  RawClient client(broker.port());
  client.send(std::string(kQuiet) + "SUB a 1\r\nSUB b 2\r\nPING\r\n");
  EXPECT_EQ(client.receive_until("PONG\r\n"), "-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");
}

TEST(Limits, SilentClientsArePingedAndThenStale) {
  BrokerFixture broker(1, [](Options& options) {
    options.timeouts.ping_interval = std::chrono::milliseconds(50);
    options.timeouts.ping_max = 2;
  });
  RawClient client(broker.port());
  EXPECT_EQ(farewell(client), "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
  ASSERT_TRUE(eventually([&] { return broker.server().server_snapshot().connections == 0; }));
  const auto closed = broker.server().connection_snapshots({false, true, false, {}});
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].reason, "Stale Connection");
}

TEST(Limits, AClientThatNeverSaysWhoItIsGoes) {
  BrokerFixture broker(1, [](Options& options) {
    options.authorization.token = "secret";
    options.authorization.timeout = std::chrono::milliseconds(50);
  });
  RawClient client(broker.port());
  EXPECT_EQ(farewell(client), "-ERR 'Authentication Timeout'\r\n");
}

// A reader that never reads, beside one that does.
void check_slow_consumer(const std::function<void(Options&)>& configure,
                         const std::string& reason,
                         std::size_t loops) {
  BrokerFixture broker(loops, configure);
  RawClient slow(broker.port());
  slow.send(std::string(kQuiet) + "SUB flood 1\r\n");
  RawClient good(broker.port());
  good.send(std::string(kQuiet) + "SUB other 1\r\n");
  ASSERT_TRUE(serves(slow) && serves(good));
  RawClient publisher(broker.port());
  publisher.send(kQuiet);
  const std::string message = "PUB flood 60000\r\n" + std::string(60000, 'x') + "\r\n";
  const auto dropped = [&] { return broker.server().server_snapshot().slow_consumers == 1; };
  for (int i = 0; i < 4000 && !dropped(); ++i) {
    ASSERT_TRUE(publisher.send(message));
    if (i % 50 == 0) {
      ASSERT_TRUE(publisher.send("PUB other 2\r\nok\r\nPING\r\n"));
      ASSERT_EQ(publisher.receive_until("PONG\r\n"), "PONG\r\n");
      ASSERT_EQ(good.receive_until("ok\r\n"), "MSG other 1 2\r\nok\r\n");
    }
  }
  ASSERT_TRUE(eventually(dropped));
  ASSERT_TRUE(eventually([&] { return broker.server().server_snapshot().connections == 2; }));
  EXPECT_EQ(broker.server().connection_snapshots({false, true, false, {}}).at(0).reason, reason);
  EXPECT_TRUE(serves(good));
  EXPECT_TRUE(serves(publisher));
}

TEST(SlowConsumers, GoWhenTooMuchIsPending) {
  for (const std::size_t loops : {1U, 3U}) {
    check_slow_consumer([](Options& options) { options.limits.max_pending = 1 << 20; },
                        "Slow Consumer (Pending Bytes)",
                        loops);
  }
}

TEST(SlowConsumers, GoWhenTheyTakeNothingForTooLong) {
  check_slow_consumer(
      [](Options& options) {
        options.limits.max_pending = 1 << 30;
        options.timeouts.write_deadline = std::chrono::milliseconds(100);
      },
      "Slow Consumer (Write Deadline)",
      1);
}

TEST(SlowConsumers, AFastProducerWaitsForAReaderThatKeepsReading) {
  for (const std::size_t loops : {1U, 2U}) {
    BrokerFixture broker(loops, [](Options& options) { options.limits.max_pending = 8 << 20; });
    const bench::Shape shape{"", 2, 2, 1000, 100'000, bench::Shape::Kind::kFanOut, 0};
    const bench::Measured measured = bench::run_shape(shape, broker.port(), ::getpid());
    EXPECT_TRUE(measured.complete);
    EXPECT_EQ(measured.messages, shape.deliveries());
    EXPECT_EQ(broker.server().server_snapshot().slow_consumers, 0U);
  }
}

// The dead reader is the last that each message goes to, and gets a part of what the keen one
// gets, so that it stays within its limit for long.
TEST(SlowConsumers, ADeadReaderDoesNotHideAKeenOneFromTheProducers) {
  for (const std::size_t loops : {1U, 2U}) {
    BrokerFixture broker(loops, [](Options& options) { options.limits.max_pending = 24 << 20; });
    // Between loops producers hear of it later, so there is less to spare.
    const int copies = loops == 1 ? 20 : 4;
    constexpr std::size_t kMessages = 24'000;
    RawClient keen(broker.port());
    std::string text = kQuiet;
    for (int i = 0; i < copies; ++i) {
      text += fmt::format("SUB flood {:02}\r\n", i);
    }
    keen.send(text);
    ASSERT_TRUE(serves(keen));
    std::vector<std::unique_ptr<RawClient>> others;  // until one shares the keen one's loop
    for (std::size_t i = 0; i + 1 < loops; ++i) {
      others.push_back(std::make_unique<RawClient>(broker.port()));
    }
    RawClient dead(broker.port());
    dead.send(std::string(kQuiet) + "SUB * 1\r\n");
    ASSERT_TRUE(serves(dead));
    std::thread publisher([&] {
      RawClient client(broker.port());
      client.send(kQuiet);
      const std::string message = "PUB flood 1000\r\n" + std::string(1000, 'x') + "\r\n";
      std::string batch;
      for (int i = 0; i < 100; ++i) {
        batch += message;
      }
      for (std::size_t sent = 0; sent < kMessages && client.send(batch); sent += 100) {
      }
      client.send("PING\r\n");
      EXPECT_TRUE(receives_pong(client, std::chrono::seconds(30)));
    });
    const std::size_t expected = kMessages * static_cast<std::size_t>(copies) *
                                 (std::string("MSG flood 00 1000\r\n").size() + 1002);
    std::size_t received = 0;
    std::vector<char> buffer(1U << 18U);
    while (received < expected) {
      const ssize_t got = ::recv(keen.fd(), buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        break;
      }
      received += static_cast<std::size_t>(got);
    }
    publisher.join();
    EXPECT_GE(received, expected);  // there may be a PING, too
  }
}

Options& with_users(Options& options) {
  UserOptions alice;
  alice.user = "alice";
  alice.password = "wonder";
  PermissionRules rules;
  rules.publish.allow = {{"out.>"}};
  rules.subscribe.deny = {"in.secret"};
  alice.permissions = rules;
  UserOptions bob;
  bob.user = "bob";
  bob.password = "builder";
  options.authorization.users = {alice, bob};
  return options;
}

std::string connect_as(const std::string& user, const std::string& password) {
  return fmt::format(
      "CONNECT {{\"verbose\":false,\"user\":\"{}\",\"pass\":\"{}\"}}\r\n", user, password);
}

TEST(Authorization, LetsInWhoHasThePassword) {
  BrokerFixture broker(1, [](Options& options) { with_users(options); });
  RawClient good(broker.port());
  EXPECT_NE(good.info().find("\"auth_required\":true"), std::string::npos);
  good.send(connect_as("bob", "builder"));
  EXPECT_TRUE(serves(good));
  for (const std::string& bad : {connect_as("bob", "wonder"),
                                 connect_as("eve", ""),
                                 std::string(kQuiet),
                                 std::string("PING\r\n"),
                                 std::string("SUB a 1\r\n")}) {
    RawClient client(broker.port());
    client.send(bad);
    EXPECT_EQ(farewell(client), "-ERR 'Authorization Violation'\r\n") << bad;
  }
}

TEST(Authorization, HoldsEverybodyToHisPermissions) {
  BrokerFixture broker(1, [](Options& options) { with_users(options); });
  RawClient alice(broker.port());
  alice.send(connect_as("alice", "wonder") +
             "PUB in.x 1\r\nx\r\nSUB in.secret 1\r\nSUB in.secret q 2\r\nSUB in.* 3\r\nPING\r\n");
  EXPECT_EQ(alice.receive_until("PONG\r\n"),
            "-ERR 'Permissions Violation for Publish to \"in.x\"'\r\n"
            "-ERR 'Permissions Violation for Subscription to \"in.secret\"'\r\n"
            "-ERR 'Permissions Violation for Subscription to \"in.secret\" using queue \"q\"'\r\n"
            "PONG\r\n");
  RawClient bob(broker.port());
  bob.send(connect_as("bob", "builder") + "PUB in.secret 1\r\nx\r\nPUB in.open 1\r\ny\r\nPING\r\n");
  ASSERT_EQ(bob.receive_until("PONG\r\n"), "PONG\r\n");
  EXPECT_EQ(alice.receive_until("y\r\n"), "MSG in.open 3 1\r\ny\r\n");
}

TEST(Authorization, BcryptIsCheckedAwayFromTheLoopAndInputWaits) {
  BrokerFixture broker(2, [](Options& options) {
    UserOptions user;
    user.user = "carol";
    // "hello", cost 4
    user.password = "$2b$04$abcdefghijklmnopqrstuuwHJMEGjfAzmL1lWmUmlphguIbWfjYey";
    options.authorization.users = {user};
  });
  RawClient client(broker.port());
  client.send(connect_as("carol", "wrong") + "PING\r\n");
  EXPECT_EQ(farewell(client), "-ERR 'Authorization Violation'\r\n");
  RawClient good(broker.port());
  good.send(connect_as("carol", "hello") + "SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n");
  EXPECT_EQ(good.receive_until("PONG\r\n"), "MSG a 1 1\r\nx\r\nPONG\r\n");
}

TEST(Authorization, ReloadSendsAwayWhoIsGone) {
  BrokerFixture broker(2, [](Options& options) { with_users(options); });
  RawClient alice(broker.port());
  alice.send(connect_as("alice", "wonder"));
  RawClient bob(broker.port());
  bob.send(connect_as("bob", "builder"));
  ASSERT_TRUE(serves(alice) && serves(bob));
  Options options = *broker.server().server_snapshot().options;
  options.authorization.users.erase(options.authorization.users.begin());
  ASSERT_TRUE(broker.server().reload(options, /*authorization_changed=*/true).ok());
  EXPECT_EQ(farewell(alice), "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(serves(bob));
}

// --- hostile ---

TEST(Hostile, GarbageEndsItsConnectionOnly) {
  BrokerFixture broker(2);
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    RawClient client(broker.port());
    std::string garbage(1 + random() % 2000, ' ');
    for (char& c : garbage) {
      c = static_cast<char>(random());
    }
    client.send(garbage);
  }
  EXPECT_TRUE(serves(broker.port()));
  EXPECT_TRUE(eventually([&] { return broker.server().server_snapshot().connections == 0; }));
}

TEST(Hostile, EndlessArgumentsAreCutOff) {
  BrokerFixture broker(1);
  for (const char* begin : {"PUB a ", "SUB ", "CONNECT {", "UNSUB "}) {
    RawClient client(broker.port());
    const std::string digits(1U << 20U, '9');
    client.send(begin);
    for (int i = 0; i < 100 && client.send(digits); ++i) {
    }
    bool closed = false;
    client.receive_to_end(closed);
    EXPECT_TRUE(closed) << begin;
  }
  EXPECT_TRUE(serves(broker.port()));
}

TEST(Hostile, ManyHalfSentMessagesHoldOnlyWhatTheySent) {
  BrokerFixture broker(1);
  const std::int64_t before = bench::resident_bytes(::getpid());
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(std::make_unique<RawClient>(broker.port()));
    clients.back()->send(std::string(kQuiet) + "PUB a 1048576\r\nonly this");
  }
  EXPECT_TRUE(serves(broker.port()));
  // Half a gigabyte was announced. (The sanitizers' own memory is in this, too.)
  EXPECT_LT(bench::resident_bytes(::getpid()) - before, 64 << 20);
}

TEST(Hostile, AHundredThousandSubscriptionsComeAndGo) {
  BrokerFixture broker(2);
  {
    RawClient client(broker.port());
    std::string text = kQuiet;
    for (int i = 0; i < 100'000; ++i) {
      text += fmt::format("SUB s.{}.* {}\r\n", i, i);
    }
    client.send(text);
    client.send("PING\r\n");
    ASSERT_TRUE(receives_pong(client, std::chrono::seconds(60)));
    EXPECT_EQ(broker.server().server_snapshot().subscriptions, 100'000U);
  }
  EXPECT_TRUE(
      eventually([&] { return broker.server().subject_index_snapshot().subscriptions == 0; },
                 std::chrono::seconds(60)));
  EXPECT_EQ(broker.server().server_snapshot().subscriptions, 0U);
}

// The slowest of some round trips of an ordinary client.
std::chrono::milliseconds slowest_trip(RawClient& client, const std::function<bool()>& until) {
  using Clock = std::chrono::steady_clock;
  Clock::duration slowest{0};
  while (!until()) {
    const auto begin = Clock::now();
    client.send("PING\r\n");
    if (!receives_pong(client)) {
      ADD_FAILURE() << "not served";
      break;
    }
    slowest = std::max(slowest, Clock::now() - begin);
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(slowest);
}

// Each of its messages looks at 50,000 subscriptions and reaches none, so nothing slows it down:
// one read of them would take seconds.
TEST(Hostile, WhoPublishesToMultitudesDoesNotKeepOthersFromBeingServed) {
  for (const std::size_t loops : {1U, 2U}) {
    BrokerFixture broker(loops);
    RawClient good(broker.port());
    good.send(kQuiet);
    std::unique_ptr<RawClient> other;
    if (loops > 1) {
      other = std::make_unique<RawClient>(broker.port());
    }
    RawClient hostile(broker.port());
    std::string text = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\n";
    for (int i = 0; i < (feedvault::testing::kSanitized ? 10'000 : 50'000); ++i) {
      text += fmt::format("SUB > {}\r\n", i);
    }
    hostile.send(text);
    hostile.send("PING\r\n");
    ASSERT_TRUE(receives_pong(hostile, std::chrono::seconds(30)));
    std::string flood;
    for (int i = 0; i < 600; ++i) {
      flood += fmt::format("PUB a.{} 0\r\n\r\n", i);
    }
    hostile.send(flood + "PING\r\n");
    bool over = false;
    const auto slowest = slowest_trip(good, [&] {
      over = over || receives_pong(hostile, std::chrono::milliseconds(0));
      return over;
    });
    EXPECT_LT(slowest.count(), feedvault::testing::kSanitized ? 5000 : 2000);
  }
}

TEST(Hostile, HalfClosedConnectionsGetTheirAnswersAndGo) {
  BrokerFixture broker(1);
  RawClient client(broker.port());
  client.send(std::string(kQuiet) + "SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n");
  client.shut_write();
  EXPECT_EQ(farewell(client), "MSG a 1 1\r\nx\r\nPONG\r\n");
}

TEST(Hostile, AConnectFloodIsServedAndForgotten) {
  BrokerFixture broker(2);
  const bench::IdleResult result = bench::run_idle(400, broker.port(), ::getpid());
  EXPECT_TRUE(result.complete);
  EXPECT_TRUE(eventually([&] { return broker.server().server_snapshot().connections == 0; }));
}

}  // namespace
}  // namespace feedvault::broker::testing
