// The power goes at a random moment of random work, again and again. What must hold afterwards:
//  - every message that a sync confirmed and nobody removed is there, unchanged;
//  - what else is there was appended, unchanged, and is a prefix of what was not confirmed;
//  - a removal that was confirmed stays (expiry aside, which promises less);
//  - no number is given out twice;
//  - nothing of it looks like damage.

#include <cstdlib>
#include <set>

#include <gtest/gtest.h>

#include "broker/store/check_store.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

using testing::PowerLossFileSystem;

class Victim {
 public:
  Victim(std::uint64_t seed, AfterPowerCut policy) : random_(seed, 3000), fs_(seed) {
    static_cast<void>(fs_.make_dir("/store"));
    options_.segment_bytes = 1500 + random_.below(8000);
    options_.write_buffer_bytes = 100 + random_.below(4000);
    options_.reserve_step = 1 + random_.below(100);
    options_.after_power_cut = policy;
  }

  void run(int cuts) {
    for (int cut = 0; cut < cuts && !::testing::Test::HasFatalFailure(); ++cut) {
      SCOPED_TRACE("cut " + std::to_string(cut));
      const auto mode = random_.below(4) == 0 ? PowerLossFileSystem::Mode::kForget
                                              : PowerLossFileSystem::Mode::kKeepSome;
      fs_.cut_after(random_.below(random_.below(3) == 0 ? 12 : 120), mode);
      live();
      fs_.cut_now(mode);
      log_.reset();
      fs_.restart();
      check();
    }
  }

 private:
  /// Works until the power goes.
  void live() {
    auto opened = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    if (!opened.has_value()) {
      ASSERT_TRUE(fs_.is_off()) << show(opened.error());
      return;
    }
    log_ = std::move(*opened);
    job_ = nullptr;
    while (!fs_.is_off() && !::testing::Test::HasFatalFailure()) {
      step();
    }
  }

