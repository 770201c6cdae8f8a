#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/subject.h"
#include "broker/streams/store_budget.h"
#include "broker/streams/stream.h"
#include "tests/support/power_loss_file_system.h"
#include "tests/unit/broker/manual_clock.h"

namespace feedvault::broker::streams {

/// What went out, in order.
struct Sent {
  std::string to;
  std::string subject;
  std::string reply;
  std::string headers;
  std::string payload;
};

/// Takes everything; has interest in what the test names.
class FakeOutput final : public Output {
 public:
  std::size_t deliver(std::string_view to, const OutgoingMessage& message) override {
    sent.push_back({std::string(to),
                    std::string(message.subject),
                    std::string(message.reply),
                    std::string(message.headers),
                    std::string(message.payload)});
    return 1;
  }
  bool has_interest(std::string_view subject) override {
    return interest.contains(std::string(subject));
  }
  void advisory(Advisory event) override { advisories.push_back(std::move(event)); }

  /// The payloads that went to `to`.
  std::vector<std::string> payloads(std::string_view to) const {
    std::vector<std::string> found;
    for (const Sent& one : sent) {
      if (one.to == to) {
        found.push_back(one.payload);
      }
    }
    return found;
  }

  std::vector<Sent> sent;
  std::vector<Advisory> advisories;
  std::set<std::string> interest;
};

/// Consumers as a test wants them: who has acknowledged what is said here.
struct FakeState {
  struct One {
    std::string filter = ">";
    std::set<StreamSeq> done;
  };
  std::vector<One> consumers;
  std::vector<std::pair<StreamSeq, StreamSeq>> removed;
  bool wants_written = false;
  int visible = 0;
  int config_changes = 0;
  int deleted = 0;
  int shutdowns = 0;
};

/// Answers the stream's questions from a state that the test owns and changes.
class FakeConsumers final : public StreamConsumers {
 public:
  explicit FakeConsumers(FakeState& state) : state_(state) {}

  std::size_t count() const override { return state_.consumers.size(); }
  void on_visible() override { ++state_.visible; }
  void on_written() override {}
  bool wants_written() const override { return state_.wants_written; }
  void on_removed(StreamSeq first, StreamSeq last) override {
    state_.removed.emplace_back(first, last);
  }
  void on_config_changed() override { ++state_.config_changes; }
  void on_stream_deleted() override { ++state_.deleted; }
  void on_shutdown() override { ++state_.shutdowns; }
  bool wants(std::string_view subject) const override {
    for (const FakeState::One& one : state_.consumers) {
      if (subject_matches(one.filter, subject)) {
        return true;
      }
    }
    return false;
  }
  bool needs(StreamSeq seq, std::string_view subject) const override {
    for (const FakeState::One& one : state_.consumers) {
      if (subject_matches(one.filter, subject) && !one.done.contains(seq)) {
        return true;
      }
    }
    return false;
  }
  bool is_done(StreamSeq seq, std::string_view subject) const override {
    for (const FakeState::One& one : state_.consumers) {
      if (subject_matches(one.filter, subject) && one.done.contains(seq)) {
        return true;
      }
    }
    return false;
  }
  SteadyTime next_deadline() const override { return SteadyTime::max(); }
  void on_timer() override {}

 private:
  FakeState& state_;
};

/// "NATS/1.0" and these lines.
inline std::string header_block(const std::vector<std::pair<std::string, std::string>>& lines) {
  std::string block = "NATS/1.0\r\n";
  for (const auto& [name, value] : lines) {
    block += name;
    block += ": ";
    block += value;
    block += "\r\n";
  }
  return block + "\r\n";
}

/// A stream on a disk that can lose its power, and everything around it.
class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    options_.dir = "/streams";
    options_.fs = &disk_;
    options_.clock = &clock_;
    options_.output = &output_;
    options_.log.segment_bytes = 64U << 10U;
    EXPECT_TRUE(disk_.make_dir("/streams").ok());
    config_.name = "ORD";
    config_.subjects = {"ord.>"};
  }

  void create() {
    ASSERT_FALSE(check_stream_config(config_).has_value());
    auto made = Stream::create(config_, options_);
    ASSERT_TRUE(made.has_value()) << made.error().to_string();
    stream_ = std::move(*made);
  }
  void reopen() {
    stream_.reset();
    auto opened = Stream::open(config_.name, options_);
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    stream_ = std::move(*opened);
  }
  void with_consumers() {
    options_.consumers = [this](Stream&) -> Result<std::unique_ptr<StreamConsumers>> {
      return std::unique_ptr<StreamConsumers>(new FakeConsumers(consumers_));
    };
  }
  void advance(std::chrono::nanoseconds by) {
    clock_.advance(by);
    while (stream_->next_deadline() <= clock_.now()) {
      stream_->on_timer();
      if (stream_->needs_commit()) {
        stream_->commit();
      }
    }
  }

  using Headers = std::vector<std::pair<std::string, std::string>>;
  /// Publishes, commits, and says what came back.
  std::string request(const std::string& subject,
                      const std::string& payload,
                      const Headers& headers = {}) {
    output_.sent.clear();
    store(subject, payload, headers, "inbox");
    stream_->commit();
    const auto answers = output_.payloads("inbox");
    return answers.size() == 1 ? answers[0] : std::to_string(answers.size()) + " answers";
  }
  Stream::Outcome store(const std::string& subject,
                        const std::string& payload,
                        const Headers& headers = {},
                        const std::string& reply = {}) {
    const std::string block = headers.empty() ? std::string() : header_block(headers);
    return stream_->store({subject, reply, block, payload});
  }
  std::string payload_of(StreamSeq seq) {
    store::ReadBuffer buffer;
    const auto message = stream_->get(seq, buffer);
    return message.has_value() ? std::string(message->payload) : message.error().description;
  }

  testing::PowerLossFileSystem disk_{1};
  ManualClock clock_;
  FakeOutput output_;
  FakeState consumers_;
  StreamOptions options_;
  StreamConfig config_;
  std::unique_ptr<StoreBudget> budget_;  // for options_, if a test wants one
  std::unique_ptr<Stream> stream_;
};

}  // namespace feedvault::broker::streams
