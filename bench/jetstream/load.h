#pragma once

#include <cstdint>
#include <string>

namespace feedvault::bench {

/// What nats.c asks of a server with streams. Every message is of 128 bytes and carries its number.
enum class Shape : std::uint8_t {
  kAsync,    // acknowledged publishes, a window of them without acknowledgement
  kPlain,    // a burst of PUBs; until the stream's message count stops
  kPull,     // a filled stream in batches of 1,000, each acknowledged as a whole
  kOrdered,  // a filled stream by an ordered push consumer
  kSingle,   // one acknowledged publish at a time, in turn with a bare write and fdatasync
};

struct Load {
  Shape shape = Shape::kAsync;
  std::uint64_t messages = 0;
  std::int64_t window = 0;
  std::string folder;  // on the disk that the server stores on, for the bare writes
};

struct Measured {
  double seconds = 0;
  std::uint64_t messages = 0;    // stored (kPlain: possibly fewer than sent), or delivered
  double server_cpu_us = 0;      // of each of them
  double client_cpu_us = 0;      // of each of them: nats.c and this program
  double p50_us = 0;             // kSingle only
  double p99_us = 0;             // kSingle only
  double bare_write_p50_us = 0;  // kSingle only
  double bare_write_p99_us = 0;  // kSingle only

  double per_second() const { return static_cast<double>(messages) / seconds; }
};

/// Drives the fresh server on loopback's `port`, whose process is `server_pid`. Throws
/// std::runtime_error when messages are missing or out of order; of a burst of plain PUBs they may
/// be missing.
Measured run_load(const Load& load, std::uint16_t port, int server_pid);

}  // namespace feedvault::bench
