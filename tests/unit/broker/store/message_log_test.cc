// What a log promises, one claim a test.

#include "broker/store/message_log.h"

#include <gtest/gtest.h>

#include "broker/store/format.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

using testing::PowerLossFileSystem;

class Log : public ::testing::Test {
 protected:
  Log() { static_cast<void>(fs_.make_dir("/store")); }

  void open() {
    log_.reset();
    auto log = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    ASSERT_TRUE(log.has_value()) << show(log.error());
    log_ = std::move(*log);
  }
  void power_cut() {
    fs_.cut_now(PowerLossFileSystem::Mode::kForget);
    log_.reset();
    fs_.restart();
    open();
  }
  StreamSeq put(const std::string& subject,
                const std::string& payload = "p",
                std::int64_t time_ns = 1) {
    const auto seq = log_->append(subject, "", payload, time_ns);
    EXPECT_TRUE(seq.has_value()) << show(seq.status());
    return seq.has_value() ? *seq : 0;
  }
  std::vector<std::string> segment_paths() const {
    std::vector<std::string> paths = fs_.files();
    std::erase_if(
        paths, [](const std::string& path) { return path.find("segment-") == std::string::npos; });
    return paths;
  }
  std::size_t segments() const { return segment_paths().size(); }
  std::string segment_path(std::size_t i) const { return segment_paths().at(i); }

  PowerLossFileSystem fs_{1};
  LogOptions options_;
  std::unique_ptr<MessageLog> log_;
};

TEST_F(Log, IsEmptyAtFirst) {
  open();
  EXPECT_TRUE(log_->recovery().created);
  const LogState state = log_->state();
  EXPECT_EQ(state.first_seq, 1U);
  EXPECT_EQ(state.last_seq, 0U);
  EXPECT_EQ(state.messages, 0U);
  EXPECT_EQ(state.first_time_ns, 0);
  EXPECT_EQ(log_->durable_seq(), 0U);
  ReadBuffer buffer;
  EXPECT_EQ(log_->read(1, buffer).error().code(), StatusCode::kNotFound);
}

TEST_F(Log, GivesBackWhatItWasGiven) {
  open();
  const std::string headers = "NATS/1.0\r\nA: b\r\n\r\n";
  const std::string payload("\0\xFF binary \0", 11);
  ASSERT_EQ(*log_->append("a.b", headers, payload, 42), 1U);
  for (int round = 0; round < 4; ++round) {
    ReadBuffer buffer;
    const auto message = log_->read(1, buffer);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->subject, "a.b");
    EXPECT_EQ(message->headers, headers);
    EXPECT_EQ(message->payload, payload);
    EXPECT_EQ(message->time_ns, 42);
    // From the buffer, the file, after a kill, after a clean stop.
    ASSERT_OK(round == 0 ? log_->flush() : round == 2 ? log_->close() : log_->sync());
    if (round > 0) {
      open();
    }
  }
  EXPECT_EQ(log_->state().bytes, 30 + 3 + 4 + headers.size() + payload.size());
}

TEST_F(Log, BeginsWhereItIsTold) {
  options_.first_seq = 1000;
  open();
  EXPECT_EQ(log_->state().last_seq, 999U);
  EXPECT_EQ(put("a"), 1000U);
  ASSERT_OK(log_->sync());
  options_.first_seq = 5;
  open();
  EXPECT_EQ(put("a"), 1001U);
}

TEST_F(Log, SyncIsWhatMakesDurable) {
  options_.after_power_cut = AfterPowerCut::kTrustSync;
  open();
  put("a");
  ASSERT_OK(log_->sync());
  EXPECT_EQ(log_->durable_seq(), 1U);
  put("b");
  ASSERT_OK(log_->flush());
  EXPECT_EQ(log_->durable_seq(), 1U);
  power_cut();
  EXPECT_EQ(log_->state().messages, 1U);
  EXPECT_EQ(log_->last_seq(), 1U);
}

TEST_F(Log, AGroupIsOneWriteAndOneSync) {
  open();
  put("a");
  ASSERT_OK(log_->sync());
  const std::uint64_t writes = log_->stats().writes;
  const std::uint64_t syncs = log_->stats().syncs;
  for (int i = 0; i < 1000; ++i) {
    put("a", std::string(128, 'x'));
  }
  ASSERT_OK(log_->sync());
  EXPECT_EQ(log_->stats().writes, writes + 1);
  EXPECT_EQ(log_->stats().syncs, syncs + 1);
  ASSERT_OK(log_->sync());
  EXPECT_EQ(log_->stats().syncs, syncs + 1) << "nothing new, nothing to sync";
}

TEST_F(Log, AKillSkipsNoNumbers) {
  open();
  put("a");
  ASSERT_OK(log_->flush());
  open();
  EXPECT_FALSE(log_->recovery().clean);
  EXPECT_EQ(log_->recovery().skipped_from, 0U);
  EXPECT_EQ(put("a"), 2U);
}

