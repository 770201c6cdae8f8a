// What any thread may ask.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kBytesFromBuffer = 256U << 10U;

}  // namespace

Result<MessageView> LogCore::read(StreamSeq seq, ReadBuffer& buffer) const {
  std::shared_ptr<SegmentFile> file;
  std::uint64_t offset = 0;
  std::uint32_t body_bytes = 0;
  bool in_memory = false;
  {
    const MutexLock lock(mutex_);
    const LogIndex::Place place = index_.find_live(seq);
    if (!place) {
      if (damaged_.contains(seq)) {
        return Status(StatusCode::kCorruption, "message " + std::to_string(seq) + " is damaged");
      }
      return not_found("no message " + std::to_string(seq));
    }
    file = place.segment->file;
    offset = place.entry().offset();
    body_bytes = place.entry().body_bytes();
    in_memory = file == flushed_.file && offset >= flushed_.offset;
    if (in_memory) {
      const char* const at = buffer_.get() + (offset - flushed_.offset);
      buffer.assign(at, at + kRecordHeaderBytes + body_bytes);
    }
  }
  if (in_memory) {
    const auto message =
        verify_message(std::string_view(buffer.data(), buffer.size()), file->seed, seq);
    CHECK(message.has_value());
    return *message;
  }
  auto message = read_message(*file, offset, body_bytes, seq, buffer);
  if (!message.has_value() && message.error().code() == StatusCode::kCorruption &&
      !note_damaged(seq, *file, offset)) {
    // Removed and erased meanwhile, or moved: ask again.
    return read(seq, buffer);
  }
  return message;
}

bool LogCore::is_alive(StreamSeq seq) const {
  const MutexLock lock(mutex_);
  return static_cast<bool>(index_.find_live(seq));
}

bool LogCore::note_damaged(StreamSeq seq, const SegmentFile& file, std::uint64_t offset) const {
  const MutexLock lock(mutex_);
  const LogIndex::Place place = index_.find_live(seq);
  // Somebody else may have noticed it, removed it, or moved it to another file meanwhile.
  if (!place || place.segment->file.get() != &file) {
    return false;
  }
  index_.kill(place);
  removals_.fetch_add(1, std::memory_order_release);
  damaged_.insert(seq);
  damage_.push_back({file.name, offset, seq, seq, "the message is damaged"});
  return true;
}

LogState LogCore::counts_locked() const {
  LogState state;
  state.last_seq = next_seq_.load(std::memory_order_relaxed) - 1;
  state.messages = index_.messages();
  state.bytes = index_.bytes();
  state.with_headers = index_.with_headers();
  state.subjects = index_.subjects().size();
  state.last_time_ns = last_time_ns_;
  state.first_seq = state.messages == 0 ? state.last_seq + 1 : index_.first_seq();
  state.deleted = state.messages == 0 ? 0 : state.last_seq - state.first_seq + 1 - state.messages;
  return state;
}

LogState LogCore::counts() const {
  const MutexLock lock(mutex_);
  return counts_locked();
}

LogState LogCore::state() const {
  for (;;) {
    LogState state;
    bool time_known = false;
    {
      const MutexLock lock(mutex_);
      state = counts_locked();
      time_known = state.messages == 0 || first_time_.first == state.first_seq;
      state.first_time_ns = state.messages == 0 ? 0 : first_time_.second;
    }
    if (time_known) {
      return state;
    }
    const auto time = time_of(state.first_seq);
    if (!time.has_value() && (time.error().code() == StatusCode::kNotFound ||
                              time.error().code() == StatusCode::kCorruption)) {
      continue;  // another one is the first now
    }
    state.first_time_ns = time.has_value() ? *time : 0;
    const MutexLock lock(mutex_);
    if (time.has_value()) {
      first_time_ = {state.first_seq, *time};
    }
    return state;
  }
}

