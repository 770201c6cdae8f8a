#pragma once

#include <cstdint>
#include <string>

#include "bench/support/figures.h"

namespace feedvault::bench {

// Each brings its own broker, database and gateway, private and fresh, and adds its figures. They
// throw std::runtime_error when something does not work.

struct LiveOptions {
  std::size_t readers = 5000;
  std::uint32_t rate = 20;  // messages a second
  std::uint32_t seconds = 20;
  std::string nginx;  // where its packages were unpacked; empty: without
};

/// Every message to every reader of server-sent events, through the whole pipeline: from publish to
/// arrival, memory and CPU time of the gateway; and the CPU time of nginx for the same events.
void measure_live(const LiveOptions& options, Figures& figures);

struct HistoryOptions {
  std::uint64_t rows = 10'000'000;  // in the table
  std::uint64_t read = 1'000'000;   // of them, by one reader as fast as it goes
};

/// The table by HTTP and by StreamService, and how long a page of 100 takes to begin.
void measure_history(const HistoryOptions& options, Figures& figures);

}  // namespace feedvault::bench
