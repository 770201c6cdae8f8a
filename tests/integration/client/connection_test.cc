#include "client/nats/connection.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "base/mutex.h"
#include "tests/support/nats_server.h"

namespace feedvault::nats {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::NatsServer;

/// What a subscription received, in order.
class Inbox {
 public:
  Connection::Handler handler() {
    return [this](Message message) {
      MutexLock lock(mutex_);
      payloads_.emplace_back(message.payload());
    };
  }
  std::vector<std::string> payloads() {
    MutexLock lock(mutex_);
    return payloads_;
  }
  bool holds(std::size_t count) {
    return eventually([&] { return payloads().size() >= count; });
  }

 private:
  Mutex mutex_;
  std::vector<std::string> payloads_ GUARDED_BY(mutex_);
};

std::unique_ptr<Connection> connect(const NatsServer& server, ConnectionOptions options = {}) {
  auto connection = Connection::open(server.config(), std::move(options));
  EXPECT_TRUE(connection) << connection.status().to_string();
  return std::move(connection).value();
}

std::size_t count_of(const std::string& text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) {
    ++count;
  }
  return count;
}

Outgoing text(std::string_view subject, std::string_view payload) {
  return {.subject = subject, .reply = {}, .headers = {}, .payload = payload};
}

TEST(NatsConnection, DeliversWhatItPublishes) {
  NatsServer server;
  auto connection = connect(server);
  Inbox inbox;
  auto subscription = connection->subscribe("a.*", inbox.handler());
  ASSERT_TRUE(subscription);
  ASSERT_TRUE(connection->publish(text("a.b", "hello")).ok());
  ASSERT_TRUE(connection->publish(text("a.c", "")).ok());
  ASSERT_TRUE(inbox.holds(2));
  EXPECT_EQ(inbox.payloads(), (std::vector<std::string>{"hello", ""}));
}

TEST(NatsConnection, CarriesHeadersReplyAndBinaryPayload) {
  NatsServer server;
  auto connection = connect(server);
  Mutex mutex;
  Message got;
  auto subscription = connection->subscribe("a", [&](Message message) {
    MutexLock lock(mutex);
    got = std::move(message);
  });
  const std::string payload("\0\r\n\xff", 4);
  const Header headers[] = {{"Empty", ""}, {"Nats-Msg-Id", "events-1"}, {"Feed-Id", "x y"}};
  ASSERT_TRUE(
      connection->publish({.subject = "a", .reply = "r", .headers = headers, .payload = payload})
          .ok());
  ASSERT_TRUE(eventually([&] {
    MutexLock lock(mutex);
    return got.valid();
  }));
  EXPECT_EQ(got.payload(), payload);
  EXPECT_EQ(got.subject(), "a");
  EXPECT_EQ(got.reply(), "r");
  EXPECT_EQ(got.header("Nats-Msg-Id"), "events-1");
  EXPECT_EQ(got.header("Feed-Id"), "x y");
  EXPECT_EQ(got.header("Empty"), "");
  EXPECT_EQ(got.header("feed-id"), std::nullopt);
  EXPECT_EQ(got.status(), "");
}

TEST(NatsConnection, FlushReturnsAfterTheBrokerHasProcessedEverything) {
  NatsServer server;
  auto connection = connect(server);
  auto other = connect(server);
  Inbox inbox;
  auto subscription = other->subscribe("a", inbox.handler());
  ASSERT_TRUE(other->flush(2s).ok());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(connection->publish(text("a", std::to_string(i))).ok());
  }
  ASSERT_TRUE(connection->flush(2s).ok());
  ASSERT_TRUE(other->flush(2s).ok());  // so all hundred are in its queue
  ASSERT_TRUE(inbox.holds(100));
}

TEST(NatsConnection, RequestsSayWhenNobodyListensAndWhenNobodyAnswers) {
  NatsServer server;
  auto connection = connect(server);
  const auto nobody = connection->request(text("nobody", "?"), 2s);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code(), StatusCode::kNotFound) << nobody.error().to_string();

  auto silent = connection->subscribe("silent", [](Message) {});
  const auto no_answer = connection->request(text("silent", "?"), 100ms);
  ASSERT_FALSE(no_answer);
  EXPECT_EQ(no_answer.error().code(), StatusCode::kTimeout);

  auto echo = connection->subscribe("echo", [&](Message message) {
    EXPECT_TRUE(connection->publish(text(message.reply(), message.payload())).ok());
  });
  const auto answer = connection->request(text("echo", "me"), 2s);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->payload(), "me");
}

