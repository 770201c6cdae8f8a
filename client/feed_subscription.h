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
#include "client/nats/jetstream.h"
#include "client/nats/stream_reader.h"
#include "client/stream_service.h"

namespace feedvault {

/// One subscription of a StreamService: a thread that reads the feed's stream, opens it again
/// whenever reading is interrupted, and calls the callback with seq + 1 after seq.
///
/// `last_` is the whole state: what was delivered, or what the start said to leave out. Every
/// reader is opened at last_ + 1 and everything up to last_ is dropped, so nothing comes twice; a
/// jump means that the stream does not hold what lies between, and is reported.
class FeedSubscription {
 public:
  FeedSubscription(nats::Connection& connection,
                   SubscribeOptions options,
                   StreamService::Callback callback,
                   std::function<void(const Gap&)> on_gap);
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
  /// Makes last_ of the start; kNotFound while the stream is missing, kUnavailable without a
  /// broker.
  Status resolve_start();
  Status resolve_time();
  Status open_reader();
  /// Delivers until reading is interrupted. True when the subscription is to end.
  bool read();
  bool deliver(const nats::StreamMessage& message);
  bool call(const FeedMessage& message);
  /// Saves what is unsaved; tries again until it works or we are told to stop.
  bool save();
  void report_gap(std::uint64_t first, std::uint64_t last);
  bool stopping() const { return stop_.stop_requested() || draining_.load(); }
  void set_reader(std::unique_ptr<nats::StreamReader> reader);

  nats::Connection& connection_;
  nats::JetStream jetstream_;
  const SubscribeOptions options_;
  const std::string stream_;
  const StreamService::Callback callback_;
  const std::function<void(const Gap&)> on_gap_;
  Logger log_ = logger("client");

  // The thread's own, once it runs.
  std::optional<std::uint64_t> last_;
  bool gap_is_news_ = true;  // false until the first message of a start at "first"
  std::uint32_t unsaved_ = 0;
  std::unique_ptr<FeedDecoder> decoder_;
  Backoff backoff_;
  std::string last_problem_;

  Mutex reader_mutex_;  // reader_ is replaced by the thread, and cancelled by the destructor
  std::unique_ptr<nats::StreamReader> reader_;

  std::atomic<std::uint64_t> position_{0};
  std::atomic<bool> draining_{false};
  StopSource stop_;
  std::atomic<bool> finished_{false};
  StopSource finish_;  // requested when the thread ends, to wait for that with a deadline
  std::thread thread_;
};

}  // namespace feedvault
