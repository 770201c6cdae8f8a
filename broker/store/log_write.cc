// Appending, flushing, syncing, sealing.

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kRemovalsMax = 512;  // in one record
// Room on the disk that is reserved ahead: as much as there is already, within these bounds.
constexpr std::uint64_t kReserveMin = 64U << 10U;
constexpr std::uint64_t kReserveMax = 1U << 20U;

}  // namespace

/// The first failure stays; nothing is written after it.
Status LogCore::stop(const Status& cause) {
  const MutexLock lock(mutex_);
  if (failure_.ok()) {
    failure_ =
        Status(cause.code() == StatusCode::kExhausted ? StatusCode::kIo : cause.code(),
               "the log in " + dir_ + " is stopped, nothing more is stored: " + cause.message() +
                   "; check the disk, then restart");
    stopped_.store(true, std::memory_order_release);
  }
  return failure_;
}

Status LogCore::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

Status LogCore::check_running() const {
  if (stopped_.load(std::memory_order_acquire)) {
    return failure();
  }
  return closed_ ? internal_error("the log in " + dir_ + " is closed") : Status();
}

Result<StreamSeq> LogCore::append(std::string_view subject,
                                  std::string_view headers,
                                  std::string_view payload,
                                  std::int64_t time_ns) {
  if (stopped_.load(std::memory_order_relaxed) || closed_) {
    return check_running();
  }
  const std::uint64_t body = subject.size() + headers.size() + payload.size();
  if (subject.empty() || subject.size() > 0xFFFF || body > kRecordBodyBytesMax) {
    return invalid_argument("a message of " + std::to_string(body) + " bytes with a subject of " +
                            std::to_string(subject.size()) + " cannot be stored");
  }
  const auto size = static_cast<std::size_t>(record_bytes(body));
  if (active_is_gone_) {
    RETURN_IF_ERROR(roll(next_seq_.load(std::memory_order_relaxed)));
  }
  std::size_t used = 0;
  std::uint64_t flushed = 0;
  {
    const MutexLock lock(mutex_);
    used = buffered_;
    flushed = flushed_.offset;
  }
  if (used > 0 && used + size > options_.write_buffer_bytes) {
    RETURN_IF_ERROR(write_buffer());
    flushed += used;
    used = 0;
  }
  Status room;
  if (flushed + used > kRecordsStart && flushed + used + size > options_.segment_bytes) {
    room = roll(next_seq_.load(std::memory_order_relaxed));
    flushed = kRecordsStart;
    used = 0;
  }
  if (room.ok() && flushed + used + size > room_end_) {
    room = reserve_room(flushed + used + size);
  }
  if (room.code() == StatusCode::kExhausted) {
    RETURN_IF_ERROR(relieve_full_disk());
    if (active_is_gone_) {
      return append(subject, headers, payload, time_ns);
    }
  }
  RETURN_IF_ERROR(room);
  make_room(used + size);
  const StreamSeq seq = next_seq_.load(std::memory_order_relaxed);
  if (seq >= reserved_) {
    RETURN_IF_ERROR(reserve_numbers());
  }
  const MutexLock lock(mutex_);
  encode_message(
      buffer_.get() + used, {seq, time_ns, subject, headers, payload}, flushed_.file->seed);
  index_.add(seq, flushed + used, static_cast<std::uint32_t>(body), !headers.empty(), subject);
  Segment& active = index_.active();
  if (active.entries.size() == 1) {
    active.first_time_ns = time_ns;
  }
  active.last_time_ns = time_ns;
  active.end_offset = flushed + used + size;
  last_time_ns_ = time_ns;
  buffered_ = used + size;
  next_seq_.store(seq + 1, std::memory_order_release);
  return seq;
}

