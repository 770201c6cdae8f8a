#pragma once

#include <cstdint>

namespace feedvault {

/// Messages [first, last] of a feed. When last + 1 == first it is empty, and `first` says where it
/// will go on.
struct SeqRange {
  std::uint64_t first = 1;
  std::uint64_t last = 0;

  bool empty() const { return last < first; }
  bool contains(std::uint64_t seq) const { return first <= seq && seq <= last; }
  friend bool operator==(const SeqRange&, const SeqRange&) = default;
};

/// Joins a feed's past (the table, by pages) to its live side (the feed stream, or a ring of
/// messages in memory that forgets the oldest), for one reader: says from which side the message
/// after the last one comes, drops what comes twice, and names what neither side has.
///
/// It decides, and does nothing else: no clock, no thread, no waiting, no message is kept. The
/// owner looks at both sides and tells what it saw, as often as it likes and however old that is by
/// now. One thread at a time; about 100 bytes.
///
///   join.live_holds(ring.held());
///   switch (join.step()) {
///     case Step::kLive:     // Offer the live side's messages from join.next() on, with
///                           // offer_live(). There is none yet? It will come there: wait for it.
///     case Step::kHistory:  // Read a page of join.history_range(), offer_history() each message,
///                           // then history_read(page.next_seq, page.end), and step() again. When
///                           // it cannot be read: table_away(), and step() again.
///     case Step::kGap:      // Tell the reader that join.gap() is lost; pass_gap(); step() again.
///     case Step::kWait:     // After a while: live_holds(), ask_table_again(), step().
///   }
///
/// Each message is offered before it is handed over:
///
///   switch (join.offer_live(seq)) {      // or offer_history(seq)
///     case Verdict::kDeliver:  // Hand it over; then delivered().
///     case Verdict::kRepeat:   // Forget it.
///     case Verdict::kStop:     // Something is missing before it: step() says what to do about it.
///                              // Behind a gap it can be offered again at once.
///   }
///
/// A gap is what the live side has forgotten and what the table does not have, though it has later
/// messages: neither will ever have it. A table that ends too early (its database was restored from
/// a backup, say) is waited for.
class FeedJoin {
 public:
  enum class Step : std::uint8_t {
    kLive,     // the live side has next(), or will have it
    kHistory,  // the table may have it: read there
    kGap,      // gap() is lost
    kWait,     // neither has it just now
  };
  enum class Verdict : std::uint8_t { kDeliver, kRepeat, kStop };

  struct Options {
    /// False: the table is never asked, and what the live side does not hold is a gap.
    bool history = true;
    /// Starts with the oldest message there is: that nothing is before it is no gap.
    bool from_oldest = false;
    /// History is read until so many messages behind the live side's oldest, so that the live side
    /// does not forget the next one while the reader changes over.
    std::uint64_t overlap = 1024;
  };

  /// Delivery goes on behind `last`; 0: from 1 on.
  FeedJoin(std::uint64_t last, const Options& options);

  /// Seq of the last message delivered, or behind which reading starts.
  std::uint64_t last() const { return last_; }
  std::uint64_t next() const { return last_ + 1; }

  /// What the live side holds.
  void live_holds(const SeqRange& range);
  /// Nobody knows: the stream is missing, or cannot be asked. The table is read meanwhile.
  void live_unknown() { live_known_ = false; }
  /// The table cannot be read: what the live side has, comes from there; the rest is waited for.
  void table_away() { table_ended_ = true; }
  /// The table may have grown since it ended, or be back.
  void ask_table_again() { table_ended_ = false; }

  Step step();

  /// After kHistory: what to read, [first, last]. Open ranges end at the greatest number.
  SeqRange history_range() const;
  /// After kGap.
  const SeqRange& gap() const { return gap_; }
  /// The reader knows of gap(): delivery goes on behind it.
  void pass_gap();

  Verdict offer_live(std::uint64_t seq);
  Verdict offer_history(std::uint64_t seq);
  /// next() has been handed over.
  void delivered();

  /// Every message of a page has been offered and none was stopped. `next_seq`: the table has
  /// nothing from next() up to there. `end`: nor has it anything behind, for now.
  void history_read(std::uint64_t next_seq, bool end);

  /// The past is being read: from a kHistory to the next kLive.
  bool catching_up() const { return handover_ != 0; }

 private:
  Step choose_side();
  Verdict judge(std::uint64_t seq) const;
  std::uint64_t handover_seq() const;

  Options options_;
  std::uint64_t last_;
  SeqRange live_;
  SeqRange gap_;
  std::uint64_t live_next_ = 0;   // the live side has nothing in [next(), live_next_)
  std::uint64_t table_next_ = 0;  // nor has the table in [next(), table_next_)
  std::uint64_t handover_ = 0;    // 0: live. Else history is read up to here
  bool live_known_ = false;
  bool table_ended_ = false;  // before next(), when it was last read; or it could not be read
};

}  // namespace feedvault
