#include <algorithm>
#include <utility>

#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/message_log.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kItemsMax = 512;  // looked up at once
constexpr std::size_t kReadAheadBytes = 256U << 10U;
constexpr std::uint64_t kGapBytesMax = 16U << 10U;  // read along rather than skipped

}  // namespace

struct MessageReader::State {
  State(const LogCore& log_core, StreamSeq from, SubjectFilter wanted)
      : core(log_core), filter(std::move(wanted)), position(from) {
    batch.resume = from;
  }

  /// Reads ahead from item `i` on, as far as the items lie close together.
  Status fill(std::size_t i) {
    const std::uint64_t begin = batch.items[i].offset;
    std::uint64_t end = begin;
    for (; i < batch.items.size(); ++i) {
      const LogCore::Item& item = batch.items[i];
      const std::uint64_t item_end = item.offset + kRecordHeaderBytes + item.body_bytes;
      if (end != begin &&
          (item_end - begin > kReadAheadBytes || item.offset > end + kGapBytesMax)) {
        break;
      }
      end = item_end;
    }
    const auto size = static_cast<std::size_t>(end - begin);
    if (bytes.capacity() > kReadAheadBytes && size <= kReadAheadBytes) {
      bytes = {};  // a very large message's
    }
    bytes.resize(size);
    bytes_at = begin;
    const auto got = batch.file->file->read_at(begin, bytes);
    bytes.resize(got.has_value() ? *got : 0);
    return got.status();
  }

  void pass(const LogCore::Item& item) {
    position = item.seq + 1;
    ++next_item;
  }

  /// The record's bytes as far as they are there.
  std::string_view record(const LogCore::Item& item) const {
    const std::string_view all(bytes.data(), bytes.size());
    if (item.offset < bytes_at || item.offset - bytes_at >= all.size()) {
      return {};
    }
    return all.substr(item.offset - bytes_at, kRecordHeaderBytes + std::size_t{item.body_bytes});
  }

  const LogCore& core;
  SubjectFilter filter;
  StreamSeq position;
  LogCore::Batch batch;
  std::size_t next_item = 0;
  ReadBuffer bytes;
  std::uint64_t bytes_at = 0;
  std::uint64_t damaged = 0;
};

MessageReader::MessageReader(const MessageLog& log, StreamSeq from, SubjectFilter filter)
    : state_(std::make_unique<State>(*log.core_, from, std::move(filter))) {}

MessageReader::~MessageReader() = default;
MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;

Result<std::optional<MessageView>> MessageReader::next(StreamSeq last) {
  using Maybe = std::optional<MessageView>;
  State& s = *state_;
  for (;;) {
    if (s.next_item == s.batch.items.size()) {
      s.position = std::max(s.position, s.batch.resume);
      if (s.position > last) {
        return Maybe();
      }
      s.next_item = 0;
      s.core.collect(s.position, last, s.filter, kItemsMax, s.bytes, s.batch);
      if (s.batch.items.empty()) {
        s.position = s.batch.resume;
        return Maybe();
      }
      s.bytes_at = s.batch.items[0].offset;
      if (!s.batch.in_memory) {
        s.bytes.clear();
      }
    }
    const LogCore::Item& item = s.batch.items[s.next_item];
    if (item.seq > last) {
      return Maybe();
    }
    if (s.core.removals() != s.batch.removals && !s.core.is_alive(item.seq)) {
      s.pass(item);
      continue;
    }
    const std::size_t size = kRecordHeaderBytes + std::size_t{item.body_bytes};
    if (s.record(item).size() < size && !s.batch.in_memory) {
      RETURN_IF_ERROR(s.fill(s.next_item));
    }
    const auto message = verify_message(s.record(item), s.batch.file->seed, item.seq);
    const std::uint64_t offset = item.offset;
    const StreamSeq seq = item.seq;
    s.pass(item);
    if (message.has_value()) {
      return Maybe(*message);
    }
    // Unless somebody removed and erased it at this moment.
    s.damaged += s.core.note_damaged(seq, *s.batch.file, offset) ? 1U : 0U;
  }
}

StreamSeq MessageReader::position() const {
  return state_->position;
}

void MessageReader::seek(StreamSeq seq) {
  state_->position = seq;
  state_->batch.items.clear();
  state_->batch.resume = seq;
  state_->next_item = 0;
}

std::uint64_t MessageReader::damaged() const {
  return state_->damaged;
}

void MessageReader::rest() {
  seek(state_->position);
  state_->bytes = {};
  state_->batch = {};
  state_->batch.resume = state_->position;
}

}  // namespace feedvault::broker::store
