// Opening: what the files say, what of it can be believed, and where to go on.

#include <algorithm>
#include <random>
#include <utility>

#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::string_view kSequenceName = "/sequence";
constexpr std::string_view kSyncedName = "/synced";
constexpr std::string_view kSequenceMagic = "FVSEQNO1";
constexpr std::string_view kSyncedMagic = "FVSYNCD1";

// A last segment is continued when no more numbers than these are missing at its end.
constexpr StreamSeq kMissingAtEndMax = 4096;
constexpr std::size_t kDamagedMax = 1U << 20U;  // numbers remembered one by one

std::string parent_of(const std::string& dir) {
  const std::size_t slash = dir.find_last_of('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : dir.substr(0, slash);
}

}  // namespace

std::uint64_t random_64() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U) | device();
}

/// What recovery gathers.
struct LogCore::Found {
  std::vector<std::string> names;  // of segments' files, by number
  std::optional<SequenceMark> sequence;
  std::optional<SyncedMark> synced;
  bool sequence_exists = false;
  StreamSeq next_seq = 0;  // above everything the segments mention
  StreamSeq front = 0;
  StreamSeq scanned_end = 0;  // of the segment before, when it was scanned; else 0
  std::uint64_t scanned_number = 0;
  std::optional<std::size_t> left_out;  // of damage: the segment before, of unknown contents
  bool tail_lost = false;               // the last segment cannot be continued
  std::vector<StreamSeq> removals;
  std::vector<Segment*> index_again;
  std::vector<Damage> damage;
};

LogCore::LogCore(FileSystem& fs, std::string dir, const LogOptions& options, const Clock& clock)
    : fs_(fs), dir_(std::move(dir)), options_(options), clock_(clock), index_(random_64()) {}

LogCore::~LogCore() = default;

std::uint64_t LogCore::incarnation() const {
  const std::string name = fs_.incarnation();
  return name.empty() ? 0 : (std::uint64_t{crc32c(0, name)} << 32U) | crc32c(1, name);
}

Status LogCore::recover() {
  Found found;
  ASSIGN_OR_RETURN(recovery_.created, list_folder(found));
  RETURN_IF_ERROR(load_marks(found));
  if (found.names.empty() && !found.sequence.has_value() &&
      (recovery_.created || !found.synced.has_value() || found.synced->segment == 0)) {
    // Nothing, or what a creation that was interrupted left.
    recovery_.created = true;
    found.synced.reset();
    stream_id_ = 0;
  }
  recovery_.clean = found.sequence.has_value() && found.sequence->clean;
  for (std::size_t i = 0; i < found.names.size(); ++i) {
    RETURN_IF_ERROR(load_segment(i, found));
  }
  apply_removals(found);
  RETURN_IF_ERROR(choose_next_seq(found));
  RETURN_IF_ERROR(open_marks(found));
  RETURN_IF_ERROR(index_again(found));
  RETURN_IF_ERROR(open_active(found));
  settle_damage(found);
  return {};
}

/// True when there is no log yet.
Result<bool> LogCore::list_folder(Found& found) {
  auto entries = fs_.list(dir_);
  if (!entries.has_value() && entries.error().code() == StatusCode::kNotFound) {
    RETURN_IF_ERROR(fs_.make_dir(dir_));
    RETURN_IF_ERROR(fs_.sync_dir(parent_of(dir_)));
    return true;
  }
  if (!entries.has_value()) {
    return entries.error();
  }
  for (const DirEntry& entry : *entries) {
    if (const auto number = segment_number(entry.name)) {
      found.names.push_back(entry.name);
      next_segment_ = std::max(next_segment_, *number + 1);
    } else if (entry.name.ends_with(".new")) {
      // What a compaction that was interrupted leaves behind.
      RETURN_IF_ERROR(fs_.remove(dir_ + '/' + entry.name));
    }
    found.sequence_exists = found.sequence_exists || '/' + entry.name == kSequenceName;
  }
  return found.names.empty() && !found.sequence_exists;
}

