// Random operations on a stream and on a model of one. Each seed is a configuration and a story.

#include "tests/unit/broker/streams/stream_model.h"

#include <random>

#include "broker/streams/publish_headers.h"
namespace feedvault::broker::streams {
namespace {

class StreamModelTest : public StreamTest, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }
  bool one_in(std::uint64_t chances) { return below(chances) == 0; }

  void choose_config() {
    config_.storage = one_in(3) ? StorageType::kMemory : StorageType::kFile;
    config_.retention = static_cast<Retention>(below(3));
    config_.discard = one_in(2) ? Discard::kNew : Discard::kOld;
    choose_limits(config_);
    config_.max_age_ns = one_in(3) ? 500'000'000 : 0;
    config_.duplicate_window_ns = 300'000'000;
    config_.allow_rollup_hdrs = one_in(2);
    options_.log.segment_bytes = 4096;
    options_.log.write_buffer_bytes = one_in(2) ? 1024 : 65536;
    with_consumers();
    static const char* const kFilters[] = {">", "ord.a", "ord.*", "ord.b.>"};
    for (std::uint64_t i = below(3); i > 0; --i) {
      consumers_.consumers.push_back({kFilters[below(4)], {}});
    }
    consumers_.wants_written = config_.retention == Retention::kLimits && one_in(2);
  }
  void choose_limits(StreamConfig& config) {
    config.max_msgs = one_in(2) ? static_cast<std::int64_t>(1 + below(30)) : -1;
    config.max_bytes = one_in(3) ? static_cast<std::int64_t>(100 + below(3000)) : -1;
    config.max_msgs_per_subject = one_in(2) ? static_cast<std::int64_t>(1 + below(4)) : -1;
    config.discard_new_per_subject =
        config.discard == Discard::kNew && config.max_msgs_per_subject > 0 && one_in(2);
  }

  std::string any_subject() {
    static const char* const kSubjects[] = {"ord.a", "ord.b", "ord.b.c", "ord.b.d", "ord.x.y.z"};
    return kSubjects[below(5)];
  }
  std::string any_filter() {
    static const char* const kFilters[] = {"ord.a", "ord.b.*", "ord.>", "ord.*", "none.>", ""};
    return kFilters[below(6)];
  }

  void publish() {
    StreamModel::Message message{any_subject(), {}, std::string(below(120), 'p'), clock_.unix_ns()};
    message.payload += std::to_string(++payloads_);
    StreamModel::Asks asks;
    Headers headers;
    if (one_in(4)) {
      asks.id = "id" + std::to_string(below(20));
      headers.emplace_back("Nats-Msg-Id", asks.id);
    }
    if (one_in(10)) {
      asks.last_seq = model_->last - below(2);
      headers.emplace_back("Nats-Expected-Last-Sequence", std::to_string(*asks.last_seq));
    }
    if (one_in(10)) {
      asks.last_subject_seq = model_->last_of(message.subject) + below(2);
      headers.emplace_back("Nats-Expected-Last-Subject-Sequence",
                           std::to_string(*asks.last_subject_seq));
    }
    if (one_in(12)) {
      asks.rollup = one_in(2) ? "sub" : "all";
      headers.emplace_back("Nats-Rollup", asks.rollup);
    }
    message.headers = headers.empty() ? std::string() : header_block(headers);
    const bool reply = !one_in(3);
    const bool wanted = config_.retention != Retention::kInterest ||
                        FakeConsumers(consumers_).wants(message.subject);
    const auto expected = model_->store(message, asks, reply, wanted);
    const auto actual = store(message.subject, message.payload, headers, reply ? "inbox" : "");
    ASSERT_EQ(actual, expected) << stream_->last_refusal().description;
    visible_ = stream_->visible_seq();
    compare_answers();
  }

  void commit_step() {
    if (one_in(3)) {
      stream_->write();
      ASSERT_GE(stream_->written_seq(), stream_->visible_seq());
    }
    if (stream_->committing()) {
      stream_->end_commit(stream_->sync());
    } else if (stream_->needs_commit()) {
      stream_->begin_commit();
    }
    note_visible();
  }

  /// What was not visible before may be now, never the other way round.
  void note_visible() {
    ASSERT_GE(stream_->visible_seq(), visible_);
    visible_ = stream_->visible_seq();
    compare_answers();
  }