TEST_F(Log, APowerCutSkipsWhatWasReserved) {
  options_.reserve_step = 50;
  open();
  put("a");
  ASSERT_OK(log_->sync());
  put("b");
  power_cut();
  EXPECT_EQ(log_->recovery().skipped_from, 2U);
  EXPECT_EQ(log_->recovery().skipped_to, 51U);
  EXPECT_EQ(log_->last_seq(), 50U);
  EXPECT_EQ(put("c"), 51U);
  ASSERT_OK(log_->close());
  open();
  EXPECT_EQ(put("d"), 52U) << "a clean stop gives the rest back";
}

TEST_F(Log, RoomAheadOfTheRecordsIsZerosAndGivenBack) {
  const auto file_bytes = [&](std::size_t i) { return fs_.contents(segment_path(i)).size(); };
  open();
  put("a", std::string(100, 'x'));
  ASSERT_OK(log_->sync());
  const std::uint64_t reserved = file_bytes(0);
  EXPECT_GE(reserved, 64U << 10U);
  put("a", std::string(100, 'x'));
  ASSERT_OK(log_->sync());
  EXPECT_EQ(file_bytes(0), reserved) << "what is synced should not need a new size";
  power_cut();
  EXPECT_EQ(log_->state().messages, 2U);
  EXPECT_EQ(log_->recovery().cut_bytes, 0U) << "nothing was written there";
  EXPECT_TRUE(log_->recovery().damage.empty());
  EXPECT_EQ(segments(), 2U) << "numbers were skipped, so a segment of its own begins";
  put("a", std::string(100, 'x'));
  ASSERT_OK(log_->close());
  for (std::size_t i = 0; i < segments(); ++i) {
    EXPECT_LT(file_bytes(i), 8U << 10U) << segment_path(i);
  }
  open();
  EXPECT_TRUE(log_->recovery().clean);
  EXPECT_EQ(log_->state().messages, 3U);
}

TEST_F(Log, RemovedMessagesStayRemoved) {
  open();
  for (int i = 0; i < 5; ++i) {
    put("a");
  }
  ASSERT_OK(log_->remove(3));
  EXPECT_EQ(log_->remove(3).code(), StatusCode::kNotFound);
  ASSERT_OK(log_->sync());
  power_cut();
  EXPECT_EQ(log_->state().messages, 4U);
  EXPECT_EQ(log_->deleted(0, 1), std::vector<StreamSeq>{3});
}

TEST_F(Log, ErasedBytesAreGoneFromTheFiles) {
  open();
  put("a", "first");
  put("a", "SECRET");
  put("a", "third");
  ASSERT_OK(log_->remove(2, MessageLog::Erase::kYes));
  ASSERT_OK(log_->flush());
  EXPECT_TRUE(log_->wants_sync());
  ASSERT_OK(log_->sync_written());
  EXPECT_FALSE(log_->wants_sync());
  for (const std::string& path : fs_.files()) {
    EXPECT_EQ(fs_.contents(path).find("SECRET"), std::string::npos) << path;
  }
  power_cut();
  EXPECT_TRUE(log_->recovery().damage.empty());
  EXPECT_EQ(log_->state().messages, 2U);
}

TEST_F(Log, APurgeOfAllKeepsTheLastNumber) {
  options_.segment_bytes = 1000;
  open();
  for (int i = 0; i < 100; ++i) {
    put("a", std::string(100, 'x'));
  }
  const std::size_t before = segments();
  EXPECT_EQ(*log_->purge_below(~StreamSeq{0}), 100U);
  ASSERT_OK(log_->sync());
  EXPECT_LT(segments(), before);
  EXPECT_LE(segments(), 1U);
  EXPECT_EQ(log_->state().first_seq, 101U);
  EXPECT_EQ(log_->state().last_seq, 100U);
  open();
  EXPECT_EQ(log_->state().messages, 0U);
  EXPECT_EQ(put("a"), 101U);
}

TEST_F(Log, ExpiryGivesSegmentsBack) {
  options_.segment_bytes = 2000;
  open();
  for (StreamSeq i = 1; i <= 500; ++i) {
    put("a", std::string(100, 'x'));
    if (i > 50) {
      EXPECT_EQ(*log_->expire_below(i - 49), 1U);
    }
    if (i % 10 == 0) {
      ASSERT_OK(log_->sync());
    }
  }
  EXPECT_EQ(log_->state().messages, 50U);
  EXPECT_LE(segments(), 8U);
}

