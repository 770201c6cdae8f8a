// Giving back the room of removed messages that lie between others.

#include <algorithm>
#include <deque>
#include <utility>

#include "base/failpoint.h"
#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/store/log_core.h"
#include "broker/store/segment_io.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kWriteBytes = 1U << 20U;

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

struct LogCore::Copied {
  SegmentFooter footer;
  std::vector<Entry> entries;
  std::deque<std::string> subjects;  // what the footer's views point into
};

/// A sealed segment of which less than half is alive.
Segment* LogCore::worth_compacting() const {
  const MutexLock lock(mutex_);
  const auto& segments = index_.segments();
  for (std::size_t s = 0; s + 1 < segments.size(); ++s) {
    Segment& segment = *segments[s];
    if (segment.live > 0 && segment.live_bytes * 2 + segment.removals_count * sizeof(StreamSeq) <
                                segment.end_offset - kRecordsStart) {
      return &segment;
    }
  }
  return nullptr;
}

Result<bool> LogCore::compact(std::uint64_t bytes_max) {
  RETURN_IF_ERROR(check_running());
  std::uint64_t done = 0;
  for (;;) {
    // What is left out was removed; that removal, and all that it was done for, is durable first.
    RETURN_IF_ERROR(sync());
    Segment* const segment = worth_compacting();
    if (segment == nullptr) {
      return false;
    }
    if (done >= bytes_max) {
      return true;
    }
    done += segment->end_offset;
    RETURN_IF_ERROR(compact_segment(*segment));
  }
}

/// Copies what is alive into a new file, which takes the old one's name.
Status LogCore::compact_segment(Segment& segment) {
  const std::string name = segment.file->name;
  SegmentHeader header = segment.file->header;
  header.salt = random_64();
  header.front_seq = std::max(header.front_seq, front_);
  header.compacted = true;
  Copied copied;
  SegmentFooter& footer = copied.footer;
  std::uint64_t end_offset = 0;
  std::uint64_t file_bytes = 0;
  const auto make = [&]() -> Result<std::shared_ptr<SegmentFile>> {
    ASSIGN_OR_RETURN(auto target, create_segment(fs_, dir_, name + ".new", header));
    ASSIGN_OR_RETURN(footer.removals, needed_removals(segment));
    RETURN_IF_ERROR(copy_messages(segment, *target, copied));
    ASSIGN_OR_RETURN(end_offset, target->file->size());
    const std::string bytes = encode_footer(footer, end_offset, target->seed);
    file_bytes = end_offset + bytes.size();
    RETURN_IF_ERROR(target->file->write_at(end_offset, bytes));
    RETURN_IF_ERROR(target->file->sync());
    FAILPOINT("store.compact");
    RETURN_IF_ERROR(fs_.rename(dir_ + '/' + name + ".new", dir_ + '/' + name));
    RETURN_IF_ERROR(fs_.sync_dir(dir_));
    target->name = name;
    return target;
  };
  auto target = make();
  if (!target.has_value()) {
    static_cast<void>(fs_.remove(dir_ + '/' + name + ".new"));
    // The log is what it was; whichever file has the name now holds the same messages.
    return target.error();
  }
  const MutexLock lock(mutex_);
  std::vector<std::uint32_t> deltas;
  deltas.reserve(footer.entries.size());
  for (std::size_t i = 0; i < footer.entries.size(); ++i) {
    deltas.push_back(footer.entries[i].seq_delta);
    // A reader may have found it damaged meanwhile.
    const LogIndex::Place place = index_.find(segment.base_seq + deltas.back());
    copied.entries[i].next = place.entry().next;
    copied.entries[i].size_flags |= place.entry().live() ? 0 : Entry::kDead;
  }
  LogIndex::replace(segment, std::move(deltas), std::move(copied.entries));
  segment.file = *target;
  segment.end_offset = end_offset;
  segment.file_bytes = file_bytes;
  segment.removals_count = footer.removals.size();
  return {};
}

Status LogCore::copy_messages(const Segment& segment, SegmentFile& target, Copied& copied) {
  constexpr std::uint32_t kNoIndex = 0xFFFFFFFF;
  std::vector<std::pair<StreamSeq, Entry>> live;
  std::vector<std::uint32_t> local;
  SegmentFooter& footer = copied.footer;
  {
    const MutexLock lock(mutex_);
    live.reserve(segment.live);
    for (std::size_t i = 0; i < segment.entries.size(); ++i) {
      if (segment.entries[i].live()) {
        live.emplace_back(segment.seq_at(i), segment.entries[i]);
      }
    }
    local.assign(index_.subjects().id_end(), kNoIndex);
  }
  footer.base_seq = segment.base_seq;
  footer.next_seq = segment.end_seq();
  footer.front_seq = front_;
  footer.first_time_ns = segment.first_time_ns;
  footer.last_time_ns = segment.last_time_ns;
  RecordWriter writer(target);
  ReadBuffer buffer;
  for (const auto& [seq, entry] : live) {
    auto message = read_message(*segment.file, entry.offset(), entry.body_bytes(), seq, buffer);
    if (!message.has_value() && message.error().code() == StatusCode::kCorruption) {
      note_damaged(seq, *segment.file, entry.offset());
      continue;
    }
    RETURN_IF_ERROR(message.status());
    std::uint32_t& subject = local[entry.subject];
    if (subject == kNoIndex) {
      subject = static_cast<std::uint32_t>(footer.subjects.size());
      footer.subjects.push_back(copied.subjects.emplace_back(message->subject));
    }
    Entry copy = entry;
    copy.offset8 = static_cast<std::uint32_t>(writer.offset() / kRecordAlignment);
    footer.entries.push_back({static_cast<std::uint32_t>(seq - segment.base_seq),
                              copy.offset8,
                              copy.size_flags,
                              subject});
    copied.entries.push_back(copy);
    RETURN_IF_ERROR(writer.message(*message, entry.body_bytes()));
  }
  return footer.removals.empty() ? writer.write()
                                 : writer.removals(footer.removals, segment.end_seq() - 1);
}

}  // namespace feedvault::broker::store