/// A message for which the disk has no room gets no number and does not wait in the buffer: whoever
/// sent it hears at once.
Status LogCore::reserve_room(std::uint64_t end) {
  File* file = nullptr;
  std::uint64_t flushed = 0;
  {
    const MutexLock lock(mutex_);
    file = flushed_.file->file.get();
    flushed = flushed_.offset;
  }
  RETURN_IF_ERROR(drop_footer(*file, flushed));
  const std::uint64_t begin = std::max(room_end_, flushed);
  const std::uint64_t ahead = end + std::clamp(end, kReserveMin, kReserveMax);
  std::uint64_t wanted = std::max(end, std::min(ahead, options_.segment_bytes));
  Status status = file->reserve(begin, wanted);
  if (!status.ok() && wanted > end) {
    wanted = end;
    status = file->reserve(begin, wanted);
  }
  if (!status.ok()) {
    const MutexLock lock(mutex_);
    ++stats_.full_disk;
    return {StatusCode::kExhausted, status.message()};
  }
  room_end_ = wanted;
  return {};
}

/// Before anything is written behind the records, which end at `offset`: the marks say that the log
/// is open, and the index that a closed log has there is gone.
Status LogCore::drop_footer(File& file, std::uint64_t offset) {
  if (reserved_ == 0) {
    RETURN_IF_ERROR(reserve_numbers());
  }
  if (!active_has_footer_) {
    return {};
  }
  if (const Status status = file.truncate(offset); !status.ok()) {
    return stop(status);
  }
  active_has_footer_ = false;
  return {};
}

/// So that the buffer holds `bytes`. Requires: it does, or is empty.
void LogCore::make_room(std::size_t bytes) {
  const std::size_t wanted = std::max(bytes, options_.write_buffer_bytes);
  // One very large message does not leave its buffer behind for ever.
  if (buffer_capacity_ >= bytes && buffer_capacity_ <= 4 * wanted) {
    return;
  }
  const MutexLock lock(mutex_);
  if (buffered_ > 0) {
    CHECK(buffer_capacity_ >= bytes);
    return;
  }
  buffer_ = std::make_unique_for_overwrite<char[]>(wanted);
  buffer_capacity_ = wanted;
}

/// Gathers the removal of `seq` with others into one record. A full disk is no reason not to remove
/// it: then they wait for a flush that finds room.
Status LogCore::note_removal(StreamSeq seq) {
  if (!pending_removals_.empty() && pending_removals_.size() % kRemovalsMax == 0) {
    Status status = write_removals();
    if (!status.ok() && status.code() != StatusCode::kExhausted) {
      return status;
    }
  }
  pending_removals_.push_back(seq);
  return {};
}

/// Moves the pending removals into the buffer, behind every message appended so far. They are one
/// batch, also when they fill several records, of which the disk may take some for now.
Status LogCore::write_removals() {
  const bool any = !pending_removals_.empty();
  while (!pending_removals_.empty()) {
    RETURN_IF_ERROR(write_some_removals());
  }
  batch_ += any ? 1U : 0U;
  return {};
}

Status LogCore::write_some_removals() {
  const std::size_t count = std::min(pending_removals_.size(), kRemovalsMax);
  const StreamSeq* const removals = pending_removals_.data() + pending_removals_.size() - count;
  const std::size_t body = count * sizeof(StreamSeq);
  const std::size_t size = record_bytes(body);
  std::size_t used = 0;
  {
    const MutexLock lock(mutex_);
    used = buffered_;
  }
  if (used + size > buffer_capacity_) {
    RETURN_IF_ERROR(write_buffer());
    used = 0;
  }
  make_room(used + size);
  const MutexLock lock(mutex_);
  const std::uint32_t seed = flushed_.file->seed;
  char* const out = buffer_.get() + used;
  char* const out_body = out + kRecordHeaderBytes;
  std::memcpy(out_body, removals, body);
  std::memset(out_body + body, 0, size - kRecordHeaderBytes - body);
  RecordHeader header;
  header.type = RecordType::kRemovals;
  header.body_bytes = static_cast<std::uint32_t>(body);
  header.body_crc = crc32c(seed, std::string_view(out_body, body));
  header.seq = next_seq_.load(std::memory_order_relaxed) - 1;
  encode_record_header(out, header, seed);
  buffered_ = used + size;
  Segment& active = index_.active();
  active.end_offset += size;
  for (std::size_t i = 0; i < count; ++i) {
    if (removals[i] < active.base_seq) {
      active.removals.push_back(removals[i]);
    }
  }
  active.removals_count = active.removals.size();
  pending_removals_.resize(pending_removals_.size() - count);
  return {};
}

