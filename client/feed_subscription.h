#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "client/feed_decoder.h"
#include "client/feed_join.h"
#include "client/nats/jetstream.h"
#include "client/nats/stream_reader.h"
#include "client/nats_history.h"
#include "client/stream_service.h"

namespace feedvault {

/// One subscription of a StreamService: a thread that reads the feed's stream and, where that does
/// not reach back far enough, its history; that opens both again whenever reading is interrupted,
/// and calls the callback with seq + 1 after seq.
///
/// `join_` is the whole state: what was delivered, and what both sides are known to hold. Whatever
/// goes wrong, reading starts again behind join_->last().
class FeedSubscription {
 public:
  /// `connection` and `hooks` must outlive it.
  FeedSubscription(nats::Connection& connection,
                   SubscribeOptions options,
                   StreamService::Callback callback,
                   const StreamService::Options& hooks);
  FeedSubscription(const FeedSubscription&) = delete;
  FeedSubscription& operator=(const FeedSubscription&) = delete;
  ~FeedSubscription();  // stops after the running callback

  /// Loads the stored position; resolves a start at "new" when the broker answers; starts the
  /// thread.
  Status start();

  /// Last accepted seq, or 0. Any thread.
  std::uint64_t position() const { return position_.load(); }
  bool running() const { return !finished_.load(); }

  /// Stops fetching; what is in memory is still delivered. Any thread.
  void begin_drain() { draining_ = true; }
  /// Waits for the thread's end.
  bool wait_finished(SteadyTime deadline);

 private:
  void run();
  /// Reads until something is in the way: what, or ok when the next round can follow at once.
  Status read_round();
  void begin(std::uint64_t last, bool from_oldest);
  /// Makes join_ of the start; kNotFound while the stream is missing, kUnavailable without a
  /// broker.
  Status resolve_start();
  Status resolve_new();
  Status resolve_time();
  /// Tells join_ what the stream holds.
  Status look_at_stream();
  Status read_history();
  Status open_reader();
  Status read_live();
  /// False when reading on this side ends here: the other has what comes next, or ended_.
  bool take_live(const nats::StreamMessage& message);
  bool take(FeedMessage& message, bool live);
  bool deliver(FeedMessage& message);
  bool call(const FeedMessage& message);
  /// Saves what is unsaved; tries again until it works or we are told to stop.
  bool save();
  void pass_gap();
  void report_gap(const SeqRange& gap);
  void set_phase(Phase phase, const std::string& why = "");
  bool stopping() const { return stop_.stop_requested() || draining_.load(); }
  void set_reader(std::unique_ptr<nats::StreamReader> reader);
  Result<NatsHistory*> history();
  void close_history();

  nats::Connection& connection_;
  nats::JetStream jetstream_;
  const SubscribeOptions options_;
  const std::string stream_;
  const StreamService::Callback callback_;
  const StreamService::Options& hooks_;
  Logger log_ = logger("client");

  // The thread's own, once it runs.
  std::optional<FeedJoin> join_;
  bool new_is_all_ = false;  // a start at "new" that found no stream: all that will be in it is new
  bool ended_ = false;       // the callback refused, or a position could not be saved at the end
  std::uint32_t unsaved_ = 0;
  std::unique_ptr<FeedDecoder> decoder_;
  Backoff backoff_;
  Phase phase_ = Phase::kStarting;
  std::string waits_for_;

  Mutex readers_mutex_;  // both are replaced by the thread, and cancelled by the destructor
  std::unique_ptr<nats::StreamReader> reader_;
  std::unique_ptr<NatsHistory> history_;

  std::atomic<std::uint64_t> position_{0};
  std::atomic<bool> draining_{false};
  StopSource stop_;
  std::atomic<bool> finished_{false};
  StopSource finish_;  // requested when the thread ends, to wait for that with a deadline
  std::thread thread_;
};

}  // namespace feedvault
