#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "broker/store/file_system.h"
#include "broker/store/message.h"
#include "broker/store/subject_filter.h"

namespace feedvault::broker::store {

struct CompactionJob;
class LogCore;
class MessageReader;

/// What a new log starts with after a power cut, when only synced numbers are sure.
enum class AfterPowerCut : std::uint8_t {
  kSkipReserved,  // jump over every number that may have been given out: holds on disks that lie
  kTrustSync,     // go on after the last message: holds when fdatasync keeps its promise and no
                  // number above durable_seq() was ever shown to anybody
};

struct LogOptions {
  /// First number of a new log; ignored when the folder holds one.
  StreamSeq first_seq = 1;
  /// A segment that has grown to this is sealed. It bounds what a start after a kill must scan.
  std::uint64_t segment_bytes = 32U << 20U;
  /// Appended bytes that may wait in memory before they are written without being asked.
  std::size_t write_buffer_bytes = 256U << 10U;
  /// Numbers reserved ahead by one sync of a small file.
  std::uint64_t reserve_step = 1U << 16U;
  AfterPowerCut after_power_cut = AfterPowerCut::kSkipReserved;
};

/// Messages that were stored and cannot be read, or a removal that may be undone by it.
struct Damage {
  std::string file;          // name within the folder
  std::uint64_t offset = 0;  // of the bad bytes in it
  StreamSeq first_seq = 0;   // the messages concerned, inclusive; 0 and 0: none, or not known
  StreamSeq last_seq = 0;
  std::string what;  // for people
};

/// What opening found and did.
struct RecoveryReport {
  bool created = false;             // there was no log
  bool clean = false;               // the last run closed it
  std::uint64_t scanned_bytes = 0;  // of segments whose index was missing or bad
  std::uint64_t cut_bytes = 0;      // of an unfinished write, which nobody was told of
  std::uint64_t indexes_made = 0;   // of sealed segments that had none; a power cut can take it
  StreamSeq skipped_from = 0;       // numbers given up: [skipped_from, skipped_to), 0 for none
  StreamSeq skipped_to = 0;
  std::vector<Damage> damage;
};

struct LogState {
  StreamSeq first_seq = 1;         // of the oldest message; last_seq + 1 when there is none
  StreamSeq last_seq = 0;          // the highest number given out, whether or not it still exists
  std::int64_t first_time_ns = 0;  // 0 when there is no message
  std::int64_t last_time_ns = 0;   // of the message that was stored last; 0 when never any
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;     // accounted_bytes of all
  std::uint64_t deleted = 0;   // numbers between first and last without a message
  std::uint64_t subjects = 0;  // with at least one message
  std::uint64_t with_headers = 0;
};

struct SubjectState {
  StreamSeq first_seq = 0;
  StreamSeq last_seq = 0;
  std::uint64_t messages = 0;
};

struct SubjectCount {
  std::string subject;
  SubjectState state;
};

/// Counted since the log was opened.
struct LogStats {
  std::uint64_t syncs = 0;  // of segments
  std::int64_t sync_ns = 0;
  std::int64_t sync_ns_max = 0;
  std::uint64_t writes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t full_disk = 0;  // writes that were put off because there was no room
};

/// Bytes of a message that was read; reused from call to call, grows to the largest.
using ReadBuffer = std::vector<char>;

/// The messages of one stream on disk: append-only segments of checksummed records in a folder of
/// its own, and a small index in memory (16 bytes a message; a subject takes 17 and its text with
/// one message, and 41 with several). docs/file_format.md describes every byte. It knows no
/// sockets, no JSON, no consumers, no limits.
///
/// Durability. append and remove only fill a buffer; flush() hands it to the operating system
/// (survives a kill), sync() makes it durable (survives a power cut): messages up to durable_seq().
/// Group commit is the caller's: many appends, one sync. After a cut the log is a prefix of what
/// was appended, which holds at least everything that was synced.
///
/// Numbers rise by one and are never used twice, whatever is lost: a synced high-water mark is kept
/// ahead of them.
///
/// Damage is confined to its record: it reads as kCorruption, is never served, and the rest stays.
///
/// Failure. A write or a sync that fails stops the log: that call and every later change return the
/// same error, while reads go on. Nothing is retried, because after a failed fdatasync nothing is
/// known. One exception: kExhausted (disk or quota full on a write, never on a sync) loses nothing;
/// what is buffered stays so, and the next flush or sync writes it once there is room. append takes
/// no more (kExhausted, no number used) while the buffer is full.
///
/// Threads. "Writer" methods: one thread at a time. sync_written() may run on one other thread
/// beside the writer. Everything const, and MessageReaders, any thread at any time; they see all
/// that is appended, also what is not durable: compare with durable_seq() before showing it to
/// anybody.
class MessageLog {
 public:
  /// Opens the log in `dir`, or creates one there (the parent folder must exist and is synced).
  /// `fs` and `clock` must outlive it. kCorruption only when no segment can be used at all;
  /// otherwise damage is in recovery(). One process at a time: the caller sees to that.
  static Result<std::unique_ptr<MessageLog>> open(FileSystem& fs,
                                                  const std::string& dir,
                                                  const LogOptions& options,
                                                  const Clock& clock);