TEST(NatsConnection, RefusesWhatIsOverTheBrokersLimitAndStaysConnected) {
  NatsServer server("max_payload: 1000");
  auto connection = connect(server);
  EXPECT_EQ(connection->max_payload(), 1000);
  Inbox inbox;
  auto subscription = connection->subscribe("a", inbox.handler());
  const std::string large(1000, 'x');
  EXPECT_TRUE(connection->publish(text("a", large)).ok());
  const Header headers[] = {{"H", "v"}};
  // Headers count: 18 bytes here.
  const Status over = connection->publish(
      {.subject = "a", .reply = {}, .headers = headers, .payload = large.substr(0, 983)});
  EXPECT_EQ(over.code(), StatusCode::kInvalidArgument) << over.to_string();
  EXPECT_TRUE(
      connection
          ->publish(
              {.subject = "a", .reply = {}, .headers = headers, .payload = large.substr(0, 982)})
          .ok());
  ASSERT_TRUE(inbox.holds(2));
  EXPECT_EQ(connection->reconnects(), 0U);
}

TEST(NatsConnection, OpenFailsWhenNobodyAnswersUnlessToldToWait) {
  NatsConfig config;
  config.port = testing::free_port();
  const auto refused = Connection::open(config, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kUnavailable) << refused.error().to_string();

  ConnectionOptions options;
  options.require_at_open = false;
  const auto waiting = Connection::open(config, options);
  ASSERT_TRUE(waiting);
  EXPECT_FALSE((*waiting)->connected());
  EXPECT_EQ((*waiting)->publish(text("a", "x")).code(), StatusCode::kUnavailable);
  EXPECT_EQ((*waiting)->flush(1s).code(), StatusCode::kUnavailable);
  EXPECT_EQ((*waiting)->request(text("a", "x"), 1s).status().code(), StatusCode::kUnavailable);
}

TEST(NatsConnection, WrongCredentialsAreAnErrorAtOpen) {
  NatsServer server("authorization { user: alice, password: secret }");
  NatsConfig config = server.config();
  for (const bool require_at_open : {true, false}) {
    ConnectionOptions options;
    options.require_at_open = require_at_open;
    config.user = "alice";
    config.password = "wrong";
    const auto refused = Connection::open(config, options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), StatusCode::kInvalidArgument);
    config.password = "secret";
    EXPECT_TRUE(Connection::open(config, options));
  }
  config.credentials_file = "/nonexistent.creds";
  EXPECT_EQ(Connection::open(config, {}).status().code(), StatusCode::kInvalidArgument);
}

TEST(NatsConnection, KnowsTheServersVersion) {
  NatsServer server;
  const std::string version = connect(server)->server_version();
  EXPECT_EQ(version.find('.'), version.find_first_not_of("0123456789")) << version;
  EXPECT_FALSE(version.empty());
}

/// States in the order in which they were reported.
class States {
 public:
  auto callback() {
    return [this](ConnectionState state, const std::string&) {
      MutexLock lock(mutex_);
      states_.push_back(state);
    };
  }
  std::vector<ConnectionState> all() {
    MutexLock lock(mutex_);
    return states_;
  }

 private:
  Mutex mutex_;
  std::vector<ConnectionState> states_ GUARDED_BY(mutex_);
};

TEST(NatsConnection, ComesBackByItselfAfterTheBrokerWasKilled) {
  NatsServer server;
  States states;
  ConnectionOptions options;
  options.on_state = states.callback();
  auto connection = connect(server, options);
  Inbox inbox;
  std::atomic<int> lost{0};
  auto subscription = connection->subscribe("a", inbox.handler(), [&] { ++lost; });
  for (int round = 1; round <= 3; ++round) {
    server.kill_hard();
    ASSERT_TRUE(eventually([&] { return !connection->connected(); }));
    ASSERT_TRUE(eventually([&] { return lost.load() == round; }));
    EXPECT_EQ(connection->publish(text("a", "never sent")).code(), StatusCode::kUnavailable);
    server.start();
    ASSERT_TRUE(eventually([&] { return connection->connected(); }));
    EXPECT_EQ(connection->reconnects(), static_cast<std::uint64_t>(round));
    ASSERT_TRUE(connection->publish(text("a", std::to_string(round))).ok());
    ASSERT_TRUE(inbox.holds(static_cast<std::size_t>(round)));
  }
  EXPECT_EQ(inbox.payloads(), (std::vector<std::string>{"1", "2", "3"}));
  subscription->reset();
  connection.reset();
  using enum ConnectionState;
  EXPECT_EQ(states.all(),
            (std::vector{kConnected,
                         kReconnecting,
                         kConnected,
                         kReconnecting,
                         kConnected,
                         kReconnecting,
                         kConnected,
                         kClosed}));
}

