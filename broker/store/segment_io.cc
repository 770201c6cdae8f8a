#include "broker/store/segment_io.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/store/crc32c.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kScanWindow = 1U << 20U;

/// A stretch of a file in memory that moves forward.
class Window {
 public:
  Window(const File& file, std::uint64_t end) : file_(file), end_(end) {}

  /// `size` bytes at `offset`, or null when the file ends before. Lives until the next call.
  Result<const char*> get(std::uint64_t offset, std::uint64_t size) {
    if (offset + size > end_) {
      return static_cast<const char*>(nullptr);
    }
    if (offset < begin_ || offset + size > begin_ + filled_) {
      const auto wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::max<std::uint64_t>(size, kScanWindow), end_ - offset));
      if (buffer_.size() < wanted) {
        buffer_.resize(wanted);
      }
      ASSIGN_OR_RETURN(filled_, file_.read_at(offset, std::span(buffer_).first(wanted)));
      begin_ = offset;
      if (filled_ < size) {
        return static_cast<const char*>(nullptr);
      }
    }
    return static_cast<const char*>(buffer_.data() + (offset - begin_));
  }

 private:
  const File& file_;
  std::uint64_t end_;
  std::uint64_t begin_ = 0;
  std::size_t filled_ = 0;
  std::vector<char> buffer_;
};

enum class Look : std::uint8_t { kWhole, kBadBody, kNone };

struct Seen {
  Look look = Look::kNone;
  RecordHeader header;
  const char* body = nullptr;
};

Result<Seen> look_at(Window& window, std::uint32_t seed, std::uint64_t offset) {
  Seen seen;
  ASSIGN_OR_RETURN(const char* in, window.get(offset, kRecordHeaderBytes));
  if (in == nullptr) {
    return seen;
  }
  const auto header = parse_record_header(in, seed);
  if (!header.has_value()) {
    return seen;
  }
  ASSIGN_OR_RETURN(in, window.get(offset, kRecordHeaderBytes + std::uint64_t{header->body_bytes}));
  if (in == nullptr) {
    return seen;
  }
  seen.header = *header;
  seen.body = in + kRecordHeaderBytes;
  seen.look = crc32c(seed, std::string_view(seen.body, header->body_bytes)) == header->body_crc
                  ? Look::kWhole
                  : Look::kBadBody;
  return seen;
}

/// Collects what scan_records finds.
class Collector final : public RecordSink {
 public:
  Collector(ScannedSegment& out, std::optional<std::uint64_t> stop_at)
      : out_(out), stop_at_(stop_at) {}

  void record(std::uint64_t offset, const RecordHeader& header, const char* body) override {
    if (stopped_) {
      return;
    }
    ++out_.records;
    out_.end_offset = offset + record_bytes(header.body_bytes);
    if (header.type == RecordType::kRemovals) {
      for (std::uint32_t at = 0; at < header.body_bytes; at += sizeof(StreamSeq)) {
        out_.removals.push_back(load<StreamSeq>(body + at));
      }
      return;
    }
    if (!out_.messages.empty() && header.seq <= out_.messages.back().seq) {
      // Checksummed and yet impossible: ours to refuse, not to believe.
      note_bad({offset, out_.end_offset, false, {}, 0, last_seq(), 0});
      return;
    }
    for (; open_bad_ < out_.bad.size(); ++open_bad_) {
      out_.bad[open_bad_].before_seq = header.seq;
    }
    const MessageView message = message_of(header, body);
    if (out_.messages.empty()) {
      out_.first_time_ns = header.time_ns;
    }
    out_.last_time_ns = header.time_ns;
    out_.messages.push_back({header.seq,
                             offset,
                             header.body_bytes,
                             !message.headers.empty(),
                             subject_index(message.subject)});
  }

  void bad(std::uint64_t offset, std::uint64_t end, const RecordHeader* header) override {
    if (stopped_ || (stop_at_.has_value() && offset >= *stop_at_)) {
      stopped_ = true;
      return;
    }
    BadBytes bytes{offset, end, header != nullptr, {}, 0, last_seq(), 0};
    if (header != nullptr) {
      bytes.type = header->type;
      bytes.seq = header->seq;
      out_.end_offset = std::max(out_.end_offset, end);
    }
    note_bad(bytes);
  }

 private:
  StreamSeq last_seq() const { return out_.messages.empty() ? 0 : out_.messages.back().seq; }
  void note_bad(const BadBytes& bytes) { out_.bad.push_back(bytes); }

