// Live readers over server-sent events: every message from their start, in order, once.

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/mutex.h"
#include "client/nats/connection.h"
#include "client/nats/jetstream.h"
#include "tests/integration/gateway/gateway_process.h"

namespace feedvault::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// A browser: comes back with the last id whenever the connection ends, until it has so many
/// messages.
class Browser {
 public:
  Browser(std::uint16_t port, std::string target, std::size_t wanted)
      : port_(port), target_(std::move(target)), wanted_(wanted), thread_([this] { run(); }) {}
  ~Browser() {
    gives_up_ = true;
    thread_.join();
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  bool wait_until_done(std::chrono::seconds patience = std::chrono::seconds(100)) {
    return eventually([this] { return done_.load(); }, patience);
  }
  std::size_t count() const {
    MutexLock lock(mutex_);
    return received_.size();
  }
  std::vector<json> received() const {
    MutexLock lock(mutex_);
    return received_;
  }
  /// "12 -> 14 after 12 messages", or "" for positions that follow one another from `first` on.
  std::string out_of_order(std::uint64_t first) const {
    MutexLock lock(mutex_);
    for (std::size_t i = 0; i < received_.size(); ++i) {
      if (received_[i]["seq"] != first + i) {
        return std::to_string(first + i) + " was to come, and it was " + received_[i].dump();
      }
    }
    return {};
  }

 private:
  void run() {
    std::string last;
    while (!gives_up_ && !done_) {
      std::vector<std::string> headers;
      if (!last.empty()) {
        headers.push_back("Last-Event-ID: " + last);
      }
      EventReader reader(port_, target_, headers, std::chrono::seconds(5));
      if (reader.head().status != 200) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // as browsers do
        continue;
      }
      while (!gives_up_ && !done_) {
        const auto event = reader.next();
        if (!reader.last_id().empty()) {
          last = reader.last_id();
        }
        if (!event) {
          break;
        }
        MutexLock lock(mutex_);
        received_.push_back(json::parse(event->data));
        done_ = received_.size() >= wanted_;
      }
    }
  }

  const std::uint16_t port_;
  const std::string target_;
  const std::size_t wanted_;
  mutable Mutex mutex_;
  std::vector<json> received_ GUARDED_BY(mutex_);
  std::atomic<bool> done_{false};
  std::atomic<bool> gives_up_{false};
  std::thread thread_;
};

class GatewayLive : public ::testing::Test {
 protected:
  GatewayLive() {
    installation_.start_ready("a");
    gateway_ = std::make_unique<GatewayProcess>(installation_);
    EXPECT_TRUE(gateway_->wait_until_ready()) << gateway_->log();
  }

  FeedUnderTest& events() { return installation_.events(); }
  void publish(std::size_t count) {
    const std::uint64_t before = events().producer.sent_count();
    events().producer.acknowledged(count);
    ASSERT_TRUE(events().wait_until_published(before + count));
  }
  /// The feed stream forgets everything below.
  void trim(std::uint64_t below) {
    const auto connection =
        nats::Connection::open(installation_.config().nats, {.name = "trim", .on_state = nullptr});
    ASSERT_TRUE(connection.has_value());
    nats::JetStream jetstream(**connection, std::chrono::seconds(5));
    auto stream = jetstream.stream_info("FEED_events");
    ASSERT_TRUE(stream.has_value());
    // It denies purges, but not limits.
    nats::StreamConfig config = stream->config;
    config.max_msgs = static_cast<std::int64_t>(stream->last_seq + 1 - below);
    ASSERT_TRUE(jetstream.update_stream(config).has_value());
    EXPECT_TRUE(eventually([&] {
      stream = jetstream.stream_info("FEED_events");
      return stream.has_value() && stream->first_seq == below;
    }));
    config.max_msgs = -1;
    ASSERT_TRUE(jetstream.update_stream(config).has_value());
  }
  std::vector<std::uint64_t> read(EventReader& reader, std::size_t count) {
    std::vector<std::uint64_t> seqs;
    while (seqs.size() < count) {
      const auto event = reader.next();
      if (!event) {
        ADD_FAILURE() << "the stream ended after " << seqs.size() << "\n" << gateway_->log();
        break;
      }
      seqs.push_back(json::parse(event->data).value("seq", std::uint64_t{0}));
      EXPECT_EQ(event->id, "events:" + std::to_string(seqs.back()));
    }
    return seqs;
  }
  static std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> seqs;
    for (; first <= last; ++first) {
      seqs.push_back(first);
    }
    return seqs;
  }

  Installation installation_;
  std::unique_ptr<GatewayProcess> gateway_;
};

