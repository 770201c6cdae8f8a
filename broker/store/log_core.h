#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "broker/store/file_system.h"
#include "broker/store/log_index.h"
#include "broker/store/marks.h"
#include "broker/store/message_log.h"
#include "broker/store/segment.h"

namespace feedvault::broker::store {

struct ScannedSegment;

/// Entries looked at under one lock: writers and readers wait for each other no longer.
inline constexpr std::size_t kEntriesALock = 65536;

/// For salts and identities.
std::uint64_t random_64();

/// What the two small files beside the segments say.
///
/// `sequence` is synced whenever it matters: no number at or above `reserved` was given out, and
/// everything below `front` was purged.
struct SequenceMark {
  std::uint64_t stream_id = 0;
  StreamSeq reserved = 1;
  StreamSeq front = 0;
  bool clean = false;             // the log was closed, and reserved is its next number
  std::uint64_t incarnation = 0;  // checksum of FileSystem::incarnation() then
};
/// `synced` is written after each sync of a segment and mostly not synced itself: what it says is
/// true, and after a kill it is also new; after a power cut it may be old.
struct SyncedMark {
  std::uint64_t stream_id = 0;
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;  // in it, and everything in earlier segments, was durable
  StreamSeq next_seq = 1;    // all below were durable
  StreamSeq front = 0;
};

/// MessageLog's inside: the lock, the write buffer, the files. Comments on methods are there.
///
/// Order on disk, which everything rests on: a segment is durable as a whole before the next one is
/// created, so only the last one can end in an unfinished write. A removal is written behind the
/// messages it may depend on. What removes a message is durable before its segment's file goes.
class LogCore {
 public:
  LogCore(FileSystem& fs, std::string dir, const LogOptions& options, const Clock& clock);
  ~LogCore();
  LogCore(const LogCore&) = delete;
  LogCore& operator=(const LogCore&) = delete;

  // log_recovery.cc
  Status recover();
  const RecoveryReport& recovery() const { return recovery_; }

  // log_write.cc
  Result<StreamSeq> append(std::string_view subject,
                           std::string_view headers,
                           std::string_view payload,
                           std::int64_t time_ns);
  Status skip_to(StreamSeq next_seq);
  Status flush();
  Status sync();
  Status sync_written();
  bool wants_sync() const;
  Status close();
  void abandon();

  // log_remove.cc
  Status remove(StreamSeq seq, MessageLog::Erase erase);
  Result<std::uint64_t> purge_below(StreamSeq seq);
  Result<std::uint64_t> expire_below(StreamSeq seq);
  Result<std::uint64_t> purge(SubjectFilter& filter, std::uint64_t keep, StreamSeq below);

  // log_compact.cc
  Result<bool> compact(std::uint64_t bytes_max);
  bool wants_compaction() const { return worth_compacting(/*durably=*/false) != nullptr; }
  std::shared_ptr<CompactionJob> begin_compaction();
  void run_compaction(CompactionJob& work);
  Status end_compaction(CompactionJob& work);
  bool compaction_erases() const;

  // log_query.cc
  StreamSeq durable_seq() const { return durable_seq_.load(std::memory_order_acquire); }
  StreamSeq last_seq() const { return next_seq_.load(std::memory_order_acquire) - 1; }
  Status failure() const;
  Result<MessageView> read(StreamSeq seq, ReadBuffer& buffer) const;
  LogState state() const;
  LogState counts() const;
  std::vector<StreamSeq> deleted(StreamSeq from, std::size_t max) const;
  bool subject_of(StreamSeq seq, std::string& subject) const;
  SubjectState subject_state(std::string_view subject) const;
  std::vector<SubjectCount> subjects(const SubjectFilter& filter) const;
  std::uint64_t subject_count() const;
  StreamSeq next_matching(StreamSeq from, SubjectFilter& filter) const;
  StreamSeq last_matching(StreamSeq from, SubjectFilter& filter) const;
  std::uint64_t count_matching(StreamSeq from, SubjectFilter& filter) const;
  Result<StreamSeq> seq_at_time(std::int64_t time_ns) const;
  std::vector<Damage> damage() const;
  LogStats stats() const;
  std::size_t index_bytes() const;
  std::uint64_t disk_bytes() const;