  std::uint32_t subject_index(std::string_view subject) {
    const auto found = subjects_.find(subject);
    if (found != subjects_.end()) {
      return found->second;
    }
    const auto index = static_cast<std::uint32_t>(out_.subjects.size());
    out_.subjects.emplace_back(subject);
    subjects_.emplace(out_.subjects.back(), index);
    return index;
  }

  ScannedSegment& out_;
  std::optional<std::uint64_t> stop_at_;
  std::unordered_map<std::string_view, std::uint32_t> subjects_;
  std::size_t open_bad_ = 0;  // from here on, no message behind is known yet
  bool stopped_ = false;
};

}  // namespace

Result<std::shared_ptr<SegmentFile>> begin_segment(FileSystem& fs,
                                                   const std::string& dir,
                                                   const std::string& name,
                                                   const SegmentHeader& header) {
  const std::string path = dir + '/' + name;
  auto segment = std::make_shared<SegmentFile>();
  ASSIGN_OR_RETURN(segment->file, fs.create(path));
  segment->header = header;
  segment->seed = checksum_seed(header.salt);
  segment->name = name;
  if (const Status status = segment->file->write_at(0, encode_segment_header(header));
      !status.ok()) {
    static_cast<void>(fs.remove(path));
    return status;
  }
  return segment;
}

Result<std::shared_ptr<SegmentFile>> create_segment(FileSystem& fs,
                                                    const std::string& dir,
                                                    const std::string& name,
                                                    const SegmentHeader& header) {
  ASSIGN_OR_RETURN(auto segment, begin_segment(fs, dir, name, header));
  // Header and name are on disk before the first record can count as durable.
  Status status = segment->file->sync();
  if (status.ok()) {
    status = fs.sync_dir(dir);
  }
  if (!status.ok()) {
    static_cast<void>(fs.remove(dir + '/' + name));
    return status;
  }
  return segment;
}

Result<std::shared_ptr<SegmentFile>> open_segment(FileSystem& fs,
                                                  const std::string& dir,
                                                  const std::string& name) {
  auto segment = std::make_shared<SegmentFile>();
  ASSIGN_OR_RETURN(segment->file, fs.open(dir + '/' + name));
  char bytes[kRecordsStart];
  ASSIGN_OR_RETURN(const std::size_t n, segment->file->read_at(0, bytes));
  const auto header = parse_segment_header(std::string_view(bytes, n));
  if (!header.has_value()) {
    return Status(StatusCode::kCorruption, name + ": the segment's header is damaged");
  }
  if (segment_name(header->number) != name) {
    return Status(StatusCode::kCorruption,
                  name + ": holds segment " + segment_name(header->number));
  }
  segment->header = *header;
  segment->seed = checksum_seed(header->salt);
  segment->name = name;
  return segment;
}

Result<std::uint64_t> scan_records(
    const File& file, std::uint32_t seed, std::uint64_t from, std::uint64_t to, RecordSink& sink) {
  Window window(file, to);
  std::uint64_t whole_end = from;
  std::uint64_t bad_from = 0;  // where the stretch of bad bytes before `offset` began; 0: none
  for (std::uint64_t offset = from; offset + kRecordHeaderBytes <= to;) {
    ASSIGN_OR_RETURN(const Seen seen, look_at(window, seed, offset));
    if (seen.look == Look::kNone) {
      bad_from = bad_from == 0 ? offset : bad_from;
      offset += kRecordAlignment;
      continue;
    }
    if (bad_from != 0) {
      sink.bad(bad_from, offset, nullptr);
      bad_from = 0;
    }
    const std::uint64_t end = offset + record_bytes(seen.header.body_bytes);
    if (seen.look == Look::kWhole) {
      sink.record(offset, seen.header, seen.body);
      whole_end = end;
    } else {
      sink.bad(offset, end, &seen.header);
    }
    offset = end;
  }
  return whole_end;
}

Result<std::uint64_t> written_end(const File& file, std::uint64_t from, std::uint64_t to) {
  std::vector<char> block(std::size_t{64} << 10U);
  while (to > from) {
    const std::uint64_t size = std::min<std::uint64_t>(block.size(), to - from);
    ASSIGN_OR_RETURN(const std::size_t got, file.read_at(to - size, std::span(block.data(), size)));
    for (std::size_t i = got; i > 0; --i) {
      if (block[i - 1] != 0) {
        return to - size + i;
      }
    }
    to -= size;
  }
  return from;
}

Result<ScannedSegment> scan_segment(const SegmentFile& segment,
                                    std::uint64_t to,
                                    std::optional<std::uint64_t> stop_at) {
  ScannedSegment scanned;
  Collector collector(scanned, stop_at);
  RETURN_IF_ERROR(scan_records(*segment.file, segment.seed, kRecordsStart, to, collector).status());
  return scanned;
}

