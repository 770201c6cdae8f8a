// Clients that mean harm, against the program itself: its resident size and what it costs others
// can be seen from outside. In each test an ordinary client is served all the time.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bench/broker/load.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::accepts_connections;
using feedvault::testing::built_program;
using feedvault::testing::eventually;
using feedvault::testing::free_port;
using feedvault::testing::kSanitized;
using feedvault::testing::Process;
using feedvault::testing::TempDir;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMiB = 1 << 20;
// Other tests run beside it, and a sanitizer makes the broker several times slower.
constexpr int kPatience = kSanitized ? 5 : 2;
constexpr const char* kQuiet = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

class Hostility : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  /// Starts the program with `configuration` in nats-server's grammar.
  void start(const std::string& configuration = "") {
    { std::ofstream(folder_.file("nats.conf")) << configuration; }
    broker_ = std::make_unique<Process>(Process::Options{{built_program("feedvault-broker"),
                                                          "-a",
                                                          "127.0.0.1",
                                                          "-p",
                                                          std::to_string(port_),
                                                          "-c",
                                                          folder_.file("nats.conf"),
                                                          "--loops",
                                                          std::to_string(GetParam())},
                                                         {},
                                                         folder_.file("output"),
                                                         folder_.path()});
    ASSERT_TRUE(eventually([&] { return accepts_connections(port_); })) << broker_->output();
    ordinary_ = join();
    before_ = resident();
  }
  void TearDown() override {
    EXPECT_TRUE(served());
    broker_->send_signal(SIGTERM);
    EXPECT_EQ(broker_->wait_for_exit(std::chrono::seconds(20)), 0) << broker_->output();
  }

  std::unique_ptr<RawClient> join(const std::string& more = "") const {
    auto client = std::make_unique<RawClient>(port_);
    client->send(connect_ + more + "PING\r\n");
    EXPECT_TRUE(receives_pong(*client, std::chrono::seconds(30)));
    return client;
  }
  // A PONG, before which the server may send a PING of its own.
  static bool receives_pong(RawClient& client, milliseconds timeout = std::chrono::seconds(5)) {
    std::string line = client.receive(6, timeout);
    if (line == "PING\r\n") {
      client.send("PONG\r\n");
      line = client.receive(6, timeout);
    }
    return line == "PONG\r\n";
  }
  /// One round trip of the ordinary client; notes the slowest.
  bool served() {
    const auto begin = Clock::now();
    const bool good = ordinary_->send("PING\r\n") && receives_pong(*ordinary_);
    slowest_ = std::max(slowest_, std::chrono::duration_cast<milliseconds>(Clock::now() - begin));
    return good;
  }
  std::int64_t resident() const { return bench::resident_bytes(broker_->pid()); }
  /// That the broker has not grown by more than this since start().
  void expect_growth_below(std::int64_t bytes) const {
    if (!kSanitized) {
      EXPECT_LT(resident() - before_, bytes);
    }
  }
  std::string farewell(RawClient& client) const {
    bool closed = false;
    const std::string text = client.receive_to_end(closed);
    return closed ? text : "[open]" + text;
  }

  std::string connect_ = kQuiet;
  TempDir folder_;
  std::uint16_t port_ = free_port();
  std::unique_ptr<Process> broker_;
  std::unique_ptr<RawClient> ordinary_;
  std::int64_t before_ = 0;
  milliseconds slowest_{0};
};
INSTANTIATE_TEST_SUITE_P(Loops, Hostility, ::testing::Values(1, 2));

