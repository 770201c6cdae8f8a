#pragma once

#include <cstdint>
#include <string_view>

namespace feedvault::broker::streams {

enum class AckKind : std::uint8_t {
  kAck,       // done with
  kNak,       // deliver it again, at once or after a delay
  kProgress,  // still working: the ack wait starts anew
  kTerm,      // never deliver it again
  kNext,      // done with, and a pull request for the next ones
  kUnknown,   // ignored, as nats-server does
};

/// What a client published to an ack subject, as far as it is not JSON.
struct AckPayload {
  AckKind kind = AckKind::kUnknown;
  /// Of kNak, when the delay is no JSON; otherwise 0.
  std::int64_t delay_ns = 0;
  /// Without spaces around it. Of kNak: `{"delay": ns}`, for the caller to read, or "" when there
  /// is nothing left to read. Of kNext: a pull request's payload. Of kTerm: the reason, for people.
  std::string_view argument;
};

/// A delay that cannot be read counts as none, as in nats-server. Views point into `payload`.
AckPayload parse_ack_payload(std::string_view payload);

}  // namespace feedvault::broker::streams
