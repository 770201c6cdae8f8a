#pragma once

#include <cstdint>

#include "broker/streams/ack_ledger.h"

namespace feedvault::broker::streams {

/// As the API's CONSUMER.INFO.
struct ConsumerInfo {
  std::int64_t created_ns = 0;  // Unix time
  SequencePair delivered;
  std::int64_t last_delivery_ns = 0;  // Unix time; 0: never
  SequencePair ack_floor;
  std::int64_t last_ack_ns = 0;
  std::uint64_t num_ack_pending = 0;
  std::uint64_t num_redelivered = 0;
  std::uint64_t num_waiting = 0;
  std::uint64_t num_pending = 0;
  bool push_bound = false;
  bool paused = false;
  std::int64_t pause_remaining_ns = 0;
};

}  // namespace feedvault::broker::streams
