#include "broker/store/check_store.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "broker/store/format.h"
#include "broker/store/marks.h"
#include "broker/store/segment_io.h"
#include "broker/store/state_file.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kSingleDamageMax = 1U << 20U;

/// What one folder's files say, gathered segment by segment.
struct LogCheck {
  StreamReport report;
  std::vector<StreamSeq> present;
  std::vector<StreamSeq> removals;
  StreamSeq front = 0;
  StreamSeq next_seq = 1;
  std::optional<SlotFile::Contents> sequence;
  std::optional<SlotFile::Contents> synced;
  StreamSeq scanned_end = 0;  // of the segment before; 0 when it says nothing
  std::uint64_t scanned_number = 0;
};

void note(LogCheck& check,
          const std::string& file,
          std::uint64_t offset,
          StreamSeq first,
          StreamSeq last,
          std::string what) {
  check.report.damage.push_back({file, offset, first, last, std::move(what)});
}

void note_bad(LogCheck& check,
              const ScannedSegment& scanned,
              const SegmentFile& file,
              const std::optional<LoadedFooter>& footer) {
  // The index knows whose the unreadable bytes were; else the numbers around them do.
  for (const BadBytes& bad : scanned.bad) {
    if (bad.body_only && bad.type == RecordType::kMessage) {
      note(check, file.name, bad.offset, bad.seq, bad.seq, "the message is damaged");
    } else if (bad.body_only) {
      note(check, file.name, bad.offset, 0, 0, "a record of removals is damaged");
    } else if (!footer.has_value()) {
      const StreamSeq after = std::max(bad.after_seq, file.header.base_seq - 1);
      const bool known = bad.before_seq > after + 1;
      note(check,
           file.name,
           bad.offset,
           known ? after + 1 : 0,
           known ? bad.before_seq - 1 : 0,
           std::to_string(bad.end - bad.offset) + " bytes are unreadable");
    }
  }
  if (!footer.has_value()) {
    return;
  }
  std::set<StreamSeq> whole;
  for (const ScannedSegment::Message& message : scanned.messages) {
    whole.insert(message.seq);
  }
  for (const BadBytes& bad : scanned.bad) {
    if (bad.body_only) {
      whole.insert(bad.seq);  // reported above
    }
  }
  for (const IndexEntry& entry : footer->footer.entries) {
    const StreamSeq seq = footer->footer.base_seq + entry.seq_delta;
    if ((entry.size_flags & kIndexDead) == 0 && !whole.contains(seq)) {
      note(check,
           file.name,
           std::uint64_t{entry.offset8} * kRecordAlignment,
           seq,
           seq,
           "the message is damaged");
    }
  }
  if (scanned.end_offset < footer->offset && footer->footer.entries.empty()) {
    note(check, file.name, scanned.end_offset, 0, 0, "bytes are unreadable");
  }
}

