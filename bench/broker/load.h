#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace feedvault::bench {

/// One shape of traffic. Every message of a shape has the same length on the wire, so that
/// receivers count messages by counting bytes, and the load costs little beside the server's work.
struct Shape {
  std::string name;
  int publishers = 1;
  int subscribers = 1;  // connections
  std::size_t payload_bytes = 16;
  std::uint64_t messages = 1'000'000;  // published, by all publishers together
  enum class Kind : std::uint8_t {
    kFanOut,     // all subscribe to one subject
    kQueue,      // ... in one queue group
    kDistinct,   // subscriber i has a subject of its own; publishers go round
    kWildcards,  // `filters` subscriptions with a wildcard each, spread over the subscribers
    kRequests,   // requests and replies; publishers are requesters, subscribers responders
  };
  Kind kind = Kind::kFanOut;
  int filters = 0;

  std::uint64_t deliveries() const;
};

struct Measured {
  double seconds = 0;
  std::uint64_t messages = 0;  // delivered; published where nobody subscribes
  double server_cpu_seconds = 0;
  double p50_us = 0;  // requests only
  double p99_us = 0;
  bool complete = false;  // all arrived; else the rest means nothing

  double per_second() const { return static_cast<double>(messages) / seconds; }
  double cpu_ns_per_message() const {
    return server_cpu_seconds * 1e9 / static_cast<double>(messages);
  }
};

/// Drives the server on loopback's `port`, whose process is `server_pid`. One thread.
Measured run_shape(const Shape& shape, std::uint16_t port, int server_pid);

/// Connects `count` clients that do nothing; seconds until the last had its PONG.
struct IdleResult {
  double connect_seconds = 0;
  std::int64_t resident_bytes_before = 0;
  std::int64_t resident_bytes_after = 0;
  bool complete = false;
};
IdleResult run_idle(int count, std::uint16_t port, int server_pid);

/// User and system time of a process, in seconds.
double cpu_seconds(int pid);
std::int64_t resident_bytes(int pid);

}  // namespace feedvault::bench
