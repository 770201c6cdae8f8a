#include "broker/store/log_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace feedvault::broker::store {
namespace {

/// More missing numbers than this share of a segment, and it is kept sparse: 20 bytes a message
/// that exists instead of 16 a number.
bool is_sparse(std::uint64_t entries, std::uint64_t numbers) {
  return numbers > entries + entries / 4 + 64;
}

}  // namespace

std::size_t Segment::lower_bound(StreamSeq seq) const {
  if (seq <= base_seq) {
    return 0;
  }
  const StreamSeq delta = seq - base_seq;
  if (!sparse()) {
    return static_cast<std::size_t>(std::min<StreamSeq>(delta, entries.size()));
  }
  return static_cast<std::size_t>(std::ranges::lower_bound(deltas, delta) - deltas.begin());
}

Segment& LogIndex::push_segment(std::unique_ptr<Segment> segment) {
  CHECK(segments_.empty() || segments_.back()->end_seq() <= segment->base_seq);
  maybe_dead_ = maybe_dead_ || (!segments_.empty() && segments_.back()->live == 0);
  segments_.push_back(std::move(segment));
  return *segments_.back();
}

void LogIndex::drop_segment(const Segment& segment) {
  CHECK(segment.live == 0);
  const auto at = std::ranges::find_if(
      segments_, [&segment](const auto& each) { return each.get() == &segment; });
  CHECK(at != segments_.end());
  segments_.erase(at);
}

std::vector<Segment*> LogIndex::dead_segments() {
  std::vector<Segment*> dead;
  for (std::size_t s = 0; maybe_dead_ && s + 1 < segments_.size(); ++s) {
    if (segments_[s]->live == 0) {
      dead.push_back(segments_[s].get());
    }
  }
  maybe_dead_ = !dead.empty();
  return dead;
}

/// Counts a new live entry, and chains it to its subject's last one.
void LogIndex::join(Segment& segment, std::size_t i, StreamSeq seq) {
  const Entry& entry = segment.entries[i];
  SubjectTable::Messages subject = subjects_.messages(entry.subject);
  if (subject.count == 0) {
    subject.first_seq = seq;
  } else {
    const StreamSeq distance = seq - subject.last_seq;
    const Place last = find(subject.last_seq);
    if (last && distance <= 0xFFFFFFFFU) {
      last.entry().next = static_cast<std::uint32_t>(distance);
    }
  }
  subject.last_seq = seq;
  ++subject.count;
  subjects_.set_messages(entry.subject, subject);
  ++segment.live;
  segment.live_bytes += record_bytes(entry.body_bytes());
  if (messages_ == 0) {
    first_seq_ = seq;
  }
  ++messages_;
  bytes_ += entry.accounted();
  with_headers_ += entry.has_headers() ? 1U : 0U;
}

void LogIndex::add(StreamSeq seq,
                   std::uint64_t offset,
                   std::uint32_t body_bytes,
                   bool has_headers,
                   std::string_view subject) {
  Segment& segment = active();
  CHECK(!segment.sparse() && seq >= segment.end_seq());
  // Numbers between are missing only where damage took them.
  segment.entries.resize(seq - segment.base_seq);
  Entry entry;
  entry.offset8 = static_cast<std::uint32_t>(offset / kRecordAlignment);
  entry.size_flags = body_bytes | (has_headers ? Entry::kHasHeaders : 0);
  entry.subject = subjects_.find_or_add(subject);
  segment.entries.push_back(entry);
  join(segment, segment.entries.size() - 1, seq);
}

/// Adds the entries of a whole segment. What concerns a subject or the log as a whole is told to
/// them once, at the end: a start adds millions of entries.
class LogIndex::Adding {
 public:
  Adding(LogIndex& index, Segment& segment, const SegmentFooter& footer)
      : index_(index), segment_(segment), footer_(footer), subjects_(footer.subjects.size()) {}

  /// Live, of `stored.subject`; to be the segment's next.
  void add(const IndexEntry& stored, Entry& entry) {
    const StreamSeq seq = segment_.base_seq + stored.seq_delta;
    Joined& joined = subjects_[stored.subject];
    if (joined.id == SubjectTable::kNone) {
      begin(joined, footer_.subjects[stored.subject], seq);
    } else {
      // Within a segment every distance fits.
      segment_.entries[joined.last].next =
          static_cast<std::uint32_t>(seq - joined.messages.last_seq);
    }
    joined.messages.last_seq = seq;
    ++joined.messages.count;
    joined.last = segment_.entries.size();
    entry.subject = joined.id;
    first_seq_ = live_ == 0 ? seq : first_seq_;
    ++live_;
    live_bytes_ += record_bytes(entry.body_bytes());
    bytes_ += entry.accounted();
    with_headers_ += entry.has_headers() ? 1U : 0U;
  }