Status check_segment(
    FileSystem& fs, const std::string& dir, const std::string& name, bool last, LogCheck& check) {
  ++check.report.segments;
  auto opened = open_segment(fs, dir, name);
  if (!opened.has_value() && opened.error().code() != StatusCode::kCorruption) {
    return opened.error();
  }
  if (!opened.has_value()) {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.open(dir + '/' + name));
    ASSIGN_OR_RETURN(const std::uint64_t size, file->size());
    if (last && size <= kRecordsStart) {
      check.report.cut_bytes = size;  // its creation was interrupted
    } else {
      note(check, name, 0, 0, 0, opened.error().message());
    }
    return {};
  }
  const SegmentFile& file = **opened;
  if (check.sequence.has_value() && file.header.stream_id != check.sequence->stream_id) {
    note(check, name, 0, 0, 0, "the segment is of another stream");
    return {};
  }
  if (check.scanned_end != 0 && check.scanned_number + 1 == file.header.number &&
      check.scanned_end < file.header.prev_end_seq) {
    note(check,
         segment_name(check.scanned_number),
         0,
         check.scanned_end,
         file.header.prev_end_seq - 1,
         "messages are missing at the segment's end");
  }
  ASSIGN_OR_RETURN(const std::uint64_t size, file.file->size());
  check.report.bytes += size;
  ASSIGN_OR_RETURN(const auto footer, load_footer(file, size));
  std::optional<std::uint64_t> unsure_from;
  std::uint64_t durable_end = 0;
  if (check.synced.has_value() && check.synced->values[0] == file.header.number) {
    durable_end = check.synced->values[1];
  }
  const bool unfinished = last && !check.report.clean && !footer.has_value();
  if (unfinished) {
    unsure_from = std::max(kRecordsStart, durable_end);
  }
  ASSIGN_OR_RETURN(const ScannedSegment scanned,
                   scan_segment(file, footer.has_value() ? footer->offset : size, unsure_from));
  check.report.records += scanned.records;
  note_bad(check, scanned, file, footer);
  const std::uint64_t end = footer.has_value() ? footer->offset : size;
  if (scanned.end_offset < durable_end && !footer.has_value()) {
    note(check, name, scanned.end_offset, 0, 0, "durable bytes are missing at the end");
  } else if (unfinished) {
    ASSIGN_OR_RETURN(const std::uint64_t written, written_end(*file.file, scanned.end_offset, end));
    check.report.cut_bytes = written - scanned.end_offset;
  } else if (!footer.has_value()) {
    ++check.report.indexes_missing;
  }
  for (const ScannedSegment::Message& message : scanned.messages) {
    check.present.push_back(message.seq);
    check.next_seq = std::max(check.next_seq, message.seq + 1);
  }
  check.removals.insert(check.removals.end(), scanned.removals.begin(), scanned.removals.end());
  check.front = std::max(check.front, file.header.front_seq);
  check.next_seq = std::max(check.next_seq, file.header.base_seq);
  if (footer.has_value()) {
    check.next_seq = std::max(check.next_seq, footer->footer.next_seq);
    check.front = std::max(check.front, footer->footer.front_seq);
  }
  check.scanned_number = file.header.number;
  check.scanned_end = 0;
  if (!footer.has_value() && !file.header.compacted) {
    check.scanned_end =
        scanned.messages.empty() ? file.header.base_seq : scanned.messages.back().seq + 1;
  }
  return {};
}

Status read_marks(FileSystem& fs, const std::string& dir, bool has_segments, LogCheck& check) {
  const auto read = [&](const char* name,
                        std::string_view magic,
                        std::optional<SlotFile::Contents>& contents) -> Status {
    const auto file = SlotFile::open(fs, dir + '/' + name, magic, contents);
    if (!file.has_value() && file.error().code() != StatusCode::kNotFound) {
      return file.error();
    }
    if (!contents.has_value() && has_segments) {
      note(check, name, 0, 0, 0, "the file is missing or unreadable");
    } else if (file.has_value() && contents.has_value()) {
      check.report.slots_damaged += (*file)->damaged_slots();
    }
    return {};
  };
  RETURN_IF_ERROR(read("sequence", "FVSEQNO1", check.sequence));
  RETURN_IF_ERROR(read("synced", "FVSYNCD1", check.synced));
  if (check.sequence.has_value()) {
    check.front = check.sequence->values[1];
    check.report.clean = check.sequence->values[2] != 0;
  }
  if (check.synced.has_value()) {
    check.front = std::max(check.front, check.synced->values[3]);
  }
  return {};
}

/// Drops damage of what was removed anyway, and counts what is left.
void settle(LogCheck& check) {
  StreamReport& report = check.report;
  const std::set<StreamSeq> removed(check.removals.begin(), check.removals.end());
  const auto gone = [&](StreamSeq seq) { return seq < check.front || removed.contains(seq); };
  std::set<StreamSeq> known;
  std::erase_if(report.damage, [&](Damage& damage) {
    if (damage.first_seq == 0) {
      return false;
    }
    damage.first_seq = std::max(damage.first_seq, std::min(check.front, damage.last_seq + 1));
    while (damage.first_seq <= damage.last_seq && gone(damage.first_seq)) {
      ++damage.first_seq;
    }
    while (damage.last_seq > damage.first_seq && gone(damage.last_seq)) {
      --damage.last_seq;
    }
    bool news = false;
    for (StreamSeq seq = damage.first_seq;
         seq <= damage.last_seq && known.size() < kSingleDamageMax;
         ++seq) {
      news = known.insert(seq).second || news;
    }
    return damage.first_seq > damage.last_seq || (!news && known.size() < kSingleDamageMax);
  });
  std::erase_if(check.present, gone);
  // A compaction that was interrupted can leave a message in two places.
  std::ranges::sort(check.present);
  check.present.erase(std::unique(check.present.begin(), check.present.end()), check.present.end());
  report.messages = check.present.size();
  report.last_seq = check.next_seq - 1;
  report.first_seq = check.present.empty() ? check.next_seq : check.present.front();
}

