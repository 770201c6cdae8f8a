#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "broker/store/message_log.h"
#include "broker/store/segment.h"
#include "broker/store/subject_filter.h"
#include "broker/store/subject_table.h"

namespace feedvault::broker::store {

/// Where every message of a log is, by number and by subject. Memory only; LogCore's lock guards
/// it.
///
/// Messages of one subject are chained forward. A link may lead to a message that was removed since
/// (the chain goes on there) or whose segment is gone (then the entries between are scanned).
class LogIndex {
 public:
  explicit LogIndex(std::uint64_t hash_seed) : subjects_(hash_seed) {}

  /// An entry's place; segment is null for none.
  struct Place {
    Segment* segment = nullptr;
    std::size_t i = 0;
    explicit operator bool() const { return segment != nullptr; }
    Entry& entry() const { return segment->entries[i]; }
    StreamSeq seq() const { return segment->seq_at(i); }
  };

  using Segments = std::vector<std::unique_ptr<Segment>>;
  const Segments& segments() const { return segments_; }
  Segment& active() { return *segments_.back(); }

  /// Its messages must be above those of the segments before it.
  Segment& push_segment(std::unique_ptr<Segment> segment);
  /// Requires: nothing in it is alive.
  void drop_segment(const Segment& segment);

  /// Puts other entries in a segment's place: its live ones and nothing else, by ascending number.
  static void replace(Segment& segment,
                      std::vector<std::uint32_t> deltas,
                      std::vector<Entry> entries);

  /// Adds a message to the last segment, above all others.
  void add(StreamSeq seq,
           std::uint64_t offset,
           std::uint32_t body_bytes,
           bool has_headers,
           std::string_view subject);
  /// Adds a whole segment from its footer, whose file and offsets the caller has filled in.
  Segment& add_sealed(std::unique_ptr<Segment> segment, const SegmentFooter& footer);
  /// Marks a live message as removed.
  void kill(const Place& place);

  /// Segments without a live message, the last one aside; cheap when there are none.
  std::vector<Segment*> dead_segments();

  /// The entry of `seq`, dead or alive.
  Place find(StreamSeq seq) const;
  Place find_live(StreamSeq seq) const;
  /// The first entry at or above.
  Place at_or_after(StreamSeq seq) const;
  /// To the next entry; false when there is none.
  bool advance(Place& place) const;

  StreamSeq first_seq() const { return messages_ == 0 ? 0 : first_seq_; }  // 0 for none
  std::uint64_t messages() const { return messages_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t with_headers() const { return with_headers_; }
  const SubjectTable& subjects() const { return subjects_; }

  /// What a scan found, and how far it went when its budget of entries was used up first.
  struct Found {
    StreamSeq seq = 0;     // 0: none
    StreamSeq resume = 0;  // go on here; 0: all was seen
  };
  Found next_matching(StreamSeq from, SubjectFilter& filter, std::size_t budget) const;
  Found last_matching(StreamSeq from, SubjectFilter& filter, std::size_t budget) const;
  /// Adds to `count` what matches at or above `from`. Returns where to go on, or 0.
  StreamSeq count_matching(StreamSeq from,
                           SubjectFilter& filter,
                           std::size_t budget,
                           std::uint64_t& count) const;
  bool matches(const Entry& entry, SubjectFilter& filter) const;

  std::size_t memory_bytes() const;

 private:
  class Adding;
  void join(Segment& segment, std::size_t i, StreamSeq seq);
  std::size_t segment_of(StreamSeq seq) const;
  StreamSeq next_of_subject(SubjectTable::Id id, StreamSeq from) const;
  StreamSeq follow(SubjectTable::Id id, Place place) const;
  StreamSeq scan_for(SubjectTable::Id id, StreamSeq from) const;
  StreamSeq scan_back_for(SubjectTable::Id id, StreamSeq from) const;
  StreamSeq next_live(StreamSeq from) const;

  Segments segments_;
  SubjectTable subjects_;
  StreamSeq first_seq_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t with_headers_ = 0;
  bool maybe_dead_ = false;  // a segment lost its last message, or came without
};

}  // namespace feedvault::broker::store
