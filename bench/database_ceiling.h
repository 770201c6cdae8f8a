#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::bench {

/// Rows to write. Their feed is kCeilingFeed, so that they are told apart from a pipeline's.
struct CeilingOptions {
  std::uint64_t rows = 300'000;
  std::size_t payload_bytes = 128;
  std::size_t rows_per_commit = 1024;
};

inline constexpr std::uint8_t kCeilingFeed = 250;

/// What the database itself can do, without anything of ours: one connection, one prepared
/// multi-row INSERT into Messages (body NULL), executed again and again, each execution a durable
/// transaction. Rows per second. The schema must be there (migrate()); the rows stay.
Result<double> measure_insert_ceiling(const MysqlConfig& config, const CeilingOptions& options);

/// The time that a single-row INSERT into Messages and its durable commit take, `count` times:
/// microseconds, ascending. `rate`: commits begun a second, as messages of a quiet feed come; 0:
/// one right behind the other, when no processor ever sleeps.
Result<std::vector<double>> measure_single_commit_latency(const MysqlConfig& config,
                                                          std::size_t count,
                                                          std::size_t payload_bytes = 128,
                                                          std::uint32_t rate = 0);

/// The value below which the given share of ascending `values` lies; 0 when there are none.
double percentile(const std::vector<double>& ascending, double share);

}  // namespace feedvault::bench