  /// Without close(): as if the process were killed, except that buffered bytes are written.
  ~MessageLog();
  MessageLog(const MessageLog&) = delete;
  MessageLog& operator=(const MessageLog&) = delete;

  const RecoveryReport& recovery() const;

  // --- Writer ---

  /// Stores a message under the next number and returns it. Nothing is kept of the arguments.
  /// kInvalidArgument: a subject that is empty or over 65,535 bytes, or parts over 256 MiB
  /// together.
  Result<StreamSeq> append(std::string_view subject,
                           std::string_view headers,
                           std::string_view payload,
                           std::int64_t time_ns);

  /// The next message gets at least this number; the ones in between never exist. Lower: no effect.
  Status skip_to(StreamSeq next_seq);

  enum class Erase : std::uint8_t {
    kNo,   // the bytes stay in the file until compaction
    kYes,  // they are overwritten by the sync that makes the removal durable
  };
  /// kNotFound when there is no such message.
  Status remove(StreamSeq seq, Erase erase = Erase::kNo);

  /// Removes all below `seq` (at most up to the last; last_seq stays). Returns how many those were.
  /// Durable with the next sync().
  Result<std::uint64_t> purge_below(StreamSeq seq);
  /// The same for limits: cheaper, and after a power cut some may be back, for limits to remove.
  Result<std::uint64_t> expire_below(StreamSeq seq);
  /// Removes what matches, except the newest `keep` of them, and below `below` only (0: no bound).
  Result<std::uint64_t> purge(SubjectFilter& filter, std::uint64_t keep = 0, StreamSeq below = 0);

  /// Hands everything to the operating system.
  Status flush();
  /// flush() and sync_written().
  Status sync();

  /// Rewrites sealed segments of which less than half is alive, about `bytes_max` of input a call.
  /// True when there may be more to do. For idle moments; blocks while it copies and syncs. When it
  /// fails, the log is as it was.
  Result<bool> compact(std::uint64_t bytes_max = 64U << 20U);
  /// compact() would find something. A look at each segment.
  bool wants_compaction() const;

  /// The same for one segment, in three steps, so that no writer waits for its disk. Null: there is
  /// none, or what was removed from it is not durable yet. Requires: no other is under way.
  std::shared_ptr<CompactionJob> begin_compaction();
  /// Blocks while it copies and syncs. Any one thread, beside the writer and sync_written().
  void run_compaction(CompactionJob& compaction);
  /// After run_compaction(). When it fails, the log is as it was.
  Status end_compaction(CompactionJob& compaction);
  /// A message was removed with Erase::kYes while the compaction under way may copy it: its bytes
  /// are all gone with the sync_written() after end_compaction(), not before.
  bool compaction_erases() const;

