#pragma once

#include <cstdint>

#include "bench/support/figures.h"

namespace feedvault::bench {

// Each brings its own broker, database and controller, private and fresh, and adds its figures.
// They throw std::runtime_error when something does not work.

struct ScenarioOptions {
  std::uint64_t throughput_messages = 300'000;
  std::uint32_t latency_rate = 1000;  // messages a second
  std::uint64_t backlog_messages = 1'000'000;
};

/// Producer to subscriber at full speed, with and without JSON bodies, as a ratio to the database's
/// own ceiling, and the CPU time of every part.
void measure_throughput(const ScenarioOptions& options, Figures& figures);

/// Publish to callback at 1,000 messages/s, against a single-row durable commit.
void measure_latency(const ScenarioOptions& options, Figures& figures);

/// A backlog of a million: the controller's memory, its restart after kill -9 with a million rows
/// in the table, and reading them back.
void measure_backlog(const ScenarioOptions& options, Figures& figures);

}  // namespace feedvault::bench
