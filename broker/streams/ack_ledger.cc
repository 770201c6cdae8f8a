#include "broker/streams/ack_ledger.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "broker/streams/varint.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::uint64_t kLedgerVersion = 1;
constexpr std::int64_t kNsPerMs = 1'000'000;
/// The longest that a redelivery can be ahead after a restart, whatever the clock says now.
constexpr std::int64_t kWaitMaxNs = 7LL * 24 * 3600 * 1'000'000'000;

/// Longer runs are several: damage that the checksum missed must not fill the memory.
constexpr std::uint64_t kRunMax = 1U << 16U;

/// Rounded up: nothing comes back early.
std::int64_t to_unix_ms(std::int64_t steady_ns, const Moment& now) {
  if (steady_ns == kNoDeadline) {
    return 0;  // queued: due
  }
  return (steady_ns - now.steady_ns + now.unix_ns + kNsPerMs - 1) / kNsPerMs;
}

std::int64_t to_steady_ns(std::int64_t unix_ms, const Moment& now) {
  const std::int64_t now_ms = now.unix_ns / kNsPerMs;
  if (unix_ms <= now_ms) {
    return now.steady_ns;
  }
  // Whatever the bytes say, nothing overflows: now_ms is a real time.
  const std::int64_t wait_ms =
      std::min(unix_ms - std::max<std::int64_t>(now_ms, 0), kWaitMaxNs / kNsPerMs);
  return now.steady_ns + std::max<std::int64_t>(wait_ms * kNsPerMs - now.unix_ns % kNsPerMs, 0);
}

std::int64_t after(const Moment& now, std::int64_t wait_ns) {
  return now.steady_ns + std::clamp<std::int64_t>(wait_ns, 0, kWaitMaxNs * 1000);
}

}  // namespace

bool AckLedger::needs(StreamSeq seq) const {
  if (seq > floor_.stream) {
    if (policy_ != AckPolicy::kExplicit || seq > delivered_.stream ||
        pending_.find(seq) != nullptr) {
      return true;
    }
  }
  return exhausted_.count(seq) != 0;
}

void AckLedger::start(StreamSeq next, StreamSeq resume_after) {
  CHECK(delivered_.consumer == 0 && next > 0);
  delivered_.stream = next - 1;
  floor_.stream = next - 1;
  note(Op::kStarted, next);
  set_resume_after(resume_after);
}

void AckLedger::set_resume_after(StreamSeq seq) {
  if (seq != resume_after_) {
    resume_after_ = seq;
    note(Op::kResumeAfter, seq);
  }
}

void AckLedger::deliver(StreamSeq seq, const Moment& now, std::int64_t wait_ns) {
  CHECK(seq > delivered_.stream);
  ++delivered_.consumer;
  delivered_.stream = seq;
  last_delivery_ns_ = now.unix_ns;
  if (policy_ == AckPolicy::kNone) {
    floor_ = delivered_;
    if (!extend_run(Op::kDelivered, seq, 0)) {
      begin_run(Op::kDelivered, seq, 0);
    }
    return;
  }
  const std::int64_t deadline_ns = after(now, wait_ns);
  pending_.add({seq, delivered_.consumer, now.steady_ns, deadline_ns, 1, 0});
  const std::int64_t deadline_ms = to_unix_ms(deadline_ns, now);
  if (!extend_run(Op::kDelivered, seq, deadline_ms)) {
    begin_run(Op::kDelivered, seq, deadline_ms);
  }
}

void AckLedger::deliver_again(PendingAck& entry, const Moment& now, std::int64_t wait_ns) {
  ++delivered_.consumer;
  last_delivery_ns_ = now.unix_ns;
  const std::int64_t deadline_ns = after(now, wait_ns);
  pending_.delivered_again(entry, now.steady_ns, deadline_ns);
  if (replaying_) {
    return;
  }
  end_run();
  note(Op::kRedelivered, entry.seq);
  put_signed(journal_, to_unix_ms(deadline_ns, now) - noted_deadline_ms_);
  noted_deadline_ms_ = to_unix_ms(deadline_ns, now);
}

