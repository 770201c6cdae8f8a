#include <fstream>

#include <gtest/gtest.h>

#include "client/stream_service.h"
#include "tests/integration/client/collector.h"
#include "tests/support/feed_stream.h"
#include "tests/support/nats_server.h"
#include "tests/support/sanitized.h"
#include "tests/support/tcp_gate.h"

namespace feedvault {
namespace {

using namespace std::chrono_literals;
using nats::ConnectionState;
using testing::eventually;
using testing::FeedStream;
using testing::NatsServer;
using testing::TcpGate;

SubscribeOptions events_from(Start start) {
  SubscribeOptions options;
  options.feed = "events";
  options.start = start;
  return options;
}

std::unique_ptr<StreamService> connect(const NatsConfig& config,
                                       StreamService::Options options = {}) {
  auto service = StreamService::connect(config, std::move(options));
  EXPECT_TRUE(service) << service.status().to_string();
  return std::move(service).value();
}

TEST(StreamServiceFaults, WrongCredentialsAreAnError) {
  NatsServer server("authorization { user: alice, password: secret }");
  NatsConfig config = server.config();
  EXPECT_EQ(StreamService::connect(config, {}).status().code(), StatusCode::kInvalidArgument);
  config.user = "alice";
  config.password = "secret";
  EXPECT_TRUE(StreamService::connect(config, {}));
}

TEST(StreamServiceFaults, WaitsForABrokerAndForAStream) {
  NatsServer server;
  server.kill_hard();
  Collector got;
  std::atomic<int> connected{0};
  std::atomic<int> reconnecting{0};
  StreamService::Options options;
  options.on_state = [&](ConnectionState state, const std::string&) {
    connected += state == ConnectionState::kConnected ? 1 : 0;
    reconnecting += state == ConnectionState::kReconnecting ? 1 : 0;
  };
  auto service = connect(server.config(), options);
  ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
  EXPECT_TRUE(eventually([&] { return reconnecting == 1; }));
  server.start();
  EXPECT_TRUE(eventually([&] { return connected == 1; }));
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 100);
  ASSERT_TRUE(got.holds(100));
  EXPECT_TRUE(got.is_exactly(1, 100));
}

TEST(StreamServiceFaults, DeliversEachOnceAcrossKilledBrokers) {
  NatsServer server;
  Collector got;
  auto feed = std::make_unique<FeedStream>(server.config(), "events");
  feed->create();
  constexpr std::uint64_t kRound = testing::kSanitized ? 4'000 : 20'000;
  feed->publish(1, kRound);
  auto service = connect(server.config());
  ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
  std::uint64_t last = kRound;
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(got.holds(last - kRound + kRound / 20));
    server.kill_hard();
    server.start();
    feed = std::make_unique<FeedStream>(server.config(), "events");
    feed->publish(last + 1, last + kRound);
    last += kRound;
  }
  ASSERT_TRUE(got.holds(last));
  EXPECT_TRUE(got.is_exactly(1, last));
}

TEST(StreamServiceFaults, ContinuesBehindTheStoredPositionAfterEachCrash) {
  NatsServer server;
  FeedStream feed(server.config(), "events");
  feed.create();
  testing::TempDir folder;
  Collector got;
  constexpr std::uint64_t kAll = 300;
  feed.publish(1, kAll);
  for (std::size_t wanted = 50; wanted <= kAll; wanted += 50) {
    auto store = open_file_position_store(folder.path()).value();
    auto service = connect(server.config());
    SubscribeOptions options = events_from(Start::at_stored());
    options.positions = store.get();
    ASSERT_TRUE(service->subscribe(options, got.callback()).ok());
    ASSERT_TRUE(got.holds(wanted));
    service.reset();  // without draining: what it held in memory is gone
  }
  EXPECT_TRUE(got.is_exactly(1, kAll));
}

TEST(StreamServiceFaults, ADamagedPositionFileIsAnErrorAtSubscribe) {
  NatsServer server;
  testing::TempDir folder;
  std::ofstream(folder.file("events.position")) << "events:47";
  auto store = open_file_position_store(folder.path()).value();
  auto service = connect(server.config());
  SubscribeOptions options = events_from(Start::at_stored());
  options.positions = store.get();
  EXPECT_EQ(service->subscribe(options, [](const FeedMessage&) { return true; }).code(),
            StatusCode::kCorruption);
}

/// Fails to save until it is told to work.
class FailingStore final : public PositionStore {
 public:
  Result<std::optional<std::uint64_t>> load(const std::string&) override {
    return std::optional<std::uint64_t>();
  }
  Status save(const std::string&, std::uint64_t seq) override {
    ++attempts;
    if (!works) {
      return io_error("disk full");
    }
    saved = seq;
    return {};
  }
  std::atomic<bool> works{false};
  std::atomic<int> attempts{0};
  std::atomic<std::uint64_t> saved{0};
};