TEST_F(GatewayLive, StartsWhereItIsTold) {
  publish(40);
  const std::vector<Delivered> rows = events().checker.table();
  const std::string live = "/feeds/events/live";
  struct Case {
    std::string target;
    std::vector<std::string> headers;
    std::uint64_t first;
  };
  const std::vector<Case> cases{
      {live + "?from=first", {}, 1},
      {live + "?from=31", {}, 31},
      {live + "?from=0", {}, 1},
      {live + "?from=" + format_rfc3339_us(rows[19].timestamp_us), {}, 20},
      {live + "?from=first", {"Last-Event-ID: events:35"}, 36},
      {live, {"Last-Event-ID: events:0"}, 1}};
  for (const Case& each : cases) {
    EventReader reader(gateway_->port(), each.target, each.headers);
    EXPECT_EQ(reader.head().header("content-type"), "text/event-stream");
    const std::string start = reader.head().header("feedvault-start");
    const auto first = static_cast<std::uint64_t>(std::stoul(start.substr(start.find(':') + 1)));
    EXPECT_LE(first, each.first) << "several may have one time";
    EXPECT_EQ(read(reader, 41 - first), range(first, 40)) << each.target;
    if (each.target.find('T') == std::string::npos) {
      EXPECT_EQ(first, each.first) << each.target;
    }
  }
  EventReader fresh(gateway_->port(), live);
  EXPECT_EQ(fresh.head().header("feedvault-start"), "events:41");
  publish(3);
  EXPECT_EQ(read(fresh, 3), range(41, 43));
}

/// A connection from `new` ends before its first message: the next one begins where it did.
TEST_F(GatewayLive, WhoIsCutOffBeforeTheFirstMessageMissesNothing) {
  const std::string live = "/feeds/events/live";
  for (const bool orderly : {false, true}) {
    const std::uint64_t last = events().producer.sent_count();
    const std::string start = "events:" + std::to_string(last + 1);
    ASSERT_TRUE(eventually([&] {
      return http_request(gateway_->port(), "HEAD", live).header("feedvault-start") == start;
    }));
    EventReader reader(gateway_->port(), live);
    ASSERT_EQ(reader.head().header("feedvault-start"), start);
    if (orderly) {
      EXPECT_EQ(gateway_->terminate(), 0);
    } else {
      gateway_->kill_hard();
    }
    EXPECT_FALSE(reader.next().has_value());
    EXPECT_EQ(reader.last_id(), "events:" + std::to_string(last));
    publish(3);
    gateway_->start();
    EventReader again(gateway_->port(), live, {"Last-Event-ID: " + reader.last_id()});
    EXPECT_EQ(read(again, 3), range(last + 1, last + 3));
  }
}

TEST_F(GatewayLive, WhatItSendsIsTheTable) {
  publish(25);
  EventReader reader(gateway_->port(), "/feeds/events/live?from=first");
  const std::vector<Delivered> rows = events().checker.table();
  for (const Delivered& row : rows) {
    const auto event = reader.next();
    ASSERT_TRUE(event.has_value());
    const json message = json::parse(event->data);
    EXPECT_EQ(message["id"], row.id);
    EXPECT_EQ(message["timestamp"], format_rfc3339_us(row.timestamp_us));
    EXPECT_THAT(message["body"]["matchTitle"].get<std::string>(), HasSubstr("match "));
  }
}

TEST_F(GatewayLive, WrongStartsAreToldWhatWouldBeRight) {
  const std::string live = "/feeds/events/live";
  for (const char* query :
       {"?from=yesterday", "?from=-1", "?from=1&from=2", "?since=1", "?from=%00"}) {
    const auto answer = gateway_->get(live + query);
    EXPECT_EQ(answer.status, 400) << query;
    EXPECT_EQ(answer.header("content-type"), "application/problem+json");
  }
  for (const char* id : {"executions:1", "1", "events:", "events:x", "events:-1"}) {
    EXPECT_EQ(gateway_->get(live, {"Last-Event-ID: " + std::string(id)}).status, 400) << id;
  }
  EXPECT_EQ(gateway_->get("/feeds/nosuch/live").status, 404);
  EXPECT_EQ(gateway_->get(live, {"Accept: application/json"}).status, 406);
  EXPECT_EQ(http_request(gateway_->port(), "HEAD", live).status, 200);
}

