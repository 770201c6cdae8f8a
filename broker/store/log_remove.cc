// Removing messages, and the files of segments that hold none any more.

#include <algorithm>
#include <utility>

#include "base/failpoint.h"
#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kKillsALock = 1024;  // readers wait no longer than for these
constexpr std::size_t kZerosAWrite = 65536;

}  // namespace

/// Kills a message whose removal is in pending_removals_. False when it was dead already.
bool LogCore::kill_noted(StreamSeq seq) {
  const MutexLock lock(mutex_);
  const LogIndex::Place place = index_.find_live(seq);
  if (!place) {
    return false;
  }
  index_.kill(place);
  removals_.fetch_add(1, std::memory_order_release);
  place.segment->killed_in_batch = batch_ + 1;
  return true;
}

Status LogCore::remove(StreamSeq seq, MessageLog::Erase erase) {
  RETURN_IF_ERROR(check_running());
  std::shared_ptr<SegmentFile> file;
  std::uint64_t offset = 0;
  std::uint32_t body_bytes = 0;
  {
    const MutexLock lock(mutex_);
    const LogIndex::Place place = index_.find_live(seq);
    if (!place) {
      return not_found("no message " + std::to_string(seq));
    }
    file = place.segment->file;
    offset = place.entry().offset();
    body_bytes = place.entry().body_bytes();
  }
  RETURN_IF_ERROR(note_removal(seq));
  kill_noted(seq);
  if (erase == MessageLog::Erase::kYes) {
    note_erased(seq, *file);
    pending_erasures_.push_back({std::move(file), offset, body_bytes});
  }
  return {};
}

/// Overwrites removed messages. Their checksums are wrong from then on, which must never look like
/// an unfinished write or like damage: the removals are durable, and now the mark says so, too.
Status LogCore::erase_bodies(const std::vector<Erasure>& erasures) {
  if (erasures.empty()) {
    return {};
  }
  Status status;
  {
    const MutexLock lock(marks_mutex_);
    status = put_synced(synced_, true);
  }
  for (const Erasure& each : erasures) {
    if (each.file->given_up.load(std::memory_order_acquire)) {
      continue;
    }
    const std::string zeros(std::min<std::size_t>(each.body_bytes, kZerosAWrite), '\0');
    for (std::uint64_t done = 0; status.ok() && done < each.body_bytes; done += zeros.size()) {
      const auto size =
          static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), each.body_bytes - done));
      status = each.file->file->write_at(each.offset + kRecordHeaderBytes + done,
                                         std::string_view(zeros).substr(0, size));
    }
    if (each.file->given_up.load(std::memory_order_acquire)) {
      status = Status();  // it was cut off meanwhile, on a full disk
    }
  }
  for (std::size_t i = 0; status.ok() && i < erasures.size(); ++i) {
    if (i + 1 == erasures.size() || erasures[i + 1].file != erasures[i].file) {
      status = erasures[i].file->file->sync();
    }
  }
  return status.ok() ? Status() : stop(status);
}

/// Kills all messages below `seq`.
std::uint64_t LogCore::kill_below(StreamSeq seq) {
  std::uint64_t killed = 0;
  for (bool more = true; more;) {
    const MutexLock lock(mutex_);
    for (std::size_t i = 0; i < kKillsALock && more; ++i) {
      const StreamSeq first = index_.first_seq();
      more = first != 0 && first < seq;
      if (more) {
        const LogIndex::Place place = index_.find_live(first);
        place.segment->killed_by_front = seq;
        index_.kill(place);
        removals_.fetch_add(1, std::memory_order_release);
        ++killed;
      }
    }
  }
  front_ = std::max(front_, seq);
  return killed;
}

Result<std::uint64_t> LogCore::purge_below(StreamSeq seq) {
  RETURN_IF_ERROR(check_running());
  seq = std::min(seq, next_seq_.load(std::memory_order_relaxed));
  const std::uint64_t killed = kill_below(seq);
  purged_front_ = std::max(purged_front_, seq);
  return killed;
}

Result<std::uint64_t> LogCore::expire_below(StreamSeq seq) {
  RETURN_IF_ERROR(check_running());
  return kill_below(std::min(seq, next_seq_.load(std::memory_order_relaxed)));
}

