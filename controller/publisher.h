#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/config.h"
#include "base/mutex.h"
#include "client/nats/connection.h"
#include "client/nats/jetstream.h"
#include "controller/bounded_queue.h"
#include "controller/feed_metrics.h"
#include "controller/session.h"
#include "storage/catalogue_reader.h"

namespace feedvault::controller {

/// A committed row on its way to the feed stream. Owns the broker's message, or the bytes read from
/// the table.
struct CommittedRow {
  std::uint64_t seq = 0;
  std::int64_t timestamp_us = 0;
  std::string id;
  nats::Message message;  // valid: its payload is the row's
  std::string data;       // else

  std::string_view payload() const { return message.valid() ? message.payload() : data; }
  std::size_t bytes() const { return sizeof(CommittedRow) + id.size() + payload().size(); }
};

/// Last stage of a feed's pipeline: publishes committed rows in order, each with the stream
/// sequence that must precede it, many in flight. What the committer cannot hand over in memory
/// (rows from before the session, rows while it catches up) is read from the table. Runs on a
/// thread of its own.
///
/// Any doubt (an error in place of a PubAck, none in time, a sequence that is not the row's) ends
/// the session: the next one asks the stream where it stands and goes on from there.
class Publisher {
 public:
  struct Options {
    FeedConfig feed;
    std::uint64_t stream_tail = 0;     // the feed stream's last sequence: already published
    std::uint64_t committed_tail = 0;  // the table's last seq
    std::uint32_t window = 2048;       // publishes without their PubAck
  };

  /// Borrows connection, session and metrics; all outlive this object.
  Publisher(Options options,
            nats::Connection& connection,
            std::unique_ptr<storage::CatalogueReader> table,
            Session& session,
            FeedMetrics& metrics);
  ~Publisher() { stop(); }
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  Status start();

  /// Hands committed rows over, ascending; the last one's seq is the table's last. Waits for room
  /// unless the publisher is catching up from the table, where it will find them. Committer's
  /// thread.
  void offer(std::vector<CommittedRow> rows);

  /// Waits until all that was committed is acknowledged; kTimeout otherwise.
  Status drain(SteadyTime deadline);
  void stop();

  std::uint64_t published() const { return acked_.load(std::memory_order_acquire); }

 private:
  void run();
  /// Publishes out of the table until nothing is left there, then switches to the queue.
  bool catch_up();
  bool caught_up();
  std::uint64_t committed();
  bool publish_live(std::vector<CommittedRow>& rows);
  bool publish_row(const CommittedRow& row);
  bool wait_for_window(const CommittedRow* next = nullptr);
  void on_ack(nats::Message message);
  Status check_ack(const nats::PubAck& ack, std::uint64_t seq) const;
  bool ended() const { return session_.failed() || stopping_.load(std::memory_order_acquire); }

  const Options options_;
  const std::string stream_;
  nats::Connection& connection_;
  std::unique_ptr<storage::CatalogueReader> table_;
  Session& session_;
  FeedMetrics& metrics_;

  BoundedQueue<CommittedRow> queue_;
  std::atomic<std::uint64_t> acked_;
  std::atomic<bool> stopping_{false};

  /// Guards the one decision both sides must agree on: does the committer queue what it commits, or
  /// will the publisher find it in the table?
  Mutex hand_over_mutex_;
  std::uint64_t committed_ GUARDED_BY(hand_over_mutex_);
  bool catching_up_ GUARDED_BY(hand_over_mutex_) = true;

  std::uint64_t next_seq_;    // publisher's thread
  std::string reply_prefix_;  // "<inbox>."
  std::string reply_;         // reused for each publish

  Mutex ack_mutex_;
  CondVar ack_arrived_;
  SteadyTime last_ack_ GUARDED_BY(ack_mutex_);
  /// Somebody waits for this seq to be acknowledged; 0: nobody. Waking the publisher for each
  /// PubAck would cost a context switch a message.
  std::uint64_t awaited_seq_ GUARDED_BY(ack_mutex_) = 0;
  /// One row at a time is followed from capture to PubAck, for the latency histogram; seq 0: none.
  std::uint64_t sampled_seq_ GUARDED_BY(ack_mutex_) = 0;
  std::int64_t sampled_timestamp_us_ GUARDED_BY(ack_mutex_) = 0;

  std::unique_ptr<nats::Subscription> acks_;
  std::thread thread_;
};

}  // namespace feedvault::controller
