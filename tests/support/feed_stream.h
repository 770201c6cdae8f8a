#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "client/nats/connection.h"
#include "client/nats/jetstream.h"

namespace feedvault::testing {

/// Plays the controller's last part for subscribers' tests: a feed stream FEED_<feed>, and messages
/// in it with the headers and sequences that the controller gives them.
class FeedStream {
 public:
  FeedStream(const NatsConfig& config, std::string feed);

  /// Makes the stream, unless it is there; waits for the broker.
  void create(std::uint64_t first_seq = 0);
  void remove();
  /// Appends messages with Feed-Seq [first, last]; payload_of() says what is in them. Waits until
  /// they are stored. Throws std::runtime_error when the stream is not at first - 1.
  void publish(std::uint64_t first, std::uint64_t last, std::size_t padding = 0);
  /// One message with this payload, after `seq` - 1.
  void publish_payload(std::uint64_t seq, std::string_view payload);

  static std::string payload_of(std::uint64_t seq, std::size_t padding = 0);
  static std::string id_of(std::uint64_t seq) { return "id-" + std::to_string(seq); }
  /// Seconds apart, so that tests can start between two.
  static std::int64_t timestamp_us_of(std::uint64_t seq) {
    return 1'700'000'000'000'000 + static_cast<std::int64_t>(seq) * 1'000'000 + 123'456;
  }

  nats::JetStream& jetstream() { return jetstream_; }
  nats::Connection& connection() { return *connection_; }
  const std::string& name() const { return name_; }

 private:
  std::string feed_;
  std::string name_;
  std::unique_ptr<nats::Connection> connection_;
  nats::JetStream jetstream_;
};

}  // namespace feedvault::testing
