#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "client/nats/connection.h"
#include "gateway/feed.h"
#include "gateway/live_feed.h"
#include "storage/catalogue_reader.h"

namespace feedvault::gateway {

/// How a feed does.
enum class Flow : std::uint8_t {
  kUnknown,  // the broker or the database does not say
  kSilent,   // nothing comes, and nothing waits
  kFlowing,
  kStuck,  // something waits, and nothing gets on
};

/// What is known of a feed, at the last look.
struct FeedStatus {
  std::uint64_t first_seq = 0;  // 0: none
  std::uint64_t last_seq = 0;
  std::int64_t last_timestamp_us = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t quarantined = 0;
  std::uint64_t gaps = 0;
  double rate = 0;                // messages a second, over some seconds
  std::int64_t waiting = -1;      // captured and not yet catalogued; -1: not known
  std::int64_t unpublished = -1;  // catalogued and not yet published
  std::int64_t captured = -1;     // the ingest stream's last sequence
  std::int64_t published = -1;    // the feed stream's
  LatencySpread latency{};        // of the last look at which there was any
  Flow flow = Flow::kUnknown;
  std::string reason{};  // why it is stuck or not known; empty otherwise
};

/// What a look found, for plots.
struct ActivitySample {
  std::int64_t unix_ms = 0;
  double rate = 0;  // since the look before
  std::int64_t waiting = -1;
  std::int64_t unpublished = -1;
  LatencySpread latency{};
};

/// Looks at the catalogue and the broker's streams every kWatchInterval, on a thread and a database
/// connection of its own, so that nobody's request waits for that. Any thread may ask.
class Watch {
 public:
  /// Every feed's, by name.
  using LiveFeeds = std::map<std::string, std::unique_ptr<LiveFeed>>;

  Watch(const MysqlConfig& mysql,
        const FeedList& feeds,
        const LiveFeeds& live,
        nats::Connection& broker,
        Metrics& metrics);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  FeedStatus status(const std::string& feed) const;
  /// Later than `since_ms`, oldest first; at most kActivitySamples.
  std::vector<ActivitySample> activity(const std::string& feed, std::int64_t since_ms) const;
  /// Why the gateway cannot do its work, in words; empty when it can.
  std::string not_ready_reason() const;

 private:
  struct Sample {
    SteadyTime at;
    std::uint64_t last_seq;
  };
  /// When a position moved last, or had nowhere to go.
  struct Progress {
    std::uint64_t position = 0;
    SteadyTime since{};
  };
  struct Gauges {
    Gauge last_seq;
    Gauge rate;
  };

  void run();
  Status look();
  /// The feed streams' last sequences, by feed; without those that the broker does not tell.
  std::map<std::string, std::uint64_t> published_positions();
  void look_at_ingest(const Feed& feed, const storage::IngestPosition& read, FeedStatus& status);
  double rate_of(const std::string& feed, std::uint64_t last_seq);
  void judge_flow(const std::string& feed, std::uint64_t stream_seq, FeedStatus& status);
  void note(const std::string& feed, FeedStatus status);

  const FeedList& feeds_;
  const LiveFeeds& live_;
  nats::Connection& broker_;
  std::unique_ptr<storage::CatalogueReader> catalogue_;
  std::map<std::string, Gauges> gauges_;
  std::map<std::string, std::deque<Sample>> samples_;  // the thread's own, as those below
  std::map<std::string, Progress> catalogued_;
  std::map<std::string, Progress> published_;

  mutable Mutex mutex_;
  std::map<std::string, FeedStatus> statuses_ GUARDED_BY(mutex_);
  std::map<std::string, std::deque<ActivitySample>> activity_ GUARDED_BY(mutex_);
  std::string database_problem_ GUARDED_BY(mutex_) = "the database was not asked yet";

  StopSource stop_;
  std::thread thread_;
};

}  // namespace feedvault::gateway
