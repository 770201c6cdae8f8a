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
#include "storage/catalogue_reader.h"

namespace feedvault::gateway {

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
  std::uint64_t published_seq = 0;
};

/// Looks at the catalogue and the broker's streams every kWatchInterval, on a thread and a database
/// connection of its own, so that nobody's request waits for that. Any thread may ask.
class Watch {
 public:
  Watch(const MysqlConfig& mysql,
        const FeedList& feeds,
        nats::Connection& broker,
        Metrics& metrics);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  FeedStatus status(const std::string& feed) const;
  /// Why the gateway cannot do its work, in words; empty when it can.
  std::string not_ready_reason() const;

 private:
  struct Sample {
    SteadyTime at;
    std::uint64_t last_seq;
  };
  struct Gauges {
    Gauge last_seq;
    Gauge rate;
  };

  void run();
  Status look();
  void look_at_streams(const Feed& feed, std::uint64_t stream_seq, FeedStatus& status);
  double rate_of(const std::string& feed, std::uint64_t last_seq);

  const FeedList& feeds_;
  nats::Connection& broker_;
  std::unique_ptr<storage::CatalogueReader> catalogue_;
  std::map<std::string, Gauges> gauges_;
  std::map<std::string, std::deque<Sample>> samples_;  // the thread's own

  mutable Mutex mutex_;
  std::map<std::string, FeedStatus> statuses_ GUARDED_BY(mutex_);
  std::string database_problem_ GUARDED_BY(mutex_) = "the database was not asked yet";

  StopSource stop_;
  std::thread thread_;
};

}  // namespace feedvault::gateway