  // A subject that no entry uses has no messages, and nobody would ever release it: it is not
  // added.
  void end() {
    for (const Joined& joined : subjects_) {
      if (joined.id != SubjectTable::kNone) {
        index_.subjects_.set_messages(joined.id, joined.messages);
      }
    }
    index_.first_seq_ = index_.messages_ == 0 ? first_seq_ : index_.first_seq_;
    index_.messages_ += live_;
    index_.bytes_ += bytes_;
    index_.with_headers_ += with_headers_;
    segment_.live += live_;
    segment_.live_bytes += live_bytes_;
  }

 private:
  struct Joined {
    SubjectTable::Id id = SubjectTable::kNone;
    SubjectTable::Messages messages;
    std::size_t last = 0;  // its last entry
  };

  /// The first one of its subject here: linked to the last one in an earlier segment.
  void begin(Joined& joined, std::string_view subject, StreamSeq seq) {
    const SubjectTable::Id id = index_.subjects_.find_or_add(subject);
    SubjectTable::Messages messages = index_.subjects_.messages(id);
    if (messages.count == 0) {
      messages.first_seq = seq;
    } else if (messages.last_seq >= segment_.base_seq) {
      // Listed twice, which we do not write. What the other one has goes over to this one.
      joined = std::exchange(*std::ranges::find(subjects_, id, &Joined::id), {});
      segment_.entries[joined.last].next =
          static_cast<std::uint32_t>(seq - joined.messages.last_seq);
      return;
    } else {
      const StreamSeq distance = seq - messages.last_seq;
      const Place before = index_.find(messages.last_seq);
      if (before && distance <= 0xFFFFFFFFU) {
        before.entry().next = static_cast<std::uint32_t>(distance);
      }
    }
    joined = {id, messages, 0};
    index_.subjects_.set_messages(id, {messages.first_seq, seq, messages.count + 1});
  }

  LogIndex& index_;
  Segment& segment_;
  const SegmentFooter& footer_;
  std::vector<Joined> subjects_;  // as the footer lists them
  StreamSeq first_seq_ = 0;
  std::uint64_t live_ = 0;
  std::uint64_t live_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t with_headers_ = 0;
};

Segment& LogIndex::add_sealed(std::unique_ptr<Segment> made, const SegmentFooter& footer) {
  Segment& segment = push_segment(std::move(made));
  const std::uint64_t numbers = footer.entries.empty() ? 0 : footer.entries.back().seq_delta + 1;
  const bool sparse = is_sparse(footer.entries.size(), numbers);
  segment.entries.reserve(sparse ? footer.entries.size() : numbers);
  segment.deltas.reserve(sparse ? footer.entries.size() : 0);
  Adding adding(*this, segment, footer);
  for (const IndexEntry& stored : footer.entries) {
    if (sparse) {
      segment.deltas.push_back(stored.seq_delta);
    } else if (stored.seq_delta > segment.entries.size()) {
      segment.entries.resize(stored.seq_delta);
    }
    Entry entry;
    entry.offset8 = stored.offset8;
    entry.size_flags = stored.size_flags;
    if (entry.live()) {
      adding.add(stored, entry);
    }
    segment.entries.push_back(entry);
  }
  adding.end();
  return segment;
}

void LogIndex::replace(Segment& segment,
                       std::vector<std::uint32_t> deltas,
                       std::vector<Entry> entries) {
  if (!deltas.empty() && !is_sparse(entries.size(), std::uint64_t{deltas.back()} + 1)) {
    std::vector<Entry> dense(std::size_t{deltas.back()} + 1);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      dense[deltas[i]] = entries[i];
    }
    entries = std::move(dense);
    deltas.clear();
  }
  segment.deltas = std::move(deltas);
  segment.entries = std::move(entries);
  segment.deltas.shrink_to_fit();
  segment.entries.shrink_to_fit();
}

