#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace feedvault::controller {

/// A queue between two stages of the pipeline, bounded by items and by bytes. A full queue makes
/// the producer wait: that is the back-pressure. One item is always let in, however large. Any
/// thread.
template <typename T>
class BoundedQueue {
 public:
  BoundedQueue(std::size_t items_max, std::size_t bytes_max)
      : items_max_(items_max), bytes_max_(bytes_max) {}

  /// Waits for room. False when the queue is closed; the item is gone then.
  bool push(T item, std::size_t bytes) {
    {
      MutexLock lock(mutex_);
      while (!closed_ && !has_room(bytes)) {
        room_.wait(mutex_);
      }
      if (closed_) {
        return false;
      }
      bytes_ += bytes;
      items_.emplace_back(std::move(item), bytes);
      // The consumer takes all there is: it needs waking only when it found nothing.
      if (items_.size() > 1) {
        return true;
      }
    }
    filled_.notify_one();
    return true;
  }

  /// Appends what is there to `out`, at most items_max and about bytes_max (but at least one),
  /// waiting until `deadline` for the first. False when nothing came, or nothing will (closed and
  /// empty).
  bool pop_batch(std::vector<T>& out,
                 std::size_t items_max,
                 std::size_t bytes_max,
                 std::chrono::steady_clock::time_point deadline) {
    {
      MutexLock lock(mutex_);
      while (items_.empty()) {
        if (closed_ || !filled_.wait_until(mutex_, deadline)) {
          break;
        }
      }
      if (items_.empty()) {
        return false;
      }
      std::size_t taken_bytes = 0;
      for (std::size_t n = 0; n < items_max && !items_.empty(); ++n) {
        auto& [item, bytes] = items_.front();
        if (n > 0 && taken_bytes + bytes > bytes_max) {
          break;
        }
        taken_bytes += bytes;
        bytes_ -= bytes;
        out.push_back(std::move(item));
        items_.pop_front();
      }
    }
    room_.notify_all();
    return true;
  }

  /// No more pushes; what is inside can still be taken.
  void close() {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    filled_.notify_all();
    room_.notify_all();
  }

  bool drained() {
    MutexLock lock(mutex_);
    return closed_ && items_.empty();
  }

 private:
  bool has_room(std::size_t bytes) const REQUIRES_LOCK(mutex_) {
    return items_.empty() || (items_.size() < items_max_ && bytes_ + bytes <= bytes_max_);
  }

  const std::size_t items_max_;
  const std::size_t bytes_max_;
  Mutex mutex_;
  CondVar filled_;
  CondVar room_;
  std::deque<std::pair<T, std::size_t>> items_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace feedvault::controller
