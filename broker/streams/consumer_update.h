#pragma once

#include <optional>

#include "broker/streams/api_error.h"
#include "broker/streams/consumer_config.h"

namespace feedvault::broker::streams {

/// Why a consumer with `current` cannot get `wanted`; nothing when it can. Both have been checked
/// for themselves. `bound`: somebody is subscribed to the current deliver subject.
std::optional<ApiError> check_consumer_update(const ConsumerConfig& current,
                                              const ConsumerConfig& wanted,
                                              bool bound);

}  // namespace feedvault::broker::streams
