// What other threads do to a stream while its owner goes on: sync() and run_compaction(); and the
// one that reads a stream's ids.

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/streams/ids_file.h"
#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {
namespace {

class StreamThreadsTest : public StreamTest {};

TEST_F(StreamThreadsTest, SyncsBesideEverythingElse) {
  options_.log.segment_bytes = 16U << 10U;
  options_.log.write_buffer_bytes = 2048;
  config_.max_msgs = 500;
  config_.max_msgs_per_subject = 30;
  create();
  enum : int { kIdle, kRun, kDone, kStop };
  std::atomic<int> turn = kIdle;
  Status synced;
  std::thread syncer([&] {
    for (;;) {
      turn.wait(kIdle);
      turn.wait(kDone);
      if (turn == kStop) {
        return;
      }
      if (turn == kRun) {
        synced = stream_->sync();
        turn = kDone;
      }
    }
  });
  std::atomic<int> compaction = kIdle;
  std::thread compacter([&] {
    for (int now = compaction; now != kStop; now = compaction) {
      if (now == kRun) {
        stream_->run_compaction();
        compaction = kDone;
      }
      compaction.wait(now == kRun ? int{kDone} : now);
    }
  });
  int compactions = 0;
  constexpr int kMessages = 20'000;
  int commits = 0;
  for (int i = 1; i <= kMessages; ++i) {
    // One that stays long among others that do not leaves segments to be rewritten.
    const std::string subject = i % 50 == 0 ? "ord.rare" : "ord." + std::to_string(i % 3);
    ASSERT_EQ(store(subject, std::string(100, 'x'), {}, "r"), Stream::Outcome::kStored);
    if (turn == kDone) {
      turn = kIdle;
      stream_->end_commit(synced);
      ++commits;
    }
    if (!stream_->committing() && stream_->begin_commit() == Stream::Commit::kSync) {
      turn = kRun;
      turn.notify_one();
    }
    if (i % 700 == 0) {
      const StreamSeq first = stream_->log().counts().first_seq;
      ASSERT_TRUE(stream_->purge({{}, first + 50, 0}).has_value());
      stream_->delete_message(first + 60, i % 2 == 0);
    }
    if (i % 100 == 0) {
      clock_.advance(std::chrono::seconds(1));
      stream_->on_timer();
    }
    if (compaction == kDone) {
      compaction = kIdle;
      stream_->end_compaction();
      ++compactions;
    }
    if (compaction == kIdle && stream_->begin_compaction()) {
      compaction = kRun;
      compaction.notify_one();
    }
  }
  while (compaction == kRun) {
    std::this_thread::yield();
  }
  if (compaction == kDone) {
    stream_->end_compaction();
  }
  compaction = kStop;
  compaction.notify_one();
  compacter.join();
  while (stream_->committing()) {
    if (turn == kDone) {
      turn = kIdle;
      stream_->end_commit(synced);
    } else {
      std::this_thread::yield();
    }
  }
  turn = kStop;
  turn.notify_one();
  syncer.join();
  stream_->commit();
  EXPECT_TRUE(stream_->failure().ok());
  EXPECT_EQ(output_.payloads("r").size(), static_cast<std::size_t>(kMessages));
  EXPECT_GT(commits, 1);
  EXPECT_GT(compactions, 0);
}

class IdsFileTest : public ::testing::Test {
 protected:
  /// Random, behind a head that fits.
  std::string whole(std::size_t bytes) {
    std::string text(bytes, '\0');
    for (char& c : text) {
      c = static_cast<char>(random_());
    }
    IdsFile::kMagic.copy(text.data(), IdsFile::kMagic.size());
    store::put(text.data() + IdsFile::kChecksumAt,
               store::crc32c(0, std::string_view(text).substr(IdsFile::kCheckedFrom)));
    return text;
  }
  std::string read() {
    const IdsFile::Contents contents = IdsFile(disk_, "/ids").take();
    return std::string(contents.text);
  }

  std::mt19937 random_{3};
  testing::PowerLossFileSystem disk_{1};
};

TEST_F(IdsFileTest, ReadsSmallAndLargeOnesAndOnlyWholeOnes) {
  EXPECT_EQ(read(), "");
  for (const std::size_t bytes :
       {IdsFile::kHeadBytes, std::size_t{5000}, std::size_t{1} << 20U, std::size_t{3} << 20U}) {
    SCOPED_TRACE(bytes);
    const std::string text = whole(bytes);
    disk_.set_contents("/ids", text);
    EXPECT_TRUE(read() == text);
    std::string bad = text;
    char& hit = bad[IdsFile::kCheckedFrom + random_() % (bytes - IdsFile::kCheckedFrom)];
    hit = static_cast<char>(hit ^ 4);
    disk_.set_contents("/ids", bad);
    EXPECT_EQ(read(), "");
    disk_.set_contents("/ids", text.substr(0, bytes - 1));
    EXPECT_EQ(read(), "");
  }
}

TEST_F(IdsFileTest, ReadsWhileItsOwnerReadsOtherFiles) {
  const std::string text = whole(std::size_t{2} << 20U);
  const std::string log = whole(100'000);
  disk_.set_contents("/ids", text);
  disk_.set_contents("/log", log);
  for (int round = 0; round < 10; ++round) {
    IdsFile ids(disk_, "/ids");
    const auto file = disk_.open("/log");
    ASSERT_TRUE(file.has_value());
    std::string bytes(log.size(), '\0');
    ASSERT_TRUE((*file)->read_at(0, bytes).has_value());
    EXPECT_TRUE(bytes == log);
    if (round % 2 == 0) {
      EXPECT_TRUE(ids.take().text == text);
    }  // else nobody wants them: the log was not closed
  }
}

}  // namespace
}  // namespace feedvault::broker::streams