Result<std::int64_t> LogCore::time_of(StreamSeq seq) const {
  ReadBuffer buffer;
  ASSIGN_OR_RETURN(const MessageView message, read(seq, buffer));
  return message.time_ns;
}

std::vector<StreamSeq> LogCore::deleted(StreamSeq from, std::size_t max) const {
  std::vector<StreamSeq> missing;
  const MutexLock lock(mutex_);
  if (index_.messages() == 0) {
    return missing;
  }
  StreamSeq next = std::max(from, index_.first_seq());
  const StreamSeq end = next_seq_.load(std::memory_order_relaxed);
  for (LogIndex::Place place = index_.at_or_after(next); missing.size() < max && next < end;) {
    const StreamSeq present = place ? place.seq() : end;
    for (; next < present && missing.size() < max; ++next) {
      missing.push_back(next);
    }
    if (place && next == present && missing.size() < max) {
      if (!place.entry().live()) {
        missing.push_back(next);
      }
      ++next;
      index_.advance(place);
    }
  }
  return missing;
}

bool LogCore::subject_of(StreamSeq seq, std::string& subject) const {
  const MutexLock lock(mutex_);
  const LogIndex::Place place = index_.find_live(seq);
  if (!place) {
    return false;
  }
  subject.assign(index_.subjects().text(place.entry().subject));
  return true;
}

SubjectState LogCore::subject_state(std::string_view subject) const {
  const MutexLock lock(mutex_);
  const SubjectTable::Id id = index_.subjects().find(subject);
  if (id == SubjectTable::kNone) {
    return {};
  }
  const SubjectTable::Messages found = index_.subjects().messages(id);
  return {found.first_seq, found.last_seq, found.count};
}

std::vector<SubjectCount> LogCore::subjects(const SubjectFilter& filter) const {
  constexpr SubjectTable::Id kSubjectsALock = 4096;
  std::vector<SubjectCount> counts;
  for (SubjectTable::Id id = 0;;) {
    const MutexLock lock(mutex_);
    const SubjectTable& table = index_.subjects();
    const SubjectTable::Id end = std::min(table.id_end(), id + kSubjectsALock);
    for (; id < end; ++id) {
      if (table.used(id) && filter.matches(table.text(id))) {
        const SubjectTable::Messages subject = table.messages(id);
        counts.push_back(
            {std::string(table.text(id)), {subject.first_seq, subject.last_seq, subject.count}});
      }
    }
    if (id >= table.id_end()) {
      return counts;
    }
  }
}

std::uint64_t LogCore::subject_count() const {
  const MutexLock lock(mutex_);
  return index_.subjects().size();
}

StreamSeq LogCore::next_matching(StreamSeq from, SubjectFilter& filter) const {
  for (;;) {
    LogIndex::Found found;
    {
      const MutexLock lock(mutex_);
      found = index_.next_matching(from, filter, kEntriesALock);
    }
    if (found.seq != 0 || found.resume == 0) {
      return found.seq;
    }
    from = found.resume;
  }
}

StreamSeq LogCore::last_matching(StreamSeq from, SubjectFilter& filter) const {
  for (;;) {
    LogIndex::Found found;
    {
      const MutexLock lock(mutex_);
      found = index_.last_matching(from, filter, kEntriesALock);
    }
    if (found.seq != 0 || found.resume == 0) {
      return found.seq;
    }
    from = found.resume;
  }
}

std::uint64_t LogCore::count_matching(StreamSeq from, SubjectFilter& filter) const {
  std::uint64_t count = 0;
  do {
    const MutexLock lock(mutex_);
    from = index_.count_matching(from, filter, kEntriesALock, count);
  } while (from != 0);
  return count;
}

