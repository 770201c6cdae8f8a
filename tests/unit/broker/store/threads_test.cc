// One writer, one thread that syncs, some that read. Worth most under ThreadSanitizer.

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

constexpr StreamSeq kMessages = 6000;

std::string payload_of(StreamSeq seq) {
  return std::to_string(seq) + std::string(seq % 90, static_cast<char>('a' + seq % 26));
}

void read_along(const MessageLog& log, const std::string& text) {
  SubjectFilter filter(text);
  MessageReader reader(log, 1, filter);
  StreamSeq before = 0;
  ReadBuffer buffer;
  while (before < kMessages - 10) {
    const StreamSeq durable = log.durable_seq();
    const auto next = reader.next(durable);
    ASSERT_TRUE(next.has_value()) << show(next.status());
    if (!next->has_value()) {
      // At the end: others' questions, then again.
      static_cast<void>(log.state());
      static_cast<void>(log.subject_state("even.0"));
      static_cast<void>(log.read(durable, buffer));
      static_cast<void>(log.next_matching(durable / 2, filter));
      std::this_thread::yield();
      if (durable >= kMessages) {
        break;
      }
      continue;
    }
    ASSERT_GT((*next)->seq, before);
    ASSERT_LE((*next)->seq, durable);
    before = (*next)->seq;
    ASSERT_EQ((*next)->payload, payload_of(before));
  }
  ASSERT_EQ(reader.damaged(), 0U);
}

TEST(LogThreads, ReadersAndASyncerBesideTheWriter) {
  testing::PowerLossFileSystem fs(1);
  ASSERT_OK(fs.make_dir("/store"));
  LogOptions options;
  options.segment_bytes = 30'000;
  options.write_buffer_bytes = 2000;
  auto opened = MessageLog::open(fs, "/store/s", options, Clock::system());
  ASSERT_TRUE(opened.has_value());
  MessageLog& log = **opened;
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    while (!done.load()) {
      ASSERT_OK(log.sync_written());
    }
  });
  for (const char* filter : {">", "even.*", "odd.>"}) {
    threads.emplace_back([&log, filter] { read_along(log, filter); });
  }
  enum : int { kIdle, kBegun, kRan, kStop };
  std::atomic<int> compaction = kIdle;
  std::shared_ptr<CompactionJob> job;
  int compactions = 0;
  threads.emplace_back([&] {
    for (int now = compaction; now != kStop; now = compaction) {
      if (now == kBegun) {
        log.run_compaction(*job);
        compaction = kRan;
      }
      compaction.wait(now == kBegun ? int{kRan} : now);
    }
  });
  for (StreamSeq seq = 1; seq <= kMessages; ++seq) {
    if (compaction == kRan) {
      ASSERT_OK(log.end_compaction(*job));
      job = nullptr;
      compaction = kIdle;
      ++compactions;
    }
    if (job == nullptr && seq % 20 == 0 && (job = log.begin_compaction()) != nullptr) {
      compaction = kBegun;
      compaction.notify_one();
    }
    const std::string subject = (seq % 2 == 0 ? "even." : "odd.") + std::to_string(seq % 5);
    const auto given = log.append(subject, "", payload_of(seq), 1);
    ASSERT_TRUE(given.has_value() && *given == seq);
    if (seq % 16 == 0) {
      ASSERT_OK(log.flush());
    }
    if (seq > 400 && seq % 4 != 0) {  // most of what is not so new
      const auto erase = seq % 7 == 0 ? MessageLog::Erase::kYes : MessageLog::Erase::kNo;
      ASSERT_TRUE(log.remove(seq - 400, erase).ok());
    }
    if (seq % 1000 == 0) {
      ASSERT_TRUE(log.expire_below(seq / 3).has_value());
    }
  }
  const auto end = [&] {
    while (compaction == kBegun) {
      std::this_thread::yield();
    }
    ASSERT_OK(log.end_compaction(*job));
    ++compactions;
  };
  if (job != nullptr) {
    end();
  }
  if (compactions == 0) {  // all that may have run before is slow here
    ASSERT_OK(log.flush());
    ASSERT_OK(log.sync());
    job = log.begin_compaction();
    ASSERT_NE(job, nullptr);
    compaction = kBegun;
    compaction.notify_one();
    end();
  }
  compaction = kStop;
  compaction.notify_one();
  ASSERT_OK(log.flush());
  ASSERT_OK(log.sync());
  done = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(log.durable_seq(), kMessages);
  EXPECT_GT(compactions, 0);
}

}  // namespace
}  // namespace feedvault::broker::store
