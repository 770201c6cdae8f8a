#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "broker/event_loop.h"
#include "broker/router.h"

namespace feedvault::broker {

/// What other loops have sent to a loop and it has not looked at yet. Each of its batches belongs
/// to it once it is put in. router.h explains the order that hand-over and draining keep.
class Inbox {
 public:
  explicit Inbox(EventLoop& owner) : owner_(owner) {}

  // --- any thread ---

  bool filled() const { return filled_.load(std::memory_order_acquire); }
  /// Bytes that its receivers will get of what was put in and is not done().
  std::size_t bytes() const { return bytes_.load(std::memory_order_acquire); }

  // --- the loop that owns it ---

  /// All that is there, in the order in which it came.
  std::vector<DeliveryBatch> take() {
    std::vector<DeliveryBatch> batches;
    if (filled()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      batches.swap(batches_);
      filled_.store(false, std::memory_order_release);
    }
    return batches;
  }
  /// A batch that was taken has been worked off.
  void done(const DeliveryBatch& batch) {
    bytes_.fetch_sub(batch.delivered_bytes(), std::memory_order_acq_rel);
  }

 private:
  friend void hand_over_outboxes(Router& router, const std::vector<Inbox*>& inboxes, Inbox& own);

  // Requires: mutex_ is locked.
  void put(DeliveryBatch batch) {
    bytes_.fetch_add(batch.delivered_bytes(), std::memory_order_acq_rel);
    batches_.push_back(std::move(batch));
    filled_.store(true, std::memory_order_release);
  }

  EventLoop& owner_;
  // Several inboxes' are locked at once, which the thread-safety analysis cannot follow.
  std::mutex mutex_;
  std::vector<DeliveryBatch> batches_;  // guarded by mutex_
  std::atomic<std::size_t> bytes_{0};
  std::atomic<bool> filled_{false};
};

/// Gives what a loop's router has for others to them, and wakes them. `inboxes` by loop, among them
/// the caller's `own`. The caller holds its read lock or the write lock; see Worker's graveyard.
void hand_over_outboxes(Router& router, const std::vector<Inbox*>& inboxes, Inbox& own);

}  // namespace feedvault::broker
