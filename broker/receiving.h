#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace feedvault::broker {

/// Whether a receiver takes what streams deliver, between its loop, which knows, and the streams'
/// loop, which asks and does not want to ask twice.
class Receiving {
 public:
  // --- The streams' loop ---

  /// It has so much pending that what can wait should.
  bool congested() const { return state_.load(std::memory_order_relaxed) != kTaking; }
  /// The same; if so, update() says when that is over.
  bool await() {
    std::uint8_t state = state_.load(std::memory_order_acquire);
    while (state == kCongested &&
           !state_.compare_exchange_weak(state, kAwaited, std::memory_order_acq_rel)) {
    }
    return state != kTaking;
  }

  // --- Its own loop ---

  /// So much is pending now; more than `enough` is too much, until it is half of that. True: it
  /// was awaited, and can take more.
  bool update(std::size_t pending, std::size_t enough) {
    const bool was = congested();
    if (!was && pending > enough) {
      state_.store(kCongested, std::memory_order_release);
    }
    return was && pending <= enough / 2 &&
           state_.exchange(kTaking, std::memory_order_acq_rel) == kAwaited;
  }

 private:
  // From kTaking to kCongested and from either back: its own loop. From there to kAwaited: the
  // streams' loop.
  enum State : std::uint8_t { kTaking, kCongested, kAwaited };
  std::atomic<std::uint8_t> state_{kTaking};
};

}  // namespace feedvault::broker
