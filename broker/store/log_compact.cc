// Giving back the room of removed messages that lie between others.

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kWriteBytes = 1U << 20U;
constexpr std::uint32_t kNotListed = 0xFFFFFFFF;

/// Encodes records one behind the other and writes them in large pieces.
class RecordWriter {
 public:
  explicit RecordWriter(SegmentFile& file) : file_(file) {}

  std::uint64_t offset() const { return written_ + bytes_.size(); }

  Status message(const MessageView& message, std::uint64_t body_bytes) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + record_bytes(body_bytes));
    encode_message(bytes_.data() + at, message, file_.seed);
    return bytes_.size() >= kWriteBytes ? write() : Status();
  }

  Status removals(const std::vector<StreamSeq>& removals, StreamSeq last_seq) {
    const std::size_t body = removals.size() * sizeof(StreamSeq);
    const std::size_t at = bytes_.size();
    bytes_.resize(at + record_bytes(body));
    std::memcpy(bytes_.data() + at + kRecordHeaderBytes, removals.data(), body);
    RecordHeader header;
    header.type = RecordType::kRemovals;
    header.body_bytes = static_cast<std::uint32_t>(body);
    header.body_crc =
        crc32c(file_.seed, std::string_view(bytes_.data() + at + kRecordHeaderBytes, body));
    header.seq = last_seq;
    encode_record_header(bytes_.data() + at, header, file_.seed);
    return write();
  }

  Status write() {
    RETURN_IF_ERROR(file_.file->write_at(written_, std::string_view(bytes_.data(), bytes_.size())));
    written_ += bytes_.size();
    bytes_.clear();
    return {};
  }

 private:
  SegmentFile& file_;
  std::uint64_t written_ = kRecordsStart;
  std::vector<char> bytes_;
};

}  // namespace

/// What it reads is a copy of the index's: the writer goes on meanwhile.
struct CompactionJob {
  Segment* segment = nullptr;  // sealed; it stays in the index while this is under way
  std::shared_ptr<SegmentFile> file;
  std::string name;
  SegmentHeader header;  // of the new file
  std::vector<std::pair<StreamSeq, Entry>> live;
  std::vector<std::uint32_t> local;  // a subject's index in the footer, by its number
  std::vector<StreamSeq> erased;     // meanwhile: their copies are to be overwritten

  // The outcome.
  Status result;
  std::shared_ptr<SegmentFile> target;
  SegmentFooter footer;
  std::vector<Entry> entries;
  std::deque<std::string> subjects;  // what the footer's views point into
  std::uint64_t end_offset = 0;
  std::uint64_t file_bytes = 0;
};

/// A sealed segment of which less than half is alive. `durably`: what was removed from it has gone
/// for good.
Segment* LogCore::worth_compacting(bool durably) const {
  const MutexLock lock(mutex_);
  const auto& segments = index_.segments();
  for (std::size_t s = 0; s + 1 < segments.size(); ++s) {
    Segment& segment = *segments[s];
    if (segment.live > 0 &&
        segment.live_bytes * 2 + segment.removals_count * sizeof(StreamSeq) <
            segment.end_offset - kRecordsStart &&
        (!durably || (segment.killed_in_batch <= durable_batch_ &&
                      segment.killed_by_front <= durable_front_))) {
      return &segment;
    }
  }
  return nullptr;
}

Result<bool> LogCore::compact(std::uint64_t bytes_max) {
  RETURN_IF_ERROR(check_running());
  std::uint64_t done = 0;
  for (;;) {
    RETURN_IF_ERROR(sync());
    if (done >= bytes_max) {
      return wants_compaction();
    }
    const auto compaction = begin_compaction();
    if (compaction == nullptr) {
      return false;
    }
    done += compaction->segment->end_offset;
    run_compaction(*compaction);
    RETURN_IF_ERROR(end_compaction(*compaction));
  }
}

/// What is left out was removed; that removal, and all that it was done for, is durable already.
std::shared_ptr<CompactionJob> LogCore::begin_compaction() {
  CHECK(compaction_ == nullptr);
  Segment* const segment = check_running().ok() ? worth_compacting(/*durably=*/true) : nullptr;
  if (segment == nullptr) {
    return nullptr;
  }
  auto made = std::make_shared<CompactionJob>();
  made->segment = segment;
  made->file = segment->file;
  made->name = segment->file->name;
  made->header = segment->file->header;
  made->header.salt = random_64();
  made->header.compacted = true;
  const MutexLock lock(mutex_);
  made->header.front_seq = std::max(made->header.front_seq, durable_front_);
  made->live.reserve(segment->live);
  for (std::size_t i = 0; i < segment->entries.size(); ++i) {
    if (segment->entries[i].live()) {
      made->live.emplace_back(segment->seq_at(i), segment->entries[i]);
    }
  }
  made->local.assign(index_.subjects().id_end(), kNotListed);
  made->footer.base_seq = segment->base_seq;
  made->footer.next_seq = segment->end_seq();
  made->footer.front_seq = made->header.front_seq;
  made->footer.first_time_ns = segment->first_time_ns;
  made->footer.last_time_ns = segment->last_time_ns;
  compaction_ = made;
  return made;
}