/// No number is given out that is not reserved: one that was seen is never used again. Also says
/// that the log is not closed any more, so it comes before anything else is written.
Status LogCore::reserve_numbers() {
  const StreamSeq next = next_seq_.load(std::memory_order_relaxed);
  const MutexLock lock(marks_mutex_);
  SequenceMark mark = sequence_;
  mark.reserved = next + options_.reserve_step;
  mark.clean = false;
  mark.incarnation = incarnation();
  const Status status = write_sequence(mark, false);
  if (!status.ok()) {
    return status.code() == StatusCode::kExhausted ? status : stop(status);
  }
  reserved_ = mark.reserved;
  return {};
}

/// Writes what is buffered. kExhausted leaves everything as it was, for another try.
Status LogCore::write_buffer() {
  std::string_view bytes;
  std::uint64_t offset = 0;
  File* file = nullptr;
  {
    const MutexLock lock(mutex_);
    bytes = {buffer_.get(), buffered_};
    offset = flushed_.offset;
    file = flushed_.file->file.get();
  }
  if (bytes.empty()) {
    return {};
  }
  RETURN_IF_ERROR(drop_footer(*file, offset));
  FAILPOINT("store.write");
  Status status = file->write_at(offset, bytes);
  if (status.code() == StatusCode::kExhausted) {
    const MutexLock lock(mutex_);
    ++stats_.full_disk;
    return status;
  }
  if (!status.ok()) {
    return stop(status);
  }
  const MutexLock lock(mutex_);
  ++stats_.writes;
  stats_.written_bytes += bytes.size();
  flushed_.offset += buffered_;
  buffered_ = 0;
  flushed_.next_seq = next_seq_.load(std::memory_order_relaxed);
  flushed_.batch = batch_;
  flushed_.front = front_;
  flushed_.purged_front = purged_front_;
  index_.active().file_bytes = flushed_.offset;
  return {};
}

Status LogCore::flush() {
  RETURN_IF_ERROR(check_running());
  Status status = write_removals();
  if (status.ok()) {
    status = write_buffer();
  }
  if (status.code() == StatusCode::kExhausted) {
    RETURN_IF_ERROR(relieve_full_disk());
    status = write_removals();
    if (status.ok()) {
      status = write_buffer();
    }
  }
  RETURN_IF_ERROR(status);
  {
    // A purge alone has nothing to write.
    const MutexLock lock(mutex_);
    flushed_.front = front_;
    flushed_.purged_front = purged_front_;
    for (Erasure& each : pending_erasures_) {
      erasures_.push_back(std::move(each));
    }
    pending_erasures_.clear();
  }
  return drop_dead_segments();
}

/// A purge can make room although nothing can be written: its mark is overwritten in place. So can
/// any removal once it was the last message's: all are purged then.
Status LogCore::relieve_full_disk() {
  const StreamSeq next = next_seq_.load(std::memory_order_relaxed);
  bool all_dead = false;
  {
    const MutexLock lock(mutex_);
    all_dead = index_.first_seq() == 0 && flushed_.offset + buffered_ > kRecordsStart;
  }
  if (all_dead) {
    front_ = purged_front_ = next;
  }
  {
    const MutexLock lock(marks_mutex_);
    if (purged_front_ <= sequence_.front && !all_dead) {
      return {};
    }
    SequenceMark mark = sequence_;
    mark.front = purged_front_;
    SyncedMark synced = synced_;
    synced.front = std::max(synced.front, purged_front_);
    if (all_dead) {
      synced.next_seq = next;  // no segment may be left to say so
    }
    Status status = write_sequence(mark, true);
    if (status.ok()) {
      status = put_synced(synced, all_dead);
    }
    if (!status.ok()) {
      return stop(status);
    }
    const MutexLock index_lock(mutex_);
    durable_front_ = std::max(durable_front_, synced_.front);
  }
  if (all_dead) {
    RETURN_IF_ERROR(erase_before_giving_up());
    RETURN_IF_ERROR(give_up_active());
  }
  RETURN_IF_ERROR(drop_dead_segments());
  return remove_dead_files();
}

