// Disks that fail and disks that are full.

#include <gtest/gtest.h>

#include "broker/store/check_store.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

using testing::PowerLossFileSystem;
using Op = PowerLossFileSystem::Op;

class LogFault : public ::testing::Test {
 protected:
  LogFault() {
    static_cast<void>(fs_.make_dir("/store"));
    options_.segment_bytes = 8000;
    options_.write_buffer_bytes = 1000;
    open();
  }

  void open() {
    log_.reset();
    auto log = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    ASSERT_TRUE(log.has_value()) << show(log.error());
    log_ = std::move(*log);
  }

  /// What was not synced is gone.
  void open_after_power_cut() {
    log_.reset();
    fs_.cut_now(PowerLossFileSystem::Mode::kForget);
    fs_.restart();
    open();
  }

  /// The next operation of this kind on a file with this in its name fails with EIO.
  void fail_once(Op op, const std::string& name) {
    fs_.set_fault([this, op, name](Op now, const std::string& path) -> Status {
      if (now == op && path.find(name) != std::string::npos) {
        return fs_failed_++ == 0 ? io_error("injected: Input/output error") : Status();
      }
      return {};
    });
    fs_failed_ = 0;
  }

  StreamSeq must_append(const std::string& payload) {
    const auto seq = log_->append("a.b", "", payload, 1);
    EXPECT_TRUE(seq.has_value()) << show(seq.status());
    return seq.has_value() ? *seq : 0;
  }

  /// All that is there then; some segments are worth a compaction.
  ModelMessages with_mostly_dead_segments() {
    const StreamSeq first = must_append("confirmed");
    for (int i = 0; i < 60; ++i) {
      must_append(std::string(300, 'x'));
    }
    for (StreamSeq seq = first + 1; seq <= first + 40; ++seq) {
      if (seq % 5 != 0) {
        EXPECT_OK(log_->remove(seq));
      }
    }
    EXPECT_OK(log_->sync());
    return read_all(*log_);
  }

  /// Stopped: the same error for every change from now on, and reads go on.
  void expect_stopped(const Status& cause) {
    ASSERT_EQ(cause.code(), StatusCode::kIo) << show(cause);
    EXPECT_NE(cause.message().find("injected"), std::string::npos) << cause.message();
    EXPECT_NE(cause.message().find("is stopped"), std::string::npos) << cause.message();
    EXPECT_EQ(log_->failure(), cause);
    EXPECT_EQ(log_->append("a", "", "x", 1).status(), cause);
    EXPECT_EQ(log_->sync(), cause);
    EXPECT_EQ(log_->flush(), cause);
    EXPECT_EQ(log_->sync_written(), cause);
    EXPECT_EQ(log_->remove(1), cause);
    EXPECT_EQ(log_->purge_below(1).status(), cause);
    EXPECT_EQ(log_->expire_below(1).status(), cause);
    EXPECT_EQ(log_->skip_to(100), cause);
    EXPECT_EQ(log_->compact().status(), cause);
    EXPECT_EQ(log_->close(), cause);
    ReadBuffer buffer;
    const auto first = log_->read(log_->state().first_seq, buffer);
    ASSERT_TRUE(first.has_value()) << show(first.error());
    EXPECT_EQ(first->payload, "confirmed");
  }

  PowerLossFileSystem fs_{1};
  LogOptions options_;
  std::unique_ptr<MessageLog> log_;
  int fs_failed_ = 0;
};

TEST_F(LogFault, AFailedSyncStopsTheLogForGood) {
  must_append("confirmed");
  ASSERT_OK(log_->sync());
  must_append("lost");
  fail_once(Op::kSync, "segment-");
  expect_stopped(log_->sync());
  EXPECT_EQ(log_->durable_seq(), 1U);
  // The kernel has dropped the page: had we synced again, it would have said ok.
  fs_.set_fault(nullptr);
  open_after_power_cut();
  EXPECT_EQ(read_all(*log_).size(), 1U);
  EXPECT_GT(must_append("next"), 2U);
}