void AckLedger::postpone(PendingAck& entry, const Moment& now, std::int64_t wait_ns) {
  const std::int64_t deadline_ns = after(now, wait_ns);
  pending_.set_deadline(entry, deadline_ns);
  if (replaying_) {
    return;
  }
  note(Op::kPostponed, entry.seq);
  put_signed(journal_, to_unix_ms(deadline_ns, now) - noted_deadline_ms_);
  noted_deadline_ms_ = to_unix_ms(deadline_ns, now);
}

void AckLedger::remove_pending(PendingAck& entry) {
  const bool lowest = &entry == pending_.first();
  pending_.remove(entry);
  if (lowest) {
    raise_floor_to_pending();
  }
}

void AckLedger::raise_floor_to_pending() {
  const PendingAck* const first = pending_.first();
  const SequencePair floor =
      first == nullptr ? delivered_ : SequencePair{first->first_delivery - 1, first->seq - 1};
  floor_.consumer = std::max(floor_.consumer, floor.consumer);
  floor_.stream = std::max(floor_.stream, floor.stream);
}

bool AckLedger::drop(StreamSeq seq) {
  if (PendingAck* const entry = pending_.find(seq); entry != nullptr) {
    remove_pending(*entry);
    return true;
  }
  return exhausted_.erase(seq) != 0;
}

bool AckLedger::ack(StreamSeq seq, const Moment& now) {
  if (!drop(seq)) {
    return false;
  }
  last_ack_ns_ = now.unix_ns;
  if (!extend_run(Op::kAcked, seq, 0)) {
    begin_run(Op::kAcked, seq, 0);
  }
  return true;
}

void AckLedger::acked_through(StreamSeq seq, const Moment& now) {
  if (seq <= floor_.stream || seq > delivered_.stream) {
    return;
  }
  // nats-server takes the floor's consumer sequence from what the client sent; here it follows from
  // what is pending. The two differ after redeliveries only.
  const PendingAck* const first = pending_.first();
  floor_.consumer =
      std::max(floor_.consumer, first == nullptr ? delivered_.consumer : first->first_delivery - 1);
  floor_.stream = seq;
  last_ack_ns_ = now.unix_ns;
  note(Op::kAckedThrough, seq);
}

void AckLedger::exhaust(PendingAck& entry) {
  const StreamSeq seq = entry.seq;
  exhausted_[seq] = entry.deliveries;
  remove_pending(entry);
  note(Op::kExhausted, seq);
}

void AckLedger::forget(StreamSeq seq) {
  if (drop(seq) && !extend_run(Op::kForgotten, seq, 0)) {
    begin_run(Op::kForgotten, seq, 0);
  }
}

void AckLedger::forget_below(StreamSeq first) {
  if (first == 0) {
    return;
  }
  bool changed = false;
  while (PendingAck* const entry = pending_.first()) {
    if (entry->seq >= first) {
      break;
    }
    pending_.remove(*entry);
    changed = true;
  }
  while (!exhausted_.empty() && exhausted_.begin()->first < first) {
    exhausted_.erase(exhausted_.begin());
    changed = true;
  }
  if (delivered_.stream < first - 1) {
    delivered_.stream = first - 1;
    changed = true;
  }
  if (changed) {
    raise_floor_to_pending();
    note(Op::kForgottenBelow, first);
  }
}

void AckLedger::skip_to(StreamSeq next) {
  if (next > 0 && delivered_.stream < next - 1) {
    delivered_.stream = next - 1;
    if (pending_.empty()) {
      raise_floor_to_pending();
    }
    note(Op::kSkippedTo, next);
  }
}

// --- Bytes ---

// A change record begins anew: distances are from 0, and runs do not cross records.

bool AckLedger::extend_run(Op op, StreamSeq seq, std::int64_t deadline_ms) {
  if (replaying_) {
    return true;
  }
  if (run_.count == 0 || run_.count == kRunMax || run_.op != op || run_.first + run_.count != seq ||
      run_.deadline_ms != deadline_ms) {
    return false;
  }
  ++run_.count;
  return true;
}

void AckLedger::begin_run(Op op, StreamSeq seq, std::int64_t deadline_ms) {
  end_run();
  run_ = {op, seq, 1, deadline_ms};
}

