#include "broker/store/format.h"

#include <charconv>
#include <type_traits>

#include "broker/store/crc32c.h"

namespace feedvault::broker::store {
namespace {

constexpr std::string_view kSegmentMagic = "FVSEGMT1";
constexpr std::string_view kIndexMagic = "FVINDEX1";
constexpr std::string_view kTrailerMagic = "FVTRAIL1";
constexpr std::uint32_t kCompactedFlag = 1;
constexpr std::size_t kFooterHeaderBytes = 72;
constexpr std::size_t kIndexEntryBytes = 16;
static_assert(sizeof(IndexEntry) == kIndexEntryBytes &&
              std::is_trivially_copyable_v<IndexEntry>);  // in memory as on disk

std::optional<SegmentHeader> parse_one(std::string_view in) {
  if (in.substr(0, 8) != kSegmentMagic || load<std::uint32_t>(in.data() + 8) != kFormatVersion ||
      load<std::uint32_t>(in.data() + 68) != crc32c(0, in.substr(0, 68))) {
    return std::nullopt;
  }
  SegmentHeader header;
  header.stream_id = load<std::uint64_t>(in.data() + 16);
  header.salt = load<std::uint64_t>(in.data() + 24);
  header.number = load<std::uint64_t>(in.data() + 32);
  header.base_seq = load<std::uint64_t>(in.data() + 40);
  header.front_seq = load<std::uint64_t>(in.data() + 48);
  header.prev_end_seq = load<std::uint64_t>(in.data() + 56);
  header.compacted = (load<std::uint32_t>(in.data() + 64) & kCompactedFlag) != 0;
  return header;
}

template <typename T>
void append_value(std::string& out, T value) {
  char bytes[sizeof value];
  put(bytes, value);
  out.append(bytes, sizeof value);
}

/// Takes values from the front of a text; once it was too short, everything is 0.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}

