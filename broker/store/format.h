#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/store/message.h"

namespace feedvault::broker::store {

// The bytes on disk, as docs/file_format.md describes them. Everything is little-endian, and so is
// every processor that this is built for.
static_assert(std::endian::native == std::endian::little);

inline constexpr std::uint32_t kFormatVersion = 1;

// --- Records ---

enum class RecordType : std::uint8_t {
  kMessage = 1,
  kRemovals = 2,  // body: numbers of removed messages, 8 bytes each
};

inline constexpr std::size_t kRecordHeaderBytes = 36;
inline constexpr std::size_t kRecordAlignment = 8;
inline constexpr std::uint32_t kRecordBodyBytesMax = 256U << 20U;

struct RecordHeader {
  std::uint32_t body_bytes = 0;  // subject, headers, payload
  std::uint32_t body_crc = 0;
  std::uint32_t headers_bytes = 0;
  StreamSeq seq = 0;  // of a removal: the last number given out before it
  std::int64_t time_ns = 0;
  std::uint16_t subject_bytes = 0;
  RecordType type = RecordType::kMessage;
};

/// Room that a record takes in the file.
constexpr std::uint64_t record_bytes(std::uint64_t body_bytes) {
  return (kRecordHeaderBytes + body_bytes + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
}

/// Where all checksums of a segment start: its random salt. Nobody who can publish can therefore
/// make a payload that looks like a record, and what an old file left in a block does not either.
std::uint32_t checksum_seed(std::uint64_t salt);

/// Writes kRecordHeaderBytes.
void encode_record_header(char* out, const RecordHeader& header, std::uint32_t seed);

/// Nothing when its checksum is wrong or it contradicts itself. Says nothing about the body.
std::optional<RecordHeader> parse_record_header(const char* in, std::uint32_t seed);

/// Writes a whole message with its padding: record_bytes() in all.
void encode_message(char* out, const MessageView& message, std::uint32_t seed);

/// The parts of a body of header.body_bytes.
MessageView message_of(const RecordHeader& header, const char* body);

// --- Segments ---

inline constexpr std::size_t kSegmentHeaderBytes = 72;  // and a copy of it behind
inline constexpr std::uint64_t kRecordsStart = 2 * kSegmentHeaderBytes;

struct SegmentHeader {
  std::uint64_t stream_id = 0;
  std::uint64_t salt = 0;
  std::uint64_t number = 0;
  StreamSeq base_seq = 0;      // no message below
  StreamSeq front_seq = 0;     // when it was made, all messages below this were removed
  StreamSeq prev_end_seq = 0;  // one past the last number in the segment before
  bool compacted = false;      // numbers may be missing
};

std::string encode_segment_header(const SegmentHeader& header);  // both copies
/// From the first kRecordsStart bytes of a file: whichever copy is whole.
std::optional<SegmentHeader> parse_segment_header(std::string_view bytes);

/// Name of a segment's file, and back; nothing for other files.
std::string segment_name(std::uint64_t number);
std::optional<std::uint64_t> segment_number(std::string_view name);

// --- The index behind the last record of a sealed segment ---

inline constexpr std::uint32_t kIndexHasHeaders = 1U << 31U;
inline constexpr std::uint32_t kIndexDead = 1U << 30U;

/// One message whose record is in the segment, also a removed one: as long as its bytes are there,
/// the record of its removal is needed.
struct IndexEntry {
  std::uint32_t seq_delta = 0;   // from base_seq; ascending
  std::uint32_t offset8 = 0;     // of the record, in units of 8 bytes
  std::uint32_t size_flags = 0;  // body bytes and the two flags
  std::uint32_t subject = 0;     // index into subjects; 0 for a removed one
};

struct SegmentFooter {
  StreamSeq base_seq = 0;
  StreamSeq next_seq = 0;   // given to the next message
  StreamSeq front_seq = 0;  // when it was sealed
  std::int64_t first_time_ns = 0;
  std::int64_t last_time_ns = 0;
  std::vector<IndexEntry> entries;
  std::vector<std::string_view> subjects;
  std::vector<StreamSeq> removals;  // of messages in earlier segments
};

inline constexpr std::size_t kTrailerBytes = 32;  // at the very end of the file

/// Index and trailer, for `offset`, the end of the records.
std::string encode_footer(const SegmentFooter& footer, std::uint64_t offset, std::uint32_t seed);

struct Trailer {
  std::uint64_t footer_offset = 0;
  std::uint64_t footer_bytes = 0;
  std::uint32_t footer_crc = 0;
};
std::optional<Trailer> parse_trailer(std::string_view bytes, std::uint32_t seed);

/// Views point into `bytes`. Nothing when they do not fit the trailer or contradict themselves.
std::optional<SegmentFooter> parse_footer(std::string_view bytes,
                                          const Trailer& trailer,
                                          std::uint32_t seed);

// --- Small integers ---

template <typename T>
T load(const char* at) {
  T value{};
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
void put(char* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace feedvault::broker::store
