#include "broker/system_service.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/limits.h"
#include "tests/support/process.h"
#include "tests/unit/broker/manual_clock.h"

namespace feedvault::broker {
namespace {

using feedvault::testing::eventually;

/// A server whose loops do not answer until they are told to.
class BusySource final : public MonitoringSource {
 public:
  ServerSnapshot server_snapshot() override {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return free_; });
    ServerSnapshot shot;
    shot.server_id = "N" + std::string(55, 'X');
    shot.server_name = "busy";
    shot.options = std::make_shared<const Options>();
    shot.accounts.emplace_back().name = "$G";
    return shot;
  }
  std::vector<ConnectionSnapshot> connection_snapshots(const ConnectionQuery& /*query*/) override {
    return {};
  }
  SubjectIndexSnapshot subject_index_snapshot() override { return {}; }
  std::vector<SubscriptionSnapshot> subscription_snapshots() override { return {}; }
  std::string health_problem(bool) override { return ""; }

  int waiting() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return waiting_;
  }
  void set_free() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      free_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool free_ = false;
};

SystemRequest request(std::uint64_t connection, bool system) {
  SystemRequest made;
  made.connection = connection;
  made.requester.system = system;
  made.requester.account = system ? "$SYS" : "$G";
  made.subject = "$SYS.REQ.USER.INFO";
  made.reply = "inbox." + std::to_string(connection);
  return made;
}

class SystemServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // One is being answered from now on; what comes waits.
    EXPECT_TRUE(service_.ask(request(1, /*system=*/true)));
    EXPECT_TRUE(eventually([&] { return source_.waiting() == 1; }));
  }
  void TearDown() override { source_.set_free(); }
  std::vector<std::string> replies() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return replies_;
  }

  std::size_t count() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return replies_.size();
  }

  BusySource source_;
  Monitoring monitoring_{source_};
  ManualClock clock_;
  std::mutex mutex_;
  std::vector<std::string> replies_;
  SystemService service_{monitoring_,
                         clock_,
                         "$SYS.SERVER.X.STATSZ",
                         [this](const SystemRequest& of, const std::optional<std::string>& answer) {
                           const std::lock_guard<std::mutex> lock(mutex_);
                           replies_.push_back(answer ? of.reply : "none");
                         }};
};

TEST_F(SystemServiceTest, OneConnectionHasAFewUnderWay) {
  for (std::size_t i = 0; i < kSystemRequestsPerConnection; ++i) {
    EXPECT_TRUE(service_.ask(request(2, /*system=*/true)));
  }
  EXPECT_FALSE(service_.ask(request(2, /*system=*/true)));
  EXPECT_TRUE(service_.ask(request(3, /*system=*/true)));
  source_.set_free();
  EXPECT_TRUE(eventually([&] { return count() == kSystemRequestsPerConnection + 2; }));
  EXPECT_TRUE(service_.ask(request(2, /*system=*/true)));  // there is room again
}

TEST_F(SystemServiceTest, OrdinaryUsersLeaveRoomForSystemUsers) {
  std::size_t ordinary = 0;
  while (service_.ask(request(1000 + ordinary, /*system=*/false))) {
    ++ordinary;
    ASSERT_LE(ordinary, kSystemRequestsMax);
  }
  EXPECT_EQ(ordinary, kSystemRequestsMax / 2);
  std::size_t all = ordinary;
  while (service_.ask(request(1000 + all, /*system=*/true))) {
    ++all;
    ASSERT_LE(all, kSystemRequestsMax);
  }
  EXPECT_EQ(all, kSystemRequestsMax);
}

TEST_F(SystemServiceTest, AnnouncementsWaitForRequestsAndAreBounded) {
  ConnectionSnapshot client;
  client.account = "$G";
  for (std::size_t i = 0; i < kSystemEventsMax + 10; ++i) {
    service_.announce(client);
  }
  EXPECT_TRUE(service_.ask(request(2, /*system=*/true)));
  source_.set_free();
  // Thousands of them, each made into JSON: seconds, with a sanitizer on a busy machine.
  EXPECT_TRUE(eventually([&] { return count() == kSystemEventsMax + 2; }, std::chrono::minutes(5)));
  EXPECT_EQ(replies()[1], "inbox.2");
  EXPECT_EQ(replies()[2], "$SYS.ACCOUNT.$G.CONNECT");
}

TEST_F(SystemServiceTest, HowManyClientsThereAreIsToldOnceForMany) {
  ConnectionSnapshot client;
  client.account = "$G";
  client.connected = true;
  constexpr std::size_t kClients = 100;
  for (std::size_t i = 0; i < kClients; ++i) {
    service_.announce(client);
  }
  source_.set_free();
  ASSERT_TRUE(eventually([&] { return count() == 1 + kClients + 2; }));
  EXPECT_EQ(replies()[kClients + 1], "$SYS.SERVER.ACCOUNT.$G.CONNS");
  EXPECT_EQ(replies()[kClients + 2], "$SYS.ACCOUNT.$G.SERVER.CONNS");
  service_.announce(client);
  ASSERT_TRUE(eventually([&] { return count() == 1 + kClients + 3; }));
  EXPECT_EQ(replies().back(), "$SYS.ACCOUNT.$G.CONNECT") << "the count waits";
  clock_.advance(kAccountConnsInterval);
  EXPECT_TRUE(service_.ask(request(2, /*system=*/true)));  // wakes it
  ASSERT_TRUE(eventually([&] { return count() == 1 + kClients + 6; }));
}

TEST_F(SystemServiceTest, StatisticsAreAnnouncedFromTimeToTime) {
  source_.set_free();
  ASSERT_TRUE(eventually([&] { return count() == 1; }));
  for (int round = 1; round <= 3; ++round) {
    clock_.advance(kStatszInterval);
    // Anything wakes it; it looks at the clock then, or has done so on its own before it slept.
    EXPECT_TRUE(service_.ask(request(2, /*system=*/true)));
    ASSERT_TRUE(eventually([&] { return count() == static_cast<std::size_t>(1 + 2 * round); }));
    const std::vector<std::string> all = replies();
    EXPECT_EQ(std::count(all.begin(), all.end(), "$SYS.SERVER.X.STATSZ"), round);
  }
}

TEST_F(SystemServiceTest, StoppingDropsWhatWaits) {
  EXPECT_TRUE(service_.ask(request(2, /*system=*/true)));
  std::thread stopper([&] { service_.stop(); });
  EXPECT_TRUE(eventually([&] { return !service_.ask(request(3, /*system=*/true)); }));
  source_.set_free();
  stopper.join();
  EXPECT_EQ(replies(), std::vector<std::string>{"inbox.1"});
  service_.stop();
}

TEST_F(SystemServiceTest, WhatNobodyAnswersIsSaid) {
  SystemRequest strange = request(2, /*system=*/false);
  strange.subject = "$SYS.REQ.SERVER.PING.VARZ";  // not for ordinary users
  EXPECT_TRUE(service_.ask(strange));
  source_.set_free();
  ASSERT_TRUE(eventually([&] { return count() == 2; }));
  EXPECT_EQ(replies().back(), "none");
}

}  // namespace
}  // namespace feedvault::broker
