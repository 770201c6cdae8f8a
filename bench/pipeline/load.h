#pragma once

#include <cstdint>
#include <string>

#include "bench/support/producer.h"

namespace feedvault::bench {

// The two ends of the pipeline, each a process of its own, so that the operating system tells their
// CPU time apart. Both print one line of key=value to stdout when they are done.

/// publish_executions(). Prints "first_ns=.. last_ns=.. cpu_us=..". Returns the exit code.
int run_producer(const ProducerOptions& options);

struct SubscriberOptions {
  std::uint16_t port = 4222;
  std::string feed = "executions";
  std::uint64_t count = 0;
  std::uint64_t skip = 0;  // warm-up messages that are left out of the latencies
};

/// Follows the feed from its first message with StreamService until `count` messages came. Prints
/// "last_ns=.. cpu_us=.. p50_us=.. p99_us=.. p999_us=..", publish to callback.
int run_subscriber(const SubscriberOptions& options);

}  // namespace feedvault::bench