Result<StreamSeq> LogCore::seq_at_time(std::int64_t time_ns) const {
  // First the segment by the times that it remembers, then by halves within it.
  StreamSeq low = 0;
  StreamSeq high = 0;
  {
    const MutexLock lock(mutex_);
    for (const auto& segment : index_.segments()) {
      if (segment->live > 0 && segment->last_time_ns >= time_ns) {
        low = segment->base_seq;
        high = segment->end_seq();
        break;
      }
    }
    if (high == 0) {
      return next_seq_.load(std::memory_order_relaxed);
    }
  }
  SubjectFilter all;
  while (low < high) {
    const StreamSeq middle = low + (high - low) / 2;
    const StreamSeq seq = next_matching(middle, all);
    if (seq == 0 || seq >= high) {
      high = middle;
      continue;
    }
    const auto time = time_of(seq);
    if (!time.has_value()) {
      if (time.error().code() == StatusCode::kIo) {
        return time.error();
      }
      continue;  // gone since: look at its neighbour
    }
    if (*time < time_ns) {
      low = seq + 1;
    } else {
      high = middle;
    }
  }
  const StreamSeq found = next_matching(low, all);
  return found == 0 ? next_seq_.load(std::memory_order_acquire) : found;
}

std::vector<Damage> LogCore::damage() const {
  const MutexLock lock(mutex_);
  return damage_;
}

LogStats LogCore::stats() const {
  const MutexLock lock(mutex_);
  return stats_;
}

std::size_t LogCore::index_bytes() const {
  const MutexLock lock(mutex_);
  return index_.memory_bytes();
}

std::uint64_t LogCore::disk_bytes() const {
  const MutexLock lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& segment : index_.segments()) {
    bytes += segment->file_bytes;
  }
  return bytes;
}

void LogCore::collect(StreamSeq from,
                      StreamSeq last,
                      SubjectFilter& filter,
                      std::size_t items_max,
                      ReadBuffer& memory,
                      Batch& batch) const {
  batch.items.clear();
  batch.in_memory = false;
  batch.resume = from;
  while (batch.resume <= last) {
    const MutexLock lock(mutex_);
    const LogIndex::Found first = index_.next_matching(batch.resume, filter, kEntriesALock);
    if (first.seq == 0 || first.seq > last) {
      // Nothing up to `last`, or not seen yet. What is appended from now on lies behind.
      const StreamSeq seen = first.seq == 0 && first.resume != 0
                                 ? first.resume
                                 : next_seq_.load(std::memory_order_relaxed);
      batch.resume = std::max(batch.resume, std::min(seen, last + 1));
      if (first.seq == 0 && first.resume != 0) {
        continue;
      }
      return;
    }
    const LogIndex::Place place = index_.find(first.seq);
    Segment& segment = *place.segment;
    batch.file = segment.file;
    batch.removals = removals_.load(std::memory_order_relaxed);
    const std::uint64_t in_file =
        segment.file == flushed_.file ? flushed_.offset : ~std::uint64_t{0};
    batch.in_memory = place.entry().offset() >= in_file;
    std::uint64_t end = 0;
    std::size_t looked = 0;
    for (std::size_t i = place.i;
         i < segment.entries.size() && batch.items.size() < items_max && looked < kEntriesALock;
         ++i, ++looked) {
      const Entry& entry = segment.entries[i];
      const StreamSeq seq = segment.seq_at(i);
      if (seq > last) {
        break;
      }
      if (entry.live() && index_.matches(entry, filter)) {
        const bool crosses = !batch.in_memory && entry.offset() >= in_file;
        const bool enough = batch.in_memory && end > place.entry().offset() + kBytesFromBuffer;
        if (crosses || enough) {
          break;
        }
        batch.items.push_back({seq, entry.offset(), entry.body_bytes()});
        end = entry.offset() + kRecordHeaderBytes + entry.body_bytes();
      }
      batch.resume = seq + 1;
    }
    if (batch.in_memory) {
      const char* const at = buffer_.get() + (place.entry().offset() - flushed_.offset);
      memory.assign(at, at + (end - place.entry().offset()));
    }
    return;
  }
}

}  // namespace feedvault::broker::store
