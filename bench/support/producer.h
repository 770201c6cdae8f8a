#pragma once

#include <cstdint>
#include <string>

#include "base/config.h"
#include "base/status.h"

namespace feedvault::bench {

struct ProducerOptions {
  std::uint16_t port = 4222;
  std::string subject = "execution";
  std::uint64_t count = 0;
  std::uint32_t rate = 0;  // messages a second, 0: as fast as it goes
  std::uint32_t bytes = 128;
};

/// Publishes executions of exactly `bytes` bytes as plain PUBs, their executionEpoch being the
/// moment of publishing in Unix nanoseconds. Returns when the broker has read them all.
Status publish_executions(const NatsConfig& broker, const ProducerOptions& options);

}  // namespace feedvault::bench