/// What is to be overwritten is so while it is still there.
Status LogCore::erase_before_giving_up() {
  std::vector<Erasure> erasures = std::exchange(pending_erasures_, {});
  {
    const MutexLock lock(mutex_);
    std::ranges::move(erasures_, std::back_inserter(erasures));
    erasures_.clear();
    std::erase_if(erasures, [&](const Erasure& each) FEEDVAULT_TSA(requires_capability(mutex_)) {
      return each.file == flushed_.file && each.offset >= flushed_.offset;  // never written
    });
  }
  return erase_bodies(erasures);
}

/// Gives back the room of the active segment. Requires: the marks say that everything is purged.
/// The next segment's file may need that very room, so it comes after.
Status LogCore::give_up_active() {
  std::shared_ptr<SegmentFile> file;
  {
    const MutexLock lock(mutex_);
    for (const std::unique_ptr<Segment>& segment : index_.segments()) {
      segment->killed_in_batch = 0;  // the marks have removed it, no record is needed for it
      segment->killed_by_front = 0;
    }
    Segment& active = index_.active();
    file = active.file;
    active.entries = {};
    active.deltas = {};
    active.removals = {};
    active.removals_count = 0;
    active.end_offset = kRecordsStart;
    active.file_bytes = kRecordsStart;
    flushed_.offset = kRecordsStart;
    flushed_.next_seq = next_seq_.load(std::memory_order_relaxed);
    flushed_.front = front_;
    flushed_.purged_front = purged_front_;
    durable_seq_.store(flushed_.next_seq - 1, std::memory_order_release);
    buffered_ = 0;
  }
  pending_removals_.clear();
  room_end_ = 0;
  active_has_footer_ = false;
  active_is_gone_ = true;
  FAILPOINT("store.give_up");
  file->given_up.store(true, std::memory_order_release);
  Status status = fs_.remove(dir_ + '/' + file->name);
  if (status.ok()) {
    status = fs_.sync_dir(dir_);
  }
  if (status.ok()) {
    status = file->file->truncate(kRecordsStart);  // a reader may still have it open
  }
  return status.ok() ? Status() : stop(status);
}

Status LogCore::sync() {
  RETURN_IF_ERROR(flush());
  RETURN_IF_ERROR(sync_written());
  RETURN_IF_ERROR(drop_dead_segments());
  return remove_dead_files();
}

bool LogCore::wants_sync() const {
  const MutexLock lock(mutex_);
  return !erasures_.empty() || !dead_files_.empty();
}

Status LogCore::sync_written() {
  Extent extent;
  std::vector<Erasure> erasures;
  bool anything = false;
  {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(failure_);
    extent = flushed_;
    erasures.swap(erasures_);
  }
  {
    const MutexLock lock(marks_mutex_);
    anything = extent.segment > synced_.segment || extent.offset > synced_.offset;
  }
  if (anything) {
    const SteadyTime before = clock_.now();
    const Status status = extent.file->file->sync();
    const std::int64_t took =
        std::chrono::duration_cast<std::chrono::nanoseconds>(clock_.now() - before).count();
    if (!status.ok()) {
      return stop(status);
    }
    FAILPOINT("store.synced");
    const MutexLock lock(mutex_);
    ++stats_.syncs;
    stats_.sync_ns += took;
    stats_.sync_ns_max = std::max(stats_.sync_ns_max, took);
  }
  RETURN_IF_ERROR(write_marks(extent));
  RETURN_IF_ERROR(erase_bodies(erasures));
  return remove_dead_files();
}

