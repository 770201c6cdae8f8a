#pragma once

#include <atomic>
#include <cstdint>

namespace feedvault::broker {

/// A count that one thread changes and any thread may read.
class LocalCounter {
 public:
  void add(std::uint64_t n) {
    // One writer: a load and a store, no locked instruction.
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// What one loop counts. The loop writes, anybody reads.
struct alignas(64) LoopCounters {
  LocalCounter in_msgs;
  LocalCounter in_bytes;
  LocalCounter out_msgs;
  LocalCounter out_bytes;
  LocalCounter connections;
  LocalCounter subscriptions;
  LocalCounter slow_consumers_pending;
  LocalCounter slow_consumers_deadline;
  LocalCounter stale_connections;
  LocalCounter auth_failures;
  LocalCounter permission_violations;
  LocalCounter protocol_errors;
  LocalCounter no_responders;
  LocalCounter held_producers;  // times that one had to wait for the streams
  LocalCounter cache_lookups;
  LocalCounter cache_hits;
  LocalCounter cached_matches;  // now
};

}  // namespace feedvault::broker
