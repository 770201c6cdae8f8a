#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "broker/streams/consumer_set.h"
#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {

/// Clients that are subscribed to what the test says, and remember what they got.
class FakeClients final : public Output {
 public:
  std::size_t deliver(std::string_view to, const OutgoingMessage& message) override {
    const std::size_t receivers = has_interest(to) ? 1 : 0;
    if (receivers > 0 && keep) {
      sent.push_back({std::string(to),
                      std::string(message.subject),
                      std::string(message.reply),
                      std::string(message.headers),
                      std::string(message.payload)});
    }
    count += receivers;
    if (leaving) {
      leaving();
    }
    return receivers;
  }
  std::optional<std::size_t> offer(std::string_view to, const OutgoingMessage& message) override {
    return congested.contains(std::string(to)) ? std::nullopt : std::optional(deliver(to, message));
  }
  bool has_interest(std::string_view subject) override {
    return std::any_of(subscribed.begin(), subscribed.end(), [&](const std::string& each) {
      return subject_matches(each, subject);
    });
  }
  void advisory(Advisory event) override { advisories.push_back(std::move(event)); }

  template <typename T>
  std::vector<T> advisories_of() const {
    std::vector<T> found;
    for (const Advisory& each : advisories) {
      if (const T* const event = std::get_if<T>(&each)) {
        found.push_back(*event);
      }
    }
    return found;
  }

  std::set<std::string> subscribed = {"inbox.>"};
  std::set<std::string> congested;  // take nothing that can wait
  std::vector<Sent> sent;
  std::vector<Advisory> advisories;
  std::uint64_t count = 0;
  bool keep = true;
  std::function<void()> leaving;  // after each message, as when the loop hands much over
};

inline std::chrono::nanoseconds ns(std::int64_t n) {
  return std::chrono::nanoseconds(n);
}

/// A stream with consumers, and clients who talk to them.
class ConsumerTest : public StreamTest {
 protected:
  using Ms = std::chrono::milliseconds;
  using Seconds = std::chrono::seconds;

  ConsumerTest() {
    options_.output = &clients_;
    options_.consumers = &ConsumerSet::open;
    consumer_config_.durable_name = "C";
    consumer_config_.ack_policy = AckPolicy::kExplicit;
  }

  ConsumerSet& set() { return consumers_of(*stream_); }
  Consumer& consumer(const std::string& name = "C") { return *set().find(name); }
  ConsumerInfo info() { return consumer().info(); }

  /// Creates the stream, unless it is there, and a consumer.
  Consumer& start() {
    if (stream_ == nullptr) {
      create();
    }
    const auto created = set().create(consumer_config_, ConsumerSet::CreateAction::kCreate);
    EXPECT_TRUE(created.has_value()) << created.error().description;
    turn();
    return *created->consumer;
  }
  /// So many messages "m1", "m2" ... on ord.<i modulo 3>.
  void publish(int n) {
    if (stream_ == nullptr) {
      create();
    }
    for (int i = 0; i < n; ++i) {
      ++published_;
      store("ord." + std::to_string(published_ % 3), "m" + std::to_string(published_));
    }
    turn();
  }
  /// What the loop does after each of its turns, with a disk that answers at once.
  void turn() {
    stream_->commit();
    set().flush();
    if (set().wants_sync()) {
      ConsumerSet::Sync sync = set().begin_sync();
      sync.run();
      set().end_sync(sync);
    }
    while (stream_->next_deadline() <= clock_.now()) {
      stream_->on_timer();
      stream_->commit();
      set().flush();
      if (set().wants_sync()) {
        ConsumerSet::Sync sync = set().begin_sync();
        sync.run();
        set().end_sync(sync);
      }
    }
  }
  void pass(std::chrono::nanoseconds time) {
    // In steps, as timers would have it.
    const SteadyTime end = clock_.now() + time;
    while (clock_.now() < end) {
      const SteadyTime next = std::min(end, std::max(stream_->next_deadline(), clock_.now()));
      clock_.advance(next - clock_.now());
      turn();
      if (next == clock_.now() && next != end && stream_->next_deadline() <= next) {
        FAIL() << "a timer that never ends";
      }
    }
  }
  void pull(const PullRequest& request = {}, const std::string& reply = "inbox.1") {
    consumer().on_pull(reply, request);
    turn();
  }
  void pull(std::int64_t batch) {
    PullRequest request;
    request.batch = batch;
    pull(request);
  }

  /// Everything since this was last called, one word each: "m1" for a message, "404 No Messages"
  /// for a status.
  std::vector<std::string> got() {
    std::vector<std::string> words;
    for (const Sent& each : clients_.sent) {
      words.push_back(word(each));
      if (parse_ack_subject(each.reply).has_value()) {
        last_ = each;
        replies_[each.payload] = each.reply;
      }
    }
    clients_.sent.clear();
    return words;
  }
  static std::string word(const Sent& message) {
    if (message.headers.rfind("NATS/1.0 ", 0) == 0) {
      return message.headers.substr(9, message.headers.find("\r\n") - 9);
    }
    return message.payload;
  }

  /// As a client that answers the last delivery of this message.
  void answer(const std::string& message,
              const std::string& payload = "+ACK",
              const std::string& reply = {}) {
    got_pending();
    ack(replies_.at(message), payload, reply);
  }
  void ack(const std::string& subject, const std::string& payload, const std::string& reply = {}) {
    const auto parsed = parse_ack_subject(subject);
    ASSERT_TRUE(parsed.has_value()) << subject;
    const AckPayload what = parse_ack_payload(payload);
    Ack ack;
    ack.subject = *parsed;
    ack.kind = what.kind;
    ack.delay_ns = what.delay_ns;
    ack.reason = what.kind == AckKind::kTerm ? what.argument : std::string_view();
    ack.reply = reply;
    if (what.kind == AckKind::kNext && !what.argument.empty()) {
      ack.next.batch = std::stoll(std::string(what.argument));
    }
    set().find(parsed->consumer)->on_ack(ack);
    turn();
  }
  AckSubject delivery_of(const std::string& message) {
    got_pending();
    return *parse_ack_subject(replies_.at(message));
  }
  std::uint64_t deliveries_of(const std::string& message) {
    return delivery_of(message).deliveries;
  }
  void kill() { reopen(); }
  void cut_power() {
    disk_.cut_now(testing::PowerLossFileSystem::Mode::kForget);
    stream_.reset();
    disk_.restart();
    reopen();
  }

  FakeClients clients_;
  ConsumerConfig consumer_config_;
  int published_ = 0;
  Sent last_;
  std::map<std::string, std::string> replies_;

 private:
  /// Takes note of replies without forgetting what was sent.
  void got_pending() {
    for (const Sent& each : clients_.sent) {
      if (parse_ack_subject(each.reply).has_value()) {
        replies_[each.payload] = each.reply;
      }
    }
  }
};

using Words = std::vector<std::string>;

}  // namespace feedvault::broker::streams
