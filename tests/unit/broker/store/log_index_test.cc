// The index of whole segments, as a start adds them, beside a plain list of messages.

#include "broker/store/log_index.h"

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace feedvault::broker::store {
namespace {

class LogIndexTest : public ::testing::Test {
 protected:
  /// Some numbers have no message, and of some only the bytes are there.
  void add_segment(unsigned missing_in_ten, bool lists_twice) {
    auto segment = std::make_unique<Segment>();
    segment->base_seq = next_seq_;
    SegmentFooter footer;
    footer.base_seq = next_seq_;
    const std::size_t count = kSubjects.size() * (lists_twice ? 2 : 1);
    for (std::size_t i = 0; i < count; ++i) {
      footer.subjects.emplace_back(kSubjects[i % kSubjects.size()]);
    }
    for (std::uint32_t delta = 0; delta < 300; ++delta) {
      if (random_() % 10 < missing_in_ten) {
        continue;
      }
      const auto body = static_cast<std::uint32_t>(random_() % 1000);
      const auto subject = static_cast<std::uint32_t>(random_() % count);
      const bool dead = random_() % 8 == 0;
      footer.entries.push_back({delta, 18 + delta, body | (dead ? kIndexDead : 0), subject});
      if (!dead) {
        model_[next_seq_ + delta] = {std::string(footer.subjects[subject]), body};
      }
    }
    index_.add_sealed(std::move(segment), footer);
    next_seq_ += 300;
  }

  void expect_the_same() {
    ASSERT_EQ(index_.messages(), model_.size());
    ASSERT_EQ(index_.first_seq(), model_.empty() ? 0 : model_.begin()->first);
    std::uint64_t bytes = 0;
    for (const auto& [seq, message] : model_) {
      bytes += 30 + message.second;
    }
    ASSERT_EQ(index_.bytes(), bytes);
    for (const std::string& subject : kSubjects) {
      expect_the_same_of(subject);
    }
  }

  void kill_some() {
    for (auto each = model_.begin(); each != model_.end();) {
      if (random_() % 4 == 0) {
        index_.kill(index_.find_live(each->first));
        each = model_.erase(each);
      } else {
        ++each;
      }
    }
  }

  std::mt19937_64 random_{5};
  LogIndex index_{1};

 private:
  void expect_the_same_of(const std::string& subject) {
    SCOPED_TRACE(subject);
    std::vector<StreamSeq> expected;
    for (const auto& [seq, message] : model_) {
      if (message.first == subject) {
        expected.push_back(seq);
      }
    }
    const SubjectTable::Id id = index_.subjects().find(subject);
    ASSERT_EQ(id == SubjectTable::kNone, expected.empty());
    if (expected.empty()) {
      return;
    }
    const SubjectTable::Messages messages = index_.subjects().messages(id);
    ASSERT_EQ(messages.count, expected.size());
    ASSERT_EQ(messages.first_seq, expected.front());
    ASSERT_EQ(messages.last_seq, expected.back());
    SubjectFilter filter(subject);
    std::vector<StreamSeq> found;
    for (StreamSeq seq = index_.next_matching(1, filter, ~std::size_t{0}).seq; seq != 0;
         seq = index_.next_matching(seq + 1, filter, ~std::size_t{0}).seq) {
      found.push_back(seq);
    }
    ASSERT_EQ(found, expected);
  }

  const std::vector<std::string> kSubjects{"a", "b.c", "d", "e.f.g"};
  StreamSeq next_seq_ = 7;
  std::map<StreamSeq, std::pair<std::string, std::uint32_t>> model_;
};

TEST_F(LogIndexTest, HasWhatTheFootersOfItsSegmentsSay) {
  for (unsigned round = 0; round < 12; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    add_segment(/*missing_in_ten=*/round % 3 == 0 ? 0 : round % 9U, /*lists_twice=*/false);
    expect_the_same();
    if (round % 4 == 3) {
      kill_some();
      expect_the_same();
    }
  }
}

TEST_F(LogIndexTest, BelievesAFooterThatListsSubjectsTwice) {
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    add_segment(/*missing_in_ten=*/1, /*lists_twice=*/round % 2 == 0);
    expect_the_same();
    kill_some();
    expect_the_same();
  }
}

}  // namespace
}  // namespace feedvault::broker::store