Result<StreamReport> check_log(FileSystem& fs,
                               const std::string& dir,
                               const std::vector<std::string>& names) {
  LogCheck check;
  check.report.dir = dir;
  RETURN_IF_ERROR(read_marks(fs, dir, !names.empty(), check));
  for (std::size_t i = 0; i < names.size(); ++i) {
    RETURN_IF_ERROR(check_segment(fs, dir, names[i], i + 1 == names.size(), check));
  }
  if (check.synced.has_value() && check.synced->values[0] != 0 &&
      check.next_seq < check.synced->values[2]) {
    note(check,
         names.empty() ? std::string() : names.back(),
         0,
         check.next_seq,
         check.synced->values[2] - 1,
         "messages that were confirmed are missing");
    check.next_seq = check.synced->values[2];
  }
  check.next_seq = std::max(check.next_seq, check.front);
  settle(check);
  return std::move(check.report);
}

Status check_folder(FileSystem& fs, const std::string& dir, StoreReport& report) {
  ASSIGN_OR_RETURN(const std::vector<DirEntry> entries, fs.list(dir));
  std::vector<std::string> segments;
  bool log = false;
  for (const DirEntry& entry : entries) {
    if (entry.is_dir) {
      RETURN_IF_ERROR(check_folder(fs, dir + '/' + entry.name, report));
    } else if (segment_number(entry.name).has_value()) {
      segments.push_back(entry.name);
    } else if (entry.name == "sequence") {
      log = true;
    } else if (entry.name.ends_with(".state")) {
      ++report.state_files;
      ASSIGN_OR_RETURN(const auto contents, StateFile::load(fs, dir + '/' + entry.name));
      if (contents.damaged || contents.repaired) {
        report.damaged_state_files.push_back(
            {dir + '/' + entry.name,
             0,
             0,
             0,
             contents.generation == 0 ? "nothing in it can be read"
             : contents.damaged       ? "records are damaged; an earlier state remains"
                                      : "damaged where a copy exists; nothing is lost"});
      }
    }
  }
  if (log || !segments.empty()) {
    ASSIGN_OR_RETURN(StreamReport stream, check_log(fs, dir, segments));
    report.streams.push_back(std::move(stream));
  }
  return {};
}

}  // namespace

std::string describe(const Damage& damage) {
  std::string line = "  damage: " + damage.file;
  if (damage.first_seq != 0) {
    line += damage.first_seq == damage.last_seq ? ", message " + std::to_string(damage.first_seq)
                                                : ", messages " + std::to_string(damage.first_seq) +
                                                      " to " + std::to_string(damage.last_seq);
  }
  return line + ", at byte " + std::to_string(damage.offset) + ": " + damage.what + "\n";
}

std::string describe(const StreamReport& report) {
  std::string text = std::to_string(report.messages) + " messages, " +
                     std::to_string(report.first_seq) + " to " + std::to_string(report.last_seq) +
                     ", " + std::to_string(report.segments) + " segments, " +
                     std::to_string(report.records) + " records, " + std::to_string(report.bytes) +
                     " bytes" + (report.clean ? "" : ", not closed") + "\n";
  if (report.cut_bytes != 0) {
    text += "  an unfinished write of " + std::to_string(report.cut_bytes) +
            " bytes at the end, which the next start cuts off\n";
  }
  if (report.indexes_missing != 0) {
    text += "  " + std::to_string(report.indexes_missing) +
            " segments without a whole index, which the next start makes again\n";
  }
  if (report.slots_damaged != 0) {
    text += "  " + std::to_string(report.slots_damaged) +
            " places in `sequence` and `synced` are damaged where a copy exists, or were being "
            "written when the power went: nothing is lost\n";
  }
  for (const Damage& damage : report.damage) {
    text += describe(damage);
  }
  return text;
}

bool StoreReport::healthy() const {
  return damaged_state_files.empty() &&
         std::ranges::all_of(streams,
                             [](const StreamReport& stream) { return stream.damage.empty(); });
}

std::string StoreReport::to_string() const {
  std::string text;
  for (const StreamReport& stream : streams) {
    text += stream.dir + ": " + describe(stream);
  }
  for (const Damage& damage : damaged_state_files) {
    text += describe(damage);
  }
  return text + std::to_string(streams.size()) + " streams, " + std::to_string(state_files) +
         " state files: " + (healthy() ? "no damage" : "DAMAGED") + "\n";
}

Result<StoreReport> check_store(FileSystem& fs, const std::string& dir) {
  StoreReport report;
  RETURN_IF_ERROR(check_folder(fs, dir, report));
  return report;
}

}  // namespace feedvault::broker::store
