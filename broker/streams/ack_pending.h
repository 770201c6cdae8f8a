#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "broker/store/message.h"
#include "broker/streams/ack_subject.h"

namespace feedvault::broker::streams {

/// A message that was delivered and is not acknowledged. Times are steady, in nanoseconds.
struct PendingAck {
  StreamSeq seq = 0;
  ConsumerSeq first_delivery = 0;  // the number of its first delivery, which the ack floor counts
  std::int64_t sent_ns = 0;        // the last delivery
  std::int64_t deadline_ns = 0;    // when it is delivered again; kNoDeadline while it is queued
  std::uint32_t deliveries = 0;    // 0: gone, the slot will be reused
  std::uint32_t ticket = 0;        // its place in the redelivery queue; 0 when it is not queued
};

inline constexpr std::int64_t kNoDeadline = std::numeric_limits<std::int64_t>::max();

/// The messages that wait for acknowledgement, by number, by deadline, and in the order in which
/// they are to be delivered again.
///
/// First deliveries come in rising order, so the messages lie sorted in one array: a look-up is a
/// subtraction when numbers have no gaps and a binary search otherwise, and nothing is allocated
/// for one message. Acknowledged ones leave holes; deadlines and queue entries that became void
/// stay until they surface. All three are compacted when more than half of them is void, so memory
/// is bounded by about 100 bytes a pending message, whatever is acknowledged in which order.
///
/// Pointers to entries live until the next add(). Single-threaded.
class AckPending {
 public:
  std::size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }
  /// How many of them were delivered more than once.
  std::size_t redelivered() const { return redelivered_; }
  /// How many of them are queued for redelivery.
  std::size_t queued() const { return queued_; }

  /// Requires: `entry.seq` is above all numbers ever added, and entry.deliveries is not 0.
  void add(const PendingAck& entry);
  PendingAck* find(StreamSeq seq);
  const PendingAck* find(StreamSeq seq) const;
  /// The lowest; null when there is none.
  PendingAck* first();
  const PendingAck* first() const;
  void remove(PendingAck& entry);
  void clear();

  /// Takes it out of the redelivery queue when it is there.
  void set_deadline(PendingAck& entry, std::int64_t deadline_ns);
  /// Puts it at the end of the redelivery queue, unless it is in it.
  void queue(PendingAck& entry);
  /// One more delivery: out of the queue, with a new deadline.
  void delivered_again(PendingAck& entry, std::int64_t now_ns, std::int64_t deadline_ns);

  /// The head of the redelivery queue; null when it is empty.
  PendingAck* next_queued();
  /// kNoDeadline when there is none.
  std::int64_t next_deadline();
  /// The one whose deadline is the earliest, and has come; of several, the lowest. Null for none.
  /// The caller gives it another deadline, queues or removes it.
  PendingAck* next_due(std::int64_t now_ns);

  /// Calls f(entry) for each in rising order. f must not change this.
  template <typename F>
  void for_each(F&& f) const {
    for (std::size_t i = head_; i < entries_.size(); ++i) {
      if (entries_[i].deliveries != 0) {
        f(entries_[i]);
      }
    }
  }

  /// Resident bytes.
  std::size_t memory_bytes() const;

 private:
  struct Timer {
    std::int64_t deadline_ns;
    StreamSeq seq;
    // For a heap with the earliest on top.
    friend bool operator<(const Timer& a, const Timer& b) {
      return a.deadline_ns != b.deadline_ns ? a.deadline_ns > b.deadline_ns : a.seq > b.seq;
    }
  };
  struct Queued {
    StreamSeq seq;
    std::uint32_t ticket;
  };

  bool holds(const Timer& timer) const;
  bool holds(const Queued& place) const;
  void unqueue(PendingAck& entry);
  void start_timer(const PendingAck& entry);
  void skip_holes();

  std::vector<PendingAck> entries_;  // sorted; everything before head_ is void
  std::size_t head_ = 0;
  std::size_t live_ = 0;
  std::size_t redelivered_ = 0;
  std::vector<Timer> timers_;  // a heap
  std::vector<Queued> queue_;  // everything before queue_head_ is void
  std::size_t queue_head_ = 0;
  std::size_t queued_ = 0;
  std::uint32_t last_ticket_ = 0;
};

}  // namespace feedvault::broker::streams