  template <typename T>
  T take() {
    const std::string_view bytes = take_bytes(sizeof(T));
    return bytes.size() == sizeof(T) ? load<T>(bytes.data()) : T{};
  }
  std::string_view take_bytes(std::size_t size) {
    if (rest_.size() < size) {
      good_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  bool good() const { return good_; }
  std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

std::uint32_t checksum_seed(std::uint64_t salt) {
  char bytes[8];
  put(bytes, salt);
  return crc32c(0, std::string_view(bytes, sizeof bytes));
}

void encode_record_header(char* out, const RecordHeader& header, std::uint32_t seed) {
  put(out + 4, header.body_bytes);
  put(out + 8, header.body_crc);
  put(out + 12, header.headers_bytes);
  put(out + 16, header.seq);
  put(out + 24, header.time_ns);
  put(out + 32, header.subject_bytes);
  put(out + 34, static_cast<std::uint8_t>(header.type));
  put(out + 35, std::uint8_t{0});
  put(out, crc32c(seed, std::string_view(out + 4, kRecordHeaderBytes - 4)));
}

std::optional<RecordHeader> parse_record_header(const char* in, std::uint32_t seed) {
  if (load<std::uint32_t>(in) != crc32c(seed, std::string_view(in + 4, kRecordHeaderBytes - 4))) {
    return std::nullopt;
  }
  RecordHeader header;
  header.body_bytes = load<std::uint32_t>(in + 4);
  header.body_crc = load<std::uint32_t>(in + 8);
  header.headers_bytes = load<std::uint32_t>(in + 12);
  header.seq = load<std::uint64_t>(in + 16);
  header.time_ns = load<std::int64_t>(in + 24);
  header.subject_bytes = load<std::uint16_t>(in + 32);
  const auto type = load<std::uint8_t>(in + 34);
  header.type = static_cast<RecordType>(type);
  const std::uint64_t parts = std::uint64_t{header.subject_bytes} + header.headers_bytes;
  const bool message = type == static_cast<std::uint8_t>(RecordType::kMessage);
  const bool removals = type == static_cast<std::uint8_t>(RecordType::kRemovals);
  if (header.body_bytes > kRecordBodyBytesMax || load<std::uint8_t>(in + 35) != 0 ||
      !(message || removals) ||
      (message && (parts > header.body_bytes || header.subject_bytes == 0)) ||
      (removals && (parts != 0 || header.body_bytes % sizeof(StreamSeq) != 0))) {
    return std::nullopt;
  }
  return header;
}

void encode_message(char* out, const MessageView& message, std::uint32_t seed) {
  char* body = out + kRecordHeaderBytes;
  const auto copy = [&body](std::string_view part) {
    if (!part.empty()) {  // the data of an empty view may be null
      std::memcpy(body, part.data(), part.size());
      body += part.size();
    }
  };
  copy(message.subject);
  copy(message.headers);
  copy(message.payload);
  const char* const start = out + kRecordHeaderBytes;
  const auto size = static_cast<std::size_t>(body - start);
  std::memset(body, 0, record_bytes(size) - kRecordHeaderBytes - size);
  RecordHeader header;
  header.body_bytes = static_cast<std::uint32_t>(size);
  header.body_crc = crc32c(seed, std::string_view(start, size));
  header.headers_bytes = static_cast<std::uint32_t>(message.headers.size());
  header.seq = message.seq;
  header.time_ns = message.time_ns;
  header.subject_bytes = static_cast<std::uint16_t>(message.subject.size());
  encode_record_header(out, header, seed);
}

MessageView message_of(const RecordHeader& header, const char* body) {
  const std::string_view all(body, header.body_bytes);
  MessageView message;
  message.seq = header.seq;
  message.time_ns = header.time_ns;
  message.subject = all.substr(0, header.subject_bytes);
  message.headers = all.substr(header.subject_bytes, header.headers_bytes);
  message.payload = all.substr(std::size_t{header.subject_bytes} + header.headers_bytes);
  return message;
}

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out(kSegmentMagic);
  append_value(out, kFormatVersion);
  append_value(out, std::uint32_t{0});
  append_value(out, header.stream_id);
  append_value(out, header.salt);
  append_value(out, header.number);
  append_value(out, header.base_seq);
  append_value(out, header.front_seq);
  append_value(out, header.prev_end_seq);
  append_value(out, header.compacted ? kCompactedFlag : 0U);
  append_value(out, crc32c(0, out));
  return out + out;
}

std::optional<SegmentHeader> parse_segment_header(std::string_view bytes) {
  for (std::size_t at = 0; at + kSegmentHeaderBytes <= bytes.size() && at < kRecordsStart;
       at += kSegmentHeaderBytes) {
    if (auto header = parse_one(bytes.substr(at, kSegmentHeaderBytes))) {
      return header;
    }
  }
  return std::nullopt;
}

std::string segment_name(std::uint64_t number) {
  char digits[17] = {};
  for (std::size_t i = 0; i < 16; ++i) {
    digits[i] = "0123456789abcdef"[(number >> (60 - 4 * i)) & 0xFU];
  }
  return std::string("segment-") + digits;
}

std::optional<std::uint64_t> segment_number(std::string_view name) {
  constexpr std::string_view kPrefix = "segment-";
  if (name.size() != kPrefix.size() + 16 || name.substr(0, kPrefix.size()) != kPrefix) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, number, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end || segment_name(number) != name) {
    return std::nullopt;
  }
  return number;
}

std::string encode_footer(const SegmentFooter& footer, std::uint64_t offset, std::uint32_t seed) {
  std::size_t room = kFooterHeaderBytes + footer.entries.size() * kIndexEntryBytes +
                     footer.removals.size() * sizeof(StreamSeq) + kTrailerBytes;
  for (const std::string_view subject : footer.subjects) {
    room += 2 + subject.size();
  }
  std::string out;
  out.reserve(room);
  out += kIndexMagic;
  append_value(out, footer.base_seq);
  append_value(out, footer.next_seq);
  append_value(out, footer.front_seq);
  append_value(out, footer.first_time_ns);
  append_value(out, footer.last_time_ns);
  append_value(out, std::uint64_t{footer.entries.size()});
  append_value(out, std::uint64_t{footer.removals.size()});
  append_value(out, std::uint64_t{footer.subjects.size()});
  for (const IndexEntry& entry : footer.entries) {
    append_value(out, entry.seq_delta);
    append_value(out, entry.offset8);
    append_value(out, entry.size_flags);
    append_value(out, entry.subject);
  }
  for (const StreamSeq seq : footer.removals) {
    append_value(out, seq);
  }
  for (const std::string_view subject : footer.subjects) {
    append_value(out, static_cast<std::uint16_t>(subject.size()));
    out += subject;
  }
  const std::uint64_t bytes = out.size();
  std::string trailer(kTrailerMagic);
  append_value(trailer, offset);
  append_value(trailer, bytes);
  append_value(trailer, crc32c(seed, out));
  append_value(trailer, crc32c(seed, trailer));
  return out + trailer;
}

std::optional<Trailer> parse_trailer(std::string_view bytes, std::uint32_t seed) {
  if (bytes.size() != kTrailerBytes || bytes.substr(0, 8) != kTrailerMagic ||
      load<std::uint32_t>(bytes.data() + 28) != crc32c(seed, bytes.substr(0, 28))) {
    return std::nullopt;
  }
  Trailer trailer;
  trailer.footer_offset = load<std::uint64_t>(bytes.data() + 8);
  trailer.footer_bytes = load<std::uint64_t>(bytes.data() + 16);
  trailer.footer_crc = load<std::uint32_t>(bytes.data() + 24);
  return trailer;
}

std::optional<SegmentFooter> parse_footer(std::string_view bytes,
                                          const Trailer& trailer,
                                          std::uint32_t seed) {
  if (bytes.size() != trailer.footer_bytes || bytes.substr(0, 8) != kIndexMagic ||
      crc32c(seed, bytes) != trailer.footer_crc) {
    return std::nullopt;
  }
  Cursor in(bytes.substr(8));
  SegmentFooter footer;
  footer.base_seq = in.take<std::uint64_t>();
  footer.next_seq = in.take<std::uint64_t>();
  footer.front_seq = in.take<std::uint64_t>();
  footer.first_time_ns = in.take<std::int64_t>();
  footer.last_time_ns = in.take<std::int64_t>();
  const auto entries = in.take<std::uint64_t>();
  const auto removals = in.take<std::uint64_t>();
  const auto subjects = in.take<std::uint64_t>();
  // The counts are checksummed, yet a count never makes us ask for more memory than there are
  // bytes.
  if (!in.good() || entries > in.left() / kIndexEntryBytes ||
      removals > in.left() / sizeof(StreamSeq) || subjects > in.left() / 2) {
    return std::nullopt;
  }
  footer.entries.resize(entries);
  const std::string_view stored = in.take_bytes(entries * kIndexEntryBytes);
  if (!stored.empty()) {
    std::memcpy(footer.entries.data(), stored.data(), stored.size());
  }
  std::int64_t before = -1;
  for (const IndexEntry& entry : footer.entries) {
    const bool dead = (entry.size_flags & kIndexDead) != 0;
    if ((!dead && entry.subject >= subjects) || entry.seq_delta <= before) {
      return std::nullopt;
    }
    before = entry.seq_delta;
  }
  for (std::uint64_t i = 0; i < removals; ++i) {
    footer.removals.push_back(in.take<std::uint64_t>());
  }
  for (std::uint64_t i = 0; i < subjects; ++i) {
    footer.subjects.push_back(in.take_bytes(in.take<std::uint16_t>()));
  }
  return in.good() && in.left() == 0 ? std::optional(std::move(footer)) : std::nullopt;
}

}  // namespace feedvault::broker::store
