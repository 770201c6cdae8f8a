// Bits flip and files end early, anywhere. Whatever is not hit stays, what is hit is reported and
// served to nobody, and no number is used again.

#include <set>

#include <gtest/gtest.h>

#include "broker/store/check_store.h"
#include "broker/store/format.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

using testing::PowerLossFileSystem;

/// A log of some segments with removals in it, closed or killed after a sync.
class Damaged {
 public:
  explicit Damaged(std::uint64_t seed) : random_(seed), fs_(seed) {
    static_cast<void>(fs_.make_dir("/store"));
    options_.segment_bytes = 4000 + random_.below(8000);
    options_.reserve_step = 1000;
    auto log = open();
    for (int i = 0; i < 150; ++i) {
      const ModelMessage message = random_.message();
      const auto seq = append(*log, message);
      EXPECT_TRUE(seq.has_value());
      messages_.emplace(seq.has_value() ? *seq : 0, message);
      if (random_.below(8) == 0) {
        const StreamSeq victim = 1 + random_.below(*seq);
        if (log->remove(victim).ok()) {
          removed_.insert(victim);
        }
      }
      if (random_.below(6) == 0) {
        EXPECT_OK(log->sync());
      }
    }
    clean_ = random_.below(2) == 0;
    EXPECT_OK(clean_ ? log->close() : log->sync());
    last_seq_ = log->last_seq();
  }

  std::unique_ptr<MessageLog> open() {
    auto log = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    EXPECT_TRUE(log.has_value()) << show(log.error());
    return log.has_value() ? std::move(*log) : nullptr;
  }

  std::string any_file(bool segments_only) {
    for (;;) {
      const auto files = fs_.files();
      std::string path = files[random_.below(files.size())];
      if (!segments_only || path.find("segment-") != std::string::npos) {
        return path;
      }
    }
  }

  /// How many messages cannot be read any more. Everything else must be what it was.
  std::size_t missing(MessageLog& log) {
    std::size_t gone = 0;
    const ModelMessages found = read_all(log);
    const std::vector<Damage> damage = log.damage();
    const bool removals_lost = std::ranges::any_of(damage, [](const Damage& each) {
      return each.what.find("unreadable") != std::string::npos ||
             each.what.find("removals") != std::string::npos;
    });
    for (const auto& [seq, message] : found) {
      EXPECT_TRUE(messages_.contains(seq) && messages_.at(seq) == message) << seq;
      EXPECT_TRUE(!removed_.contains(seq) || removals_lost) << seq << " is back without a word";
    }
    for (const auto& [seq, message] : messages_) {
      if (removed_.contains(seq) || found.contains(seq)) {
        continue;
      }
      ++gone;
      ReadBuffer buffer;
      EXPECT_EQ(log.read(seq, buffer).error().code(), StatusCode::kCorruption) << seq;
      const bool told = std::ranges::any_of(damage, [seq = seq](const Damage& each) {
        return each.first_seq <= seq && seq <= each.last_seq;
      });
      EXPECT_TRUE(told) << seq << " is gone without a word";
    }
    return gone;
  }

  /// New messages get new numbers and everything can go on.
  void go_on(MessageLog& log) {
    EXPECT_GE(log.last_seq(), last_seq_);
    const auto seq = append(log, random_.message());
    ASSERT_TRUE(seq.has_value()) << show(seq.error());
    EXPECT_GT(*seq, last_seq_);
    EXPECT_OK(log.close());
  }

  RandomMessages random_;
  PowerLossFileSystem fs_;
  LogOptions options_;
  ModelMessages messages_;
  std::set<StreamSeq> removed_;
  StreamSeq last_seq_ = 0;
  bool clean_ = false;
};

TEST(LogDamage, AFlippedBitCostsAtMostItsRecord) {
  std::size_t harmless = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Damaged damaged(seed);
    const std::string path = damaged.any_file(seed % 8 != 0);
    std::string bytes = damaged.fs_.contents(path);
    const std::uint64_t bit = damaged.random_.below(bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    damaged.fs_.set_contents(path, bytes);
    const auto report = check_store(damaged.fs_, "/store");
    ASSERT_TRUE(report.has_value());
    auto log = damaged.open();
    ASSERT_TRUE(log != nullptr);
    const std::size_t gone = damaged.missing(*log);
    EXPECT_LE(gone, 1U) << path << " byte " << bit / 8;
    EXPECT_TRUE(gone == 0 || !report->healthy()) << "the check found nothing";
    harmless += gone == 0 ? 1 : 0;
    damaged.go_on(*log);
    if (::testing::Test::HasFailure()) {
      break;
    }
  }
  // Most bytes belong to messages.
  EXPECT_LT(harmless, 100U);
}

TEST(LogDamage, AFileThatEndsEarlyCostsWhatWasBehind) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Damaged damaged(seed);
    const std::string path = damaged.any_file(seed % 8 != 0);
    std::string bytes = damaged.fs_.contents(path);
    bytes.resize(damaged.random_.below(bytes.size()));
    damaged.fs_.set_contents(path, bytes);
    auto log = damaged.open();
    ASSERT_TRUE(log != nullptr);
    std::size_t in_file = 0;
    const ModelMessages found = read_all(*log);
    for (const Damage& damage : log->damage()) {
      if (damage.first_seq != 0) {
        in_file += damage.last_seq - damage.first_seq + 1;
      }
    }
    for (const auto& [seq, message] : found) {
      EXPECT_TRUE(damaged.messages_.at(seq) == message);
    }
    for (const auto& [seq, message] : damaged.messages_) {
      ReadBuffer buffer;
      EXPECT_TRUE(found.contains(seq) || damaged.removed_.contains(seq) ||
                  log->read(seq, buffer).error().code() == StatusCode::kCorruption)
          << seq << " is gone without a word";
    }
    EXPECT_TRUE(in_file == 0 || !log->damage().empty());
    damaged.go_on(*log);
    if (::testing::Test::HasFailure()) {
      break;
    }
  }
}

