#pragma once

#include <cstdint>
#include <string_view>

namespace feedvault::nats {

/// What JetStream writes into the reply subject of a delivered message.
struct AckSubject {
  std::uint64_t stream_seq = 0;
  std::uint64_t consumer_seq = 0;
  std::uint64_t deliveries = 0;
  std::int64_t time_ns = 0;  // when the stream stored it, Unix
  std::uint64_t pending = 0;
};

/// Reads both forms; allocates nothing. False when the subject is neither:
///   $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
///   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>. ... .<pending>[.<random>]
bool parse_ack_subject(std::string_view subject, AckSubject& out);

}  // namespace feedvault::nats
