#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/store/file_system.h"
#include "broker/store/format.h"
#include "broker/store/segment.h"

namespace feedvault::broker::store {

/// Makes an empty segment of which nothing is durable yet.
Result<std::shared_ptr<SegmentFile>> begin_segment(FileSystem& fs,
                                                   const std::string& dir,
                                                   const std::string& name,
                                                   const SegmentHeader& header);
/// The same, durable with its name.
Result<std::shared_ptr<SegmentFile>> create_segment(FileSystem& fs,
                                                    const std::string& dir,
                                                    const std::string& name,
                                                    const SegmentHeader& header);

/// Opens a segment. kCorruption when neither copy of its header is whole, or it is not the one that
/// its name says.
Result<std::shared_ptr<SegmentFile>> open_segment(FileSystem& fs,
                                                  const std::string& dir,
                                                  const std::string& name);

/// What a scan of records meets, in the order of the file.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  /// A whole record. `body` lives for the call.
  virtual void record(std::uint64_t offset, const RecordHeader& header, const char* body) = 0;
  /// [offset, end) is no record. With `header`: only the body is wrong.
  virtual void bad(std::uint64_t offset, std::uint64_t end, const RecordHeader* header) = 0;
};

/// Reads all records in [from, to), verifying each. After a bad one it goes on at the next place
/// where a whole record begins. Returns where the last whole record ends; bytes behind it were not
/// reported as bad.
Result<std::uint64_t> scan_records(
    const File& file, std::uint32_t seed, std::uint64_t from, std::uint64_t to, RecordSink& sink);

/// Where the bytes in [from, to) that are not zero end; `from` when all are: room that was reserved
/// and never used.
Result<std::uint64_t> written_end(const File& file, std::uint64_t from, std::uint64_t to);

/// One damaged stretch of a segment.
struct BadBytes {
  std::uint64_t offset = 0;
  std::uint64_t end = 0;
  bool body_only = false;    // the header is good: exactly this record is concerned
  RecordType type{};         // with body_only
  StreamSeq seq = 0;         // with body_only
  StreamSeq after_seq = 0;   // of the last message before it; 0 for none
  StreamSeq before_seq = 0;  // of the first message behind it; 0 for none
};

/// All that a segment's records say.
struct ScannedSegment {
  struct Message {
    StreamSeq seq = 0;
    std::uint64_t offset = 0;
    std::uint32_t body_bytes = 0;
    bool has_headers = false;
    std::uint32_t subject = 0;  // index into subjects
  };
  std::vector<Message> messages;  // ascending
  std::deque<std::string> subjects;
  std::vector<StreamSeq> removals;
  std::vector<BadBytes> bad;
  std::uint64_t records = 0;
  std::uint64_t end_offset = kRecordsStart;  // of the last whole record
  std::int64_t first_time_ns = 0;
  std::int64_t last_time_ns = 0;
};

/// Scans records in [kRecordsStart, to). When `stop_at` is given, it ends at the first bad bytes at
/// or behind that offset, as if the file did: nothing from there on was promised to anybody.
Result<ScannedSegment> scan_segment(const SegmentFile& segment,
                                    std::uint64_t to,
                                    std::optional<std::uint64_t> stop_at);

/// The index at the end of a sealed segment; nothing when there is none or it is damaged.
struct LoadedFooter {
  SegmentFooter footer;
  std::unique_ptr<char[]> bytes;  // that its views point into
  std::uint64_t offset = 0;
};
Result<std::optional<LoadedFooter>> load_footer(const SegmentFile& segment,
                                                std::uint64_t file_bytes);
/// The same from a scan; its views point into `scanned`.
SegmentFooter footer_of(const ScannedSegment& scanned, StreamSeq base_seq);

/// Reads one record and verifies it against its number. kCorruption when it is not what was
/// written.
Result<MessageView> read_message(const SegmentFile& segment,
                                 std::uint64_t offset,
                                 std::uint32_t body_bytes,
                                 StreamSeq seq,
                                 std::vector<char>& buffer);
/// The same in memory: `bytes` begins with the record. Nothing when it is damaged.
std::optional<MessageView> verify_message(std::string_view bytes,
                                          std::uint32_t seed,
                                          StreamSeq seq);

}  // namespace feedvault::broker::store