void LogIndex::kill(const Place& place) {
  Entry& entry = place.entry();
  CHECK(entry.live());
  const StreamSeq seq = place.seq();
  entry.size_flags |= Entry::kDead;
  --place.segment->live;
  maybe_dead_ = maybe_dead_ || place.segment->live == 0;
  place.segment->live_bytes -= record_bytes(entry.body_bytes());
  --messages_;
  bytes_ -= entry.accounted();
  with_headers_ -= entry.has_headers() ? 1U : 0U;
  SubjectTable::Messages subject = subjects_.messages(entry.subject);
  --subject.count;
  if (subject.first_seq == seq && subject.count > 0) {
    subject.first_seq = follow(entry.subject, place);
  } else if (subject.last_seq == seq && subject.count > 0) {
    subject.last_seq = scan_back_for(entry.subject, seq - 1);
  }
  if (subject.count > 0) {
    subjects_.set_messages(entry.subject, subject);
  } else {
    subjects_.release(entry.subject);
  }
  if (first_seq_ == seq && messages_ > 0) {
    first_seq_ = next_live(seq + 1);
  }
}

/// Index of the last segment that begins at or below `seq`.
std::size_t LogIndex::segment_of(StreamSeq seq) const {
  const std::size_t last = segments_.size() - 1;
  if (segments_[last]->base_seq <= seq) {
    return last;
  }
  const auto above = std::ranges::upper_bound(
      segments_, seq, {}, [](const auto& segment) { return segment->base_seq; });
  return above == segments_.begin() ? 0 : static_cast<std::size_t>(above - segments_.begin()) - 1;
}

LogIndex::Place LogIndex::find(StreamSeq seq) const {
  if (segments_.empty()) {
    return {};
  }
  Segment& segment = *segments_[segment_of(seq)];
  const std::size_t i = segment.lower_bound(seq);
  return i < segment.entries.size() && segment.seq_at(i) == seq ? Place{&segment, i} : Place{};
}

LogIndex::Place LogIndex::find_live(StreamSeq seq) const {
  const Place place = find(seq);
  return place && place.entry().live() ? place : Place{};
}

LogIndex::Place LogIndex::at_or_after(StreamSeq seq) const {
  if (segments_.empty()) {
    return {};
  }
  for (std::size_t s = segment_of(seq); s < segments_.size(); ++s) {
    Segment& segment = *segments_[s];
    const std::size_t i = segment.lower_bound(seq);
    if (i < segment.entries.size()) {
      return {&segment, i};
    }
  }
  return {};
}

bool LogIndex::advance(Place& place) const {
  if (place.i + 1 < place.segment->entries.size()) {
    ++place.i;
    return true;
  }
  place = at_or_after(place.segment->end_seq());
  return static_cast<bool>(place);
}

StreamSeq LogIndex::next_live(StreamSeq from) const {
  for (Place place = at_or_after(from); place;) {
    if (place.segment->live == 0) {
      place = at_or_after(place.segment->end_seq());
      continue;
    }
    if (place.entry().live()) {
      return place.seq();
    }
    if (!advance(place)) {
      break;
    }
  }
  return 0;
}

/// The next live message of `id` after the one at `place`, which is or was one of it; 0 for none.
StreamSeq LogIndex::follow(SubjectTable::Id id, Place place) const {
  StreamSeq seq = place.seq();
  while (place && place.entry().subject == id && place.entry().next != 0) {
    seq = place.seq() + place.entry().next;
    place = find(seq);
    if (place && place.entry().live() && place.entry().subject == id) {
      return seq;
    }
  }
  return scan_for(id, place ? seq + 1 : seq);
}

StreamSeq LogIndex::scan_for(SubjectTable::Id id, StreamSeq from) const {
  const StreamSeq last = subjects_.messages(id).last_seq;
  Place place = from <= last ? at_or_after(from) : Place{};
  while (place && place.seq() <= last) {
    const auto& entries = place.segment->entries;
    for (; place.i < entries.size(); ++place.i) {
      if (entries[place.i].subject == id && entries[place.i].live()) {
        return place.seq();
      }
    }
    place = at_or_after(place.segment->end_seq());
  }
  return 0;
}

StreamSeq LogIndex::scan_back_for(SubjectTable::Id id, StreamSeq from) const {
  for (std::size_t s = segment_of(from) + 1; s-- > 0;) {
    const Segment& segment = *segments_[s];
    for (std::size_t i = segment.lower_bound(from + 1); i-- > 0;) {
      if (segment.entries[i].subject == id && segment.entries[i].live()) {
        return segment.seq_at(i);
      }
    }
  }
  return 0;
}

