#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/config.h"
#include "controller/feed_health.h"
#include "controller/feed_metrics.h"
#include "controller/ingest_message.h"
#include "controller/ingest_reader.h"
#include "controller/publisher.h"
#include "controller/session.h"
#include "storage/catalogue.h"

namespace feedvault::controller {

/// Middle stage of a feed's pipeline: takes whatever the reader has queued while the last
/// transaction ran, commits it in one, and hands the new rows to the publisher. Runs on the
/// session's thread.
class Committer {
 public:
  struct Options {
    FeedConfig feed;
    std::int64_t stream_created_ns = 0;
    std::optional<storage::NewGap> first_gap;  // found by the checks, stored with the first batch
    std::uint32_t batch_rows_max = 4096;
    std::uint32_t batch_bytes_max = 4U << 20U;
  };

  /// Borrows everything; `requeue_decoder` prints JSON or returns an empty body.
  Committer(Options options,
            storage::Catalogue& catalogue,
            storage::Catalogue::RequeueDecoder& requeue_decoder,
            IngestReader::Queue& queue,
            Publisher& publisher,
            Session& session,
            FeedHealth& health,
            FeedMetrics& metrics);

  /// Commits until the queue is closed and empty (ok) or the session fails.
  Status run();

 private:
  Status commit(std::vector<IngestMessage>& messages);
  void build_batch(const std::vector<IngestMessage>& messages);
  void account(const std::vector<IngestMessage>& messages,
               const storage::CommitOutcome& outcome,
               SteadyTime started);
  std::vector<CommittedRow> committed_rows(std::vector<IngestMessage>& messages,
                                           const storage::CommitOutcome& outcome) const;
  Status housekeeping();

  Options options_;
  storage::Catalogue& catalogue_;
  storage::Catalogue::RequeueDecoder& requeue_decoder_;
  IngestReader::Queue& queue_;
  Publisher& publisher_;
  Session& session_;
  FeedHealth& health_;
  FeedMetrics& metrics_;

  storage::Batch batch_;             // reused
  std::vector<std::size_t> origin_;  // index in the taken messages of batch_.messages[i]
  SteadyTime next_requeue_{};
  SteadyTime next_keep_alive_{};
};

}  // namespace feedvault::controller
