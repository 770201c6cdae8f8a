#include "broker/streams/consumer_update.h"

namespace feedvault::broker::streams {

std::optional<ApiError> check_consumer_update(const ConsumerConfig& current,
                                              const ConsumerConfig& wanted,
                                              bool bound) {
  const auto refused = [](std::string_view what) {
    return make_error(errors::kConsumerCreate, what);
  };
  if (current.deliver_policy != wanted.deliver_policy) {
    return refused("deliver policy can not be updated");
  }
  if (current.mem_storage != wanted.mem_storage) {
    return refused("storage type can not be updated");
  }
  if (current.delivers_written() != wanted.delivers_written()) {
    return refused(std::string(kDeliverKey) + " can not be updated");
  }
  if (current.opt_start_seq != wanted.opt_start_seq) {
    return refused("start sequence can not be updated");
  }
  if (current.opt_start_time_ns != wanted.opt_start_time_ns) {
    return refused("start time can not be updated");
  }
  if (current.ack_policy != wanted.ack_policy) {
    return refused("ack policy can not be updated");
  }
  if (current.replay_policy != wanted.replay_policy) {
    return refused("replay policy can not be updated");
  }
  if (current.idle_heartbeat_ns != wanted.idle_heartbeat_ns) {
    return refused("heart beats can not be updated");
  }
  if (current.flow_control != wanted.flow_control) {
    return refused("flow control can not be updated");
  }
  if (current.deliver_subject != wanted.deliver_subject) {
    if (current.is_pull()) {
      return refused("can not update pull consumer to push based");
    }
    if (wanted.is_pull()) {
      return refused("can not update push consumer to pull based");
    }
    if (bound) {
      return make_error(errors::kConsumerNameInUse);
    }
  }
  if (current.max_waiting != wanted.max_waiting) {
    return refused("max waiting can not be updated");
  }
  return std::nullopt;
}

}  // namespace feedvault::broker::streams