TEST_F(LogFault, AFailedWriteStopsTheLogForGood) {
  must_append("confirmed");
  ASSERT_OK(log_->sync());
  must_append("lost");
  fail_once(Op::kWrite, "segment-");
  expect_stopped(log_->flush());
}

TEST_F(LogFault, AMarkThatCannotBeWrittenStopsTheLog) {
  must_append("confirmed");
  ASSERT_OK(log_->sync());
  must_append("unsure");
  fail_once(Op::kWrite, "/synced");
  expect_stopped(log_->sync());
}

TEST_F(LogFault, NumbersThatCannotBeReservedStopTheLog) {
  options_.reserve_step = 2;
  open();
  must_append("confirmed");
  must_append("second");
  ASSERT_OK(log_->sync());
  fail_once(Op::kSync, "/sequence");
  expect_stopped(log_->append("a", "", "third", 1).status());
  EXPECT_EQ(log_->last_seq(), 2U);
}

TEST_F(LogFault, APurgeThatCannotBeMarkedStopsTheLog) {
  must_append("first");
  must_append("second");
  ASSERT_OK(log_->sync());
  ASSERT_TRUE(log_->purge_below(2).has_value());
  fail_once(Op::kSync, "/sequence");
  const Status status = log_->sync();
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_EQ(log_->append("a", "", "x", 1).status(), status);
}

TEST_F(LogFault, ANewSegmentThatCannotBeMadeStopsTheLog) {
  must_append("confirmed");
  ASSERT_OK(log_->sync());
  fail_once(Op::kSyncDir, "/store/s");
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = log_->append("a", "", std::string(500, 'x'), 1).status();
  }
  expect_stopped(status);
}

TEST_F(LogFault, AnOpenThatFailsSaysWhy) {
  must_append("confirmed");
  ASSERT_OK(log_->sync());
  log_.reset();
  fail_once(Op::kSync, "segment-");
  const auto log = MessageLog::open(fs_, "/store/s", options_, Clock::system());
  ASSERT_FALSE(log.has_value());
  EXPECT_NE(log.error().message().find("injected"), std::string::npos);
  fs_.set_fault(nullptr);
  open();
  EXPECT_EQ(read_all(*log_).size(), 1U);
}

TEST_F(LogFault, AFailedReadIsToldAndPasses) {
  must_append("confirmed");
  ASSERT_OK(log_->sync());
  fail_once(Op::kRead, "segment-");
  ReadBuffer buffer;
  EXPECT_EQ(log_->read(1, buffer).error().code(), StatusCode::kIo);
  EXPECT_TRUE(log_->read(1, buffer).has_value());
  fail_once(Op::kRead, "segment-");
  MessageReader reader(*log_, 1);
  EXPECT_EQ(reader.next(10).error().code(), StatusCode::kIo);
  const auto next = reader.next(10);
  ASSERT_TRUE(next.has_value() && next->has_value());
  EXPECT_EQ((*next)->seq, 1U);
  EXPECT_TRUE(log_->failure().ok());
  EXPECT_TRUE(log_->damage().empty());
}

TEST_F(LogFault, ACompactionThatFailsChangesNothing) {
  const ModelMessages before = with_mostly_dead_segments();
  for (const Op op : {Op::kCreate, Op::kWrite, Op::kRename}) {
    fail_once(op, ".new");
    const auto done = log_->compact();
    ASSERT_FALSE(done.has_value());
    EXPECT_TRUE(log_->failure().ok());
    EXPECT_TRUE(read_all(*log_) == before);
  }
  fs_.set_fault(nullptr);
  const std::uint64_t bytes = log_->disk_bytes();
  const auto done = log_->compact();
  ASSERT_TRUE(done.has_value()) << show(done.error());
  EXPECT_LT(log_->disk_bytes(), bytes);
  EXPECT_TRUE(read_all(*log_) == before);
}