/// Copies what is alive into a new file, which takes the old one's name. A failed sync stops the
/// log, as everywhere: which of the two files has the name after a power cut is not known then, and
/// what is overwritten later would be so in the wrong one perhaps.
void LogCore::run_compaction(CompactionJob& work) {
  const std::string path = dir_ + '/' + work.name;
  const auto or_stop = [this](const Status& synced) { return synced.ok() ? synced : stop(synced); };
  const auto make = [&]() -> Status {
    ASSIGN_OR_RETURN(work.target, begin_segment(fs_, dir_, work.name + ".new", work.header));
    SegmentFile& target = *work.target;
    ASSIGN_OR_RETURN(work.footer.removals, needed_removals(*work.segment));
    RETURN_IF_ERROR(copy_messages(work));
    ASSIGN_OR_RETURN(work.end_offset, target.file->size());
    const std::string bytes = encode_footer(work.footer, work.end_offset, target.seed);
    work.file_bytes = work.end_offset + bytes.size();
    RETURN_IF_ERROR(target.file->write_at(work.end_offset, bytes));
    RETURN_IF_ERROR(or_stop(target.file->sync()));
    // Removals were left out because their messages' files had been given up: those go first.
    RETURN_IF_ERROR(remove_dead_files());
    FAILPOINT("store.compact");
    RETURN_IF_ERROR(fs_.rename(path + ".new", path));
    RETURN_IF_ERROR(or_stop(fs_.sync_dir(dir_)));
    target.name = work.name;
    return {};
  };
  work.result = make();
  if (!work.result.ok()) {
    // The log is what it was; after a power cut, whichever file has the name holds all messages.
    static_cast<void>(fs_.remove(path + ".new"));
  }
}

Status LogCore::copy_messages(CompactionJob& work) {
  SegmentFooter& footer = work.footer;
  RecordWriter writer(*work.target);
  ReadBuffer buffer;
  for (const auto& [seq, entry] : work.live) {
    auto message = read_message(*work.file, entry.offset(), entry.body_bytes(), seq, buffer);
    if (!message.has_value() && message.error().code() == StatusCode::kCorruption) {
      note_damaged(seq, *work.file, entry.offset());  // unless it was erased meanwhile
      continue;
    }
    RETURN_IF_ERROR(message.status());
    std::uint32_t& subject = work.local[entry.subject];
    if (subject == kNotListed) {
      subject = static_cast<std::uint32_t>(footer.subjects.size());
      footer.subjects.push_back(work.subjects.emplace_back(message->subject));
    }
    Entry copy = entry;
    copy.offset8 = static_cast<std::uint32_t>(writer.offset() / kRecordAlignment);
    footer.entries.push_back({static_cast<std::uint32_t>(seq - footer.base_seq),
                              copy.offset8,
                              copy.size_flags,
                              subject});
    work.entries.push_back(copy);
    RETURN_IF_ERROR(writer.message(*message, entry.body_bytes()));
  }
  return footer.removals.empty() ? writer.write()
                                 : writer.removals(footer.removals, footer.next_seq - 1);
}

/// The new file takes the old one's place in the index, too. What went meanwhile goes there as
/// well.
Status LogCore::end_compaction(CompactionJob& work) {
  CHECK(compaction_.get() == &work);
  compaction_ = nullptr;
  RETURN_IF_ERROR(work.result);
  Segment& segment = *work.segment;
  const SegmentFooter& footer = work.footer;
  const MutexLock lock(mutex_);
  std::vector<std::uint32_t> deltas;
  deltas.reserve(footer.entries.size());
  for (std::size_t i = 0; i < footer.entries.size(); ++i) {
    deltas.push_back(footer.entries[i].seq_delta);
    const LogIndex::Place place = index_.find(segment.base_seq + deltas.back());
    work.entries[i].next = place.entry().next;
    work.entries[i].size_flags |= place.entry().live() ? 0 : Entry::kDead;
  }
  LogIndex::replace(segment, std::move(deltas), std::move(work.entries));
  segment.file = work.target;
  segment.end_offset = work.end_offset;
  segment.file_bytes = work.file_bytes;
  segment.removals_count = footer.removals.size();
  std::erase_if(unreadable_, [&](const auto& each) { return each.second == work.header.number; });
  for (const StreamSeq seq : work.erased) {
    if (const LogIndex::Place place = index_.find(seq); place && place.entry().offset8 != 0) {
      pending_erasures_.push_back(
          {segment.file, place.entry().offset(), place.entry().body_bytes()});
    }
  }
  return {};
}

bool LogCore::compaction_erases() const {
  return compaction_ != nullptr && !compaction_->erased.empty();
}

bool LogCore::is_compacted(const Segment& segment) const {
  return compaction_ != nullptr && compaction_->segment == &segment;
}

void LogCore::note_erased(StreamSeq seq, const SegmentFile& file) {
  if (compaction_ != nullptr && compaction_->file.get() == &file) {
    compaction_->erased.push_back(seq);
  }
}

}  // namespace feedvault::broker::store