TEST_F(Log, ARemovalOutlivesItsSegment) {
  // The record of a removal sits in a segment that goes before the one of the message.
  options_.segment_bytes = 1000;
  open();
  put("keep", std::string(500, 'a'));
  put("victim", std::string(100, 'b'));
  while (segments() < 3) {
    put("filler", std::string(200, 'c'));
  }
  ASSERT_OK(log_->remove(2));
  while (segments() < 6) {
    put("filler", std::string(200, 'c'));
  }
  SubjectFilter filler("filler");
  ASSERT_TRUE(log_->purge(filler).has_value());
  ASSERT_OK(log_->sync());
  ASSERT_OK(log_->sync());
  EXPECT_LE(segments(), 3U);
  power_cut();
  EXPECT_EQ(read_all(*log_).size(), 1U);
  EXPECT_EQ(log_->subject_state("victim").messages, 0U);
}

TEST_F(Log, FindsByTime) {
  options_.segment_bytes = 1000;
  open();
  for (std::int64_t i = 1; i <= 50; ++i) {
    put("a", std::string(100, 'x'), i * 10);
  }
  ASSERT_OK(log_->remove(20));
  EXPECT_EQ(*log_->seq_at_time(0), 1U);
  EXPECT_EQ(*log_->seq_at_time(101), 11U);
  EXPECT_EQ(*log_->seq_at_time(110), 11U);
  EXPECT_EQ(*log_->seq_at_time(200), 21U);
  EXPECT_EQ(*log_->seq_at_time(500), 50U);
  EXPECT_EQ(*log_->seq_at_time(501), 51U);
  ASSERT_OK(log_->close());
  open();
  EXPECT_EQ(*log_->seq_at_time(333), 34U);
  EXPECT_EQ(log_->state().first_time_ns, 10);
  EXPECT_EQ(log_->state().last_time_ns, 500);
}

TEST_F(Log, AMessageLargerThanTheBufferAndTheSegmentIsStored) {
  options_.segment_bytes = 10'000;
  options_.write_buffer_bytes = 1000;
  open();
  const std::string large(300'000, 'L');
  put("a", "small");
  put("a", large);
  put("a", "small");
  ASSERT_OK(log_->sync());
  open();
  const ModelMessages all = read_all(*log_);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all.at(2).payload, large);
}

TEST_F(Log, ACleanStopNeedsNoScan) {
  open();
  for (int i = 0; i < 100; ++i) {
    put("a." + std::to_string(i % 7));
  }
  ASSERT_OK(log_->close());
  ASSERT_OK(log_->close()) << "closing twice is fine";
  open();
  EXPECT_TRUE(log_->recovery().clean);
  EXPECT_EQ(log_->recovery().scanned_bytes, 0U);
  EXPECT_EQ(log_->subject_state("a.3").messages, 14U);
  put("more");
  ASSERT_OK(log_->sync());
  open();
  EXPECT_FALSE(log_->recovery().clean);
  EXPECT_EQ(log_->state().messages, 101U);
}

TEST_F(Log, ManyRestartsMakeNoNewSegments) {
  for (int i = 0; i < 20; ++i) {
    open();
    put("a");
    ASSERT_OK(i % 2 == 0 ? log_->close() : log_->sync());
  }
  open();
  EXPECT_EQ(log_->state().messages, 20U);
  EXPECT_EQ(segments(), 1U);
}

TEST_F(Log, SubjectsWithoutMessagesAreForgotten) {
  open();
  for (int i = 0; i < 2000; ++i) {
    const StreamSeq seq = put("inbox." + std::to_string(i));
    ASSERT_OK(log_->remove(seq));
  }
  EXPECT_EQ(log_->subject_count(), 0U);
  // Numbers were used again, and a filter is not fooled.
  SubjectFilter filter("inbox.*");
  EXPECT_EQ(log_->next_matching(1, filter), 0U);
  const StreamSeq seq = put("other.1");
  EXPECT_EQ(log_->next_matching(1, filter), 0U);
  SubjectFilter other("other.*");
  EXPECT_EQ(log_->next_matching(1, other), seq);
}

TEST_F(Log, TheFormatIsTheOneThatIsDocumented) {
  open();
  put("a.b", "payload", 0x0102030405060708);
  ASSERT_OK(log_->sync());
  const std::string bytes = fs_.contents("/store/s/segment-0000000000000001");
  EXPECT_EQ(bytes.substr(0, 8), "FVSEGMT1");
  EXPECT_EQ(load<std::uint32_t>(bytes.data() + 8), 1U);
  EXPECT_EQ(bytes.substr(0, 72), bytes.substr(72, 72)) << "the header is there twice";
  const char* const record = bytes.data() + 144;
  EXPECT_EQ(load<std::uint32_t>(record + 4), 10U);
  EXPECT_EQ(load<std::uint64_t>(record + 16), 1U);
  EXPECT_EQ(load<std::int64_t>(record + 24), 0x0102030405060708);
  EXPECT_EQ(load<std::uint16_t>(record + 32), 3U);
  EXPECT_EQ(record[34], 1);
  EXPECT_EQ(bytes.substr(144 + 36, 10), "a.bpayload");
  EXPECT_EQ(bytes.find_first_not_of('\0', 144 + 36 + 10), std::string::npos);
}

}  // namespace
}  // namespace feedvault::broker::store