StreamSeq LogIndex::next_of_subject(SubjectTable::Id id, StreamSeq from) const {
  const SubjectTable::Messages subject = subjects_.messages(id);
  if (from <= subject.first_seq) {
    return subject.first_seq;
  }
  if (from > subject.last_seq) {
    return 0;
  }
  if (from == subject.last_seq) {
    return from;
  }
  // The usual question is for the one after the last answer, whose link knows.
  const Place before = find(from - 1);
  if (before && before.entry().subject == id) {
    return follow(id, before);
  }
  return scan_for(id, from);
}

bool LogIndex::matches(const Entry& entry, SubjectFilter& filter) const {
  return filter.matches_all() || filter.matches_id(entry.subject,
                                                   subjects_.generation(entry.subject),
                                                   [&] { return subjects_.text(entry.subject); });
}

LogIndex::Found LogIndex::next_matching(StreamSeq from,
                                        SubjectFilter& filter,
                                        std::size_t budget) const {
  if (messages_ == 0) {
    return {};
  }
  if (const std::string_view only = filter.only_subject(); !only.empty()) {
    const SubjectTable::Id id = subjects_.find(only);
    return {id == SubjectTable::kNone ? 0 : next_of_subject(id, from), 0};
  }
  Place place = at_or_after(std::max(from, first_seq_));
  while (place) {
    Segment& segment = *place.segment;
    if (segment.live > 0) {
      for (; place.i < segment.entries.size(); ++place.i, --budget) {
        if (budget == 0) {
          return {0, place.seq()};
        }
        const Entry& entry = segment.entries[place.i];
        if (entry.live() && matches(entry, filter)) {
          return {place.seq(), 0};
        }
      }
    }
    place = at_or_after(segment.end_seq());
  }
  return {};
}

LogIndex::Found LogIndex::last_matching(StreamSeq from,
                                        SubjectFilter& filter,
                                        std::size_t budget) const {
  if (messages_ == 0) {
    return {};
  }
  if (const std::string_view only = filter.only_subject(); !only.empty()) {
    const SubjectTable::Id id = subjects_.find(only);
    const SubjectTable::Messages subject =
        id == SubjectTable::kNone ? SubjectTable::Messages{} : subjects_.messages(id);
    if (subject.count == 0 || subject.first_seq > from) {
      return {};
    }
    if (subject.last_seq <= from) {
      return {subject.last_seq, 0};
    }
  }
  for (std::size_t s = segment_of(from) + 1; s-- > 0;) {
    const Segment& segment = *segments_[s];
    if (segment.live == 0) {
      continue;
    }
    // An entry above `from` + 1 does not exist in number arithmetic when `from` is the maximum.
    const StreamSeq above = from == ~StreamSeq{0} ? from : from + 1;
    for (std::size_t i = segment.lower_bound(above); i-- > 0; --budget) {
      if (budget == 0) {
        return {0, segment.seq_at(i)};
      }
      if (segment.entries[i].live() && matches(segment.entries[i], filter)) {
        return {segment.seq_at(i), 0};
      }
    }
  }
  return {};
}

StreamSeq LogIndex::count_matching(StreamSeq from,
                                   SubjectFilter& filter,
                                   std::size_t budget,
                                   std::uint64_t& count) const {
  if (messages_ == 0) {
    return 0;
  }
  if (from <= first_seq_) {
    const SubjectTable::Id end = filter.matches_all() ? 0 : subjects_.id_end();
    count += filter.matches_all() ? messages_ : 0;
    for (SubjectTable::Id id = 0; id < end; ++id) {
      if (subjects_.used(id) &&
          filter.matches_id(id, subjects_.generation(id), [&] { return subjects_.text(id); })) {
        count += subjects_.messages(id).count;
      }
    }
    return 0;
  }
  Place place = at_or_after(from);
  while (place) {
    Segment& segment = *place.segment;
    if (place.i == 0 && filter.matches_all()) {
      count += segment.live;
    } else if (segment.live > 0) {
      for (; place.i < segment.entries.size(); ++place.i, --budget) {
        if (budget == 0) {
          return place.seq();
        }
        const Entry& entry = segment.entries[place.i];
        count += entry.live() && matches(entry, filter) ? 1U : 0U;
      }
    }
    place = at_or_after(segment.end_seq());
  }
  return 0;
}

std::size_t LogIndex::memory_bytes() const {
  std::size_t bytes = subjects_.memory_bytes();
  for (const auto& segment : segments_) {
    bytes += sizeof(Segment) + sizeof(SegmentFile) + segment->entries.capacity() * sizeof(Entry) +
             segment->deltas.capacity() * sizeof(std::uint32_t) +
             segment->removals.capacity() * sizeof(StreamSeq);
  }
  return bytes;
}

}  // namespace feedvault::broker::store
