#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/store/message_log.h"
#include "tests/support/power_loss_file_system.h"

namespace feedvault::broker::store {

inline std::string show(const Status& status) {
  return status.to_string();
}

inline ::testing::AssertionResult is_ok(const Status& status) {
  return status.ok() ? ::testing::AssertionSuccess()
                     : ::testing::AssertionFailure() << status.to_string();
}
#define ASSERT_OK(expression) ASSERT_TRUE(is_ok(expression))
#define EXPECT_OK(expression) EXPECT_TRUE(is_ok(expression))

struct ModelMessage {
  std::string subject;
  std::string headers;
  std::string payload;
  std::int64_t time_ns = 0;
  friend bool operator==(const ModelMessage&, const ModelMessage&) = default;
};

inline ModelMessage copy_of(const MessageView& view) {
  return {std::string(view.subject),
          std::string(view.headers),
          std::string(view.payload),
          view.time_ns};
}

using ModelMessages = std::map<StreamSeq, ModelMessage>;

/// Random things for messages. Every kind of size: none, tiny, and over the write buffer.
class RandomMessages {
 public:
  explicit RandomMessages(std::uint64_t seed, std::size_t payload_max = 900)
      : random_(seed), payload_max_(payload_max) {}

  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }
  std::string subject() {
    static const char* const kFirst[] = {"a", "orders", "x"};
    std::string subject = kFirst[below(3)];
    for (std::uint64_t tokens = below(3); tokens > 0; --tokens) {
      subject += '.' + std::to_string(below(4));
    }
    return subject;
  }
  std::string filter() {
    static const char* const kFilters[] = {
        ">", "a.>", "a", "orders.*", "*.1", "*.*.2", "x.1.>", "orders.0", "none.*", "*"};
    return kFilters[below(std::size(kFilters))];
  }
  std::string bytes(std::size_t size) {
    std::string text(size, '\0');
    for (char& c : text) {
      c = static_cast<char>(below(256));
    }
    return text;
  }
  ModelMessage message() {
    ModelMessage message;
    message.subject = subject();
    message.headers = below(3) == 0 ? "NATS/1.0\r\nK: " + std::to_string(below(1000)) + "\r\n\r\n"
                                    : std::string();
    message.payload = bytes(below(10) == 0 ? below(payload_max_) : below(60));
    message.time_ns = ++time_ns_;
    return message;
  }
  std::mt19937_64& generator() { return random_; }

 private:
  std::mt19937_64 random_;
  std::size_t payload_max_;
  std::int64_t time_ns_ = 1'000'000;
};

/// Everything that is alive, by reading it all.
inline ModelMessages read_all(const MessageLog& log) {
  ModelMessages all;
  MessageReader reader(log, 1);
  for (;;) {
    const auto next = reader.next(~StreamSeq{0} - 1);
    EXPECT_TRUE(next.has_value());
    if (!next.has_value() || !next->has_value()) {
      return all;
    }
    all.emplace((*next)->seq, copy_of(**next));
  }
}

inline Result<StreamSeq> append(MessageLog& log, const ModelMessage& message) {
  return log.append(message.subject, message.headers, message.payload, message.time_ns);
}

}  // namespace feedvault::broker::store