Status LogCore::load_marks(Found& found) {
  std::optional<SlotFile::Contents> contents;
  auto sequence = SlotFile::open(fs_, dir_ + std::string(kSequenceName), kSequenceMagic, contents);
  if (!sequence.has_value() && sequence.error().code() != StatusCode::kNotFound) {
    return sequence.error();
  }
  if (contents.has_value()) {
    const auto& [reserved, front, clean, incarnation, unused] = contents->values;
    found.sequence = SequenceMark{contents->stream_id, reserved, front, clean != 0, incarnation};
    stream_id_ = contents->stream_id;
  }
  contents.reset();
  auto synced = SlotFile::open(fs_, dir_ + std::string(kSyncedName), kSyncedMagic, contents);
  if (!synced.has_value() && synced.error().code() != StatusCode::kNotFound) {
    return synced.error();
  }
  if (contents.has_value() && (stream_id_ == 0 || contents->stream_id == stream_id_)) {
    const auto& [segment, offset, next_seq, front, unused] = contents->values;
    found.synced = SyncedMark{contents->stream_id, segment, offset, next_seq, front};
    next_segment_ = std::max(next_segment_, segment + 1);  // its file may be given up
  }
  const MutexLock lock(marks_mutex_);
  sequence_file_ = sequence.has_value() ? std::move(*sequence) : nullptr;
  synced_file_ = synced.has_value() ? std::move(*synced) : nullptr;
  return {};
}

Status LogCore::load_segment(std::size_t i, Found& found) {
  const std::string& name = found.names[i];
  const bool last = i + 1 == found.names.size();
  auto opened = open_segment(fs_, dir_, name);
  if (!opened.has_value() && opened.error().code() != StatusCode::kCorruption) {
    return opened.error();
  }
  if (!opened.has_value()) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.open(dir_ + '/' + name));
    ASSIGN_OR_RETURN(const std::uint64_t size, file->size());
    if (last && size <= kRecordsStart) {
      // Its creation was interrupted; nothing can have been in it.
      return fs_.remove(dir_ + '/' + name);
    }
    found.tail_lost = last;
    found.left_out = found.left_out.has_value() ? found.left_out : found.damage.size();
    found.damage.push_back({name, 0, 0, 0, opened.error().message() + ": it is left out"});
    return {};
  }
  const std::shared_ptr<SegmentFile> file = *opened;
  const SegmentHeader& header = file->header;
  stream_id_ = stream_id_ == 0 ? header.stream_id : stream_id_;
  StreamSeq end_before = 0;
  {
    const MutexLock lock(mutex_);
    end_before = index_.segments().empty() ? 0 : index_.segments().back()->end_seq();
  }
  if (header.stream_id != stream_id_ || header.base_seq < end_before || header.base_seq == 0) {
    found.tail_lost = last;
    found.damage.push_back({name, 0, 0, 0, "the segment is of another stream: it is left out"});
    return {};
  }
  if (found.scanned_end != 0 && found.scanned_number + 1 == header.number &&
      found.scanned_end < header.prev_end_seq) {
    found.damage.push_back({found.names[i - 1],
                            0,
                            found.scanned_end,
                            header.prev_end_seq - 1,
                            "messages are missing at the segment's end"});
  }
  if (found.left_out.has_value() && found.next_seq < header.prev_end_seq) {
    // What its neighbours do not hold was in it.
    found.damage[*found.left_out].first_seq = std::max<StreamSeq>(found.next_seq, 1);
    found.damage[*found.left_out].last_seq = header.prev_end_seq - 1;
  }
  found.left_out.reset();
  found.scanned_end = 0;
  found.front = std::max(found.front, header.front_seq);
  found.next_seq = std::max(found.next_seq, header.base_seq);
  ASSIGN_OR_RETURN(const std::uint64_t size, file->file->size());
  ASSIGN_OR_RETURN(auto loaded, load_footer(*file, size));
  if (!loaded.has_value()) {
    return load_by_scan(file, last, found);
  }
  add_loaded(file, loaded->footer, loaded->offset, true, found);
  found.next_seq = std::max(found.next_seq, loaded->footer.next_seq);
  found.front = std::max(found.front, loaded->footer.front_seq);
  const MutexLock lock(mutex_);
  index_.active().file_bytes = size;
  return {};
}

