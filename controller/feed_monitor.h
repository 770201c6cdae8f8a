#pragma once

#include <deque>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/config.h"
#include "base/stop_token.h"
#include "client/nats/jetstream.h"
#include "controller/feed_health.h"
#include "controller/feed_metrics.h"
#include "controller/publisher.h"
#include "controller/session.h"

namespace feedvault::controller {

/// Beside the pipeline of an active feed: measures its lag, tells a silent feed from a stuck one,
/// and purges from the ingest stream what has been catalogued for long enough. The message at the
/// checkpoint always stays, as the proof of the stream's identity. On a thread of its own, so that
/// a slow answer of the broker never holds a message up. A feed stream that was deleted or lost its
/// tail while the feed is silent ends the session, so that the next one refills it; other failures
/// are left to the pipeline to notice.
class FeedMonitor {
 public:
  /// Borrows everything.
  FeedMonitor(const Config& config,
              const FeedConfig& feed,
              nats::Connection& connection,
              const Publisher& publisher,
              Session& session,
              FeedHealth& health,
              FeedMetrics& metrics);
  ~FeedMonitor();
  FeedMonitor(const FeedMonitor&) = delete;
  FeedMonitor& operator=(const FeedMonitor&) = delete;

 private:
  void run();
  void measure(const nats::StreamInfo& ingest);
  double oldest_waits_seconds(const nats::StreamInfo& ingest, std::uint64_t checkpoint_seq);
  void check_feed_stream();
  void purge(std::uint64_t checkpoint_seq);

  const Config& config_;
  const FeedConfig& feed_;
  nats::JetStream jetstream_;
  const Publisher& publisher_;
  Session& session_;
  FeedHealth& health_;
  FeedMetrics& metrics_;

  SteadyTime progress_at_;
  std::uint64_t captured_before_ = 0;  // at the measurement before, for the rate
  SteadyTime measured_at_;
  std::uint64_t progress_mark_ = 0;  // changes whenever anything got through
  /// Checkpoints and when they were seen, oldest first; bounded by keep_s / step.
  std::deque<std::pair<SteadyTime, std::uint64_t>> checkpoints_;
  std::uint64_t purged_below_ = 0;

  StopSource stop_;
  std::thread thread_;
};

/// Until limits of the ingest stream's own (max_age, max_msgs, max_msgs_per_subject, max_bytes)
/// could delete the oldest message that is not dealt with, in seconds, if messages go on to arrive
/// so fast and none gets through. Infinite without such limits, which is what the controller sees
/// to when it takes a feed over. `lag_seconds`: since that oldest message was captured.
double seconds_to_loss(const nats::StreamInfo& ingest,
                       std::uint64_t lag_messages,
                       double lag_seconds,
                       double captured_per_second);

}  // namespace feedvault::controller