  /// Those whose messages are visible went out, in order, and no others.
  void compare_answers() {
    std::size_t i = 0;
    for (const std::string& text : output_.payloads("inbox")) {
      ASSERT_FALSE(model_->answers.empty()) << "unexpected: " << text;
      ASSERT_EQ(text, model_->answers.front().text);
      ASSERT_LE(model_->answers.front().covers, visible_);
      model_->answers.pop_front();
      ++i;
    }
    output_.sent.clear();
    ASSERT_TRUE(model_->answers.empty() || model_->answers.front().covers > visible_);
  }

  void finish_commits() {
    while (stream_->committing() || stream_->needs_commit()) {
      commit_step();
    }
  }

  void acknowledge() {
    if (consumers_.consumers.empty() || visible_ == 0) {
      return;
    }
    FakeState::One& consumer = consumers_.consumers[below(consumers_.consumers.size())];
    const StreamSeq seq = 1 + below(visible_);
    const auto found = model_->messages.find(seq);
    if (found == model_->messages.end() ||
        !subject_matches(consumer.filter, found->second.subject)) {
      return;
    }
    consumer.done.insert(seq);
    const bool goes = config_.retention == Retention::kWorkQueue ||
                      (config_.retention == Retention::kInterest &&
                       !FakeConsumers(consumers_).needs(seq, found->second.subject));
    EXPECT_EQ(stream_->acknowledged(seq), goes);
    if (goes) {
      model_->messages.erase(found);
    }
  }

  void purge() {
    PurgeRequest request;
    request.filter = any_filter();
    if (one_in(2)) {
      request.below = 1 + below(model_->last + 3);
    } else if (one_in(2)) {
      request.keep = 1 + below(5);
    }
    const auto purged = stream_->purge(request);
    ASSERT_TRUE(purged.has_value());
    EXPECT_EQ(*purged, model_->purge(request));
    note_visible();
  }

  void delete_one() {
    const StreamSeq seq = 1 + below(model_->last + 2);
    const bool there = seq <= visible_ && model_->messages.contains(seq);
    EXPECT_EQ(stream_->delete_message(seq, one_in(2)).has_value(), !there);
    if (there) {
      model_->messages.erase(seq);
    }
    note_visible();
  }

  void change_limits() {
    StreamConfig changed = config_;
    choose_limits(changed);
    ASSERT_FALSE(check_stream_update(config_, changed).has_value());
    ASSERT_FALSE(stream_->update(changed).has_value());
    config_ = changed;
    model_->config = changed;
    model_->enforce();
    model_->expire(clock_.unix_ns());
    note_visible();
  }

  void kill_and_start() {
    if (config_.storage == StorageType::kMemory) {
      return;
    }
    const bool finished = one_in(3);
    if (finished) {
      finish_commits();
    }
    if (one_in(3)) {
      finish_commits();
      ASSERT_TRUE(stream_->close().ok());
    }
    reopen();
    output_.sent.clear();
    model_->answers.clear();
    visible_ = stream_->visible_seq();
    ASSERT_EQ(visible_, model_->last);
    model_->expire(clock_.unix_ns());
    if (!finished) {
      accept_the_evicted();
    }
    if (stream_->recovery().clean) {
      return;  // nothing was stored since it was closed
    }
    // After a kill the messages tell of their ids: what was removed took its own with it.
    model_->ids.clear();
    for (const auto& [seq, message] : model_->messages) {
      const std::string id(read_publish_headers(message.headers).message_id);
      if (!id.empty() && message.time_ns >= clock_.unix_ns() - config_.duplicate_window_ns) {
        model_->ids.try_emplace(id, seq, message.time_ns);
      }
    }
  }

  /// A message that limits removed for the sake of one that was not durable may be back.
  void accept_the_evicted() {
    const auto actual = contents();
    for (const auto& [seq, message] : model_->messages) {
      ASSERT_TRUE(actual.contains(seq)) << seq;
    }
    for (const auto& [seq, message] : actual) {
      ASSERT_EQ(message, model_->stored[seq]);
    }
    model_->messages = actual;
  }

  void pass_time() {
    advance(std::chrono::milliseconds(60 + below(200)));
    model_->expire(clock_.unix_ns());
    note_visible();
  }