TEST_P(Hostility, ConnectionsThatSayNothingGoAfterTheTimeForAuthentication) {
  connect_ = "CONNECT {\"verbose\":false,\"auth_token\":\"secret\"}\r\n";
  start("authorization: { token: secret, timeout: 1 }");
  std::vector<std::unique_ptr<RawClient>> silent(50);
  for (auto& client : silent) {
    client = std::make_unique<RawClient>(port_);
  }
  RawClient slow(port_);  // a byte now and then
  const std::string text = "CONNECT {" + std::string(1000, ' ') + "\"auth_token\":\"secret\"}\r\n";
  const auto begin = Clock::now();
  std::size_t sent = 0;
  while (sent < text.size() && slow.send(text.substr(sent++, 1)) &&
         slow.receive(1, milliseconds(20)).empty()) {
  }
  EXPECT_LT(sent, text.size());
  EXPECT_LT(Clock::now() - begin, kPatience * std::chrono::seconds(3));
  for (auto& client : silent) {
    EXPECT_EQ(farewell(*client), "-ERR 'Authentication Timeout'\r\n");
  }
}

TEST_P(Hostility, HalfOpenConnectionsAreFoundOutByPings) {
  start("ping_interval: \"1s\"\nping_max: 1\n");
  std::vector<std::unique_ptr<RawClient>> dead(20);
  for (auto& client : dead) {
    client = join("SUB a 1\r\n");
  }
  for (auto& client : dead) {
    const std::string words = farewell(*client);
    EXPECT_NE(words.find("-ERR 'Stale Connection'\r\n"), std::string::npos) << words;
  }
  ordinary_ = join();  // it had not answered either
}