TEST_F(GatewayLive, WhatTheStreamHasForgottenComesFromTheTable) {
  publish(60);
  trim(50);
  gateway_->kill_hard();
  gateway_->start();
  EventReader reader(gateway_->port(), "/feeds/events/live?from=first");
  EXPECT_EQ(read(reader, 60), range(1, 60));
  publish(5);
  EXPECT_EQ(read(reader, 5), range(61, 65)) << "and goes on live";
}

TEST_F(GatewayLive, WhatNobodyHasIsSaidWithItsRange) {
  publish(60);
  trim(50);
  installation_.sql("DELETE FROM Messages WHERE feed=1 AND seq BETWEEN 10 AND 20");
  gateway_->kill_hard();
  gateway_->start();
  EventReader reader(gateway_->port(), "/feeds/events/live?from=5");
  EXPECT_EQ(read(reader, 5), range(5, 9));
  const auto gap = reader.next();
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(gap->event, "gap");
  EXPECT_EQ(gap->id, "events:20");
  EXPECT_EQ(json::parse(gap->data), json({{"first", 10}, {"last", 20}}));
  EXPECT_EQ(read(reader, 40), range(21, 60));
}

TEST_F(GatewayLive, NothingIsMissedOrRepeatedWhenEverythingRestarts) {
  constexpr std::size_t kRound = 30;
  constexpr std::size_t kRounds = 5;
  publish(kRound);
  Browser from_first(gateway_->port(), "/feeds/events/live?from=first", kRound * kRounds);
  Browser from_half(gateway_->port(), "/feeds/events/live?from=15", kRound * kRounds - 14);
  const auto reaches = [&](std::size_t messages) {
    return eventually([&] { return from_first.count() >= messages; }, std::chrono::seconds(60));
  };
  ASSERT_TRUE(reaches(kRound));
  gateway_->kill_hard();
  publish(kRound);
  gateway_->start();
  ASSERT_TRUE(reaches(2 * kRound)) << gateway_->log();
  installation_.broker().kill_hard();
  installation_.broker().start();
  publish(kRound);
  ASSERT_TRUE(reaches(3 * kRound)) << gateway_->log();
  installation_.database().kill_hard();
  installation_.database().start();
  publish(kRound);
  ASSERT_TRUE(reaches(4 * kRound)) << gateway_->log();
  EXPECT_EQ(gateway_->terminate(), 0) << "in an orderly way, with readers on it";
  trim(4 * kRound);
  gateway_->start();
  publish(kRound);
  EXPECT_TRUE(from_first.wait_until_done()) << gateway_->log();
  EXPECT_TRUE(from_half.wait_until_done());
  EXPECT_EQ(from_first.out_of_order(1), "");
  EXPECT_EQ(from_half.out_of_order(15), "");
}

TEST_F(GatewayLive, ReadersComeWithoutBrokerAndWithoutDatabase) {
  publish(10);
  installation_.broker().stop();
  gateway_->kill_hard();
  gateway_->start();
  EventReader reader(gateway_->port(), "/feeds/events/live?from=1");
  EXPECT_EQ(read(reader, 10), range(1, 10)) << "out of the table";
  EXPECT_TRUE(eventually([&] {
    return gateway_->get("/readyz").body.find("no connection to the broker") != std::string::npos;
  }));
  installation_.broker().start();
  publish(2);
  EXPECT_EQ(read(reader, 2), range(11, 12));
  installation_.database().stop();
  EventReader later(gateway_->port(), "/feeds/events/live?from=8");
  EXPECT_EQ(read(later, 5), range(8, 12)) << "out of the ring";
  EXPECT_EQ(gateway_->get("/feeds/events/messages").status, 503);
  EXPECT_EQ(gateway_->get("/livez").status, 200);
  installation_.database().start();
}

TEST_F(GatewayLive, ASlowReaderGetsEverythingAndHoldsNobodyUp) {
  publish(10);
  EventReader slow(gateway_->port(), "/feeds/events/live?from=1");
  slow.client().limit_receive_buffer(2048);
  EventReader quick(gateway_->port(), "/feeds/events/live?from=1");
  publish(400);
  EXPECT_EQ(read(quick, 410), range(1, 410));
  EXPECT_EQ(read(slow, 410), range(1, 410));
}

}  // namespace
}  // namespace feedvault::testing
