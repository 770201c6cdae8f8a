// Random operations on a log and on a map, which must agree at every step.

#include <gtest/gtest.h>

#include "base/subject.h"
#include "tests/unit/broker/store/log_model.h"

namespace feedvault::broker::store {
namespace {

class Pair {
 public:
  explicit Pair(std::uint64_t seed) : random_(seed), fs_(seed) {
    static_cast<void>(fs_.make_dir("/store"));
    choose_options();
    open();
  }

  void run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFatalFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      one_step();
      compare_some();
    }
    compare_all();
  }

 private:
  void choose_options() {
    options_.segment_bytes = 2000 + random_.below(6000);
    options_.write_buffer_bytes = 100 + random_.below(2000);
    options_.reserve_step = 1 + random_.below(50);
    options_.first_seq = random_.below(3) == 0 ? 1 + random_.below(100) : 1;
    next_seq_ = options_.first_seq;
  }

  void open() {
    log_.reset();
    auto opened = MessageLog::open(fs_, "/store/s", options_, Clock::system());
    ASSERT_TRUE(opened.has_value()) << show(opened.error());
    log_ = std::move(*opened);
    ASSERT_TRUE(log_->recovery().damage.empty()) << log_->recovery().damage[0].what;
  }

  void one_step() {
    switch (random_.below(30)) {
      case 0:
        ASSERT_OK(log_->sync());
        break;
      case 1:
        ASSERT_OK(log_->flush());
        break;
      case 2:
      case 3:
      case 4:
        remove();
        break;
      case 5:
        purge();
        break;
      case 6:
        reopen();
        break;
      case 7:
        skip();
        break;
      case 8:
        ASSERT_TRUE(log_->compact().has_value());
        break;
      default:
        for (std::uint64_t n = random_.below(20); n > 0; --n) {
          append_one();
        }
    }
  }

  void append_one() {
    ModelMessage message = random_.message();
    const auto seq = append(*log_, message);
    ASSERT_TRUE(seq.has_value()) << show(seq.error());
    ASSERT_EQ(*seq, next_seq_);
    messages_.emplace(next_seq_++, std::move(message));
  }

  StreamSeq any_seq() { return random_.below(next_seq_ + 3); }

  void remove() {
    const StreamSeq seq = any_seq();
    const bool there = messages_.erase(seq) > 0;
    const auto erase = random_.below(3) == 0 ? MessageLog::Erase::kYes : MessageLog::Erase::kNo;
    const Status status = log_->remove(seq, erase);
    ASSERT_EQ(status.code(), there ? StatusCode::kOk : StatusCode::kNotFound) << show(status);
  }

  void purge() {
    const std::size_t before = messages_.size();
    Result<std::uint64_t> purged = std::uint64_t{0};
    if (random_.below(2) == 0) {
      // Mostly a little: a log that is emptied all the time tests nothing else.
      const StreamSeq first = messages_.empty() ? next_seq_ : messages_.begin()->first;
      const StreamSeq below =
          random_.below(10) == 0 ? any_seq() : first + random_.below(next_seq_ - first + 1) / 3;
      messages_.erase(messages_.begin(), messages_.lower_bound(below));
      purged = random_.below(2) == 0 ? log_->purge_below(below) : log_->expire_below(below);
    } else {
      const std::string text = random_.filter();
      SubjectFilter filter(text);
      const std::uint64_t keep = random_.below(6);
      const StreamSeq below = random_.below(2) == 0 ? 0 : any_seq();
      std::vector<StreamSeq> found;
      for (const auto& [seq, message] : messages_) {
        if ((below == 0 || seq < below) && subject_matches(text, message.subject)) {
          found.push_back(seq);
        }
      }
      for (std::size_t i = 0; i + keep < found.size(); ++i) {
        messages_.erase(found[i]);
      }
      purged = log_->purge(filter, keep, below);
    }
    ASSERT_TRUE(purged.has_value()) << show(purged.error());
    ASSERT_EQ(*purged, before - messages_.size());
  }

  void skip() {
    const StreamSeq to = next_seq_ + random_.below(10) * random_.below(2000);
    ASSERT_OK(log_->skip_to(to));
    next_seq_ = std::max(next_seq_, to);
  }

  void reopen() {
    const bool clean = random_.below(2) == 0;
    // What expired is only promised to stay away when it was synced.
    ASSERT_OK(clean ? log_->close() : log_->sync());
    open();
    ASSERT_TRUE(log_->recovery().clean || !clean);
    ASSERT_EQ(log_->recovery().cut_bytes, 0U);
    compare_all();
  }

