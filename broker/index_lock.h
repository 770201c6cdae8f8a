#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace feedvault::broker {

/// Who may use the subject index: loops read it together, and who changes it does so alone. Each
/// loop has a lock of its own for reading, so that publishers on different loops never touch the
/// same cache line; a change takes them all. Made for reads that last a whole turn of a loop.
///
/// Fair both ways, because clients that subscribe without end must not starve those that publish,
/// nor the other way round: writers draw tickets and have it in that order; a reader waits for the
/// one writer whose turn it is, and goes before all that come behind that one.
///
/// std::mutex on purpose: the thread-safety analysis cannot follow an array of locks.
class IndexLock {
 public:
  explicit IndexLock(std::size_t loops) : loops_(loops), slots_(std::make_unique<Slot[]>(loops)) {}

  void lock_read(std::size_t loop) {
    Slot& slot = slots_[loop];
    if (!write_wanted() && slot.mutex.try_lock()) {
      return;
    }
    const std::uint32_t serving = serving_.load(std::memory_order_acquire);
    slot.goes_before.store(serving + 1, std::memory_order_release);
    if (tickets_.load(std::memory_order_acquire) != serving) {
      serving_.wait(serving, std::memory_order_acquire);
    }
    slot.mutex.lock();
    slot.goes_before.store(0, std::memory_order_release);
    slot.goes_before.notify_one();
  }
  void unlock_read(std::size_t loop) { slots_[loop].mutex.unlock(); }

  void lock_write() {
    const std::uint32_t ticket = tickets_.fetch_add(1, std::memory_order_acq_rel);
    std::uint32_t serving = serving_.load(std::memory_order_acquire);
    while (serving != ticket) {
      serving_.wait(serving, std::memory_order_acquire);
      serving = serving_.load(std::memory_order_acquire);
    }
    for (std::size_t i = 0; i < loops_; ++i) {
      slots_[i].let_reader_go_before(ticket);
      slots_[i].mutex.lock();
    }
  }
  void unlock_write() {
    for (std::size_t i = loops_; i-- > 0;) {
      slots_[i].mutex.unlock();
    }
    serving_.fetch_add(1, std::memory_order_acq_rel);
    serving_.notify_all();
  }
  /// Readers between two pieces of work: let go and take again when this is so.
  bool write_wanted() const {
    return tickets_.load(std::memory_order_acquire) != serving_.load(std::memory_order_acquire);
  }

 private:
  struct alignas(64) Slot {
    std::mutex mutex;
    // What the loop waits for, so that no writer with this ticket or a later one goes before it. 0:
    // it does not wait.
    std::atomic<std::uint32_t> goes_before{0};

    void let_reader_go_before(std::uint32_t ticket) {
      std::uint32_t first = goes_before.load(std::memory_order_acquire);
      // Tickets wrap around.
      while (first != 0 && static_cast<std::int32_t>(ticket - first) >= 0) {
        goes_before.wait(first, std::memory_order_acquire);
        first = goes_before.load(std::memory_order_acquire);
      }
    }
  };
  std::size_t loops_;
  std::unique_ptr<Slot[]> slots_;
  alignas(64) std::atomic<std::uint32_t> tickets_{0};  // taken by writers
  std::atomic<std::uint32_t> serving_{0};              // the writer whose turn it is
};

}  // namespace feedvault::broker