void AckLedger::note_seq(StreamSeq seq) {
  put_signed(journal_, static_cast<std::int64_t>(seq - noted_seq_));
  noted_seq_ = seq;
}

void AckLedger::end_run() {
  if (run_.count == 0) {
    return;
  }
  const Run run = std::exchange(run_, {});
  const bool deadline = run.op == Op::kDelivered && policy_ != AckPolicy::kNone;
  const bool alike =
      run.op == Op::kDelivered && (!deadline || run.deadline_ms == noted_deadline_ms_);
  journal_.push_back(static_cast<char>(alike ? Op::kDeliveredAlike : run.op));
  note_seq(run.first);
  put_varint(journal_, run.count);
  noted_seq_ = run.first + run.count - 1;
  if (!alike && deadline) {
    put_signed(journal_, run.deadline_ms - noted_deadline_ms_);
    noted_deadline_ms_ = run.deadline_ms;
  }
}

void AckLedger::note(Op op, StreamSeq seq) {
  if (replaying_) {
    return;
  }
  end_run();
  journal_.push_back(static_cast<char>(op));
  note_seq(seq);
}

std::string_view AckLedger::changes() {
  end_run();
  return journal_;
}

void AckLedger::clear_changes() {
  journal_.clear();
  run_ = {};
  noted_seq_ = 0;
  noted_deadline_ms_ = 0;
}

std::string AckLedger::snapshot(const Moment& now) const {
  std::string out;
  out.reserve(64 + pending_.size() * 5 + exhausted_.size() * 4);
  put_varint(out, kLedgerVersion);
  put_varint(out, delivered_.consumer);
  put_varint(out, delivered_.stream);
  put_varint(out, floor_.consumer);
  put_varint(out, floor_.stream);
  put_varint(out, resume_after_);
  put_signed(out, last_delivery_ns_);
  put_signed(out, last_ack_ns_);
  put_varint(out, pending_.size());
  PendingAck before;
  std::int64_t deadline_before_ms = 0;
  pending_.for_each([&](const PendingAck& entry) {
    const std::int64_t deadline_ms = to_unix_ms(entry.deadline_ns, now);
    put_varint(out, entry.seq - before.seq);
    put_signed(out, static_cast<std::int64_t>(entry.first_delivery - before.first_delivery));
    put_varint(out, entry.deliveries);
    put_signed(out, deadline_ms - deadline_before_ms);
    before = entry;
    deadline_before_ms = deadline_ms;
  });
  put_varint(out, exhausted_.size());
  StreamSeq seq_before = 0;
  for (const auto& [seq, deliveries] : exhausted_) {
    put_varint(out, seq - seq_before);
    put_varint(out, deliveries);
    seq_before = seq;
  }
  return out;
}

Status AckLedger::load_snapshot(std::string_view bytes, const Moment& now) {
  Status status = restore(bytes, now);
  if (!status.ok()) {
    static_cast<void>(restore(AckLedger(policy_).snapshot(now), now));
  }
  clear_changes();
  return status;
}

Status AckLedger::restore(std::string_view bytes, const Moment& now) {
  VarintReader in(bytes);
  if (const std::uint64_t version = in.next(); version != kLedgerVersion) {
    return {StatusCode::kCorruption,
            "a consumer's state has version " + std::to_string(version) +
                ", and this program reads " + std::to_string(kLedgerVersion)};
  }
  Status bad(StatusCode::kCorruption, "a consumer's state contradicts itself");
  pending_.clear();
  exhausted_.clear();
  delivered_.consumer = in.next();
  delivered_.stream = in.next();
  floor_.consumer = in.next();
  floor_.stream = in.next();
  resume_after_ = in.next();
  last_delivery_ns_ = in.next_signed();
  last_ack_ns_ = in.next_signed();
  if (floor_.consumer > delivered_.consumer || floor_.stream > delivered_.stream) {
    return bad;
  }
  std::uint64_t count = in.next();
  PendingAck entry;
  std::int64_t deadline_ms = 0;
  for (; count > 0 && in.ok(); --count) {
    const std::uint64_t distance = in.next();
    entry.seq += distance;
    entry.first_delivery += static_cast<std::uint64_t>(in.next_signed());
    entry.deliveries = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(in.next(), std::numeric_limits<std::uint32_t>::max()));
    deadline_ms = static_cast<std::int64_t>(static_cast<std::uint64_t>(deadline_ms) +
                                            static_cast<std::uint64_t>(in.next_signed()));
    if (distance == 0 || entry.seq <= floor_.stream || entry.seq > delivered_.stream ||
        entry.first_delivery <= floor_.consumer || entry.first_delivery > delivered_.consumer ||
        entry.deliveries == 0) {
      return bad;
    }
    entry.deadline_ns = to_steady_ns(deadline_ms, now);
    entry.sent_ns = now.steady_ns;
    pending_.add(entry);
  }
  StreamSeq seq = 0;
  for (count = in.next(); count > 0 && in.ok(); --count) {
    seq += in.next();
    exhausted_[seq] = static_cast<std::uint32_t>(in.next());
  }
  return in.ok() && in.at_end() ? Status() : bad;
}

