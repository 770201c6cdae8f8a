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
/// (rows from before the session, rows while it catches up) is read from the table.
///
/// There are two lanes, each a connection. Many rows go the bulk lane, which collects them for few
/// writes, from a thread of this class. A few rows that find nothing waiting go the prompt lane,
/// written by the committer's thread before offer() returns: on a quiet feed a change of threads
/// costs more than the publish. Nothing orders one connection's messages against the other's, so
/// the lane changes only while no publish is without its PubAck.
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

  /// Borrows connections, session and metrics; all outlive this object. `prompt` has send_asap.
  Publisher(Options options,
            nats::Connection& bulk,
            nats::Connection& prompt,
            std::unique_ptr<storage::CatalogueReader> table,
            Session& session,
            FeedMetrics& metrics);
  ~Publisher() { stop(); }
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  Status start();

  /// Publishes committed rows or hands them over, ascending; the last one's seq is the table's
  /// last. Waits for room unless the publisher is catching up from the table, where it will find
  /// them. Committer's thread.
  void offer(std::vector<CommittedRow> rows);

  /// Waits until all that was committed is acknowledged; kTimeout otherwise.
  Status drain(SteadyTime deadline);
  void stop();

  std::uint64_t published() const { return acked_.load(std::memory_order_acquire); }

 private:
  /// A connection, and where it gets its PubAcks.
  struct Lane {
    nats::Connection& connection;
    std::string reply_prefix;  // "<inbox>."
    std::unique_ptr<nats::Subscription> acks;
  };

  Status open(Lane& lane);
  void run();
  bool behind_at_start() const { return options_.stream_tail < options_.committed_tail; }
  /// Publishes out of the table until nothing is left there, then switches to the queue.
  bool catch_up();
  bool caught_up();
  std::uint64_t committed();
  /// False: not by the prompt lane, not now.
  bool publish_at_once(const std::vector<CommittedRow>& rows);
  bool publish_queued(const std::vector<CommittedRow>& rows);
  bool publish_row(const CommittedRow& row);
  bool use_bulk_lane();
  std::uint64_t in_flight() const { return next_seq_.load() - 1 - published(); }
  /// Waits until at most so many publishes are without their PubAck. False when the session ended
  /// meanwhile, or ends now because nothing was acknowledged in time. `next` comes then.
  bool wait_for_acks(std::uint64_t in_flight_max, const CommittedRow* next = nullptr);
  void on_ack(const Lane& lane, const nats::Message& message);
  Status check_ack(const nats::PubAck& ack, std::uint64_t seq) const;
  bool ended() const { return session_.failed() || stopping_.load(std::memory_order_acquire); }

  const Options options_;
  const std::string stream_;
  Lane bulk_;
  Lane prompt_;
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
  bool catching_up_ GUARDED_BY(hand_over_mutex_);

  /// Rows that were queued and are not published yet. While there are any, and while it catches up,
  /// the publisher's thread alone publishes; else the committer's. It is the committer's that
  /// queues, so it knows which; the next three belong to whoever publishes.
  std::atomic<std::uint64_t> queued_{0};
  std::atomic<std::uint64_t> next_seq_;
  Lane* lane_ = &prompt_;
  std::string reply_;  // reused for each publish

  Mutex ack_mutex_;
  CondVar ack_arrived_;
  SteadyTime last_ack_ GUARDED_BY(ack_mutex_);
  /// Somebody waits for this seq to be acknowledged; 0: nobody. Waking the publisher for each
  /// PubAck would cost a context switch a message.
  std::uint64_t awaited_seq_ GUARDED_BY(ack_mutex_) = 0;
  /// One row at a time is followed from capture to PubAck, for the latency histogram; seq 0: none.
  std::uint64_t sampled_seq_ GUARDED_BY(ack_mutex_) = 0;
  std::int64_t sampled_timestamp_us_ GUARDED_BY(ack_mutex_) = 0;

  std::thread thread_;
};

}  // namespace feedvault::controller
