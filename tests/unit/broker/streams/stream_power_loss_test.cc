// The power goes off again and again while a stream is published to. Whatever was answered is there
// afterwards, unchanged and in order; no number stands for two messages; an id that was answered is
// still known.

#include <random>

#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {
namespace {

using testing::PowerLossFileSystem;

struct CutCase {
  std::uint64_t seed = 0;
  PowerLossFileSystem::Mode mode{};
  SyncPolicy policy{};
};

class StreamPowerLossTest : public StreamTest, public ::testing::WithParamInterface<CutCase> {
 protected:
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }

  /// Publishes and commits until the power is off.
  void run_until_off() {
    while (!disk_.is_off() && stream_->failure().ok()) {
      for (std::uint64_t i = 1 + below(6); i > 0; --i) {
        publish();
      }
      if (stream_->begin_commit() == Stream::Commit::kSync) {
        for (std::uint64_t i = below(4); i > 0; --i) {
          publish();
        }
        stream_->write();
        stream_->end_commit(stream_->sync());
      }
      note_answers();
    }
  }

  void publish() {
    const std::string id = "id" + std::to_string(++published_);
    const std::string payload = id + std::string(below(300), '.');
    store("ord." + std::to_string(below(5)), payload, {{"Nats-Msg-Id", id}}, id);
    payloads_[id] = payload;
    if (below(12) == 0) {
      const StreamSeq first = stream_->log().counts().first_seq;
      const StreamSeq end = first + below(20);
      purged_below_ = std::max(purged_below_, end);
      if (stream_->purge({{}, end, 0}).has_value()) {
        stream_->when_durable([this, end](const Status& status) {
          gone_below_ = std::max(gone_below_, status.ok() ? end : 0);
        });
      }
    }
  }

  void note_answers() {
    constexpr std::string_view kStart = R"({"stream":"ORD", "seq":)";
    for (const Sent& sent : output_.sent) {
      if (sent.payload.starts_with(kStart)) {
        const StreamSeq seq = std::stoull(sent.payload.substr(kStart.size()));
        const auto [known, first] = answered_.emplace(seq, sent.to);
        ASSERT_TRUE(first || known->second == sent.to) << "number " << seq << " was used twice";
      }
    }
    output_.sent.clear();
  }

  /// With the power back.
  void start() {
    for (;;) {
      stream_.reset();
      disk_.restart();
      if (below(3) == 0) {
        disk_.cut_after(below(30), GetParam().mode);  // off again while it starts
      }
      auto opened = Stream::open(config_.name, options_);
      if (opened.has_value() && !disk_.is_off()) {
        stream_ = std::move(*opened);
        return;
      }
      ASSERT_TRUE(disk_.is_off()) << opened.error().to_string();
    }
  }

  void expect_all_there() {
    ASSERT_TRUE(stream_->recovery().damage.empty()) << stream_->recovery().damage[0].what;
    store::ReadBuffer buffer;
    ASSERT_GE(stream_->state().first_seq, gone_below_) << "what was purged is back";
    for (const auto& [seq, id] : answered_) {
      if (seq < purged_below_) {
        continue;
      }
      const auto message = stream_->get(seq, buffer);
      ASSERT_TRUE(message.has_value()) << "message " << seq << " is lost";
      ASSERT_EQ(message->payload, payloads_[id]) << "message " << seq;
    }
    ASSERT_GE(stream_->state().last_seq, answered_.empty() ? 0 : answered_.rbegin()->first);
    // A few of the answered ones once more: they are known.
    for (int i = 0; i < 5 && !answered_.empty(); ++i) {
      auto one = answered_.begin();
      std::advance(one, static_cast<std::ptrdiff_t>(below(answered_.size())));
      if (one->first < purged_below_) {
        continue;
      }
      ASSERT_EQ(store("ord.1", "again", {{"Nats-Msg-Id", one->second}}),
                Stream::Outcome::kDuplicate);
    }
  }

  std::mt19937_64 random_{GetParam().seed};
  std::map<std::string, std::string> payloads_;  // by id
  std::map<StreamSeq, std::string> answered_;    // numbers to ids
  std::uint64_t published_ = 0;
  StreamSeq purged_below_ = 0;  // these may be gone
  StreamSeq gone_below_ = 0;    // and these must be
};

TEST_P(StreamPowerLossTest, KeepsWhatItAnswered) {
  options_.sync = GetParam().policy;
  options_.log.segment_bytes = 4096;
  options_.log.write_buffer_bytes = 1024;
  if (GetParam().seed % 2 == 0) {
    with_consumers();
    consumers_.wants_written = true;
  }
  create();
  for (int cut = 0; cut < 30 && !HasFatalFailure(); ++cut) {
    SCOPED_TRACE("seed " + std::to_string(GetParam().seed) + " cut " + std::to_string(cut));
    disk_.cut_after(below(60), GetParam().mode);
    run_until_off();
    start();
    if (GetParam().policy == SyncPolicy::kAlways) {
      expect_all_there();
    } else {
      // Answers are no promise here, but numbers are never used twice.
      ASSERT_GE(stream_->state().last_seq, answered_.empty() ? 0 : answered_.rbegin()->first);
    }
  }
  EXPECT_GT(answered_.size(), 10U);
}

std::vector<CutCase> all_cuts() {
  std::vector<CutCase> cases;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    for (const auto mode :
         {PowerLossFileSystem::Mode::kForget, PowerLossFileSystem::Mode::kKeepSome}) {
      for (const auto policy : {SyncPolicy::kAlways, SyncPolicy::kInterval}) {
        cases.push_back({seed, mode, policy});
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Seeds, StreamPowerLossTest, ::testing::ValuesIn(all_cuts()));

class CreateTest : public StreamTest {};

TEST_F(CreateTest, AStreamThatWasReportedMadeIsThereAfterAPowerCut) {
  create();
  disk_.cut_now(PowerLossFileSystem::Mode::kForget);
  stream_.reset();
  disk_.restart();
  auto opened = Stream::open("ORD", options_);
  ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
  EXPECT_EQ((*opened)->config(), config_);
}

TEST_F(CreateTest, ADeletionIsWholeWhereverThePowerGoesOff) {
  for (std::uint64_t operations = 0;; ++operations) {
    disk_.restart();
    config_.name = "S" + std::to_string(operations);
    config_.subjects = {"ord.>"};
    create();
    ASSERT_NE(stream_, nullptr);
    store("ord.a", "1", {}, {});
    stream_->commit();
    disk_.cut_after(operations, PowerLossFileSystem::Mode::kKeepSome);
    const Status deleted = stream_->destroy();
    const bool all = !disk_.is_off();
    disk_.cut_now(PowerLossFileSystem::Mode::kForget);
    stream_.reset();
    disk_.restart();
    auto opened = Stream::open(config_.name, options_);
    if (deleted.ok()) {
      ASSERT_FALSE(opened.has_value()) << operations;
    }
    if (opened.has_value()) {
      // Not deleted at all then.
      ASSERT_EQ((*opened)->state().messages, 1U) << operations;
    } else {
      ASSERT_EQ(opened.error().code(), StatusCode::kNotFound) << opened.error().to_string();
    }
    if (all) {
      break;
    }
  }
}

}  // namespace
}  // namespace feedvault::broker::streams