/// After `extent` became durable: says so to the files and to everybody. Only now may anything that
/// depends on those records reach the disk, a purge's mark above all.
Status LogCore::write_marks(const Extent& extent) {
  StreamSeq front = 0;
  {
    const MutexLock lock(marks_mutex_);
    if (extent.purged_front > sequence_.front) {
      SequenceMark mark = sequence_;
      mark.front = extent.purged_front;
      const Status status = write_sequence(mark, true);
      if (!status.ok()) {
        return stop(status);
      }
    }
    const SyncedMark mark{stream_id_,
                          extent.segment,
                          extent.offset,
                          std::max(extent.next_seq, synced_.next_seq),
                          std::max(extent.front, synced_.front)};
    const bool newer =
        std::pair(mark.segment, mark.offset) >= std::pair(synced_.segment, synced_.offset);
    if (newer && (mark.offset != synced_.offset || mark.segment != synced_.segment ||
                  mark.front > synced_.front)) {
      const Status status = put_synced(mark);
      if (!status.ok()) {
        return stop(status);
      }
    }
    front = synced_.front;
  }
  const MutexLock lock(mutex_);
  durable_front_ = std::max(durable_front_, front);  // another sync may have been faster
  durable_batch_ = std::max(durable_batch_, extent.batch);
  if (extent.next_seq - 1 > durable_seq_.load(std::memory_order_relaxed)) {
    durable_seq_.store(extent.next_seq - 1, std::memory_order_release);
  }
  return {};
}

/// Durable on return. `both`: the older slot does not keep the older truth.
Status LogCore::write_sequence(const SequenceMark& mark, bool both) {
  const SlotFile::Contents contents{
      mark.stream_id, {mark.reserved, mark.front, mark.clean ? 1U : 0U, mark.incarnation, 0}};
  for (int i = 0; i < (both ? 2 : 1); ++i) {
    RETURN_IF_ERROR(sequence_file_->write_durably(contents));
  }
  sequence_ = mark;
  return {};
}

Status LogCore::put_synced(const SyncedMark& mark, bool durably) {
  const SlotFile::Contents contents{mark.stream_id,
                                    {mark.segment, mark.offset, mark.next_seq, mark.front, 0}};
  RETURN_IF_ERROR(durably ? synced_file_->write_durably(contents)
                          : synced_file_->write_passing(contents));
  synced_ = mark;
  return {};
}

/// An empty file for messages from `base_seq` on.
Result<std::shared_ptr<SegmentFile>> LogCore::new_segment_file(StreamSeq base_seq,
                                                               StreamSeq prev_end_seq) {
  SegmentHeader header;
  header.stream_id = stream_id_;
  header.salt = random_64();
  header.number = next_segment_;
  header.base_seq = base_seq;
  header.front_seq = front_;
  header.prev_end_seq = prev_end_seq;
  return create_segment(fs_, dir_, segment_name(next_segment_), header);
}

/// Seals the active segment and starts the next one.
Status LogCore::roll(StreamSeq prev_end_seq) {
  RETURN_IF_ERROR(write_removals());
  RETURN_IF_ERROR(write_buffer());
  // The next segment's existence says that this one is durable as a whole.
  RETURN_IF_ERROR(sync_written());
  if (reserved_ == 0) {
    RETURN_IF_ERROR(reserve_numbers());
  }
  FAILPOINT("store.roll");
  const StreamSeq base = next_seq_.load(std::memory_order_relaxed);
  auto made = new_segment_file(base, prev_end_seq);
  if (!made.has_value()) {
    return made.error().code() == StatusCode::kExhausted ? made.error() : stop(made.error());
  }
  Segment* old = nullptr;
  {
    const MutexLock lock(mutex_);
    old = &index_.active();
  }
  // Not synced: an index that is lost or torn is made again from the records.
  std::uint64_t footer_bytes = 0;
  const Status sealed = write_footer(*old, footer_bytes);
  if (!sealed.ok() && sealed.code() != StatusCode::kExhausted) {
    return stop(sealed);
  }
  auto next = std::make_unique<Segment>();
  next->file = *made;
  next->base_seq = base;
  next->file_bytes = kRecordsStart;
  const MutexLock lock(mutex_);
  old->sealed = true;
  old->entries.shrink_to_fit();
  old->removals = {};
  old->file_bytes = old->end_offset + footer_bytes;
  index_.push_segment(std::move(next));
  flushed_.file = *made;
  flushed_.segment = next_segment_;
  flushed_.offset = kRecordsStart;
  active_has_footer_ = false;
  active_is_gone_ = false;
  room_end_ = 0;
  ++next_segment_;
  return {};
}