void LogCore::add_loaded(const std::shared_ptr<SegmentFile>& file,
                         const SegmentFooter& footer,
                         std::uint64_t end_offset,
                         bool sealed,
                         Found& found) {
  auto segment = std::make_unique<Segment>();
  segment->file = file;
  segment->base_seq = file->header.base_seq;
  segment->end_offset = end_offset;
  segment->file_bytes = end_offset;
  segment->first_time_ns = footer.first_time_ns;
  segment->last_time_ns = footer.last_time_ns;
  segment->sealed = sealed;
  segment->removals = footer.removals;
  segment->removals_count = footer.removals.size();
  found.removals.insert(found.removals.end(), footer.removals.begin(), footer.removals.end());
  const MutexLock lock(mutex_);
  last_time_ns_ = footer.last_time_ns != 0 ? footer.last_time_ns : last_time_ns_;
  index_.add_sealed(std::move(segment), footer);
  found.next_seq = std::max(found.next_seq, index_.active().end_seq());
}

/// Reads the records themselves. In a last segment that was not closed, bytes behind what is known
/// to be durable may be an unfinished write: that ends the log, and was promised to nobody.
Status LogCore::load_by_scan(const std::shared_ptr<SegmentFile>& file, bool last, Found& found) {
  ASSIGN_OR_RETURN(const std::uint64_t size, file->file->size());
  std::optional<std::uint64_t> unsure_from;
  std::uint64_t durable_end = 0;
  if (found.synced.has_value() && found.synced->segment == file->header.number) {
    durable_end = found.synced->offset;
  }
  const bool later_lost = found.synced.has_value() && found.synced->segment > file->header.number;
  if (last && !recovery_.clean && !later_lost) {
    unsure_from = std::max(kRecordsStart, durable_end);
  }
  ASSIGN_OR_RETURN(const ScannedSegment scanned, scan_segment(*file, size, unsure_from));
  recovery_.scanned_bytes += size;
  report_bad(scanned, *file, found);
  add_loaded(file, footer_of(scanned, file->header.base_seq), scanned.end_offset, false, found);
  Segment* segment = nullptr;
  {
    const MutexLock lock(mutex_);
    segment = &index_.active();
  }
  found.scanned_number = file->header.number;
  found.scanned_end = file->header.compacted ? 0 : segment->end_seq();
  const bool lost = scanned.end_offset < durable_end;
  if (lost) {
    found.damage.push_back({file->name,
                            scanned.end_offset,
                            0,
                            0,
                            std::to_string(durable_end - scanned.end_offset) +
                                " durable bytes are missing or unreadable at the end"});
  }
  if (last && unsure_from.has_value() && !lost) {
    if (scanned.end_offset < size) {
      ASSIGN_OR_RETURN(const std::uint64_t written,
                       written_end(*file->file, scanned.end_offset, size));
      recovery_.cut_bytes = written - scanned.end_offset;
      RETURN_IF_ERROR(file->file->truncate(scanned.end_offset));
    }
    return {};
  }
  found.tail_lost = last && lost;
  segment->sealed = true;
  segment->file_bytes = size;
  ++recovery_.indexes_made;
  if (!lost && scanned.bad.empty()) {
    found.index_again.push_back(segment);
  }
  return {};
}

void LogCore::report_bad(const ScannedSegment& scanned, const SegmentFile& file, Found& found) {
  for (const BadBytes& bad : scanned.bad) {
    Damage damage{file.name, bad.offset, 0, 0, {}};
    if (bad.body_only && bad.type == RecordType::kMessage) {
      if (const MutexLock lock(mutex_); unreadable_.size() < kDamagedMax) {
        unreadable_.emplace(bad.seq, file.header.number);
      }
      damage.first_seq = damage.last_seq = bad.seq;
      damage.what = "the message is damaged";
    } else if (bad.body_only) {
      damage.what = "a record of removals is damaged: messages may be back";
    } else {
      const StreamSeq after = std::max(bad.after_seq, file.header.base_seq - 1);
      if (bad.before_seq > after + 1) {
        damage.first_seq = after + 1;
        damage.last_seq = bad.before_seq - 1;
      }
      damage.what = std::to_string(bad.end - bad.offset) + " bytes are unreadable";
    }
    found.damage.push_back(std::move(damage));
  }
}