  void compare_some() {
    const LogState state = log_->state();
    ASSERT_EQ(state.last_seq + 1, next_seq_);
    ASSERT_EQ(state.messages, messages_.size());
    ASSERT_EQ(state.first_seq, messages_.empty() ? next_seq_ : messages_.begin()->first);
    ASSERT_EQ(state.first_time_ns, messages_.empty() ? 0 : messages_.begin()->second.time_ns);
    const StreamSeq seq = any_seq();
    ReadBuffer buffer;
    const auto message = log_->read(seq, buffer);
    const auto wanted = messages_.find(seq);
    ASSERT_EQ(message.has_value(), wanted != messages_.end());
    if (message.has_value()) {
      ASSERT_TRUE(copy_of(*message) == wanted->second);
    }
    compare_queries();
  }

  void compare_queries() {
    const std::string text = random_.filter();
    SubjectFilter filter(text);
    const StreamSeq from = any_seq();
    StreamSeq next = 0;
    StreamSeq last = 0;
    std::uint64_t count = 0;
    for (const auto& [seq, message] : messages_) {
      if (!subject_matches(text, message.subject)) {
        continue;
      }
      next = next == 0 && seq >= from ? seq : next;
      last = seq <= from ? seq : last;
      count += seq >= from ? 1 : 0;
    }
    ASSERT_EQ(log_->next_matching(from, filter), next) << text << " from " << from;
    ASSERT_EQ(log_->last_matching(from, filter), last) << text << " from " << from;
    ASSERT_EQ(log_->count_matching(from, filter), count) << text << " from " << from;
    const std::string subject = random_.subject();
    SubjectState wanted;
    for (const auto& [seq, message] : messages_) {
      if (message.subject == subject) {
        wanted = {wanted.messages == 0 ? seq : wanted.first_seq, seq, wanted.messages + 1};
      }
    }
    const SubjectState state = log_->subject_state(subject);
    ASSERT_EQ(state.messages, wanted.messages);
    ASSERT_EQ(state.first_seq, wanted.first_seq) << subject;
    ASSERT_EQ(state.last_seq, wanted.last_seq) << subject;
  }

  void compare_all() {
    ASSERT_TRUE(read_all(*log_) == messages_);
    std::map<std::string, std::uint64_t> subjects;
    std::uint64_t bytes = 0;
    for (const auto& [seq, message] : messages_) {
      ++subjects[message.subject];
      bytes +=
          accounted_bytes(message.subject.size(), message.headers.size(), message.payload.size());
    }
    ASSERT_EQ(log_->state().bytes, bytes);
    const auto counts = log_->subjects(SubjectFilter());
    ASSERT_EQ(counts.size(), subjects.size());
    ASSERT_EQ(log_->subject_count(), subjects.size());
    for (const SubjectCount& count : counts) {
      ASSERT_EQ(count.state.messages, subjects[count.subject]);
    }
    std::vector<StreamSeq> deleted;
    for (StreamSeq seq = messages_.empty() ? next_seq_ : messages_.begin()->first; seq < next_seq_;
         ++seq) {
      if (!messages_.contains(seq)) {
        deleted.push_back(seq);
      }
    }
    ASSERT_EQ(log_->deleted(0, 1'000'000), deleted);
    ASSERT_EQ(log_->state().deleted, deleted.size());
    compare_filtered_scan();
  }

  void compare_filtered_scan() {
    const std::string text = random_.filter();
    const StreamSeq from = any_seq();
    const StreamSeq last = any_seq();
    MessageReader reader(*log_, from, SubjectFilter(text));
    for (const auto& [seq, message] : messages_) {
      if (seq >= from && seq <= last && subject_matches(text, message.subject)) {
        const auto next = reader.next(last);
        ASSERT_TRUE(next.has_value() && next->has_value()) << text << " wants " << seq;
        ASSERT_EQ((*next)->seq, seq);
        ASSERT_TRUE(copy_of(**next) == message);
      }
    }
    const auto end = reader.next(last);
    ASSERT_TRUE(end.has_value() && !end->has_value());
  }

  RandomMessages random_;
  testing::PowerLossFileSystem fs_;
  LogOptions options_;
  std::unique_ptr<MessageLog> log_;
  ModelMessages messages_;
  StreamSeq next_seq_ = 1;
};

class LogModel : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(LogModel, AgreesWithAMap) {
  Pair pair(GetParam());
  pair.run(300);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LogModel, ::testing::Range<std::uint64_t>(1, 21));

}  // namespace
}  // namespace feedvault::broker::store
