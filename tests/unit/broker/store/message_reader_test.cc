#include <gtest/gtest.h>

#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

class Reader : public ::testing::Test {
 protected:
  Reader() {
    static_cast<void>(fs_.make_dir("/store"));
    options_.segment_bytes = 20'000;
    options_.write_buffer_bytes = 4000;
    auto log = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    EXPECT_TRUE(log.has_value());
    log_ = std::move(*log);
  }
  void put(const std::string& subject, const std::string& payload) {
    ASSERT_TRUE(log_->append(subject, "", payload, 1).has_value());
  }
  static StreamSeq next_of(MessageReader& reader, StreamSeq last) {
    const auto next = reader.next(last);
    EXPECT_TRUE(next.has_value()) << show(next.status());
    return next.has_value() && next->has_value() ? (*next)->seq : 0;
  }

  testing::PowerLossFileSystem fs_{1};
  LogOptions options_;
  std::unique_ptr<MessageLog> log_;
};

TEST_F(Reader, FollowsTheWriter) {
  MessageReader reader(*log_, 1);
  EXPECT_EQ(next_of(reader, 1000), 0U);
  for (StreamSeq seq = 1; seq <= 300; ++seq) {
    put("a", std::string(seq, 'x'));
    ASSERT_EQ(next_of(reader, 1000), seq);
    ASSERT_EQ(next_of(reader, 1000), 0U);
    ASSERT_EQ(reader.position(), seq + 1);
    if (seq % 7 == 0) {
      ASSERT_OK(log_->flush());
    }
  }
}

TEST_F(Reader, StopsAtTheLastThatItMayShow) {
  for (int i = 0; i < 20; ++i) {
    put("a", "x");
  }
  ASSERT_OK(log_->sync());
  MessageReader reader(*log_, 5);
  for (StreamSeq seq = 5; seq <= 10; ++seq) {
    EXPECT_EQ(next_of(reader, 10), seq);
  }
  EXPECT_EQ(next_of(reader, 10), 0U);
  EXPECT_EQ(reader.position(), 11U);
  EXPECT_EQ(next_of(reader, 12), 11U);
  reader.seek(2);
  EXPECT_EQ(next_of(reader, 12), 2U);
}

TEST_F(Reader, ItsPositionPassesWhatDoesNotMatch) {
  for (int i = 0; i < 100; ++i) {
    put(i % 50 == 0 ? "wanted" : "other", "x");
  }
  ASSERT_OK(log_->sync());
  MessageReader reader(*log_, 1, SubjectFilter("wanted"));
  EXPECT_EQ(next_of(reader, 100), 1U);
  EXPECT_EQ(next_of(reader, 100), 51U);
  EXPECT_EQ(next_of(reader, 100), 0U);
  EXPECT_EQ(reader.position(), 101U);
  // Nothing is looked at twice, and nothing is missed.
  put("wanted", "new");
  EXPECT_EQ(next_of(reader, 200), 101U);
}

TEST_F(Reader, TheFileMayGoWhileItIsRead) {
  for (int i = 0; i < 200; ++i) {
    put("a", std::string(200, 'x'));
  }
  ASSERT_OK(log_->sync());
  MessageReader reader(*log_, 1);
  EXPECT_EQ(next_of(reader, 1000), 1U);
  ASSERT_TRUE(log_->purge_below(150).has_value());
  ASSERT_OK(log_->sync());
  // It had looked up more than the first, and read ahead.
  for (StreamSeq seq = 150; seq <= 200; ++seq) {
    EXPECT_EQ(next_of(reader, 1000), seq);
  }
  EXPECT_EQ(next_of(reader, 1000), 0U);
  EXPECT_EQ(reader.damaged(), 0U);
}

TEST_F(Reader, WhatIsRemovedIsNotServed) {
  for (int i = 0; i < 50; ++i) {
    put("a", "x");
  }
  ASSERT_OK(log_->sync());
  MessageReader reader(*log_, 1);
  for (StreamSeq seq = 1; seq < 50; seq += 2) {
    EXPECT_EQ(next_of(reader, 50), seq);
    ASSERT_OK(log_->remove(seq + 1, MessageLog::Erase::kYes));
    ASSERT_OK(log_->sync());
  }
  EXPECT_EQ(next_of(reader, 50), 0U);
  EXPECT_EQ(reader.damaged(), 0U);
  EXPECT_TRUE(log_->damage().empty());
}

TEST_F(Reader, RestingLosesNothing) {
  for (int i = 0; i < 10; ++i) {
    put("a", "x");
  }
  ASSERT_OK(log_->sync());
  MessageReader reader(*log_, 1);
  for (StreamSeq seq = 1; seq <= 10; ++seq) {
    EXPECT_EQ(next_of(reader, 10), seq);
    reader.rest();
  }
}

}  // namespace
}  // namespace feedvault::broker::store