TEST(StreamServiceFaults, DeliveryWaitsWhileThePositionCannotBeSaved) {
  NatsServer server;
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 10);
  FailingStore store;
  Collector got;
  auto service = connect(server.config());
  SubscribeOptions options = events_from(Start::at_stored());
  options.positions = &store;
  ASSERT_TRUE(service->subscribe(options, got.callback()).ok());
  ASSERT_TRUE(eventually([&] { return store.attempts >= 3; }));
  EXPECT_EQ(got.count(), 1U);
  store.works = true;
  ASSERT_TRUE(got.holds(10));
  EXPECT_TRUE(eventually([&] { return store.saved == 10; }));
  EXPECT_TRUE(got.is_exactly(1, 10));
}

TEST(StreamServiceFaults, UnsavedPositionsAreSavedWhenTheFeedFallsSilent) {
  NatsServer server;
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 10);
  FailingStore store;
  store.works = true;
  auto service = connect(server.config());
  SubscribeOptions options = events_from(Start::at_stored());
  options.positions = &store;
  options.save_every = 1000;
  ASSERT_TRUE(service->subscribe(options, [](const FeedMessage&) { return true; }).ok());
  EXPECT_TRUE(eventually([&] { return store.saved == 10; }));
}

TEST(StreamServiceFaults, ARecreatedStreamIsAwaitedAndNothingComesTwice) {
  NatsServer server;
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 100);
  Collector got;
  StreamService::Options options;
  options.on_gap = got.on_gap();
  auto service = connect(server.config(), options);
  ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
  ASSERT_TRUE(got.holds(100));
  feed.remove();
  feed.create();
  feed.publish(1, 50);  // the controller refills it out of the table
  feed.publish(51, 150);
  ASSERT_TRUE(got.holds(150));
  EXPECT_TRUE(got.is_exactly(1, 150));
  EXPECT_TRUE(got.gaps().empty());
}

TEST(StreamServiceFaults, AnEmptiedStreamThatGoesOnIsAGapOnlyWhereSomethingIsMissing) {
  NatsServer server;
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 100);
  Collector got;
  StreamService::Options options;
  options.on_gap = got.on_gap();
  auto service = connect(server.config(), options);
  ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
  ASSERT_TRUE(got.holds(100));
  ASSERT_TRUE(feed.jetstream().purge_below(feed.name(), 101).ok());
  feed.publish(101, 110);
  ASSERT_TRUE(got.holds(110));
  EXPECT_TRUE(got.is_exactly(1, 110));
  EXPECT_TRUE(got.gaps().empty());
}

TEST(StreamServiceFaults, DeliversEachOnceThroughABrokenNetwork) {
  NatsServer server;
  TcpGate gate(server.port());
  NatsConfig config = server.config();
  config.port = gate.port();
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 20'000);
  Collector got;
  auto service = connect(config);
  ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
  ASSERT_TRUE(got.holds(100));
  gate.close_all();
  ASSERT_TRUE(got.holds(3000));
  gate.cut_on(TcpGate::From::kServer, "$JS.ACK.", TcpGate::Cut::kAfter);
  ASSERT_TRUE(eventually([&] { return gate.cuts() == 1 || got.count() == 20'000; }));
  gate.slice(1000);
  gate.cut_on(TcpGate::From::kClient, "CONSUMER.MSG.NEXT", TcpGate::Cut::kBefore);
  feed.publish(20'001, 25'000);
  ASSERT_TRUE(got.holds(25'000));
  EXPECT_TRUE(got.is_exactly(1, 25'000));
}

TEST(StreamServiceFaults, WhatIsLostOnTheWireIsFetchedAgain) {
  NatsServer server;
  TcpGate gate(server.port());
  NatsConfig config = server.config();
  config.port = gate.port();
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 10);
  Collector got;
  auto service = connect(config);
  ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
  ASSERT_TRUE(got.holds(10));
  gate.drop();
  feed.publish(11, 20);
  gate.pass();  // what was sent meanwhile is lost; the consumer believes that we have it
  feed.publish(21, 30);
  ASSERT_TRUE(got.holds(30));
  EXPECT_TRUE(got.is_exactly(1, 30));
}

TEST(StreamServiceFaults, DestroyingIsQuickWhateverGoesOn) {
  NatsServer server;
  FeedStream feed(server.config(), "events");
  feed.create();
  feed.publish(1, 5000);
  for (int round = 0; round < 10; ++round) {
    Collector got;
    auto service = connect(server.config());
    ASSERT_TRUE(service->subscribe(events_from(Start::at_first()), got.callback()).ok());
    ASSERT_TRUE(got.holds(static_cast<std::size_t>(round * 100)));
    const auto start = std::chrono::steady_clock::now();
    service.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  }
  server.kill_hard();
  auto service = connect(server.config());
  ASSERT_TRUE(
      service->subscribe(events_from(Start::at_new()), [](const FeedMessage&) { return true; })
          .ok());
  const auto start = std::chrono::steady_clock::now();
  service.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

}  // namespace
}  // namespace feedvault
