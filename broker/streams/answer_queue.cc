#include "broker/streams/answer_queue.h"

#include <cstring>

#include "base/check.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kKeptBytes = 64U << 10U;  // of an empty queue

}  // namespace

void AnswerQueue::push(const Answer& answer) {
  const Header header{answer.kind,
                      static_cast<std::uint32_t>(answer.reply.size()),
                      static_cast<std::uint32_t>(answer.error.size()),
                      0,
                      answer.covers,
                      answer.seq};
  std::size_t at = bytes_.size();
  bytes_.resize(at + sizeof(header) + answer.reply.size() + answer.error.size());
  std::memcpy(bytes_.data() + at, &header, sizeof(header));
  at += sizeof(header);
  answer.reply.copy(bytes_.data() + at, answer.reply.size());
  answer.error.copy(bytes_.data() + at + answer.reply.size(), answer.error.size());
  ++count_;
}

AnswerQueue::Header AnswerQueue::header() const {
  CHECK(count_ > 0);
  Header header{};
  std::memcpy(&header, bytes_.data() + head_, sizeof(header));
  return header;
}

AnswerQueue::Answer AnswerQueue::front() const {
  const Header h = header();
  const char* const texts = bytes_.data() + head_ + sizeof(h);
  return {h.kind,
          h.covers,
          h.seq,
          std::string_view(texts, h.reply_bytes),
          std::string_view(texts + h.reply_bytes, h.error_bytes)};
}

void AnswerQueue::pop() {
  const Header h = header();
  head_ += sizeof(h) + h.reply_bytes + h.error_bytes;
  --count_;
  if (count_ == 0) {
    bytes_.clear();
    head_ = 0;
    if (bytes_.capacity() > kKeptBytes * 16) {
      bytes_ = {};
    }
  } else if (head_ > kKeptBytes && head_ > bytes_.size() / 2) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

}  // namespace feedvault::broker::streams
