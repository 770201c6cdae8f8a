#include "gateway/live_feed.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "client/nats/jetstream.h"
#include "gateway/limits.h"
#include "gateway/live_stream.h"

namespace feedvault::gateway {
namespace {

constexpr std::chrono::milliseconds kAskTimeout{3000};
constexpr std::chrono::milliseconds kFirstWait{50};
constexpr std::chrono::milliseconds kLongestWait{1000};

}  // namespace

std::size_t EventRing::bytes_of(const Entry& entry) {
  return sizeof(Entry) + entry.id.size() + entry.data.size() +
         (entry.event == nullptr ? 0 : entry.event->size());
}

void EventRing::start_at(std::uint64_t next_seq) {
  MutexLock lock(mutex_);
  entries_.clear();
  bytes_ = 0;
  next_seq_ = next_seq;
}

void EventRing::push(std::uint64_t seq,
                     std::int64_t timestamp_us,
                     std::string_view id,
                     std::string_view data) {
  MutexLock lock(mutex_);
  if (seq < next_seq_) {
    return;
  }
  if (seq > next_seq_) {
    entries_.clear();
    bytes_ = 0;
  }
  next_seq_ = seq + 1;
  entries_.push_back({timestamp_us, std::string(id), std::string(data), nullptr});
  bytes_ += bytes_of(entries_.back());
  while (entries_.size() > 1 && (entries_.size() > kRingEvents || bytes_ > kRingBytes)) {
    bytes_ -= bytes_of(entries_.front());
    entries_.pop_front();
  }
}

std::optional<SeqRange> EventRing::held() const {
  MutexLock lock(mutex_);
  if (next_seq_ == 0) {
    return std::nullopt;
  }
  return SeqRange{.first = next_seq_ - entries_.size(), .last = next_seq_ - 1};
}

std::size_t EventRing::take(std::uint64_t from, std::vector<Piece>& pieces, LiveStream* waiter) {
  MutexLock lock(mutex_);
  const std::uint64_t first = next_seq_ - entries_.size();
  if (from >= next_seq_) {
    waiters_.insert(waiter);
    return 0;
  }
  if (from < first) {
    return 0;
  }
  std::size_t count = 0;
  std::size_t size = 0;
  for (auto at = static_cast<std::size_t>(from - first);
       at < entries_.size() && pieces.size() < kWritePieces && size < kWriteBytes;
       ++at) {
    Entry& entry = entries_[at];
    if (entry.event == nullptr) {
      std::string event;
      writer_.append_event({.seq = first + at,
                            .timestamp_us = entry.timestamp_us,
                            .id = entry.id,
                            .data = entry.data,
                            .body = {}},
                           event);
      bytes_ -= bytes_of(entry);
      entry.event = std::make_shared<const std::string>(std::move(event));
      entry.id = std::string();
      entry.data = std::string();
      bytes_ += bytes_of(entry);
    }
    size += entry.event->size();
    pieces.push_back(entry.event);
    ++count;
  }
  return count;
}

std::unordered_set<LiveStream*> EventRing::take_waiters() {
  MutexLock lock(mutex_);
  return std::exchange(waiters_, {});
}

bool EventRing::has_waiters() const {
  MutexLock lock(mutex_);
  return !waiters_.empty();
}

void EventRing::forget(LiveStream* waiter) {
  MutexLock lock(mutex_);
  waiters_.erase(waiter);
}

LiveFeed::LiveFeed(const Feed& feed,
                   nats::Connection& broker,
                   StreamService& service,
                   Metrics& metrics)
    : feed_(feed), broker_(broker), service_(service), ring_(feed) {
  const Metrics::Labels labels{{"feed", feed.name()}};
  readers_gauge_ = metrics.gauge("feedvault_gateway_live_readers", "Live readers now", labels);
  events_total_ =
      metrics.counter("feedvault_gateway_live_events_total", "Events handed to readers", labels);
  lost_total_ = metrics.counter(
      "feedvault_gateway_live_lost_total", "Messages that readers were told are lost", labels);
}

LiveFeed::~LiveFeed() {
  stop();
}

void LiveFeed::start(std::shared_ptr<Loop> loop) {
  loop_ = std::move(loop);
  starter_ = std::thread([this] { subscribe(); });
}

void LiveFeed::stop() {
  stop_.request_stop();
  if (starter_.joinable()) {
    starter_.join();
  }
}

void LiveFeed::subscribe() {
  Backoff backoff(kFirstWait, kLongestWait, std::random_device()());
  std::string said;
  for (;;) {
    const Status subscribed = try_to_subscribe();
    if (subscribed.ok()) {
      return;
    }
    if (subscribed.message() != said) {
      said = subscribed.message();
      logger("gateway")->warn(
          "cannot follow the feed yet, trying again feed={} reason=\"{}\"", feed_.name(), said);
    }
    if (stop_.wait_for(backoff.next())) {
      return;
    }
  }
}

// Begins a little before the end, so that readers who come back after a restart of the gateway, all
// at once, find what they missed here and not in the table.
Status LiveFeed::try_to_subscribe() {
  if (!broker_.connected()) {
    return unavailable("no connection to the broker");
  }
  nats::JetStream jetstream(broker_, kAskTimeout);
  const auto stream = jetstream.stream_info(feed_.config.feed_stream());
  std::uint64_t next = 1;  // a stream that is still to be made
  if (stream.has_value()) {
    const std::uint64_t back = std::min<std::uint64_t>(stream->messages, kRingEvents / 4);
    next = stream->last_seq + 1 - std::min(back, stream->last_seq);
    published_at_start_ = stream->last_seq;
  } else if (stream.error().code() != StatusCode::kNotFound) {
    return stream.error();
  }
  ring_.start_at(next);
  SubscribeOptions options;
  options.feed = feed_.name();
  options.start = Start::at_seq(next);
  options.history = false;  // readers of the ring read the table themselves
  RETURN_IF_ERROR(service_.subscribe(options, [this](const FeedMessage& message) {
    ring_.push(message.position.seq, message.timestamp_us, message.id, message.data);
    if (message.position.seq > published_at_start_) {
      latency_.record(Clock::system().unix_ns() / 1000 - message.timestamp_us);
    }
    if (ring_.has_waiters() && !wake_posted_.exchange(true)) {
      loop_->post([this] { wake_readers(); });
    }
    return true;
  }));
  loop_->post([this] { wake_readers(); });
  return {};
}

std::optional<std::uint64_t> LiveFeed::next_new() const {
  const auto held = ring_.held();
  if (!held) {
    return std::nullopt;
  }
  return std::max(held->last, published_at_start_.load()) + 1;
}

void LiveFeed::wake_later(std::weak_ptr<LiveStream> reader) const {
  loop_->post_after(kCatchUpRetry, [reader = std::move(reader)] {
    if (const auto alive = reader.lock()) {
      alive->waited();
    }
  });
}

void LiveFeed::wake_readers() {
  wake_posted_ = false;
  // One that is woken may end, but only itself: it is on the loop's thread that they come and go.
  for (LiveStream* waiter : ring_.take_waiters()) {
    waiter->wake();
  }
}

}  // namespace feedvault::gateway