TEST_F(LogFault, ACompactionWhoseSyncFailsStopsTheLog) {
  // The new file's, and the folder's that says which of the two has the name.
  for (const auto& [op, name] : {std::pair(Op::kSync, ".new"), std::pair(Op::kSyncDir, "/s")}) {
    const ModelMessages before = with_mostly_dead_segments();
    fail_once(op, name);
    expect_stopped(log_->compact().status());
    EXPECT_TRUE(read_all(*log_) == before);
    log_.reset();
    fs_.set_fault(nullptr);
    fs_.cut_now(PowerLossFileSystem::Mode::kKeepSome);
    fs_.restart();
    open();
    EXPECT_TRUE(read_all(*log_) == before);
    EXPECT_TRUE(log_->recovery().damage.empty());
    ASSERT_TRUE(log_->purge_below(log_->last_seq() + 1).has_value());
    ASSERT_OK(log_->sync());
  }
}

TEST_F(LogFault, AFullDiskLosesNothingAndGoesOn) {
  ModelMessages messages;
  fs_.set_reserves(false);
  fs_.set_capacity(fs_.total_bytes() + 20'000);
  Status full;
  for (int i = 0; i < 1000 && full.ok(); ++i) {
    const ModelMessage message{"a.b", "", std::string(300, 'y') + std::to_string(i), i + 1};
    const auto seq = append(*log_, message);
    full = seq.status();
    if (seq.has_value()) {
      messages.emplace(*seq, message);
    }
  }
  ASSERT_EQ(full.code(), StatusCode::kExhausted) << show(full);
  const StreamSeq last = log_->last_seq();
  EXPECT_EQ(log_->sync().code(), StatusCode::kExhausted);
  EXPECT_TRUE(log_->failure().ok());
  EXPECT_LT(log_->durable_seq(), last);
  EXPECT_GT(log_->stats().full_disk, 0U);
  EXPECT_TRUE(read_all(*log_) == messages);
  fs_.set_capacity(~std::uint64_t{0});
  ASSERT_OK(log_->sync());
  EXPECT_EQ(log_->durable_seq(), last);
  EXPECT_EQ(must_append("more"), last + 1);
  ASSERT_OK(log_->sync());
  open_after_power_cut();
  EXPECT_TRUE(log_->recovery().damage.empty());
  ModelMessages found = read_all(*log_);
  found.erase(last + 1);
  EXPECT_TRUE(found == messages);
}

TEST_F(LogFault, RemovalsWaitForRoomOnAFullDisk) {
  fs_.set_reserves(false);
  options_.segment_bytes = 1U << 20U;
  open();
  for (int i = 0; i < 4000; ++i) {
    must_append("x");
  }
  const StreamSeq kept = must_append("kept");
  ASSERT_OK(log_->sync());
  fs_.set_capacity(0);
  for (StreamSeq seq = 1; seq < kept; ++seq) {
    ASSERT_OK(log_->remove(seq));
  }
  EXPECT_EQ(log_->sync().code(), StatusCode::kExhausted);
  EXPECT_TRUE(log_->failure().ok());
  EXPECT_EQ(read_all(*log_).size(), 1U);
  fs_.set_capacity(~std::uint64_t{0});
  ASSERT_OK(log_->sync());
  open_after_power_cut();
  EXPECT_TRUE(log_->recovery().damage.empty());
  const ModelMessages found = read_all(*log_);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.begin()->first, kept);
}