  void compare_state() {
    const StreamState state = stream_->state();
    std::uint64_t messages = 0;
    StreamSeq first = 0;
    for (const auto& [seq, message] : model_->messages) {
      if (seq <= visible_) {
        ++messages;
        first = first == 0 ? seq : first;
      }
    }
    ASSERT_EQ(state.messages, messages);
    ASSERT_EQ(state.last_seq, visible_);
    ASSERT_EQ(state.first_seq, messages == 0 ? (visible_ == 0 ? 0 : visible_ + 1) : first);
    ASSERT_EQ(state.num_deleted, messages == 0 ? 0 : visible_ + 1 - first - messages);
    if (visible_ == model_->last) {
      ASSERT_EQ(state.bytes, model_->bytes());
    }
  }

  std::map<StreamSeq, StreamModel::Message> contents() const {
    std::map<StreamSeq, StreamModel::Message> actual;
    store::MessageReader reader(stream_->log(), 1);
    for (auto next = reader.next(visible_); next.has_value() && next->has_value();
         next = reader.next(visible_)) {
      const store::MessageView& message = **next;
      actual[message.seq] = {std::string(message.subject),
                             std::string(message.headers),
                             std::string(message.payload),
                             message.time_ns};
    }
    return actual;
  }

  void compare_contents() {
    const auto actual = contents();
    auto expected = model_->messages;
    std::erase_if(expected, [this](const auto& one) { return one.first > visible_; });
    ASSERT_EQ(actual, expected);
    compare_queries(expected);
  }

  void compare_queries(const std::map<StreamSeq, StreamModel::Message>& expected) {
    const std::string filter = any_filter();
    const StreamSeq from = 1 + below(model_->last + 1);
    StreamSeq last = 0;
    StreamSeq next = 0;
    std::uint64_t count = 0;
    for (const auto& [seq, message] : expected) {
      if (filter.empty() || subject_matches(filter, message.subject)) {
        last = seq;
        next = next == 0 && seq >= from ? seq : next;
        count += seq >= from ? 1 : 0;
      }
    }
    store::ReadBuffer buffer;
    if (!filter.empty()) {
      const auto found = stream_->last_by_subject(filter, buffer);
      ASSERT_EQ(found.has_value() ? found->seq : 0, last);
    }
    const auto found = stream_->next_by_subject(from, filter, buffer);
    ASSERT_EQ(found.has_value() ? found->seq : 0, next);
    store::SubjectFilter wanted =
        filter.empty() ? store::SubjectFilter() : store::SubjectFilter(filter);
    ASSERT_EQ(stream_->count_matching(from, stream_->visible_seq(), wanted), count);
  }

  void step() {
    const std::uint64_t dice = below(100);
    if (dice < 55) {
      publish();
    } else if (dice < 75) {
      commit_step();
    } else if (dice < 83) {
      acknowledge();
    } else if (dice < 86) {
      purge();
    } else if (dice < 90) {
      delete_one();
    } else if (dice < 92) {
      change_limits();
    } else if (dice < 97) {
      if (!stream_->committing()) {
        pass_time();
      }
    } else if (!stream_->committing()) {
      kill_and_start();
    }
  }

  std::mt19937_64 random_{GetParam()};
  std::unique_ptr<StreamModel> model_;
  StreamSeq visible_ = 0;
  std::uint64_t payloads_ = 0;
};

TEST_P(StreamModelTest, IsIndistinguishableFromTheModel) {
  for (int story = 0; story < 4; ++story) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + " story " + std::to_string(story));
    config_ = {};
    config_.name = "ORD";
    config_.subjects = {"ord.>"};
    consumers_ = {};
    disk_.restart();
    stream_.reset();
    options_.dir = "/streams/" + std::to_string(story);
    ASSERT_TRUE(disk_.make_dir(options_.dir).ok());
    visible_ = 0;
    output_.sent.clear();
    choose_config();
    create();
    ASSERT_NE(stream_, nullptr);
    model_ = std::make_unique<StreamModel>(stream_->config());
    for (int i = 0; i < 400 && !HasFatalFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      step();
      if (!HasFatalFailure()) {
        compare_state();
      }
      if (i % 20 == 0 && !HasFatalFailure()) {
        compare_contents();
      }
    }
    if (HasFatalFailure()) {
      return;
    }
    finish_commits();
    compare_contents();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StreamModelTest, ::testing::Range<std::uint64_t>(1, 25));

}  // namespace
}  // namespace feedvault::broker::streams