TEST_P(Hostility, SizesWithoutEndAndWrongOnesCloseTheConnection) {
  start();
  const std::string digits(1'000'000, '9');
  const std::vector<std::string> attacks = {
      "PUB a " + digits,
      "PUB a 9999999999\r\n",
      "PUB a 999999999\r\n",
      "HPUB a 12 5\r\nhello\r\n",
      "CONNECT {\"headers\":true}\r\nHPUB a 12 5\r\nhello\r\n",
      "CONNECT " + std::string(100'000, '['),
      "SUB " + std::string(100'000, 'x') + " 1\r\n",
      "PUB " + std::string(100'000, 'x') + " 1\r\nx\r\n",
      "UNSUB " + digits,
      "INFO " + std::string(100'000, '{'),
      "PUB a -1\r\n"};
  for (const std::string& attack : attacks) {
    RawClient client(port_);
    client.send(attack);
    bool closed = false;
    client.receive_to_end(closed);
    EXPECT_TRUE(closed) << attack.substr(0, 40);
    EXPECT_TRUE(served());
  }
  expect_growth_below(8 * kMiB);
}

TEST_P(Hostility, LinesWithoutEndCostNoMemory) {
  start();
  std::vector<std::unique_ptr<RawClient>> endless;
  for (const char* begin : {"PING", "PONG", "+OK", "PUB          ", "SUB \t"}) {
    endless.push_back(join());
    endless.back()->send(begin);
  }
  const std::string blanks(1U << 20U, ' ');
  for (int i = 0; i < 20; ++i) {
    for (auto& client : endless) {
      EXPECT_TRUE(client->send(blanks));
    }
    ASSERT_TRUE(served());
  }
  expect_growth_below(8 * kMiB);
}

TEST_P(Hostility, AMillionSubscriptionsAreBoundedByTheLimit) {
  start("max_subscriptions: 1000\n");
  RawClient client(port_);
  client.send(kQuiet);
  std::thread reader([&] {
    bool closed = false;
    client.receive_to_end(closed, std::chrono::seconds(30));
  });
  for (int i = 0; i < (kSanitized ? 200 : 1000); ++i) {
    std::string text;
    for (int k = 0; k < 1000; ++k) {
      text += fmt::format("SUB a.{} {}\r\n", i * 1000 + k, i * 1000 + k);
    }
    if (!client.send(text)) {
      break;
    }
    if (i % 50 == 0) {
      ASSERT_TRUE(served());
    }
  }
  client.shut_write();
  reader.join();
  expect_growth_below(32 * kMiB);
}

// Bytes for each of them, and that they go again in the middle of what others do.
TEST_P(Hostility, SubscriptionsWithoutLimitCostAFewHundredBytesEachAndGoInPieces) {
  start();
  const int count = kSanitized ? 20'000 : 100'000;
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("SUB s.{}.* {}\r\n", i, i);
  }
  auto client = join(text);
  const double each = static_cast<double>(resident() - before_) / count;
  RecordProperty("bytes_per_subscription", static_cast<int>(each));
  if (!kSanitized) {
    EXPECT_LT(each, 700);
  }
  ASSERT_TRUE(served());
  slowest_ = milliseconds(0);
  client.reset();
  for (const auto end = Clock::now() + milliseconds(500); Clock::now() < end;) {
    ASSERT_TRUE(served());
  }
  EXPECT_LT(slowest_.count(), kPatience * 1000);
}

TEST_P(Hostility, FloodsOfUnsubscribesAndPingsAreServed) {
  start();
  auto client = join();
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    text += fmt::format("UNSUB {}\r\n", i);
  }
  client->send(text);
  EXPECT_TRUE(served());
  client->send("PING\r\n");
  EXPECT_TRUE(receives_pong(*client));
  expect_growth_below(4 * kMiB);
}

// Its PONGs fill it up, not the broker.
TEST_P(Hostility, PingsByOneWhoNeverReadsEndWithHim) {
  start("max_pending: 1048576\nmax_payload: 65536\n");
  auto client = join();
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    text += "PING\r\n";
  }
  for (int i = 0; i < 100 && client->send(text); ++i) {
    ASSERT_TRUE(served());
  }
  EXPECT_TRUE(eventually([&] { return !client->send("PING\r\n"); }));
  expect_growth_below(16 * kMiB);
}

TEST_P(Hostility, ConnectFloodsLeaveNothing) {
  start();
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 500; ++i) {
      EXPECT_TRUE(accepts_connections(port_));  // and is closed at once
    }
    ASSERT_TRUE(served());
  }
  expect_growth_below(16 * kMiB);  // among it, what monitoring remembers of closed connections
}

TEST_P(Hostility, PayloadsThatNeverEndHoldOnlyWhatTheySent) {
  start();
  std::vector<std::unique_ptr<RawClient>> stopped;
  for (int i = 0; i < 500; ++i) {
    stopped.push_back(join());
    stopped.back()->send("PUB a 1048576\r\n" + std::string(1000, 'x'));
  }
  ASSERT_TRUE(served());
  expect_growth_below(8 * kMiB);
  stopped.clear();
  ASSERT_TRUE(served());
}

TEST_P(Hostility, OnlyTheReaderWhoDoesNotReadSuffers) {
  start("max_pending: 8388608\n");
  auto dead = join("SUB flood 1\r\n");
  auto keen = join("SUB flood 1\r\n");
  auto publisher = join();
  const std::string message = "PUB flood 1000\r\n" + std::string(1000, 'x') + "\r\n";
  std::string batch;
  for (int i = 0; i < 100; ++i) {
    batch += message;
  }
  constexpr std::size_t kBatches = 300;
  const std::size_t each = std::string("MSG flood 1 1000\r\n").size() + 1002;
  // Never more on its way to the keen one than it may be behind, however slow this machine is.
  constexpr std::size_t kAhead = 4 * kMiB;
  std::size_t received = 0;
  std::atomic<std::size_t> read_to{0};  // as `received`; at the end everything
  std::thread sending([&] {
    for (std::size_t i = 0; i < kBatches; ++i) {
      std::size_t now = read_to;
      while (i * 100 * each > now + kAhead) {
        read_to.wait(now);
        now = read_to;
      }
      if (!publisher->send(batch)) {
        return;
      }
    }
  });
  while (received < kBatches * 100 * each) {
    const std::size_t got = keen->receive(100 * each).size();
    if (got == 0) {
      break;
    }
    received += got;
    read_to.store(received);
    read_to.notify_one();
    EXPECT_TRUE(served());
  }
  read_to.store(kBatches * 100 * each);
  read_to.notify_one();
  sending.join();
  EXPECT_GE(received, kBatches * 100 * each);
  const std::string log = broker_->output();
  EXPECT_NE(log.find("slow consumer"), std::string::npos);
  EXPECT_EQ(log.find("slow consumer"), log.rfind("slow consumer")) << "one of them only";
  expect_growth_below(48 * kMiB);
}

// Subjects and filters that make matching as slow as it can be, and never the same twice.
TEST_P(Hostility, DeepWildcardsAndSubjectsThatAreNeverTheSameAreServed) {
  start();
  std::string filters;
  for (unsigned bits = 0; bits < 4096; ++bits) {
    std::string filter;
    for (unsigned i = 0; i < 12; ++i) {
      filter += (bits >> i & 1U) != 0 ? "*." : "a.";
    }
    filters += fmt::format("SUB {}b {}\r\n", filter, bits);
  }
  std::string deepest = "*";
  for (int i = 1; i < 2000; ++i) {
    deepest += ".*";
  }
  auto client = join(filters + "SUB " + deepest + " deep\r\n");
  std::string flood;
  for (int i = 0; i < (kSanitized ? 30 : 150); ++i) {
    flood += fmt::format("PUB a.a.a.a.a.a.a.a.a.a.a.a.{} 0\r\n\r\n", i);
  }
  client->send(flood + "PUB " + deepest + " 0\r\n\r\nPING\r\n");
  slowest_ = milliseconds(0);
  for (bool over = false; !over;) {
    ASSERT_TRUE(served());
    over = client->receive_until("PONG\r\n", milliseconds(0)).find("PONG") != std::string::npos;
  }
  EXPECT_LT(slowest_.count(), kPatience * 1500);
  expect_growth_below(32 * kMiB);
}

TEST_P(Hostility, FiftyThousandQueueGroupsOfOneSubjectAreServed) {
  start();
  std::string text;
  for (int i = 0; i < 50'000; ++i) {
    text += fmt::format("SUB work group{} {}\r\n", i, i);
  }
  const auto begin = Clock::now();
  auto client = join(text);
  EXPECT_LT(Clock::now() - begin, kPatience * std::chrono::seconds(5));
  EXPECT_TRUE(served());
  client.reset();
  EXPECT_TRUE(served());
}

// What a process has taken for itself: its resident size without the files that it maps, whose
// share is the machine's libraries and cache. Nullopt where the system does not tell.
std::optional<std::int64_t> own_bytes(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string name; status >> name; std::getline(status, name)) {
    std::int64_t kilobytes = 0;
    if (name == "RssAnon:" && status >> kilobytes) {
      return kilobytes << 10;
    }
  }
  return std::nullopt;
}

// Beside the kernel's memory for them. Goals: 8 MB before anybody comes, of which about 6 are
// libraries; 4 KB a connection, 2 s for 10,000; sanitizers need more of all.
TEST_P(Hostility, IdleConnectionsAreCheapAndAcceptedFast) {
  start();
  if (const auto own = own_bytes(broker_->pid()); own && !kSanitized) {
    EXPECT_LT(*own, 3 * kMiB) << "of its own, an idle broker needs 1 MB: something new is held";
  }
  const int count = kSanitized ? 500 : 4000;
  const bench::IdleResult result = bench::run_idle(count, port_, broker_->pid());
  EXPECT_TRUE(result.complete);
  if (!kSanitized) {
    EXPECT_LT(result.resident_bytes_before, 12 * kMiB);
    EXPECT_LT((result.resident_bytes_after - result.resident_bytes_before) / count, 4096 * 3 / 2);
    EXPECT_LT(result.connect_seconds, kPatience * 4.0);
  }
}

}  // namespace
}  // namespace feedvault::broker::testing