  /// sync(), and the index of the last segment is written, so that the next start is fast.
  Status close();

  // --- One other thread beside the writer ---

  /// Makes durable what was flushed before the call. Overwrites messages that are to be erased, and
  /// removes the files of segments that hold nothing any more.
  Status sync_written();
  /// It has something of that to do, though nothing may have been appended. Any thread.
  bool wants_sync() const;

  // --- Any thread ---

  /// Every message up to here is durable (removed ones, too).
  StreamSeq durable_seq() const;
  /// The last number given out.
  StreamSeq last_seq() const;
  /// Ok, or the error that stopped the log.
  Status failure() const;

  /// The view points into `buffer`. kNotFound, kCorruption (damaged; see damage()), kIo.
  Result<MessageView> read(StreamSeq seq, ReadBuffer& buffer) const;

  LogState state() const;
  /// The same without first_time_ns (0): constant time, nothing is read.
  LogState counts() const;
  /// Numbers between first and last without a message, at most `max` of them from `from` on.
  std::vector<StreamSeq> deleted(StreamSeq from, std::size_t max) const;

  /// The subject of a message, from the index. False when there is no such message.
  bool subject_of(StreamSeq seq, std::string& subject) const;
  /// Of one subject, taken literally; messages is 0 when there are none. Constant time.
  SubjectState subject_state(std::string_view subject) const;
  /// Subjects with messages that match, unsorted, and what they hold. One pass over all subjects;
  /// what the writer changes meanwhile may be in it or not.
  std::vector<SubjectCount> subjects(const SubjectFilter& filter) const;
  std::uint64_t subject_count() const;

  /// The first message at or after `from` that matches; 0 when there is none. Constant time for a
  /// subject's own next message; otherwise a scan of the index, some 10^8 messages a second.
  StreamSeq next_matching(StreamSeq from, SubjectFilter& filter) const;
  /// The last message at or below `from` that matches; 0 when there is none.
  StreamSeq last_matching(StreamSeq from, SubjectFilter& filter) const;
  /// How many messages at or after `from` match: num_pending of a new consumer.
  std::uint64_t count_matching(StreamSeq from, SubjectFilter& filter) const;

  /// The first message stored at or after this time; last_seq() + 1 when there is none. Needs
  /// times that do not fall within a segment.
  Result<StreamSeq> seq_at_time(std::int64_t time_ns) const;

  /// Everything found to be damaged, at the start and by reads since.
  std::vector<Damage> damage() const;

  LogStats stats() const;
  /// Resident bytes of index and subjects, buffers not counted.
  std::size_t index_bytes() const;
  /// Bytes of the segments' files.
  std::uint64_t disk_bytes() const;

 private:
  friend class MessageReader;
  explicit MessageLog(std::unique_ptr<LogCore> core);
  std::unique_ptr<LogCore> core_;
};

/// Reads messages in order, fast: looks into the index for hundreds at once and reads ahead up to
/// 256 KiB (that is its whole memory; none until the first message, and given back by rest()). One
/// thread at a time; the log must outlive it. It sees messages appended after its creation, and
/// none whose removal returned before next() was called.
class MessageReader {
 public:
  /// Messages from `from` on that match `filter`, which it keeps.
  MessageReader(const MessageLog& log, StreamSeq from, SubjectFilter filter = {});
  ~MessageReader();
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;
  MessageReader(MessageReader&&) noexcept;
  MessageReader& operator=(MessageReader&&) noexcept;

  /// The next message up to `last` (inclusive), or nothing for now. The view lives until the next
  /// call. A damaged message is passed over: damaged() counts those. kIo: the same message again
  /// at the next call.
  Result<std::optional<MessageView>> next(StreamSeq last);

  /// Where the next call begins.
  StreamSeq position() const;
  void seek(StreamSeq seq);
  std::uint64_t damaged() const;
  /// Gives the buffer back: for a consumer that waits.
  void rest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace feedvault::broker::store
