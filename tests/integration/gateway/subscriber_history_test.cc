// StreamService over the whole of a feed: table, boundary and stream.

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tests/integration/client/collector.h"
#include "tests/integration/gateway/history_fixture.h"
#include "tests/support/sanitized.h"

namespace feedvault::gateway {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::FeedStream;
using Gaps = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

/// A StreamService with one subscription and what came of it.
class Reader {
 public:
  Reader(const NatsConfig& broker, SubscribeOptions options) {
    StreamService::Options service_options;
    service_options.on_gap = got.on_gap();
    service_options.on_phase = [this](const std::string&, Phase phase, const std::string& why) {
      MutexLock lock(mutex_);
      phase_ = phase;
      ++phases_[phase];
      if (!why.empty()) {
        why_ = why;
      }
    };
    auto service = StreamService::connect(broker, std::move(service_options));
    EXPECT_TRUE(service) << service.status().to_string();
    service_ = std::move(*service);
    options.feed = "events";
    const Status subscribed = service_->subscribe(options, got.callback());
    EXPECT_TRUE(subscribed.ok()) << subscribed.to_string();
  }

  bool reaches(Phase phase) {
    return eventually([&] { return this->phase() == phase; }, 60s);
  }
  Phase phase() {
    MutexLock lock(mutex_);
    return phase_;
  }
  int times(Phase phase) {
    MutexLock lock(mutex_);
    return phases_[phase];
  }
  std::string why() {
    MutexLock lock(mutex_);
    return why_;
  }
  StreamService& service() { return *service_; }
  void close() { service_.reset(); }

  Collector got;