Status AckLedger::load_change(std::string_view bytes, const Moment& now) {
  replaying_ = true;
  noted_seq_ = 0;
  noted_deadline_ms_ = 0;
  bool good = true;
  VarintReader in(bytes);
  while (good && !in.at_end()) {
    good = replay(in, now) && in.ok();
  }
  replaying_ = false;
  clear_changes();
  return good ? Status() : Status(StatusCode::kCorruption, "a consumer's change makes no sense");
}

bool AckLedger::replay(VarintReader& in, const Moment& now) {
  const auto op = static_cast<Op>(in.next());
  noted_seq_ += static_cast<std::uint64_t>(in.next_signed());
  const StreamSeq seq = noted_seq_;
  std::uint64_t count = 1;
  if (op == Op::kDelivered || op == Op::kDeliveredAlike || op == Op::kAcked ||
      op == Op::kForgotten) {
    count = in.next();
    noted_seq_ += count - 1;
  }
  if ((op == Op::kDelivered && policy_ != AckPolicy::kNone) || op == Op::kRedelivered ||
      op == Op::kPostponed) {
    noted_deadline_ms_ = static_cast<std::int64_t>(static_cast<std::uint64_t>(noted_deadline_ms_) +
                                                   static_cast<std::uint64_t>(in.next_signed()));
  }
  const std::int64_t wait_ns = to_steady_ns(noted_deadline_ms_, now) - now.steady_ns;
  PendingAck* const entry = pending_.find(seq);
  switch (op) {
    case Op::kDelivered:
    case Op::kDeliveredAlike:
      if (seq <= delivered_.stream || count == 0 || count > kRunMax || seq + count < seq ||
          !in.ok()) {
        return false;
      }
      for (std::uint64_t i = 0; i < count; ++i) {
        deliver(seq + i, now, wait_ns);
      }
      return true;
    case Op::kAcked:
    case Op::kForgotten:
      for (std::uint64_t i = 0; i < count; ++i) {
        if (!in.ok() || !drop(seq + i)) {  // which ends a senseless count
          return false;
        }
      }
      return true;
    case Op::kRedelivered:
      if (entry != nullptr) {
        deliver_again(*entry, now, wait_ns);
      }
      return entry != nullptr;
    case Op::kPostponed:
      if (entry != nullptr) {
        postpone(*entry, now, wait_ns);
      }
      return entry != nullptr;
    case Op::kExhausted:
      if (entry != nullptr) {
        exhaust(*entry);
      }
      return entry != nullptr;
    case Op::kAckedThrough:
      ack_through(seq, now, [](StreamSeq) {});
      return true;
    case Op::kForgottenBelow:
      forget_below(seq);
      return true;
    case Op::kSkippedTo:
      skip_to(seq);
      return true;
    case Op::kResumeAfter:
      resume_after_ = seq;
      return true;
    case Op::kStarted:
      if (delivered_.consumer != 0 || seq == 0) {
        return false;
      }
      delivered_.stream = seq - 1;
      floor_.stream = seq - 1;
      return true;
  }
  return false;
}

}  // namespace feedvault::broker::streams
