#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>

namespace feedvault::broker {

/// Who may use the subject index: loops read it together, and who changes it does so alone. Each
/// loop has a lock of its own for reading, so that publishers on different loops never touch the
/// same cache line; a change takes them all. Made for reads that last a whole turn of a loop.
///
/// std::mutex on purpose: the thread-safety analysis cannot follow an array of locks.
class IndexLock {
 public:
  explicit IndexLock(std::size_t loops) : loops_(loops), slots_(std::make_unique<Slot[]>(loops)) {}

  void lock_read(std::size_t loop) {
    // A loop that is busy all the time would take its lock again before a waiting writer wakes.
    if (write_wanted()) {
      const std::lock_guard<std::mutex> gate(writers_);
    }
    slots_[loop].mutex.lock();
  }
  void unlock_read(std::size_t loop) { slots_[loop].mutex.unlock(); }

  void lock_write() {
    wanted_.fetch_add(1, std::memory_order_acq_rel);
    writers_.lock();
    for (std::size_t i = 0; i < loops_; ++i) {
      slots_[i].mutex.lock();
    }
  }
  void unlock_write() {
    for (std::size_t i = loops_; i-- > 0;) {
      slots_[i].mutex.unlock();
    }
    wanted_.fetch_sub(1, std::memory_order_acq_rel);
    writers_.unlock();
  }
  /// Readers between two pieces of work: let go and take again when this is so.
  bool write_wanted() const { return wanted_.load(std::memory_order_acquire) > 0; }

 private:
  struct alignas(64) Slot {
    std::mutex mutex;
  };
  std::size_t loops_;
  std::unique_ptr<Slot[]> slots_;
  std::mutex writers_;
  std::atomic<int> wanted_{0};
};

}  // namespace feedvault::broker