 private:
  Mutex mutex_;
  Phase phase_ GUARDED_BY(mutex_) = Phase::kStarting;
  std::map<Phase, int> phases_ GUARDED_BY(mutex_);
  std::string why_ GUARDED_BY(mutex_);
  std::unique_ptr<StreamService> service_;  // last: its thread uses the rest
};

class SubscriberHistoryTest : public HistoryTest {
 protected:
  std::unique_ptr<Reader> read_from(Start start, bool history = true) {
    SubscribeOptions options;
    options.start = start;
    options.history = history;
    return std::make_unique<Reader>(broker_.config(), options);
  }
};

TEST_F(SubscriberHistoryTest, FirstIsTheTablesFirstAndLiveFollows) {
  append_until(5000);
  trim_to(4001);
  const auto service = start_service();
  const auto reader = read_from(Start::at_first());
  ASSERT_TRUE(reader->got.holds(5000));
  EXPECT_TRUE(reader->reaches(Phase::kLive));
  append_until(5100);
  ASSERT_TRUE(reader->got.holds(5100));
  EXPECT_TRUE(reader->got.is_exactly(1, 5100));
  EXPECT_TRUE(reader->got.gaps().empty());
  EXPECT_EQ(reader->times(Phase::kHistory), 1);
  EXPECT_EQ(reader->times(Phase::kWaiting), 0);
}

TEST_F(SubscriberHistoryTest, StartsAtPositionsAndTimesOfThePast) {
  append_until(3000);
  trim_to(2001);
  const auto service = start_service();
  std::vector<std::pair<std::uint64_t, std::unique_ptr<Reader>>> readers;
  for (const std::uint64_t seq : {1U, 17U, 1999U, 2000U, 2001U, 2002U, 2999U, 3000U, 3001U}) {
    readers.emplace_back(seq, read_from(Start::at_seq(seq)));
    readers.emplace_back(seq, read_from(Start::at_time(FeedStream::timestamp_us_of(seq))));
  }
  readers.emplace_back(3002, read_from(Start::at_seq(3002)));
  for (const auto& [seq, reader] : readers) {
    EXPECT_TRUE(reader->reaches(Phase::kLive)) << seq << " " << reader->why();
  }
  append_until(3100);
  for (const auto& [seq, reader] : readers) {
    ASSERT_TRUE(reader->got.holds(3100 - seq + 1)) << seq;
    EXPECT_TRUE(reader->got.is_exactly(seq, 3100)) << seq;
    EXPECT_TRUE(reader->got.gaps().empty()) << seq;
  }
}

TEST_F(SubscriberHistoryTest, ATimeBeforeEverythingStartsAtTheTablesFirst) {
  append_until(100);
  delete_rows(1, 10);
  trim_to(51);
  const auto service = start_service();
  const auto reader = read_from(Start::at_time(FeedStream::timestamp_us_of(1)));
  ASSERT_TRUE(reader->got.holds(90));
  EXPECT_TRUE(reader->got.is_exactly(11, 100));
  EXPECT_TRUE(reader->got.gaps().empty());
}

TEST_F(SubscriberHistoryTest, NoServiceMeansWaitingAndLosesNothing) {
  append_until(300);
  trim_to(201);
  const auto reader = read_from(Start::at_seq(5));
  ASSERT_TRUE(reader->reaches(Phase::kWaiting));
  EXPECT_NE(reader->why().find("feedvault-gateway"), std::string::npos) << reader->why();
  append_until(310);
  EXPECT_EQ(reader->got.count(), 0U);
  auto service = start_service();
  ASSERT_TRUE(reader->got.holds(306));
  EXPECT_TRUE(reader->got.is_exactly(5, 310));
  EXPECT_TRUE(reader->got.gaps().empty());
  service.reset();
  append_until(320);  // live needs no service
  ASSERT_TRUE(reader->got.holds(316));
  EXPECT_TRUE(reader->got.is_exactly(5, 320));
}

TEST_F(SubscriberHistoryTest, WithoutHistoryTheStreamsLossIsAGap) {
  append_until(300);
  trim_to(201);
  const auto service = start_service();
  const auto reader = read_from(Start::at_seq(5), /*history=*/false);
  ASSERT_TRUE(reader->got.holds(100));
  EXPECT_TRUE(reader->got.is_exactly(201, 300));
  EXPECT_EQ(reader->got.gaps(), (Gaps{{5, 200}}));
  const auto first = read_from(Start::at_first(), /*history=*/false);
  ASSERT_TRUE(first->got.holds(100));
  EXPECT_TRUE(first->got.gaps().empty());
}

TEST_F(SubscriberHistoryTest, OnlyWhatTheTableDoesNotHaveIsAGap) {
  append_until(300);
  trim_to(201);
  delete_rows(1, 9);
  delete_rows(50, 60);
  delete_rows(195, 210);
  const auto service = start_service();
  const auto reader = read_from(Start::at_seq(5));
  ASSERT_TRUE(reader->got.holds(300 - 4 - 5 - 11 - 6));
  EXPECT_EQ(reader->got.gaps(), (Gaps{{5, 9}, {50, 60}, {195, 200}}));
  std::vector<std::uint64_t> expected;
  for (std::uint64_t seq = 10; seq <= 300; ++seq) {
    if ((seq < 50 || seq > 60) && (seq < 195 || seq > 200)) {
      expected.push_back(seq);
    }
  }
  EXPECT_EQ(reader->got.seqs(), expected);
}

TEST_F(SubscriberHistoryTest, AMessageDeletedFromTheStreamComesFromTheTable) {
  append_until(100);
  ASSERT_TRUE(stream().connection().request({.subject = "$JS.API.STREAM.MSG.DELETE.FEED_events",
                                             .reply = {},
                                             .headers = {},
                                             .payload = R"({"seq":42})"},
                                            20s));
  const auto service = start_service();
  const auto reader = read_from(Start::at_first());
  ASSERT_TRUE(reader->got.holds(100));
  EXPECT_TRUE(reader->got.is_exactly(1, 100));
}

TEST_F(SubscriberHistoryTest, TheTableIsReadWhileThereIsNoStream) {
  append_until(100);
  stream().remove();
  const auto service = start_service();
  const auto reader = read_from(Start::at_seq(11));
  ASSERT_TRUE(reader->got.holds(90));
  stream().create();
  stream().publish(1, 100);
  append_until(110);
  ASSERT_TRUE(reader->got.holds(100));
  EXPECT_TRUE(reader->got.is_exactly(11, 110));
}

TEST_F(SubscriberHistoryTest, ATableThatEndsBeforeTheStreamBeginsIsWaitedFor) {
  append_until(300);
  trim_to(201);
  // What a restored backup looks like.
  server().sql("CREATE TABLE Later AS SELECT * FROM Messages WHERE seq>100", config_.database);
  delete_rows(101, 300);
  const auto service = start_service();
  const auto reader = read_from(Start::at_first());
  ASSERT_TRUE(reader->got.holds(100));
  ASSERT_TRUE(reader->reaches(Phase::kWaiting));
  EXPECT_NE(reader->why().find("message 101"), std::string::npos) << reader->why();
  server().sql("INSERT INTO Messages SELECT * FROM Later", config_.database);
  ASSERT_TRUE(reader->got.holds(300));
  EXPECT_TRUE(reader->got.is_exactly(1, 300));
  EXPECT_TRUE(reader->got.gaps().empty());
}

TEST_F(SubscriberHistoryTest, GoesOnBehindAStoredPositionThatTheStreamHasLost) {
  append_until(100);
  testing::TempDir folder;
  auto positions = open_file_position_store(folder.path()).value();
  SubscribeOptions options;
  options.start = Start::at_stored();
  options.positions = positions.get();
  Reader before(broker_.config(), options);
  ASSERT_TRUE(before.got.holds(100));
  before.close();
  append_until(400);
  trim_to(301);
  const auto service = start_service();
  Reader after(broker_.config(), options);
  ASSERT_TRUE(after.got.holds(300));
  EXPECT_TRUE(after.got.is_exactly(101, 400));
}

TEST_F(SubscriberHistoryTest, EndsAtOnceWhateverItWaitsFor) {
  append_until(2000);
  trim_to(1901);
  auto waiting = read_from(Start::at_first());
  ASSERT_TRUE(waiting->reaches(Phase::kWaiting));
  waiting->close();
  auto service = start_service();
  auto reading = read_from(Start::at_first());
  ASSERT_TRUE(reading->got.holds(1));
  reading->close();
  auto drained = read_from(Start::at_first());
  ASSERT_TRUE(drained->got.holds(1));
  EXPECT_TRUE(drained->service().drain(60s).ok());
  const std::size_t count = drained->got.count();
  EXPECT_TRUE(drained->got.is_exactly(1, count));
  EXPECT_EQ(drained->service().position("events").seq, count);
}

TEST_F(SubscriberHistoryTest, OneInstanceOfTwoIsEnough) {
  constexpr std::uint64_t kAll = feedvault::testing::kSanitized ? 6'000 : 20'000;
  append_until(kAll);
  trim_to(kAll - 10);
  auto one = start_service();
  const auto other = start_service();
  const auto reader = read_from(Start::at_first());
  ASSERT_TRUE(reader->got.holds(3000));
  one.reset();
  ASSERT_TRUE(reader->got.holds(kAll));
  EXPECT_TRUE(reader->got.is_exactly(1, kAll));
}

/// Readers that start anywhere, while messages come, the stream forgets, and everything is
/// restarted under them.
class JoinUnderLoad : public SubscriberHistoryTest, public ::testing::WithParamInterface<unsigned> {
 protected:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  void start_readers() {
    for (int i = 0; i < 3; ++i) {
      start_reader(1 + below(last_));
    }
    // Near the boundary.
    start_reader(first_ - 1 + below(3));
    start_reader(first_ + below(20));
    start_reader(last_ + below(3));
    SubscribeOptions options;
    options.start = Start::at_first();
    readers_.emplace_back(1, std::make_unique<Reader>(broker_.config(), options));
  }
  void start_reader(std::uint64_t seq) {
    SubscribeOptions options;
    options.start = Start::at_seq(seq);
    options.max_in_flight = below(2) == 0 ? 1024 : 30;
    readers_.emplace_back(seq, std::make_unique<Reader>(broker_.config(), options));
  }
  void disturb() {
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        append_until(last_ + 1 + below(400));
        break;
      case 4:
      case 5:
      case 6:
        first_ += below(last_ - first_ + 1);
        trim_to(first_);
        break;
      case 7:
        restart_broker();
        break;
      case 8:
        service_.reset();
        service_ = start_service();
        break;
      default:
        start_reader(1 + below(last_ + 10));
    }
  }

  std::mt19937_64 random_{GetParam()};
  std::uint64_t first_ = 1;
  std::unique_ptr<HistoryService> service_;
  std::vector<std::pair<std::uint64_t, std::unique_ptr<Reader>>> readers_;
};

TEST_P(JoinUnderLoad, EachReaderGetsEachMessageOnceAndInOrder) {
  append_until(4000);
  first_ = 2500;
  trim_to(first_);
  service_ = start_service();
  start_readers();
  for (int i = 0; i < 25; ++i) {
    disturb();
    if (i == 12) {
      server().kill_hard();
      server().start();
    }
  }
  append_until(last_ + 50);
  for (const auto& [seq, reader] : readers_) {
    ASSERT_TRUE(reader->got.holds(last_ - seq + 1))
        << "from " << seq << ": " << reader->got.count() << " " << reader->why();
    EXPECT_TRUE(reader->got.is_exactly(seq, last_)) << "from " << seq;
    EXPECT_TRUE(reader->got.gaps().empty()) << "from " << seq;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds,
                         JoinUnderLoad,
                         ::testing::Range(1U, feedvault::testing::kSanitized ? 2U : 4U));

}  // namespace
}  // namespace feedvault::gateway
