#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "client/feed_join.h"
#include "client/stream_service.h"
#include "gateway/feed.h"
#include "gateway/http/message.h"
#include "gateway/http/session.h"
#include "gateway/latency.h"
#include "gateway/message_writer.h"

namespace feedvault::gateway {

class LiveStream;

/// The newest messages of one feed, as events, for all its readers: each is written as text once,
/// by the first reader that comes to it, and shared by reference. Bounded by kRingEvents and
/// kRingBytes; the oldest go first. Any thread.
class EventRing {
 public:
  explicit EventRing(const Feed& feed) : writer_(feed) {}

  /// Forgets everything; the next message is `next_seq`.
  void start_at(std::uint64_t next_seq);
  /// Older ones are dropped; a jump forgets what came before it.
  void push(std::uint64_t seq,
            std::int64_t timestamp_us,
            std::string_view id,
            std::string_view data);

  /// What it holds; nullopt before start_at().
  std::optional<SeqRange> held() const;

  /// Appends the events from `from` on, at most kWritePieces and about kWriteBytes; how many. When
  /// there are none yet, `waiter` is remembered until take_waiters().
  std::size_t take(std::uint64_t from, std::vector<Piece>& pieces, LiveStream* waiter);
  std::unordered_set<LiveStream*> take_waiters();
  bool has_waiters() const;
  void forget(LiveStream* waiter);

 private:
  struct Entry {
    std::int64_t timestamp_us;
    std::string id;
    std::string data;
    Piece event;  // null until somebody wants it; then id and data are empty
  };
  static std::size_t bytes_of(const Entry& entry);

  mutable Mutex mutex_;
  MessageWriter writer_ GUARDED_BY(mutex_);
  std::deque<Entry> entries_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t next_seq_ GUARDED_BY(mutex_) = 0;  // 0: not known yet
  std::unordered_set<LiveStream*> waiters_ GUARDED_BY(mutex_);
};

/// One feed's live side: a single subscription, however many readers, that fills the ring and wakes
/// those who wait. Subscribes by itself once the broker is there.
class LiveFeed {
 public:
  LiveFeed(const Feed& feed, nats::Connection& broker, StreamService& service, Metrics& metrics);
  ~LiveFeed();
  LiveFeed(const LiveFeed&) = delete;
  LiveFeed& operator=(const LiveFeed&) = delete;

  /// `loop`: where readers live. Once.
  void start(std::shared_ptr<Loop> loop);
  /// No further message, no further wake-up. The service's subscription must have ended.
  void stop();

  const Feed& feed() const { return feed_; }
  EventRing& ring() { return ring_; }
  /// From the capture of a message until it can be sent to readers.
  LatencyRecorder& latency() { return latency_; }
  /// The position of the next message to be published; nullopt while nobody knows.
  std::optional<std::uint64_t> next_new() const;

  /// Tells the reader, if it is still there, that kCatchUpRetry is over. Any thread.
  void wake_later(std::weak_ptr<LiveStream> reader) const;

  void reader_came() { readers_gauge_.set(++readers_); }
  void reader_went() { readers_gauge_.set(--readers_); }
  void sent(std::size_t events) const { events_total_.increment(events); }
  void lost(std::uint64_t messages) const { lost_total_.increment(messages); }

 private:
  void subscribe();
  Status try_to_subscribe();
  void wake_readers();

  const Feed& feed_;
  nats::Connection& broker_;
  StreamService& service_;
  EventRing ring_;
  LatencyRecorder latency_;
  Gauge readers_gauge_;
  Counter events_total_;
  Counter lost_total_;
  std::atomic<int> readers_{0};
  std::atomic<std::uint64_t> published_at_start_{0};
  std::atomic<bool> wake_posted_{false};
  std::shared_ptr<Loop> loop_;
  StopSource stop_;
  std::thread starter_;
};

}  // namespace feedvault::gateway
