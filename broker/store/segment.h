#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/store/file_system.h"
#include "broker/store/format.h"
#include "broker/store/message.h"
#include "broker/store/subject_table.h"

namespace feedvault::broker::store {

/// A segment's file and what its checksums need. Shared with readers, so that a file that was
/// removed or replaced stays readable for those that are still at it.
struct SegmentFile {
  std::unique_ptr<File> file;
  SegmentHeader header;
  std::uint32_t seed = 0;
  std::string name;
  std::atomic<bool> given_up{false};  // nothing in it is of use to anybody
};

/// What the index knows of one message.
struct Entry {
  static constexpr std::uint32_t kHasHeaders = kIndexHasHeaders;
  static constexpr std::uint32_t kDead = kIndexDead;
  static constexpr std::uint32_t kBodyMask = kDead - 1;

  std::uint32_t offset8 = 0;         // of its record in units of 8 bytes; 0: there is none
  std::uint32_t size_flags = kDead;  // body bytes and the flags above
  SubjectTable::Id subject = SubjectTable::kNone;
  std::uint32_t next = 0;  // distance to the subject's next message when this was written; 0: none
                           // or unknown. Also followed through dead ones.

  bool live() const { return (size_flags & kDead) == 0; }
  std::uint32_t body_bytes() const { return size_flags & kBodyMask; }
  std::uint64_t offset() const { return std::uint64_t{offset8} * kRecordAlignment; }
  bool has_headers() const { return (size_flags & kHasHeaders) != 0; }
  std::uint64_t accounted() const {
    return 30 + std::uint64_t{body_bytes()} + (has_headers() ? 4 : 0);
  }
};
static_assert(sizeof(Entry) == 16);

/// One segment in memory: a run of numbers, some of them without a message. Dense while nearly all
/// exist, sorted by number otherwise.
struct Segment {
  std::shared_ptr<SegmentFile> file;
  StreamSeq base_seq = 0;
  std::vector<Entry> entries;
  std::vector<std::uint32_t> deltas;         // sparse only: number of each entry, from base_seq
  std::uint64_t end_offset = kRecordsStart;  // of the records
  std::uint64_t file_bytes = 0;
  std::uint64_t live = 0;
  std::uint64_t live_bytes = 0;  // of their records
  std::int64_t first_time_ns = 0;
  std::int64_t last_time_ns = 0;
  bool sealed = false;
  std::vector<StreamSeq> removals;    // of messages in other segments; while not sealed
  std::uint64_t removals_count = 0;   // also when sealed
  std::uint64_t killed_in_batch = 0;  // the batch of removals that holds its latest
  StreamSeq killed_by_front = 0;      // or the front that did it
  bool handed_over = false;           // its removals that still matter were written again

  bool sparse() const { return !deltas.empty(); }
  StreamSeq seq_at(std::size_t i) const { return base_seq + (sparse() ? deltas[i] : i); }
  /// Index of the first entry at or above `seq`.
  std::size_t lower_bound(StreamSeq seq) const;
  /// One past the highest number that has an entry.
  StreamSeq end_seq() const { return entries.empty() ? base_seq : seq_at(entries.size() - 1) + 1; }
};

}  // namespace feedvault::broker::store
