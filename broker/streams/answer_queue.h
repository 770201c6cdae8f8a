#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/store/message.h"

namespace feedvault::broker::streams {

using store::StreamSeq;

/// Answers to publishers that wait for the disk, oldest first. One buffer; nothing is allocated for
/// each. One thread.
class AnswerQueue {
 public:
  enum class Kind : std::uint32_t { kStored, kDuplicate, kError };
  struct Answer {
    Kind kind = Kind::kStored;
    StreamSeq covers = 0;  // may leave once everything up to here is durable
    StreamSeq seq = 0;
    std::string_view reply;
    std::string_view error;  // kError: its JSON-free parts are the owner's business
  };

  void push(const Answer& answer);
  /// The oldest; its views live until the next change. Requires: !empty().
  Answer front() const;
  void pop();

  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return bytes_.size() - head_; }

 private:
  struct Header {
    Kind kind;
    std::uint32_t reply_bytes;
    std::uint32_t error_bytes;
    std::uint32_t unused;
    StreamSeq covers;
    StreamSeq seq;
  };
  Header header() const;

  std::vector<char> bytes_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

}  // namespace feedvault::broker::streams
