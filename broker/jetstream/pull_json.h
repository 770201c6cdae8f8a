#pragma once

#include <cstdint>
#include <string_view>

#include "broker/streams/pull_requests.h"

namespace feedvault::broker::jetstream {

// Private to the wire API: the JSON that comes with pull requests and acknowledgements.

/// As nats-server reads it: a number is a batch, an object says more, anything else asks for one
/// message. False: an object that cannot be read.
bool read_pull_request(std::string_view payload, streams::PullRequest& request);
/// `{"delay": ns}` of a -NAK; 0 when it cannot be read.
std::int64_t read_nak_delay(std::string_view json);

}  // namespace feedvault::broker::jetstream
