// What waits to be written to a receiver that takes too little.

#include <algorithm>

#include "base/log.h"
#include "broker/connection.h"
#include "broker/limits.h"

namespace feedvault::broker {

// More is pending than a healthy receiver has. Whether it is one shows when it is offered to the
// socket, which this may not be the moment for: we can be in the middle of a publish.
void Connection::check_pending() {
  if (!open()) {
    return;
  }
  if (output_.size() > max_pending_ + (blocked_ ? 0 : kTurnOutputBytesMax)) {
    host_.counters.slow_consumers_pending.add(1);
    logger("broker")->warn("slow consumer cid={} ip={} pending_bytes={} limit_bytes={}",
                           id_,
                           peer_.ip,
                           output_.size(),
                           max_pending_);
    slow_consumer(close_reasons::kSlowConsumerPendingBytes);
    return;
  }
  if (output_.size() > max_pending_) {
    host_.turn_output_bytes += kTurnOutputBytesMax;  // flush when this operation is done
  }
  check_receiving();
  host_.congested(*this);
}

void Connection::check_receiving() {
  // A small limit leaves room for what is on its way to this loop when its streams hear of it.
  const std::size_t enough = std::min(kStreamsPendingBytes, max_pending_ / 4);
  if (receiving_.update(open() ? output_.size() : 0, enough)) {
    host_.receiver_ready();
  }
}

void Connection::slow_consumer(std::string_view reason) {
  output_.clear();  // it would not take it anyway; the memory is needed
  blocked_ = false;
  peer_ended_ = true;
  close(reason);
}

std::chrono::milliseconds Connection::stall_for_producers() {
  const SteadyTime now = host_.now();
  if (now - drain_window_begin_ >= kDrainWindow) {
    drained_before_ = drained_;
    drained_ = 0;
    drain_window_begin_ = now;
  }
  const std::size_t pending = output_.size();
  const std::size_t hard = max_pending_ / 2;
  const std::size_t drained = std::max(drained_, drained_before_);
  if (!open() || host_.options->limits.no_fast_producer_stall) {
    return {};
  }
  if (drained >= kFastDrainBytes && pending > std::min(kSoftPendingBytes, hard)) {
    return std::clamp(
        kDrainWindow * static_cast<std::int64_t>(pending) / static_cast<std::int64_t>(drained),
        kStallMin,
        kStallMax);
  }
  return pending > hard && now - last_progress_ < kStallGiveUp ? kStallMin
                                                               : std::chrono::milliseconds(0);
}

}  // namespace feedvault::broker
