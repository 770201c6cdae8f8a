#include "broker/streams/ack_pending.h"

#include <algorithm>

#include "base/check.h"

namespace feedvault::broker::streams {
namespace {

// Below this many void entries compaction does not pay.
constexpr std::size_t kVoidMin = 1024;

}  // namespace

void AckPending::add(const PendingAck& entry) {
  CHECK(entry.deliveries != 0);
  CHECK(entries_.empty() || entries_.back().seq < entry.seq);
  const std::size_t used = entries_.size() - head_;
  if (entries_.size() == entries_.capacity() && entries_.size() - live_ > kVoidMin &&
      entries_.size() > 2 * live_) {
    // Instead of growing.
    const auto gone = std::remove_if(
        entries_.begin(), entries_.end(), [](const PendingAck& e) { return e.deliveries == 0; });
    entries_.erase(gone, entries_.end());
    head_ = 0;
  } else if (used == 0) {
    entries_.clear();
    head_ = 0;
  }
  entries_.push_back(entry);
  ++live_;
  redelivered_ += entry.deliveries > 1 ? 1 : 0;
  entries_.back().ticket = 0;
  if (entry.deadline_ns != kNoDeadline) {
    start_timer(entries_.back());
  }
}

const PendingAck* AckPending::find(StreamSeq seq) const {
  if (head_ == entries_.size() || seq < entries_[head_].seq) {
    return nullptr;
  }
  // Numbers rise by at least one, so this is an upper bound of the place, and the place itself when
  // there are no gaps.
  const std::uint64_t distance = seq - entries_[head_].seq;
  std::size_t high = entries_.size() - 1;
  if (distance < high - head_) {
    high = head_ + static_cast<std::size_t>(distance);
  }
  if (entries_[high].seq != seq) {
    const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(head_);
    const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(high);
    const auto found = std::lower_bound(
        begin, end, seq, [](const PendingAck& e, StreamSeq s) { return e.seq < s; });
    high = static_cast<std::size_t>(found - entries_.begin());
  }
  const PendingAck& entry = entries_[high];
  return entry.seq == seq && entry.deliveries != 0 ? &entry : nullptr;
}

PendingAck* AckPending::find(StreamSeq seq) {
  return const_cast<PendingAck*>(static_cast<const AckPending*>(this)->find(seq));
}

// head_ is never at a hole, see skip_holes().
const PendingAck* AckPending::first() const {
  return live_ == 0 ? nullptr : &entries_[head_];
}

PendingAck* AckPending::first() {
  return live_ == 0 ? nullptr : &entries_[head_];
}

void AckPending::remove(PendingAck& entry) {
  CHECK(entry.deliveries != 0);
  unqueue(entry);
  redelivered_ -= entry.deliveries > 1 ? 1 : 0;
  entry.deliveries = 0;
  --live_;
  if (&entry == &entries_[head_]) {
    skip_holes();
  }
}

void AckPending::skip_holes() {
  while (head_ < entries_.size() && entries_[head_].deliveries == 0) {
    ++head_;
  }
}

void AckPending::clear() {
  *this = AckPending();
}

void AckPending::set_deadline(PendingAck& entry, std::int64_t deadline_ns) {
  unqueue(entry);
  entry.deadline_ns = deadline_ns;
  if (deadline_ns != kNoDeadline) {
    start_timer(entry);
  }
}

void AckPending::queue(PendingAck& entry) {
  if (entry.ticket != 0) {
    return;
  }
  entry.deadline_ns = kNoDeadline;
  last_ticket_ = last_ticket_ == std::numeric_limits<std::uint32_t>::max() ? 1 : last_ticket_ + 1;
  entry.ticket = last_ticket_;
  if (queue_head_ == queue_.size()) {
    queue_.clear();
    queue_head_ = 0;
  } else if (queue_.size() == queue_.capacity() && queue_.size() - queued_ > kVoidMin &&
             queue_.size() > 2 * queued_) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(queue_head_));
    queue_head_ = 0;
    const auto gone = std::remove_if(
        queue_.begin(), queue_.end(), [this](const Queued& place) { return !holds(place); });
    queue_.erase(gone, queue_.end());
  }
  queue_.push_back({entry.seq, entry.ticket});
  ++queued_;
}

void AckPending::unqueue(PendingAck& entry) {
  if (entry.ticket != 0) {
    entry.ticket = 0;
    --queued_;
  }
}

void AckPending::delivered_again(PendingAck& entry, std::int64_t now_ns, std::int64_t deadline_ns) {
  redelivered_ += entry.deliveries == 1 ? 1 : 0;
  ++entry.deliveries;
  entry.sent_ns = now_ns;
  set_deadline(entry, deadline_ns);
}

bool AckPending::holds(const Queued& place) const {
  const PendingAck* const entry = find(place.seq);
  return entry != nullptr && entry->ticket == place.ticket;
}

bool AckPending::holds(const Timer& timer) const {
  const PendingAck* const entry = find(timer.seq);
  return entry != nullptr && entry->deadline_ns == timer.deadline_ns;
}

PendingAck* AckPending::next_queued() {
  for (; queue_head_ < queue_.size(); ++queue_head_) {
    PendingAck* const entry = find(queue_[queue_head_].seq);
    if (entry != nullptr && entry->ticket == queue_[queue_head_].ticket) {
      return entry;
    }
  }
  return nullptr;
}

void AckPending::start_timer(const PendingAck& entry) {
  // Checked at every push and not only when the array would grow: a message whose deadline moves
  // again and again (progress) adds a void timer each time.
  if (timers_.size() > kVoidMin + 2 * live_) {
    const auto gone = std::remove_if(
        timers_.begin(), timers_.end(), [this](const Timer& timer) { return !holds(timer); });
    timers_.erase(gone, timers_.end());
    std::make_heap(timers_.begin(), timers_.end());
  }
  timers_.push_back({entry.deadline_ns, entry.seq});
  std::push_heap(timers_.begin(), timers_.end());
}

std::int64_t AckPending::next_deadline() {
  while (!timers_.empty()) {
    if (holds(timers_.front())) {
      return timers_.front().deadline_ns;
    }
    std::pop_heap(timers_.begin(), timers_.end());
    timers_.pop_back();
  }
  return kNoDeadline;
}

PendingAck* AckPending::next_due(std::int64_t now_ns) {
  const std::int64_t deadline = next_deadline();
  return deadline == kNoDeadline || deadline > now_ns ? nullptr : find(timers_.front().seq);
}

std::size_t AckPending::memory_bytes() const {
  return entries_.capacity() * sizeof(PendingAck) + timers_.capacity() * sizeof(Timer) +
         queue_.capacity() * sizeof(Queued);
}

}  // namespace feedvault::broker::streams
