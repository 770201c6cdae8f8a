#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "base/stop_token.h"

namespace feedvault {

struct ProducerOptions {
  std::vector<std::string> feeds;  // "events", "executions"
  double rate = 0;                 // messages of each feed per second; 0: as fast as possible
  std::uint64_t count = 0;         // messages of each feed; 0: for ever
  std::uint64_t seed = 1;
  /// True: JetStream publishes with Nats-Msg-Id "<feed>-<seed>-<n>", repeated until acknowledged.
  /// False: PUB without headers or reply, as producers in the field do; what the broker has not
  /// read when a connection breaks is lost.
  bool acknowledged = false;
};

/// What became of the messages, of all feeds together.
struct ProducerTally {
  std::uint64_t sent = 0;  // once each, however often repeated
  std::uint64_t acknowledged = 0;
  std::uint64_t duplicates = 0;  // acknowledged as known already
  std::uint64_t in_doubt = 0;    // plain: handed to a connection that broke
  double seconds = 0;
};

/// Publishes the messages of each feed's generator on its first captured subject, the feeds in
/// turns, until `count` or `stop`. Waits while the broker is away. kInvalidArgument when the
/// configuration does not have the feed, or the broker refuses credentials or a message.
Result<ProducerTally> produce(const Config& config,
                              const ProducerOptions& options,
                              StopSource& stop);

}  // namespace feedvault
