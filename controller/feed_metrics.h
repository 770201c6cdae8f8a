#pragma once

#include <string>

#include "base/metrics.h"

namespace feedvault::controller {

/// Everything that one feed counts, under the label feed="<name>". Any thread.
struct FeedMetrics {
  FeedMetrics(Metrics& metrics, const std::string& feed);

  /// This process does not run the feed, and measures nothing: what only a session's monitor knows
  /// goes back to "nothing waits", so that no standby shows for ever what it saw last.
  void end_session() const;

  Counter received;                // messages read from the ingest stream
  Counter catalogued;              // rows committed
  Counter duplicates;              // dropped: known id, same bytes
  Counter conflicts;               // quarantined: known id, other bytes
  Counter quarantined;             // quarantined for any reason
  Counter requeued;                // quarantined messages that became rows
  Counter gaps;                    // ranges missing from the ingest stream
  Counter missing_messages;        // messages in them
  Counter restored;                // rows put back from the feed stream
  Counter published;               // rows the feed stream acknowledged
  Counter republished_from_table;  // rows that the publisher had to read again
  Counter publish_doubts;          // answers that were no clean PubAck
  Counter commits;
  Counter sessions;  // times the feed was taken over by this process
  Counter session_failures;
  Counter broker_reconnects;
  Counter purged;  // purges of the ingest stream

  Gauge active;            // 1: this process runs the feed
  Gauge ready;             // as in /readyz
  Gauge last_seq;          // highest catalogued
  Gauge published_seq;     // highest published
  Gauge lag_messages;      // captured, not yet catalogued
  Gauge lag_seconds;       // age of the oldest of them, since the ingest stream has it
  Gauge unpublished;       // catalogued, not yet published
  Gauge silent_seconds;    // since the last captured message
  Gauge time_to_loss;      // seconds until the ingest stream's limits could delete what waits
  Gauge database_durable;  // 0: the server may lose what it said is committed

  Histogram commit_seconds;
  Histogram commit_rows;
  Histogram capture_to_commit_seconds;
  Histogram capture_to_publish_seconds;
};

}  // namespace feedvault::controller