  /// Live matching messages of one segment for a reader, in order.
  struct Item {
    StreamSeq seq = 0;
    std::uint64_t offset = 0;
    std::uint32_t body_bytes = 0;
  };
  struct Batch {
    std::shared_ptr<SegmentFile> file;
    std::vector<Item> items;
    /// When the messages were still in the write buffer: their records, which begin at
    /// items[0].offset.
    bool in_memory = false;
    StreamSeq resume = 0;        // where the next batch begins
    std::uint64_t removals = 0;  // how many there had been
  };
  void collect(StreamSeq from,
               StreamSeq last,
               SubjectFilter& filter,
               std::size_t items_max,
               ReadBuffer& memory,
               Batch& batch) const;
  /// Removals so far: while a batch's number is still this, all its items are there.
  std::uint64_t removals() const { return removals_.load(std::memory_order_acquire); }
  bool is_alive(StreamSeq seq) const;
  /// Takes a damaged message out of the index and reports it. False when it is not there any more,
  /// or in another file by now.
  bool note_damaged(StreamSeq seq, const SegmentFile& file, std::uint64_t offset) const;

 private:
  // Where durability stands, as one picture.
  struct Extent {
    std::shared_ptr<SegmentFile> file;
    std::uint64_t segment = 0;
    std::uint64_t offset = kRecordsStart;
    StreamSeq next_seq = 1;
    std::uint64_t batch = 0;     // of removals
    StreamSeq front = 0;         // all below are removed
    StreamSeq purged_front = 0;  // the same, of removals that were promised to last
  };
  /// A removed message whose bytes are to be overwritten.
  struct Erasure {
    std::shared_ptr<SegmentFile> file;
    std::uint64_t offset = 0;
    std::uint32_t body_bytes = 0;
  };
  /// A segment that is out of the index, and whose file is still there.
  struct DeadFile {
    std::string name;
    bool has_removals = false;
  };
  struct Found;  // what recovery gathers

  // log_recovery.cc
  Result<bool> list_folder(Found& found);
  Status load_marks(Found& found);
  Status load_segment(std::size_t i, Found& found);
  Status load_by_scan(const std::shared_ptr<SegmentFile>& file, bool last, Found& found);
  void add_loaded(const std::shared_ptr<SegmentFile>& file,
                  const SegmentFooter& footer,
                  std::uint64_t end_offset,
                  bool sealed,
                  Found& found);
  void report_bad(const ScannedSegment& scanned, const SegmentFile& file, Found& found);
  void apply_removals(Found& found);
  void settle_damage(Found& found);
  Status choose_next_seq(Found& found);
  Status open_marks(Found& found);
  Status open_active(Found& found);
  Status index_again(Found& found);
  std::uint64_t incarnation() const;

  // log_write.cc
  Status stop(const Status& cause);
  Status check_running() const;
  Status write_buffer();
  Status note_removal(StreamSeq seq);
  Status write_removals();
  Status write_some_removals();
  Status relieve_full_disk();
  Status erase_before_giving_up();
  Status give_up_active();
  Status reserve_numbers();
  Status reserve_room(std::uint64_t end);
  Status drop_footer(File& file, std::uint64_t offset);
  Status roll(StreamSeq prev_end_seq);
  Status write_footer(Segment& segment, std::uint64_t& footer_bytes);
  Status write_marks(const Extent& extent);
  Status write_sequence(const SequenceMark& mark, bool both) REQUIRES_LOCK(marks_mutex_);
  Status put_synced(const SyncedMark& mark, bool durably = false) REQUIRES_LOCK(marks_mutex_);
  void make_room(std::size_t bytes);
  Result<std::shared_ptr<SegmentFile>> new_segment_file(StreamSeq base_seq, StreamSeq prev_end_seq);