  void step() {
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2:
        sync();
        break;
      case 3:
        static_cast<void>(log_->flush());
        break;
      case 4:
      case 5:
        remove();
        break;
      case 6:
        purge();
        break;
      case 7:
      case 10:
        compact();
        break;
      case 8:
        if (random_.below(3) == 0) {
          close_and_open();
        }
        break;
      case 9:
        if (random_.below(4) == 0) {
          const StreamSeq to = log_->last_seq() + 1 + random_.below(20);
          static_cast<void>(log_->skip_to(to));
        }
        break;
      default:
        for (std::uint64_t n = random_.below(12); n > 0; --n) {
          append_one();
        }
    }
  }

  /// In steps, while the rest goes on.
  void compact() {
    if (job_ != nullptr) {
      if (!ran_) {
        log_->run_compaction(*job_);
        ran_ = true;
      } else {
        static_cast<void>(log_->end_compaction(*job_));
        job_ = nullptr;
      }
    } else if (random_.below(2) == 0) {
      job_ = log_->begin_compaction();
      ran_ = false;
    } else if (log_->compact().has_value()) {
      confirm();
    }
  }

  void append_one() {
    ModelMessage message = random_.message();
    const auto seq = append(*log_, message);
    if (seq.has_value()) {
      ASSERT_TRUE(used_.insert(*seq).second) << "number " << *seq << " was used before";
      pending_.emplace(*seq, std::move(message));
    }
  }

  void sync() {
    if (log_->sync().ok()) {
      confirm();
    }
  }

  void confirm() {
    ASSERT_TRUE(pending_.empty() || log_->durable_seq() >= pending_.rbegin()->first);
    confirmed_.merge(pending_);
    pending_.clear();
    for (const StreamSeq seq : removing_) {
      confirmed_.erase(seq);
      removed_.insert(seq);
    }
    removing_.clear();
    for (const StreamSeq seq : expiring_) {
      confirmed_.erase(seq);
      expired_.insert(seq);
    }
    expiring_.clear();
  }

  void remove() {
    const StreamSeq seq = random_.below(log_->last_seq() + 2);
    const auto erase = random_.below(4) == 0 ? MessageLog::Erase::kYes : MessageLog::Erase::kNo;
    const Status status = log_->remove(seq, erase);
    if (status.code() != StatusCode::kNotFound) {
      removing_.insert(seq);
    }
  }

  void purge() {
    ModelMessages before = read_all(*log_);
    const LogState state = log_->state();
    const StreamSeq below =
        state.first_seq + random_.below(state.last_seq - state.first_seq + 2) / 3;
    const bool expire = random_.below(2) == 0;
    if (random_.below(2) == 0) {
      static_cast<void>(expire ? log_->expire_below(below) : log_->purge_below(below));
      before.erase(before.lower_bound(below), before.end());
      for (const auto& [seq, message] : before) {
        (expire ? expiring_ : removing_).insert(seq);
      }
    } else {
      const std::string text = random_.filter();
      SubjectFilter filter(text);
      const std::uint64_t keep = random_.below(3);
      static_cast<void>(log_->purge(filter, keep, below));
      std::vector<StreamSeq> found;
      for (const auto& [seq, message] : before) {
        if (seq < below && filter.matches(message.subject)) {
          found.push_back(seq);
        }
      }
      for (std::size_t i = 0; i + keep < found.size(); ++i) {
        removing_.insert(found[i]);
      }
    }
  }

  void close_and_open() {
    if (job_ != nullptr) {
      return;
    }
    if (!log_->close().ok()) {
      return;
    }
    confirm();
    log_.reset();
    auto opened = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    if (!opened.has_value()) {
      ASSERT_TRUE(fs_.is_off()) << show(opened.error());
      fs_.cut_now(PowerLossFileSystem::Mode::kForget);
      return;
    }
    log_ = std::move(*opened);
    ASSERT_TRUE(log_->recovery().damage.empty()) << log_->recovery().damage[0].what;
  }

  void check() {
    const auto report = check_store(fs_, "/store");
    ASSERT_TRUE(report.has_value()) << show(report.error());
    ASSERT_TRUE(report->healthy()) << report->to_string();
    auto opened = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    ASSERT_TRUE(opened.has_value()) << show(opened.error());
    log_ = std::move(*opened);
    ASSERT_TRUE(log_->recovery().damage.empty()) << log_->recovery().damage[0].what;
    const ModelMessages found = read_all(*log_);
    ASSERT_EQ(found.size(), log_->state().messages);
    for (const auto& [seq, message] : confirmed_) {
      const bool may_be_gone = removing_.contains(seq) || expiring_.contains(seq);
      const auto there = found.find(seq);
      ASSERT_TRUE(may_be_gone || there != found.end()) << "lost the confirmed message " << seq;
      ASSERT_TRUE(there == found.end() || there->second == message) << seq;
    }
    StreamSeq last_of_pending = 0;
    for (const auto& [seq, message] : found) {
      if (confirmed_.contains(seq)) {
        continue;
      }
      ASSERT_FALSE(removed_.contains(seq)) << seq << " is back";
      if (expired_.contains(seq)) {
        continue;
      }
      ASSERT_TRUE(pending_.contains(seq)) << seq << " came from nowhere";
      ASSERT_TRUE(pending_.at(seq) == message) << seq;
      last_of_pending = seq;
    }
    for (const auto& [seq, message] : pending_) {
      const bool may_be_gone = removing_.contains(seq) || expiring_.contains(seq);
      ASSERT_TRUE(seq > last_of_pending || may_be_gone || found.contains(seq))
          << "no prefix: " << last_of_pending << " is there and " << seq << " is not";
    }
    const StreamSeq next = log_->last_seq() + 1;
    if (options_.after_power_cut == AfterPowerCut::kSkipReserved) {
      ASSERT_TRUE(used_.empty() || next > *used_.rbegin());
    } else {
      // Numbers that nobody was told of may come again.
      ASSERT_TRUE(confirmed_.empty() || next > confirmed_.rbegin()->first);
      used_.erase(used_.lower_bound(next), used_.end());
    }
    ASSERT_EQ(log_->durable_seq(), log_->last_seq());
    confirmed_ = found;
    pending_.clear();
    // Nobody was promised that these are gone for good.
    expired_.merge(removing_);
    expired_.merge(expiring_);
    removing_.clear();
    expiring_.clear();
    // Closed or killed, what it found is what the next one finds.
    if (random_.below(2) == 0) {
      ASSERT_OK(log_->close());
    }
    log_.reset();
  }

  RandomMessages random_;
  PowerLossFileSystem fs_;
  LogOptions options_;
  std::unique_ptr<MessageLog> log_;
  std::shared_ptr<CompactionJob> job_;
  bool ran_ = false;
  ModelMessages confirmed_;
  ModelMessages pending_;         // appended, not confirmed
  std::set<StreamSeq> removing_;  // asked for, not confirmed
  std::set<StreamSeq> expiring_;
  std::set<StreamSeq> removed_;
  std::set<StreamSeq> expired_;
  std::set<StreamSeq> used_;
};

/// FEEDVAULT_SEEDS_FROM=1000 tries others than the usual.
std::uint64_t seed_offset() {
  const char* const from = std::getenv("FEEDVAULT_SEEDS_FROM");
  return from == nullptr ? 0 : std::strtoull(from, nullptr, 10);
}

class PowerLoss : public ::testing::TestWithParam<std::uint64_t> {};

// Together 1,200 cuts a run.
TEST_P(PowerLoss, LosesNothingThatWasConfirmed) {
  Victim victim(seed_offset() + GetParam(), AfterPowerCut::kSkipReserved);
  victim.run(40);
}

TEST_P(PowerLoss, LosesNothingWithoutSkippingNumbers) {
  Victim victim(seed_offset() + GetParam() + 1'000'000, AfterPowerCut::kTrustSync);
  victim.run(40);
}

// The last message of a segment is erased, the segment's index is lost in the cut, and the file
// that holds the removal goes: with the removal, the erased bytes would be taken for damage.
TEST(PowerLossOnce, WhatWasErasedIsNotTakenForDamageLater) {
  Victim victim(1'250'015, AfterPowerCut::kTrustSync);
  victim.run(40);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PowerLoss, ::testing::Range<std::uint64_t>(1, 16));

}  // namespace
}  // namespace feedvault::broker::store
