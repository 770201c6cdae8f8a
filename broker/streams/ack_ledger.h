#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "broker/streams/ack_pending.h"
#include "broker/streams/consumer_config.h"

namespace feedvault::broker::streams {

class VarintReader;

/// One reading of both clocks.
struct Moment {
  std::int64_t steady_ns = 0;
  std::int64_t unix_ns = 0;

  static Moment of(const Clock& clock) {
    return {clock.now().time_since_epoch() / std::chrono::nanoseconds(1), clock.unix_ns()};
  }
};

struct SequencePair {
  ConsumerSeq consumer = 0;
  StreamSeq stream = 0;
  friend bool operator==(const SequencePair&, const SequencePair&) = default;
};

/// What one consumer has delivered and what of it is acknowledged: the part of a consumer that must
/// survive a crash. Every change is also written down as a few bytes; a snapshot and the changes
/// since it make the same ledger again. docs/file_format.md describes the bytes.
///
/// It only ever moves forward: a state that is older than the truth makes messages come again, and
/// none is passed over. Single-threaded.
class AckLedger {
 public:
  explicit AckLedger(AckPolicy policy) : policy_(policy) {}

  AckPolicy policy() const { return policy_; }
  /// The last number given to a delivery, and the highest message delivered (or passed over).
  const SequencePair& delivered() const { return delivered_; }
  /// Everything up to here is acknowledged.
  const SequencePair& floor() const { return floor_; }
  AckPending& pending() { return pending_; }
  const AckPending& pending() const { return pending_; }
  /// Messages that are never delivered again although nobody acknowledged them, and how often they
  /// were delivered.
  const std::map<StreamSeq, std::uint32_t>& exhausted() const { return exhausted_; }
  /// Of consumers that begin with each subject's last message: the stream's last one at that time.
  /// 0 for others, and once they are through.
  StreamSeq resume_after() const { return resume_after_; }
  /// When something was last delivered and acknowledged, Unix nanoseconds; 0 for never.
  std::int64_t last_delivery_ns() const { return last_delivery_ns_; }
  std::int64_t last_ack_ns() const { return last_ack_ns_; }

  /// The consumer wants what this answers true for: it is not acknowledged. `seq` must match its
  /// filter.
  bool needs(StreamSeq seq) const;

  // --- What happens to it. None of these fails. ---

  /// Nothing below `next` is to be delivered. Requires: nothing was.
  void start(StreamSeq next, StreamSeq resume_after);
  void set_resume_after(StreamSeq seq);
  /// First delivery of `seq`, which is above all earlier ones; due again after `wait_ns`.
  void deliver(StreamSeq seq, const Moment& now, std::int64_t wait_ns);
  void deliver_again(PendingAck& entry, const Moment& now, std::int64_t wait_ns);
  /// Due at another time; with 0, now: also queue() it then.
  void postpone(PendingAck& entry, const Moment& now, std::int64_t wait_ns);
  /// Acknowledges one. True when that was news.
  bool ack(StreamSeq seq, const Moment& now);
  /// Acknowledges everything delivered up to `seq` and calls f(seq) for each that was pending.
  template <typename F>
  void ack_through(StreamSeq seq, const Moment& now, F&& f) {
    while (PendingAck* const entry = pending_.first()) {
      if (entry->seq > seq) {
        break;
      }
      const StreamSeq acked = entry->seq;
      pending_.remove(*entry);
      f(acked);
    }
    while (!exhausted_.empty() && exhausted_.begin()->first <= seq) {
      const StreamSeq acked = exhausted_.begin()->first;
      exhausted_.erase(exhausted_.begin());
      f(acked);
    }
    acked_through(seq, now);
  }
  /// It was delivered often enough.
  void exhaust(PendingAck& entry);
  /// The message is gone from the stream.
  void forget(StreamSeq seq);
  /// All below `first` are gone from the stream.
  void forget_below(StreamSeq first);
  /// Messages below `next` that were not delivered never will be.
  void skip_to(StreamSeq next);

  // --- Bytes ---

  /// Changes since this was last called or a snapshot made, or "" for none. Lives until the next
  /// change.
  std::string_view changes();
  void clear_changes();
  /// Bytes of changes() so far, about.
  std::size_t changes_size() const { return journal_.size() + (run_.count > 0 ? 1 : 0); }

  /// Everything, including what changes() holds.
  std::string snapshot(const Moment& now) const;
  /// Replaces everything. kCorruption: the bytes are none of ours, and the ledger is as new.
  Status load_snapshot(std::string_view bytes, const Moment& now);
  /// kCorruption: as above, and the ledger is as after the changes before the bad one.
  Status load_change(std::string_view bytes, const Moment& now);

 private:
  // Do not renumber: they are on disk.
  enum class Op : std::uint8_t {
    kDelivered = 1,
    kDeliveredAlike = 2,  // with the deadline of the one before
    kRedelivered = 3,
    kPostponed = 4,
    kAcked = 5,
    kAckedThrough = 6,
    kExhausted = 7,
    kForgotten = 8,
    kForgottenBelow = 9,
    kResumeAfter = 10,
    kStarted = 11,
    kSkippedTo = 12,
  };
  // Several in a row that are written as one.
  struct Run {
    Op op = Op::kStarted;
    StreamSeq first = 0;
    std::uint64_t count = 0;
    std::int64_t deadline_ms = 0;
  };

  void acked_through(StreamSeq seq, const Moment& now);
  bool drop(StreamSeq seq);
  void remove_pending(PendingAck& entry);
  void raise_floor_to_pending();
  bool extend_run(Op op, StreamSeq seq, std::int64_t deadline_ms);
  void begin_run(Op op, StreamSeq seq, std::int64_t deadline_ms);
  void end_run();
  void note(Op op, StreamSeq seq);
  void note_seq(StreamSeq seq);
  bool replay(VarintReader& in, const Moment& now);
  Status restore(std::string_view bytes, const Moment& now);

  const AckPolicy policy_;
  SequencePair delivered_;
  SequencePair floor_;
  AckPending pending_;
  std::map<StreamSeq, std::uint32_t> exhausted_;
  StreamSeq resume_after_ = 0;
  std::int64_t last_delivery_ns_ = 0;
  std::int64_t last_ack_ns_ = 0;

  std::string journal_;
  Run run_;
  StreamSeq noted_seq_ = 0;  // numbers are written as distances from the one before
  std::int64_t noted_deadline_ms_ = 0;
  bool replaying_ = false;
};

}  // namespace feedvault::broker::streams
