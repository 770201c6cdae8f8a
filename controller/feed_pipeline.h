#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "client/nats/connection.h"
#include "controller/feed_health.h"
#include "controller/feed_metrics.h"
#include "proto/message_schema.h"
#include "storage/catalogue.h"

namespace feedvault::controller {

class IngestReader;

/// One feed from ingest stream to feed stream, for as long as the process lives.
///
/// Its thread repeats sessions: wait for broker and database, win the election, take the feed over,
/// check and repair (streams.h), then run reader -> committer -> publisher until the first doubt.
/// Every way a session can end - broker or database away, lost COMMIT reply, lost PubAck, fenced -
/// is followed by the same thing: a new session that asks MySQL and the streams where things stand.
/// There is no second recovery path to get wrong.
class FeedPipeline {
 public:
  /// Borrows config, feed and metrics; they outlive this object.
  FeedPipeline(const Config& config,
               const FeedConfig& feed,
               std::unique_ptr<MessageSchema> schema,
               FeedMetrics& metrics);
  /// Stops; see stop().
  ~FeedPipeline();
  FeedPipeline(const FeedPipeline&) = delete;
  FeedPipeline& operator=(const FeedPipeline&) = delete;

  /// Starts the thread. It never fails: what is away is waited for.
  void start();

  /// Asks to stop: reading ends, what is in memory is committed and published within kDrainTimeout.
  /// Does not wait.
  void request_stop();
  void join();

  FeedView view() const { return health_.view(); }

 private:
  struct Parts;  // what one session owns

  void run();
  Status run_session();
  Result<std::unique_ptr<nats::Connection>> connect(const std::string& name, bool send_asap) const;
  Status wait_for_broker();
  Status win_election(Parts& parts);
  Status prepare(Parts& parts);
  std::size_t payload_bytes_max() const;
  void make_stages(Parts& parts);
  Status pump(Parts& parts);
  void announce(Parts& parts);
  Status hold_stopped_feed(Parts& parts);
  void activate(IngestReader* reader);
  void report_outage(const Status& why);
  void report_recovery();

  const Config& config_;
  const FeedConfig& feed_;
  const std::unique_ptr<MessageSchema> schema_;
  FeedMetrics& metrics_;
  FeedHealth health_;
  std::unique_ptr<nats::Connection> connection_;
  std::unique_ptr<nats::Connection> prompt_connection_;  // the publisher's, for a few rows at once
  std::uint64_t reconnects_seen_ = 0;

  StopSource stop_;
  Backoff backoff_;
  /// Set while something is away: since when, and what was said about it.
  std::optional<SteadyTime> outage_since_;
  std::string outage_said_;
  bool durability_said_ = false;

  Mutex active_mutex_;
  IngestReader* active_reader_ GUARDED_BY(active_mutex_) = nullptr;  // to be cancelled by a stop
  std::thread thread_;
};

}  // namespace feedvault::controller