Result<std::optional<LoadedFooter>> load_footer(const SegmentFile& segment,
                                                std::uint64_t file_bytes) {
  using Maybe = std::optional<LoadedFooter>;
  if (file_bytes < kRecordsStart + kTrailerBytes) {
    return Maybe();
  }
  char end[kTrailerBytes];
  ASSIGN_OR_RETURN(const std::size_t n, segment.file->read_at(file_bytes - kTrailerBytes, end));
  const auto trailer = parse_trailer(std::string_view(end, n), segment.seed);
  if (!trailer.has_value() || trailer->footer_offset < kRecordsStart ||
      trailer->footer_bytes > file_bytes ||
      trailer->footer_offset != file_bytes - kTrailerBytes - trailer->footer_bytes) {
    return Maybe();
  }
  LoadedFooter loaded;
  loaded.offset = trailer->footer_offset;
  const auto footer_bytes = static_cast<std::size_t>(trailer->footer_bytes);
  loaded.bytes = std::make_unique_for_overwrite<char[]>(footer_bytes);
  ASSIGN_OR_RETURN(
      const std::size_t got,
      segment.file->read_at(trailer->footer_offset, {loaded.bytes.get(), footer_bytes}));
  if (got != footer_bytes) {
    return Maybe();
  }
  auto footer = parse_footer({loaded.bytes.get(), footer_bytes}, *trailer, segment.seed);
  if (!footer.has_value() || footer->base_seq != segment.header.base_seq) {
    return Maybe();
  }
  for (const IndexEntry& entry : footer->entries) {
    const std::uint64_t offset = std::uint64_t{entry.offset8} * kRecordAlignment;
    const std::uint64_t body = entry.size_flags & Entry::kBodyMask;
    if (offset < kRecordsStart || offset + kRecordHeaderBytes + body > loaded.offset) {
      return Maybe();
    }
  }
  loaded.footer = std::move(*footer);
  return Maybe(std::move(loaded));
}

SegmentFooter footer_of(const ScannedSegment& scanned, StreamSeq base_seq) {
  SegmentFooter footer;
  footer.base_seq = base_seq;
  footer.next_seq = scanned.messages.empty() ? base_seq : scanned.messages.back().seq + 1;
  footer.first_time_ns = scanned.first_time_ns;
  footer.last_time_ns = scanned.last_time_ns;
  footer.removals = scanned.removals;
  footer.subjects.assign(scanned.subjects.begin(), scanned.subjects.end());
  footer.entries.reserve(scanned.messages.size());
  for (const ScannedSegment::Message& message : scanned.messages) {
    if (message.seq < base_seq || message.seq - base_seq > 0xFFFFFFFFU) {
      continue;
    }
    footer.entries.push_back({static_cast<std::uint32_t>(message.seq - base_seq),
                              static_cast<std::uint32_t>(message.offset / kRecordAlignment),
                              message.body_bytes | (message.has_headers ? Entry::kHasHeaders : 0),
                              message.subject});
  }
  return footer;
}

std::optional<MessageView> verify_message(std::string_view bytes,
                                          std::uint32_t seed,
                                          StreamSeq seq) {
  if (bytes.size() < kRecordHeaderBytes) {
    return std::nullopt;
  }
  const auto header = parse_record_header(bytes.data(), seed);
  if (!header.has_value() || header->seq != seq || header->type != RecordType::kMessage ||
      bytes.size() < kRecordHeaderBytes + std::size_t{header->body_bytes}) {
    return std::nullopt;
  }
  const std::string_view body = bytes.substr(kRecordHeaderBytes, header->body_bytes);
  if (crc32c(seed, body) != header->body_crc) {
    return std::nullopt;
  }
  return message_of(*header, body.data());
}

Result<MessageView> read_message(const SegmentFile& segment,
                                 std::uint64_t offset,
                                 std::uint32_t body_bytes,
                                 StreamSeq seq,
                                 std::vector<char>& buffer) {
  buffer.resize(kRecordHeaderBytes + std::size_t{body_bytes});
  ASSIGN_OR_RETURN(const std::size_t n, segment.file->read_at(offset, buffer));
  const auto message = verify_message(std::string_view(buffer.data(), n), segment.seed, seq);
  if (!message.has_value()) {
    return Status(StatusCode::kCorruption,
                  "message " + std::to_string(seq) + " is damaged (" + segment.name + ", offset " +
                      std::to_string(offset) + ")");
  }
  return *message;
}

}  // namespace feedvault::broker::store