void LogCore::apply_removals(Found& found) {
  if (found.sequence.has_value()) {
    found.front = std::max(found.front, found.sequence->front);
    purged_front_ = found.sequence->front;
  }
  if (found.synced.has_value()) {
    found.front = std::max(found.front, found.synced->front);
  }
  front_ = found.front;
  const MutexLock lock(mutex_);
  for (StreamSeq first = index_.first_seq(); first != 0 && first < front_;
       first = index_.first_seq()) {
    index_.kill(index_.find_live(first));
  }
  for (const StreamSeq seq : found.removals) {
    if (const LogIndex::Place place = index_.find_live(seq)) {
      index_.kill(place);
    }
  }
}

/// Above every number that anybody can have seen.
Status LogCore::choose_next_seq(Found& found) {
  StreamSeq next = std::max<StreamSeq>(found.next_seq, 1);
  const StreamSeq found_next = next;
  if (found.synced.has_value()) {
    next = std::max(next, found.synced->next_seq);
    if (found_next < found.synced->next_seq && found.synced->segment != 0) {
      found.damage.push_back({found.names.empty() ? std::string() : found.names.back(),
                              0,
                              found_next,
                              found.synced->next_seq - 1,
                              "messages that were confirmed are missing"});
      found.tail_lost = true;
    }
  }
  if (recovery_.created) {
    next = std::max<StreamSeq>(options_.first_seq, 1);
  } else if (!found.sequence.has_value()) {
    bool any = false;
    {
      const MutexLock lock(mutex_);
      any = !index_.segments().empty();
    }
    if (!any && !found.synced.has_value()) {
      return {
          StatusCode::kCorruption,
          "nothing in " + dir_ + " can be read: restore the folder, or remove it to start anew"};
    }
    found.damage.push_back({std::string(kSequenceName.substr(1)),
                            0,
                            0,
                            0,
                            "the file is missing or unreadable; numbers were left out for safety"});
    next += options_.reserve_step;
  } else {
    const bool memory_survived =
        found.sequence->incarnation != 0 && found.sequence->incarnation == incarnation();
    const bool mark_is_new = found.synced.has_value() && memory_survived;
    if (found.sequence->clean || !found.synced.has_value() ||
        (!mark_is_new && options_.after_power_cut == AfterPowerCut::kSkipReserved)) {
      next = std::max(next, found.sequence->reserved);
    }
  }
  // What was purged was given out, also where a power cut has left no other trace of it.
  next = std::max(next, front_);
  if (next > found_next && !found.names.empty()) {
    recovery_.skipped_from = found_next;
    recovery_.skipped_to = next;
  }
  next_seq_.store(next, std::memory_order_release);
  return {};
}

/// Both small files exist from here on.
Status LogCore::open_marks(Found& found) {
  stream_id_ = stream_id_ == 0 ? random_64() : stream_id_;
  const StreamSeq next = next_seq_.load(std::memory_order_relaxed);
  const MutexLock lock(marks_mutex_);
  sequence_ = found.sequence.value_or(SequenceMark{stream_id_, next, front_, false, incarnation()});
  synced_ = found.synced.value_or(SyncedMark{stream_id_, 0, 0, next, 0});
  bool made = false;
  if (sequence_file_ == nullptr || !found.sequence.has_value()) {
    ASSIGN_OR_RETURN(sequence_file_,
                     SlotFile::create(fs_,
                                      dir_ + std::string(kSequenceName),
                                      kSequenceMagic,
                                      {stream_id_, {next, front_, 0, incarnation(), 0}}));
    made = true;
  }
  if (synced_file_ == nullptr || !found.synced.has_value()) {
    ASSIGN_OR_RETURN(
        synced_file_,
        SlotFile::create(
            fs_, dir_ + std::string(kSyncedName), kSyncedMagic, {stream_id_, {0, 0, next, 0, 0}}));
    made = true;
  }
  return made ? fs_.sync_dir(dir_) : Status();
}

