// Subscribers that start anywhere - in the past, near the boundary between table and stream, at the
// end and behind it - while both feeds run, retention trims the streams, and broker, database and
// gateway are killed: each gets what the table has from its start on, in order, once.
//
//   FEEDVAULT_CHAOS_SEED=7       repeats a run's decisions (their timing is the machine's)
//   FEEDVAULT_CHAOS_SECONDS=600  lasts so long; 6 when not given

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "client/nats/jetstream.h"
#include "tests/chaos/join_readers.h"
#include "tests/chaos/load.h"
#include "tests/integration/gateway/gateway_process.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Each has threads of its own.
constexpr std::size_t kReadersMax = 30;
// Before the first subscriber comes there is a past.
constexpr std::size_t kPast = 300;
constexpr seconds kSettle{120};

class JoinUnderKills : public ::testing::Test {
 protected:
  JoinUnderKills()
      : seed_(number_from_environment("FEEDVAULT_CHAOS_SEED", std::random_device{}())),
        random_(seed_) {
    installation_.start_ready("a");
    gateway_ = std::make_unique<GatewayProcess>(installation_);
    connection_ = nats::Connection::open(installation_.config().nats,
                                         {.name = "retention", .on_state = nullptr})
                      .value();
  }
  ~JoinUnderKills() override {
    for (const auto& reader : readers_) {
      reader->give_up();
    }
    gateway_->kill_hard();  // so that nobody waits for it
  }

  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  void note(const std::string& what) { story_ += what + "\n"; }

  std::vector<FeedUnderTest*> feeds() {
    return {&installation_.events(), &installation_.executions()};
  }
  static const std::string& name_of(const FeedUnderTest& feed) {
    return feed.checker.places().feed.name;
  }

  /// What retention does, with limits of some messages in place of days.
  void trim(const FeedUnderTest& feed) {
    const int keep = between(0, 1) == 0 ? between(5, 60) : between(100, 500);
    note("the stream of " + name_of(feed) + " keeps " + std::to_string(keep) + " messages");
    nats::JetStream jetstream(*connection_, seconds(2));
    const bool trimmed = eventually([&] {
      const auto stream = jetstream.stream_info(feed.checker.places().feed.feed_stream());
      if (!stream.has_value()) {
        return false;
      }
      nats::StreamConfig config = stream->config;
      config.max_msgs = keep;
      const auto updated = jetstream.update_stream(config);
      if (!updated.has_value()) {
        return false;
      }
      first_[name_of(feed)] = updated->first_seq;
      return true;
    });
    EXPECT_TRUE(trimmed) << name_of(feed);
  }

  std::uint64_t random_start(const FeedUnderTest& feed) {
    const auto last = static_cast<int>(feed.subscriber.received_count());
    const auto boundary = static_cast<int>(first_[name_of(feed)]);
    switch (between(0, 4)) {
      case 0:
      case 1:
        return static_cast<std::uint64_t>(between(1, std::max(1, last)));
      case 2:
      case 3:
        return static_cast<std::uint64_t>(std::max(1, boundary + between(-3, 30)));
      default:
        return static_cast<std::uint64_t>(std::max(1, last + between(-5, 10)));
    }
  }

  void start_reader(const FeedUnderTest& feed) {
    if (readers_.size() >= kReadersMax) {
      return;
    }
    const NatsConfig& broker = installation_.config().nats;
    const std::uint64_t start = random_start(feed);
    switch (between(0, 6)) {
      case 0:
      case 1:
      case 2:
        readers_.push_back(std::make_unique<SseReader>(gateway_->port(), name_of(feed), start));
        break;
      case 3:
        readers_.push_back(std::make_unique<SseReader>(gateway_->port(), name_of(feed), 0));
        break;
      case 4:
      case 5:
        readers_.push_back(std::make_unique<ServiceReader>(broker, name_of(feed), start));
        break;
      default:
        readers_.push_back(std::make_unique<PageReader>(broker, name_of(feed), start));
        break;
    }
    note("start a " + readers_.back()->name());
  }

  template <typename Server>
  void kill(const std::string& name, Server& server) {
    note("kill -9 " + name);
    server.kill_hard();
    // It is away for a random time: that is what is done to the readers.
    std::this_thread::sleep_for(milliseconds(between(0, 300)));
    server.start();
  }