TEST(LogDamage, AFileThatIsGoneCostsNoNumber) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Damaged damaged(seed);
    ASSERT_OK(damaged.fs_.remove(damaged.any_file(false)));
    ASSERT_OK(damaged.fs_.sync_dir("/store/s"));
    auto log = damaged.open();
    ASSERT_TRUE(log != nullptr);
    for (const auto& [seq, message] : read_all(*log)) {
      EXPECT_TRUE(damaged.messages_.at(seq) == message);
    }
    damaged.go_on(*log);
    if (::testing::Test::HasFailure()) {
      break;
    }
  }
}

TEST(LogDamage, NothingReadableIsAnError) {
  Damaged damaged(7);
  for (const std::string& path : damaged.fs_.files()) {
    damaged.fs_.set_contents(path, std::string(5000, 'x'));
  }
  const auto log = MessageLog::open(damaged.fs_, "/store/s", damaged.options_, Clock::system());
  ASSERT_FALSE(log.has_value());
  EXPECT_EQ(log.error().code(), StatusCode::kCorruption);
  EXPECT_NE(log.error().message().find("restore the folder"), std::string::npos);
}

TEST(LogDamage, AnotherStreamsSegmentIsLeftOut) {
  Damaged one(1);
  Damaged two(2);
  std::string path;
  for (const std::string& file : one.fs_.files()) {
    path = file.find("segment-") != std::string::npos && path.empty() ? file : path;
  }
  one.fs_.set_contents(path, two.fs_.contents(path));
  auto log = one.open();
  ASSERT_FALSE(log->damage().empty());
  EXPECT_NE(log->damage()[0].what.find("another stream"), std::string::npos);
  for (const auto& [seq, message] : read_all(*log)) {
    EXPECT_TRUE(one.messages_.at(seq) == message);
  }
  one.go_on(*log);
}

TEST(LogDamage, ARecordInAPayloadIsNeverBelieved) {
  PowerLossFileSystem fs(1);
  ASSERT_OK(fs.make_dir("/store"));
  // What somebody publishes who knows the format, but not the segment's salt.
  std::string forged(200, '\0');
  encode_message(forged.data() + 4, {2, 1, "forged", "", "believed"}, checksum_seed(0));
  {
    auto log = MessageLog::open(fs, "/store/s", {}, Clock::system());
    for (const std::string& payload : {forged, std::string("b"), std::string("c")}) {
      ASSERT_TRUE((*log)->append("a", "", payload, 1).has_value());
    }
    ASSERT_OK((*log)->sync());
  }
  for (const std::string& path : fs.files()) {
    if (path.find("segment-") != std::string::npos) {
      std::string bytes = fs.contents(path);
      bytes[kRecordsStart + 4] ^= 1;  // the first record's length
      fs.set_contents(path, bytes);
    }
  }
  auto log = MessageLog::open(fs, "/store/s", {}, Clock::system());
  const ModelMessages found = read_all(**log);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found.at(2).payload, "b");
  EXPECT_EQ(found.at(3).payload, "c");
  ASSERT_EQ((*log)->damage().size(), 1U);
  EXPECT_EQ((*log)->damage()[0].first_seq, 1U);
}

TEST(LogDamage, AReadThatFindsItReportsIt) {
  PowerLossFileSystem fs(1);
  ASSERT_OK(fs.make_dir("/store"));
  {
    auto log = MessageLog::open(fs, "/store/s", {}, Clock::system());
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE((*log)->append("a.b", "", "payload", i + 1).has_value());
    }
    ASSERT_OK((*log)->close());
  }
  // Closed, so opening does not look at the records.
  for (const std::string& path : fs.files()) {
    std::string bytes = fs.contents(path);
    const std::size_t at = bytes.find("payload", bytes.find("payload") + 1);
    if (at != std::string::npos && path.find("segment-") != std::string::npos) {
      bytes[at] = 'X';
      fs.set_contents(path, bytes);
    }
  }
  auto log = MessageLog::open(fs, "/store/s", {}, Clock::system());
  EXPECT_TRUE((*log)->damage().empty());
  MessageReader reader(**log, 1);
  std::set<StreamSeq> seen;
  for (auto next = reader.next(100); next.has_value() && next->has_value();
       next = reader.next(100)) {
    seen.insert((*next)->seq);
  }
  EXPECT_EQ(seen.size(), 9U);
  EXPECT_FALSE(seen.contains(2));
  EXPECT_EQ(reader.damaged(), 1U);
  ASSERT_EQ((*log)->damage().size(), 1U);
  EXPECT_EQ((*log)->damage()[0].first_seq, 2U);
  EXPECT_EQ((*log)->state().messages, 9U);
  EXPECT_EQ((*log)->subject_state("a.b").messages, 9U);
  ReadBuffer buffer;
  EXPECT_EQ((*log)->read(2, buffer).error().code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace feedvault::broker::store
