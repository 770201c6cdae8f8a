#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/store/message.h"

namespace feedvault::broker::streams {

using store::StreamSeq;

/// Number of a delivery by one consumer; the first is 1, and redeliveries take new ones.
using ConsumerSeq = std::uint64_t;

/// What a delivered message's reply subject says: `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream
/// seq>.<consumer seq>.<stored at, Unix ns>.<pending>`. Clients acknowledge by publishing to it,
/// and read the message's metadata out of it.
struct AckSubject {
  std::string_view stream;
  std::string_view consumer;
  std::uint64_t deliveries = 0;
  StreamSeq stream_seq = 0;
  ConsumerSeq consumer_seq = 0;
  std::int64_t time_ns = 0;
  std::uint64_t pending = 0;
};

/// Nothing for what is no ack subject. Also reads the longer form with domain and account
/// (`$JS.ACK.<domain>.<account>.<stream>...`, at least 11 tokens), which newer servers may send and
/// clients echo. The views point into `subject`.
std::optional<AckSubject> parse_ack_subject(std::string_view subject);

/// Writes one consumer's ack subjects, each over the one before; no allocation a message. Only the
/// numbers are written each time, behind a prefix that stays.
class AckSubjectWriter {
 public:
  AckSubjectWriter(std::string_view stream, std::string_view consumer);

  /// Lives until the next call. The two names in `subject` are ignored.
  std::string_view write(const AckSubject& subject);

 private:
  std::string text_;
  const std::size_t prefix_;
};

}  // namespace feedvault::broker::streams