  // log_remove.cc
  std::uint64_t kill_below(StreamSeq seq);
  bool kill_noted(StreamSeq seq);
  Status erase_bodies(const std::vector<Erasure>& erasures);
  Status drop_dead_segments();
  Status remove_dead_files();
  Status hand_over_removals(Segment& segment);
  Result<std::vector<StreamSeq>> needed_removals(const Segment& segment);
  bool has_unreadable(StreamSeq seq) const REQUIRES_LOCK(mutex_);

  // log_compact.cc
  Segment* worth_compacting(bool durably) const;
  Status copy_messages(CompactionJob& work);
  bool is_compacted(const Segment& segment) const;
  void note_erased(StreamSeq seq, const SegmentFile& file);

  // log_query.cc
  LogState counts_locked() const REQUIRES_LOCK(mutex_);
  Result<std::int64_t> time_of(StreamSeq seq) const;

  FileSystem& fs_;
  const std::string dir_;
  const LogOptions options_;
  const Clock& clock_;
  RecoveryReport recovery_;
  std::uint64_t stream_id_ = 0;

  // Writer thread only.
  bool closed_ = false;
  bool active_has_footer_ = false;  // to be cut off before the next record
  bool active_is_gone_ = false;     // on a full disk: the next segment has yet to be made
  std::size_t buffer_capacity_ = 0;
  std::uint64_t room_end_ = 0;  // of what is reserved in the active segment's file
  std::vector<StreamSeq> pending_removals_;
  std::vector<Erasure> pending_erasures_;
  std::uint64_t batch_ = 0;  // of removals that are in the buffer or the file
  StreamSeq reserved_ = 0;   // numbers below may be given out; 0: no change so far
  StreamSeq front_ = 0;
  StreamSeq purged_front_ = 0;
  std::uint64_t next_segment_ = 1;
  std::shared_ptr<CompactionJob> compaction_;  // under way

  std::atomic<StreamSeq> next_seq_{1};
  std::atomic<StreamSeq> durable_seq_{0};
  std::atomic<bool> stopped_{false};
  mutable std::atomic<std::uint64_t> removals_{0};

  mutable Mutex mutex_;  // never held while the other is taken, nor during a system call
  mutable LogIndex index_ GUARDED_BY(mutex_);
  std::unique_ptr<char[]> buffer_ GUARDED_BY(mutex_);  // records behind flushed_.offset
  std::size_t buffered_ GUARDED_BY(mutex_) = 0;
  Extent flushed_ GUARDED_BY(mutex_);
  std::uint64_t durable_batch_ GUARDED_BY(mutex_) = 0;
  StreamSeq durable_front_ GUARDED_BY(mutex_) = 0;  // synced_.front, or what it was just now
  std::int64_t last_time_ns_ GUARDED_BY(mutex_) = 0;
  std::vector<Erasure> erasures_ GUARDED_BY(mutex_);  // whose removals are flushed
  std::vector<DeadFile> dead_files_ GUARDED_BY(mutex_);
  Status failure_ GUARDED_BY(mutex_);
  LogStats stats_ GUARDED_BY(mutex_);
  mutable std::vector<Damage> damage_ GUARDED_BY(mutex_);
  mutable std::set<StreamSeq> damaged_ GUARDED_BY(mutex_);  // single messages
  /// Messages without a place in the index, because the start found them unreadable, overwritten
  /// after their removal perhaps; and the numbers of their segments.
  std::map<StreamSeq, std::uint64_t> unreadable_ GUARDED_BY(mutex_);
  mutable std::pair<StreamSeq, std::int64_t> first_time_ GUARDED_BY(mutex_);

  Mutex files_mutex_;  // held while dead files are removed; mutex_ may be taken meanwhile

  Mutex marks_mutex_;  // held while it writes; mutex_ may be taken meanwhile
  std::unique_ptr<SlotFile> sequence_file_ GUARDED_BY(marks_mutex_);
  std::unique_ptr<SlotFile> synced_file_ GUARDED_BY(marks_mutex_);
  SequenceMark sequence_ GUARDED_BY(marks_mutex_);
  SyncedMark synced_ GUARDED_BY(marks_mutex_);
};

}  // namespace feedvault::broker::store