  void disturb() {
    // Undisturbed for a random time: faults come at any moment, and there is nothing to wait for.
    std::this_thread::sleep_for(milliseconds(between(20, 300)));
    FeedUnderTest& feed = *feeds()[static_cast<std::size_t>(between(0, 1))];
    switch (between(0, 11)) {
      case 0:
      case 1:
      case 2:
        trim(feed);
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        start_reader(feed);
        break;
      case 7:
        kill("database", installation_.database());
        break;
      case 8:
      case 9:
        kill("broker", installation_.broker());
        break;
      default:
        kill("gateway", *gateway_);
        break;
    }
  }

  void live_through_it() {
    for (FeedUnderTest* feed : feeds()) {
      ASSERT_TRUE(eventually([&] { return feed->subscriber.received_count() >= kPast; }, kSettle));
      trim(*feed);
      for (int i = 0; i < 5; ++i) {
        start_reader(*feed);
      }
    }
    const auto end =
        steady_clock::now() + seconds(number_from_environment("FEEDVAULT_CHAOS_SECONDS", 6));
    while (steady_clock::now() < end && !HasFailure()) {
      disturb();
    }
  }

  /// All that was captured is in the table and in the stream; how much that is.
  std::uint64_t settle(FeedUnderTest& feed) {
    std::uint64_t last = 0;
    const bool settled = eventually(
        [&] {
          const auto state = feed.checker.summary().state;
          last = state.last_seq;
          return last >= feed.producer.sent_count() &&
                 state.ingest.stream_seq == feed.checker.stream_tail(feed.ingest_stream_name()) &&
                 feed.checker.stream_tail(feed.checker.places().feed.feed_stream()) == last;
        },
        kSettle);
    EXPECT_TRUE(settled) << name_of(feed) << "\n" << installation_.controller("a").log();
    EXPECT_EQ(last, feed.producer.sent_count()) << name_of(feed);
    return last;
  }

  void check_readers(FeedUnderTest& feed) {
    const std::uint64_t last = settle(feed);
    const FeedConfig& config = feed.checker.places().feed;
    const std::vector<Delivered> rows = feed.checker.table();
    ASSERT_EQ(rows.size(), last);
    const Expected expected(
        rows, installation_.folder() + "/proto/" + config.message + ".proto", config.message);
    EXPECT_TRUE(eventually([&] { return feed.subscriber.received_count() >= last; }, kSettle));
    EXPECT_TRUE(feed.subscriber.received() == rows) << "a StreamService from the first message on";
    for (const auto& reader : readers_) {
      if (reader->name().find(" " + name_of(feed) + " ") == std::string::npos) {
        continue;
      }
      eventually([&] { return reader->next() > last; },
                 std::chrono::duration_cast<milliseconds>(deadline_ - steady_clock::now()));
      EXPECT_EQ(reader->difference(expected), "") << reader->name();
    }
  }

  const unsigned seed_;
  std::mt19937 random_;
  std::string story_;
  steady_clock::time_point deadline_;  // of all readers together
  Installation installation_;
  std::unique_ptr<GatewayProcess> gateway_;
  std::unique_ptr<nats::Connection> connection_;
  std::map<std::string, std::uint64_t> first_;  // where the feeds' streams begin, by feed
  std::vector<std::unique_ptr<JoinReader>> readers_;
};

TEST_F(JoinUnderKills, EverySubscriberGetsEveryMessageFromItsStartInOrderOnce) {
  std::printf("FEEDVAULT_CHAOS_SEED=%u\n", seed_);
  std::fflush(stdout);
  {
    const Load load(installation_, Load::Events::kUnsure);
    live_through_it();
  }
  ASSERT_TRUE(note_captured(installation_.events())) << story_;
  deadline_ = steady_clock::now() + 2 * kSettle;
  for (FeedUnderTest* feed : feeds()) {
    check_readers(*feed);
  }
  EXPECT_EQ(installation_.value("SELECT COUNT(*) FROM Quarantine"), "0");
  EXPECT_EQ(installation_.value("SELECT COUNT(*) FROM Gaps"), "0");
  if (HasFailure()) {
    std::printf("%s%s\n", story_.c_str(), gateway_->log().c_str());
  }
  std::printf("%zu subscribers, %zu events, %zu executions\n",
              readers_.size(),
              installation_.events().producer.sent_count(),
              installation_.executions().producer.sent_count());
}

}  // namespace
}  // namespace feedvault::testing