/// Sealed segments without a good index get one, so that the next start need not scan them.
Status LogCore::index_again(Found& found) {
  for (Segment* const segment : found.index_again) {
    std::uint64_t footer_bytes = 0;
    const Status status = write_footer(*segment, footer_bytes);
    if (status.code() == StatusCode::kExhausted) {
      continue;  // it can stay as it is
    }
    RETURN_IF_ERROR(status);
    segment->file_bytes = segment->end_offset + footer_bytes;
  }
  // Only the last one may still gather removals; the others' are on disk.
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i + 1 < index_.segments().size(); ++i) {
    index_.segments()[i]->removals = {};
  }
  return {};
}

/// Continues the last segment where that is possible, or starts the next one.
Status LogCore::open_active(Found& found) {
  const StreamSeq next = next_seq_.load(std::memory_order_relaxed);
  if (!recovery_.clean && !recovery_.created) {
    // What survived a kill may be in memory only, names too. Whoever finds it here may rely on it.
    RETURN_IF_ERROR(fs_.sync_dir(dir_));
  }
  Segment* last = nullptr;
  {
    const MutexLock lock(mutex_);
    last = index_.segments().empty() ? nullptr : &index_.active();
  }
  const bool usable = last != nullptr && !found.tail_lost && !last->sparse() &&
                      !last->file->header.compacted && next == found.next_seq &&
                      next - last->end_seq() <= kMissingAtEndMax &&
                      last->end_offset < options_.segment_bytes;
  if (usable) {
    active_has_footer_ = last->sealed;
    last->sealed = false;
    if (!recovery_.clean) {
      RETURN_IF_ERROR(last->file->file->sync());
    }
  } else {
    const StreamSeq prev_end = last == nullptr ? next : std::max(last->end_seq(), found.next_seq);
    if (last != nullptr) {
      RETURN_IF_ERROR(last->file->file->sync());
      last->sealed = true;
      last->removals = {};
    }
    RETURN_IF_ERROR(reserve_numbers());
    auto segment = std::make_unique<Segment>();
    ASSIGN_OR_RETURN(segment->file, new_segment_file(next, prev_end));
    ++next_segment_;
    segment->base_seq = next;
    segment->file_bytes = kRecordsStart;
    const MutexLock lock(mutex_);
    last = &index_.push_segment(std::move(segment));
  }
  Extent extent;
  extent.file = last->file;
  extent.segment = last->file->header.number;
  extent.offset = last->end_offset;
  extent.next_seq = next;
  extent.front = front_;
  extent.purged_front = purged_front_;
  {
    const MutexLock lock(mutex_);
    flushed_ = extent;
    durable_seq_.store(next - 1, std::memory_order_release);
  }
  const MutexLock lock(marks_mutex_);
  RETURN_IF_ERROR(put_synced({stream_id_, extent.segment, extent.offset, next, front_}));
  const MutexLock index_lock(mutex_);
  durable_front_ = front_;
  return {};
}

/// Reports damage, except of what was removed anyway.
void LogCore::settle_damage(Found& found) {
  std::ranges::sort(found.removals);
  const auto removed = [&](StreamSeq seq) {
    return seq < front_ || std::ranges::binary_search(found.removals, seq);
  };
  const MutexLock lock(mutex_);
  for (Damage& damage : found.damage) {
    if (damage.first_seq != 0) {
      damage.first_seq = std::max(damage.first_seq, std::min(front_, damage.last_seq + 1));
      while (damage.first_seq <= damage.last_seq && removed(damage.first_seq)) {
        ++damage.first_seq;
      }
      while (damage.last_seq > damage.first_seq && removed(damage.last_seq)) {
        --damage.last_seq;
      }
      if (damage.first_seq > damage.last_seq) {
        continue;
      }
      bool news = false;
      for (StreamSeq seq = damage.first_seq;
           seq <= damage.last_seq && damaged_.size() < kDamagedMax;
           ++seq) {
        news = damaged_.insert(seq).second || news;
      }
      if (!news && damaged_.size() < kDamagedMax) {
        continue;  // one missing at the end that was also found unreadable
      }
    }
    damage_.push_back(damage);
  }
  recovery_.damage = damage_;
}

}  // namespace feedvault::broker::store