TEST(NatsConnection, ConnectsWhenTheBrokerComesLater) {
  NatsServer server;
  server.kill_hard();
  States states;
  ConnectionOptions options;
  options.require_at_open = false;
  options.on_state = states.callback();
  auto connection = connect(server, options);
  Inbox inbox;
  auto subscription = connection->subscribe("a", inbox.handler());
  ASSERT_TRUE(subscription);
  server.start();
  ASSERT_TRUE(eventually([&] { return connection->connected(); }));
  EXPECT_EQ(connection->reconnects(), 0U);
  ASSERT_TRUE(connection->publish(text("a", "late")).ok());
  ASSERT_TRUE(inbox.holds(1));
  EXPECT_EQ(states.all(),
            (std::vector{ConnectionState::kReconnecting, ConnectionState::kConnected}));
}

TEST(NatsConnection, GoesOnTryingWhileItsCredentialsAreRefused) {
  // cnats itself would give up for good at the second refusal.
  const std::string good = "authorization { user: alice, password: secret }";
  NatsServer server(good);
  NatsConfig config = server.config();
  config.user = "alice";
  config.password = "secret";
  auto connection = Connection::open(config, {});
  ASSERT_TRUE(connection);
  server.stop();
  server.set_extra("authorization { user: alice, password: changed }");
  server.start();
  // As nats-server writes it into its log, and as our broker does.
  ASSERT_TRUE(eventually([&] {
    return count_of(server.log(), "authentication error") >= 4 ||
           count_of(server.log(), "authorization violation") >= 4;
  }));
  server.stop();
  server.set_extra(good);
  server.start();
  EXPECT_TRUE(eventually([&] { return (*connection)->connected(); }));
}

TEST(NatsConnection, ARequestUnderWayFailsAtOnceWhenTheBrokerDies) {
  NatsServer server;
  auto connection = connect(server);
  auto silent = connection->subscribe("silent", [&](Message) { server.kill_hard(); });
  const auto start = std::chrono::steady_clock::now();
  const auto answer = connection->request(text("silent", "?"), 60s);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), StatusCode::kUnavailable) << answer.error().to_string();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

TEST(NatsConnection, DestroyingASubscriptionWaitsForItsHandler) {
  NatsServer server;
  auto connection = connect(server);
  std::atomic<bool> entered{false};
  std::atomic<bool> left{false};
  auto subscription = connection->subscribe("a", [&](Message) {
    entered = true;
    std::this_thread::sleep_for(100ms);  // the work that must not be cut off
    left = true;
  });
  ASSERT_TRUE(subscription);
  ASSERT_TRUE(connection->publish(text("a", "x")).ok());
  ASSERT_TRUE(eventually([&] { return entered.load(); }));
  subscription->reset();
  EXPECT_TRUE(left.load());
}

TEST(NatsConnection, PublishesFromSeveralThreadsArriveInEachThreadsOrder) {
  NatsServer server;
  auto connection = connect(server);
  auto other = connect(server);
  Inbox inbox;
  auto subscription = other->subscribe("a", inbox.handler());
  ASSERT_TRUE(other->flush(2s).ok());
  constexpr std::size_t kThreads = 4;
  constexpr int kEach = 2000;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string payload = std::to_string(t) + " " + std::to_string(i);
        const Header headers[] = {{"Thread", payload}};
        EXPECT_TRUE(
            connection
                ->publish({.subject = "a", .reply = {}, .headers = headers, .payload = payload})
                .ok());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  ASSERT_TRUE(inbox.holds(kThreads * kEach));
  std::vector<int> next(kThreads, 0);
  for (const std::string& payload : inbox.payloads()) {
    const auto t = static_cast<std::size_t>(payload[0] - '0');
    EXPECT_EQ(payload.substr(2), std::to_string(next[t]++));
  }
}

}  // namespace
}  // namespace feedvault::nats
