#include <algorithm>

#include <gtest/gtest.h>

#include "broker/store/check_store.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

class Compaction : public ::testing::Test {
 protected:
  Compaction() {
    static_cast<void>(fs_.make_dir("/store"));
    options_.segment_bytes = 20'000;
    open();
  }
  void open() {
    log_.reset();
    auto log = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    ASSERT_TRUE(log.has_value()) << show(log.error());
    log_ = std::move(*log);
    EXPECT_TRUE(log_->recovery().damage.empty());
  }
  /// As a key-value bucket: a key's new value removes its old one.
  void set(const std::string& key, const std::string& value) {
    const SubjectState before = log_->subject_state(key);
    const auto seq = log_->append(key, "", value, 1);
    ASSERT_TRUE(seq.has_value());
    if (before.messages > 0) {
      ASSERT_OK(log_->remove(before.first_seq));
    }
    values_[key] = value;
  }
  void expect_values() {
    std::map<std::string, std::string> found;
    for (const auto& [seq, message] : read_all(*log_)) {
      EXPECT_TRUE(found.emplace(message.subject, message.payload).second) << message.subject;
    }
    EXPECT_TRUE(found == values_);
  }

  testing::PowerLossFileSystem fs_{1};
  LogOptions options_;
  std::unique_ptr<MessageLog> log_;
  std::map<std::string, std::string> values_;
};

TEST_F(Compaction, KeepsABucketSmall) {
  RandomMessages random(1);
  std::uint64_t most = 0;
  for (int i = 0; i < 8000; ++i) {
    set("key." + std::to_string(random.below(40)), random.bytes(100));
    if (i % 100 == 0) {
      ASSERT_TRUE(log_->compact().has_value());
      most = std::max(most, log_->disk_bytes());
    }
  }
  // 40 keys of 150 bytes are 6 KB; without compaction it would be over 1 MB.
  EXPECT_LT(most, 120'000U);
  expect_values();
  open();
  expect_values();
  ASSERT_OK(log_->close());
  open();
  expect_values();
  EXPECT_TRUE(check_store(fs_, "/store")->healthy());
}

TEST_F(Compaction, KeysThatNeverChangeSurviveAllTheOthers) {
  for (int i = 0; i < 300; ++i) {
    set("still." + std::to_string(i), std::to_string(i));
    for (int j = 0; j < 20; ++j) {
      set("busy", std::to_string(i * 100 + j));
    }
  }
  bool more = true;
  for (int calls = 0; more && calls < 1000; ++calls) {
    const auto done = log_->compact(30'000);
    ASSERT_TRUE(done.has_value());
    more = *done;
  }
  EXPECT_FALSE(more) << "it comes to an end";
  expect_values();
  open();
  expect_values();
  EXPECT_EQ(log_->subject_state("busy").messages, 1U);
  // Sparse segments cost memory by the message, not by the number.
  EXPECT_LT(log_->index_bytes(), 200'000U);
}

TEST_F(Compaction, ADamagedMessageIsLeftBehindAndReported) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(log_->append("a", "", "payload " + std::to_string(i), 1).has_value());
  }
  ASSERT_OK(log_->skip_to(1000));
  for (StreamSeq seq = 1; seq <= 190; ++seq) {
    ASSERT_OK(log_->remove(seq));
  }
  ASSERT_OK(log_->sync());
  const std::string path = "/store/s/segment-0000000000000001";
  std::string bytes = fs_.contents(path);
  bytes[bytes.find("payload 195")] = 'X';
  fs_.set_contents(path, bytes);
  ASSERT_TRUE(log_->compact().has_value());
  EXPECT_EQ(log_->state().messages, 9U);
  ASSERT_EQ(log_->damage().size(), 1U);
  EXPECT_EQ(log_->damage()[0].first_seq, 196U);
  open();
  EXPECT_EQ(log_->state().messages, 9U);
}

// Removed, erased and replaced while a segment is copied: as if nothing had been.
TEST_F(Compaction, WhatGoesMeanwhileIsGone) {
  for (int i = 0; i < 300; ++i) {
    set("still." + std::to_string(i), "payload " + std::to_string(i) + std::string(40, ';'));
    set("busy", std::string(100, 'b'));
  }
  ASSERT_OK(log_->sync());
  const auto job = log_->begin_compaction();
  ASSERT_NE(job, nullptr);
  log_->run_compaction(*job);
  EXPECT_FALSE(log_->compaction_erases());
  const std::string secret = values_["still.3"];
  ASSERT_OK(log_->remove(log_->subject_state("still.3").first_seq, MessageLog::Erase::kYes));
  values_.erase("still.3");
  EXPECT_TRUE(log_->compaction_erases());
  ASSERT_OK(log_->remove(log_->subject_state("still.4").first_seq));
  values_.erase("still.4");
  set("still.5", "new");
  ASSERT_OK(log_->sync());
  EXPECT_NE(fs_.contents("/store/s/segment-0000000000000001").find(secret), std::string::npos);
  ASSERT_OK(log_->end_compaction(*job));
  ASSERT_OK(log_->sync());
  EXPECT_EQ(fs_.contents("/store/s/segment-0000000000000001").find(secret), std::string::npos);
  expect_values();
  while (*log_->compact(1)) {
  }
  expect_values();
  open();
  expect_values();
}

// All that is left in it goes meanwhile: its file stays until the copy has come.
TEST_F(Compaction, ASegmentThatDiesMeanwhileGoesAfterwards) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(log_->append("a", "", std::string(100, 'a'), 1).has_value());
  }
  for (StreamSeq seq = 3; seq <= 120; ++seq) {
    ASSERT_OK(log_->remove(seq));
  }
  ASSERT_OK(log_->sync());
  const auto job = log_->begin_compaction();
  ASSERT_NE(job, nullptr);
  ASSERT_TRUE(log_->purge_below(150).has_value());
  ASSERT_OK(log_->sync());
  log_->run_compaction(*job);
  ASSERT_OK(log_->sync());
  ASSERT_OK(log_->end_compaction(*job));
  ASSERT_OK(log_->sync());
  EXPECT_EQ(log_->state().messages, 51U);
  const auto files = fs_.files();
  EXPECT_EQ(std::ranges::find(files, "/store/s/segment-0000000000000001"), files.end());
  open();
  EXPECT_EQ(log_->state().messages, 51U);
}

TEST_F(Compaction, DoesNothingWhenItWouldNotPay) {
  for (int i = 0; i < 500; ++i) {
    set("key." + std::to_string(i), std::string(100, 'x'));
  }
  for (StreamSeq seq = 1; seq <= 100; seq += 4) {
    ASSERT_OK(log_->remove(seq));
  }
  ASSERT_OK(log_->sync());
  const std::uint64_t operations = fs_.operations();
  EXPECT_FALSE(*log_->compact());
  EXPECT_EQ(fs_.operations(), operations);
}

}  // namespace
}  // namespace feedvault::broker::store