Result<std::uint64_t> LogCore::purge(SubjectFilter& filter, std::uint64_t keep, StreamSeq below) {
  RETURN_IF_ERROR(check_running());
  const StreamSeq next = next_seq_.load(std::memory_order_relaxed);
  const StreamSeq end = below == 0 ? next : std::min(below, next);
  if (filter.matches_all() && keep == 0) {
    return purge_below(end);
  }
  std::vector<StreamSeq> found;
  for (StreamSeq from = 0;;) {
    LogIndex::Found next_one;
    {
      const MutexLock lock(mutex_);
      next_one = index_.next_matching(from, filter, kEntriesALock);
    }
    if (next_one.seq != 0 && next_one.seq < end) {
      found.push_back(next_one.seq);
      from = next_one.seq + 1;
    } else if (next_one.seq == 0 && next_one.resume != 0 && next_one.resume < end) {
      from = next_one.resume;
    } else {
      break;
    }
  }
  if (found.size() <= keep) {
    return std::uint64_t{0};
  }
  found.resize(found.size() - keep);
  if (filter.matches_all()) {
    return purge_below(found.back() + 1);
  }
  std::uint64_t killed = 0;
  for (const StreamSeq seq : found) {
    RETURN_IF_ERROR(note_removal(seq));
    killed += kill_noted(seq) ? 1U : 0U;
  }
  return killed;
}

/// Takes segments without a message out of the index, once whatever killed those is durable: a
/// message that was confirmed must not go for the sake of one that is not. Their files go at the
/// next sync, away from the writer.
Status LogCore::drop_dead_segments() {
  std::vector<Segment*> dead;
  {
    const MutexLock lock(mutex_);
    dead = index_.dead_segments();
  }
  if (dead.empty()) {
    return {};
  }
  for (Segment* const segment : dead) {
    if (is_compacted(*segment)) {
      continue;  // until that is over
    }
    if (!segment->handed_over) {
      RETURN_IF_ERROR(hand_over_removals(*segment));
    }
    const MutexLock lock(mutex_);
    if (segment->killed_in_batch <= durable_batch_ && segment->killed_by_front <= durable_front_) {
      dead_files_.push_back({segment->file->name, segment->removals_count > 0});
      index_.drop_segment(*segment);
    }
  }
  return {};
}

/// In the order in which they were given up: a file's removals are needed until the files that they
/// concern are gone for good.
Status LogCore::remove_dead_files() {
  const MutexLock files_lock(files_mutex_);
  std::vector<DeadFile> files;
  {
    const MutexLock lock(mutex_);
    files.swap(dead_files_);
  }
  bool unsure = false;
  const auto make_sure = [&]() -> Status {
    const Status status = unsure ? fs_.sync_dir(dir_) : Status();
    unsure = false;
    return status.ok() ? Status() : stop(status);
  };
  for (const DeadFile& file : files) {
    if (file.has_removals) {
      RETURN_IF_ERROR(make_sure());
    }
    FAILPOINT("store.drop");
    const Status status = fs_.remove(dir_ + '/' + file.name);
    if (!status.ok() && status.code() != StatusCode::kNotFound) {
      return stop(status);
    }
    unsure = true;
  }
  return make_sure();
}

/// Those of a sealed segment's removals whose message is still in the file of another one.
Result<std::vector<StreamSeq>> LogCore::needed_removals(const Segment& segment) {
  std::vector<StreamSeq> removals;
  if (segment.removals_count == 0) {
    return removals;
  }
  ASSIGN_OR_RETURN(auto footer, load_footer(*segment.file, segment.file_bytes));
  if (footer.has_value()) {
    removals = std::move(footer->footer.removals);
  } else {
    ASSIGN_OR_RETURN(auto scanned, scan_segment(*segment.file, segment.end_offset, std::nullopt));
    removals = std::move(scanned.removals);
  }
  // Not the front of what expired: a power cut may take that back.
  StreamSeq purged = 0;
  {
    const MutexLock lock(marks_mutex_);
    purged = sequence_.front;
  }
  const MutexLock lock(mutex_);
  std::erase_if(removals, [&](StreamSeq seq) FEEDVAULT_TSA(requires_capability(mutex_)) {
    const LogIndex::Place place = index_.find(seq);
    return seq < purged ||
           (place ? place.segment == &segment || place.entry().live() : !has_unreadable(seq));
  });
  return removals;
}

bool LogCore::has_unreadable(StreamSeq seq) const {
  const auto found = unreadable_.find(seq);
  return found != unreadable_.end() &&
         std::ranges::any_of(index_.segments(), [&](const std::unique_ptr<Segment>& each) {
           return each->file->header.number == found->second;
         });
}

/// Writes what is still needed of a dead segment's removals again.
Status LogCore::hand_over_removals(Segment& segment) {
  auto removals = needed_removals(segment);
  if (!removals.has_value()) {
    return stop(removals.error());
  }
  segment.handed_over = true;
  for (const StreamSeq seq : *removals) {
    RETURN_IF_ERROR(note_removal(seq));
  }
  if (!removals->empty()) {
    const MutexLock lock(mutex_);
    segment.killed_in_batch = batch_ + 1;
  }
  return {};
}

}  // namespace feedvault::broker::store