/// The index of all messages in the segment, behind the records.
Status LogCore::write_footer(Segment& segment, std::uint64_t& footer_bytes) {
  std::string bytes;
  std::uint64_t offset = 0;
  {
    const MutexLock lock(mutex_);
    const SubjectTable& subjects = index_.subjects();
    SegmentFooter footer;
    footer.base_seq = segment.base_seq;
    footer.next_seq = next_seq_.load(std::memory_order_relaxed);
    footer.front_seq = front_;
    footer.first_time_ns = segment.first_time_ns;
    footer.last_time_ns = segment.last_time_ns;
    footer.removals = segment.removals;
    footer.entries.reserve(segment.entries.size());
    constexpr std::uint32_t kNoIndex = 0xFFFFFFFF;
    std::vector<std::uint32_t> local(subjects.id_end(), kNoIndex);
    for (std::size_t i = 0; i < segment.entries.size(); ++i) {
      const Entry& entry = segment.entries[i];
      if (entry.offset8 == 0) {
        continue;
      }
      std::uint32_t subject = 0;
      if (entry.live()) {
        std::uint32_t& index = local[entry.subject];
        if (index == kNoIndex) {
          index = static_cast<std::uint32_t>(footer.subjects.size());
          footer.subjects.push_back(subjects.text(entry.subject));
        }
        subject = index;
      }
      footer.entries.push_back({static_cast<std::uint32_t>(segment.seq_at(i) - segment.base_seq),
                                entry.offset8,
                                entry.size_flags,
                                subject});
    }
    offset = segment.end_offset;
    bytes = encode_footer(footer, offset, segment.file->seed);
  }
  RETURN_IF_ERROR(segment.file->file->write_at(offset, bytes));
  footer_bytes = bytes.size();
  // It is found from the file's end; and room that was reserved is given back.
  return segment.file->file->truncate(offset + footer_bytes);
}

Status LogCore::skip_to(StreamSeq next_seq) {
  RETURN_IF_ERROR(check_running());
  const StreamSeq next = next_seq_.load(std::memory_order_relaxed);
  if (next_seq <= next) {
    return {};
  }
  RETURN_IF_ERROR(write_removals());
  RETURN_IF_ERROR(write_buffer());
  next_seq_.store(next_seq, std::memory_order_release);
  // A number of its own begins a segment of its own, whose header remembers it.
  Status status = roll(next);
  if (status.code() == StatusCode::kExhausted) {
    next_seq_.store(next, std::memory_order_release);
  }
  RETURN_IF_ERROR(status);
  const MutexLock lock(mutex_);
  flushed_.next_seq = next_seq;
  durable_seq_.store(next_seq - 1, std::memory_order_release);
  return {};
}

Status LogCore::close() {
  if (closed_) {
    return {};
  }
  RETURN_IF_ERROR(sync());
  Segment* active = nullptr;
  Extent extent;
  {
    const MutexLock lock(mutex_);
    active = &index_.active();
    extent = flushed_;
  }
  std::uint64_t footer_bytes = 0;
  Status status = write_footer(*active, footer_bytes);
  if (status.ok()) {
    status = extent.file->file->sync();
  }
  if (!status.ok()) {
    return status.code() == StatusCode::kExhausted ? status : stop(status);
  }
  {
    const MutexLock lock(marks_mutex_);
    SequenceMark mark = sequence_;
    mark.reserved = next_seq_.load(std::memory_order_relaxed);
    mark.front = std::max(mark.front, front_);
    mark.clean = true;
    mark.incarnation = incarnation();
    status = put_synced(synced_, true);
    if (status.ok()) {
      status = write_sequence(mark, true);
    }
  }
  if (!status.ok()) {
    return stop(status);
  }
  closed_ = true;
  return {};
}

/// Without a word to anybody: what is buffered is written, so that it is as after a kill.
void LogCore::abandon() {
  if (!closed_ && !stopped_.load(std::memory_order_acquire)) {
    static_cast<void>(write_removals());
    static_cast<void>(write_buffer());
  }
}

}  // namespace feedvault::broker::store