TEST_F(LogFault, APurgeMakesRoomOnAFullDisk) {
  fs_.set_capacity(fs_.total_bytes() + 60'000);
  Status full;
  while (full.ok()) {
    full = log_->append("a.b", "", std::string(300, 'y'), 1).status();
  }
  ASSERT_EQ(full.code(), StatusCode::kExhausted);
  const StreamSeq last = log_->last_seq();
  ASSERT_TRUE(log_->purge_below(last - 20).has_value());
  ASSERT_OK(log_->sync());
  EXPECT_EQ(log_->durable_seq(), last);
  EXPECT_EQ(must_append("fits"), last + 1);
  ASSERT_OK(log_->sync());
  log_.reset();
  open();
  EXPECT_EQ(log_->state().first_seq, last - 20);
  EXPECT_EQ(log_->state().last_seq, last + 1);
}

class OneSegment : public LogFault {
 protected:
  OneSegment() {
    options_.segment_bytes = 1U << 20U;
    options_.write_buffer_bytes = 4096;
    options_.after_power_cut = AfterPowerCut::kTrustSync;
    open();
  }

  Status try_append(std::size_t bytes) {
    return log_->append("a.b", "", std::string(bytes, 'y'), 1).status();
  }
  /// Fills the disk to the last byte: one segment has all of it. The last number.
  StreamSeq fill(bool reserves = true) {
    fs_.set_reserves(reserves);
    fs_.set_capacity(fs_.total_bytes() + 30'000);
    Status status;
    for (int i = 0; status.ok(); ++i) {
      status = try_append(300);
      if (status.ok() && i % 10 == 0) {
        status = log_->sync();
      }
    }
    EXPECT_EQ(status.code(), StatusCode::kExhausted) << show(status);
    while (try_append(1).ok()) {
    }
    return log_->last_seq();
  }
  std::vector<std::string> segments() const {
    std::vector<std::string> names = fs_.files();
    std::erase_if(names,
                  [](const std::string& each) { return each.find("segment-") == each.npos; });
    return names;
  }
  /// As a stream does: a flush first, then another try.
  void expect_room_behind(StreamSeq last) {
    const auto before = segments();
    static_cast<void>(log_->sync());
    EXPECT_EQ(must_append(std::string(1000, 'f')), last + 1);
    ASSERT_OK(log_->sync());
    EXPECT_EQ(log_->durable_seq(), last + 1);
    EXPECT_EQ(segments().size(), 1U) << "the room was not given back";
    EXPECT_NE(segments(), before);
    open_after_power_cut();
    EXPECT_TRUE(log_->recovery().damage.empty());
    ASSERT_EQ(read_all(*log_).size(), 1U);
    EXPECT_EQ(log_->state().first_seq, last + 1);
    EXPECT_EQ(must_append("more"), last + 2);
    const auto report = check_store(fs_, "/store/s");
    ASSERT_TRUE(report.has_value());
    EXPECT_TRUE(report->healthy()) << report->to_string();
  }
  void empty() {
    fs_.set_capacity(~std::uint64_t{0});
    ASSERT_TRUE(log_->purge_below(log_->last_seq() + 1).has_value());
    ASSERT_OK(log_->sync());
  }
};

TEST_F(OneSegment, APurgeOfAllMakesRoomOnAFullDisk) {
  for (const bool reserves : {true, false}) {
    SCOPED_TRACE(reserves);
    const StreamSeq last = fill(reserves);
    ASSERT_TRUE(log_->purge_below(last + 1).has_value());
    expect_room_behind(last);
    empty();
  }
}

TEST_F(OneSegment, RemovalsOfAllMakeRoomOnAFullDisk) {
  const StreamSeq last = fill();
  for (StreamSeq seq = 1; seq <= last; ++seq) {
    ASSERT_OK(log_->remove(seq));
  }
  expect_room_behind(last);
}

TEST_F(OneSegment, ErasedMessagesAreOverwrittenBeforeTheirRoomGoes) {
  const StreamSeq last = fill();
  const std::string path = segments().at(0);
  StreamSeq writes = 0;
  StreamSeq writes_before_it_went = 0;
  fs_.set_fault([&](Op op, const std::string& at) {
    writes += op == Op::kWrite && at == path ? 1U : 0U;
    if (op == Op::kRemove && at == path) {
      writes_before_it_went = writes;
    }
    return Status();
  });
  for (StreamSeq seq = 1; seq <= last; ++seq) {
    ASSERT_OK(log_->remove(seq, MessageLog::Erase::kYes));
  }
  expect_room_behind(last);
  fs_.set_fault({});
  EXPECT_GE(writes_before_it_went, last / 2) << "one for each message that had got there";
}

TEST_F(OneSegment, AFullSegmentOnAFullDiskGoes) {
  // The next message would begin a segment, for whose file there is no room.
  while (try_append(30'000).ok() && log_->state().bytes < options_.segment_bytes - 40'000) {
  }
  ASSERT_OK(log_->sync());
  ASSERT_EQ(segments().size(), 1U);
  fs_.set_capacity(fs_.total_bytes());
  ASSERT_TRUE(log_->purge_below(log_->last_seq() + 1).has_value());
  ASSERT_OK(log_->sync());
  const StreamSeq last = log_->last_seq();
  EXPECT_OK(try_append(60'000));
  EXPECT_EQ(log_->last_seq(), last + 1);
  EXPECT_EQ(segments().size(), 1U);
}

TEST_F(OneSegment, WhileOneMessageIsLeftNothingGoes) {
  const StreamSeq last = fill();
  for (StreamSeq seq = 1; seq < last; ++seq) {
    ASSERT_OK(log_->remove(seq));
  }
  static_cast<void>(log_->sync());
  EXPECT_EQ(try_append(300).code(), StatusCode::kExhausted);
  ASSERT_EQ(read_all(*log_).size(), 1U);
  EXPECT_EQ(log_->state().first_seq, last);
}

TEST_F(OneSegment, APurgeThatThePowerOutlivesTakesNoLaterMessage) {
  // On a full disk the purge is durable before the newest of what it removed.
  const StreamSeq last = fill();
  ASSERT_LT(log_->durable_seq(), last - 1) << "nothing is on its way";
  ASSERT_TRUE(log_->purge_below(last).has_value());
  EXPECT_EQ(try_append(300).code(), StatusCode::kExhausted);
  fs_.set_capacity(~std::uint64_t{0});
  open_after_power_cut();
  const StreamSeq seq = must_append("confirmed");
  EXPECT_GE(seq, last);
  ASSERT_OK(log_->sync());
  open_after_power_cut();
  ReadBuffer buffer;
  EXPECT_TRUE(log_->read(seq, buffer).has_value()) << "it went with a purge from before it";
}

TEST_F(OneSegment, NothingIsLostWhereverThePowerGoesOff) {
  int given_up = 0;
  for (std::uint64_t operations = 0; operations < 30; ++operations) {
    SCOPED_TRACE(operations);
    for (const auto mode :
         {PowerLossFileSystem::Mode::kForget, PowerLossFileSystem::Mode::kKeepSome}) {
      const StreamSeq last = fill();
      const StreamSeq durable = log_->durable_seq();
      const auto before = segments();
      ASSERT_TRUE(log_->purge_below(last + 1).has_value());
      fs_.cut_after(operations, mode);
      StreamSeq given = 0;
      if (const auto seq = log_->append("a.b", "", std::string(1000, 'n'), 1); seq.has_value()) {
        EXPECT_EQ(*seq, last + 1);
        given = log_->sync().ok() ? *seq : 0;
      }
      given_up += segments() != before ? 1 : 0;
      if (!fs_.is_off()) {
        fs_.cut_now(mode);
      }
      fs_.set_capacity(~std::uint64_t{0});
      for (int start = 0; start < 2; ++start) {
        log_.reset();
        fs_.restart();
        open();
        EXPECT_TRUE(log_->recovery().damage.empty()) << log_->recovery().damage[0].what;
        EXPECT_GE(log_->last_seq(), std::max(durable, given));
        ReadBuffer buffer;
        if (given != 0) {
          const auto message = log_->read(given, buffer);
          ASSERT_TRUE(message.has_value()) << show(message.error());
          EXPECT_EQ(message->payload, std::string(1000, 'n'));
        }
        given = must_append(std::string(1000, 'n'));
        ASSERT_OK(log_->sync());
        fs_.cut_now(mode);
      }
      log_.reset();
      fs_.restart();
      open();
      empty();
    }
  }
  EXPECT_GT(given_up, 10);
}

TEST_F(LogFault, WhatCannotBeStoredIsRefused) {
  EXPECT_EQ(log_->append("", "", "x", 1).error().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(log_->append(std::string(70'000, 's'), "", "x", 1).error().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(must_append("first"), 1U);
  EXPECT_EQ(log_->remove(2).code(), StatusCode::kNotFound);
  ASSERT_OK(log_->close());
  EXPECT_EQ(log_->append("a", "", "x", 1).error().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace feedvault::broker::store
