#include "controller/feed_monitor.h"

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "controller/limits.h"

namespace feedvault::controller {

using std::chrono::steady_clock;

namespace {

// Checkpoints remembered within keep_s: what is purged is late by at most one step.
constexpr int kPurgeSteps = 60;

}  // namespace

FeedMonitor::FeedMonitor(const Config& config,
                         const FeedConfig& feed,
                         nats::Connection& connection,
                         const Publisher& publisher,
                         Session& session,
                         FeedHealth& health,
                         FeedMetrics& metrics)
    : config_(config),
      feed_(feed),
      jetstream_(connection, kApiTimeout),
      publisher_(publisher),
      session_(session),
      health_(health),
      metrics_(metrics),
      progress_at_(steady_clock::now()),
      measured_at_(progress_at_),
      thread_([this] { run(); }) {}

FeedMonitor::~FeedMonitor() {
  stop_.request_stop();
  thread_.join();
}

void FeedMonitor::run() {
  do {
    const auto ingest = jetstream_.stream_info(feed_.ingest_stream());
    if (ingest.has_value()) {
      measure(*ingest);
      // A session that has lost its broker does not know what the stream holds now.
      if (!session_.failed()) {
        purge(health_.view().ingest_seq);
      }
    }
    if (!stop_.stop_requested()) {
      check_feed_stream();
    }
  } while (!stop_.wait_for(kMonitorInterval));
}

void FeedMonitor::measure(const nats::StreamInfo& ingest) {
  health_.update([&](FeedView& view) { view.published_seq = publisher_.published(); });
  const FeedView before = health_.view();
  const std::int64_t now_ns = Clock::system().unix_ns();
  const std::uint64_t captured = std::max(ingest.last_seq, before.ingest_seq);
  const std::uint64_t lag = ingest.waiting_behind(before.ingest_seq);
  const std::uint64_t unpublished =
      before.last_seq - std::min(before.last_seq, before.published_seq);

  const std::uint64_t mark = before.ingest_seq + before.published_seq;
  const auto now = steady_clock::now();
  if (mark != progress_mark_ || lag + unpublished == 0) {
    progress_mark_ = mark;
    progress_at_ = now;
  }
  const bool stuck = now - progress_at_ > config_.controller.stuck_after_s;
  if (stuck && !before.stuck) {
    logger("controller")
        ->error("feed is stuck feed={} waiting={} unpublished={}", feed_.name, lag, unpublished);
  }

  const double lag_seconds = lag == 0 ? 0.0 : oldest_waits_seconds(ingest, before.ingest_seq);
  const double silent_seconds =
      ingest.last_time_ns > 0 ? static_cast<double>(now_ns - ingest.last_time_ns) * 1e-9 : 0.0;
  const double passed = std::chrono::duration<double>(now - measured_at_).count();
  const double rate =
      captured_before_ > 0 && passed > 0
          ? static_cast<double>(captured - std::min(captured, captured_before_)) / passed
          : 0.0;
  captured_before_ = captured;
  measured_at_ = now;
  metrics_.time_to_loss.set(seconds_to_loss(ingest, lag, lag_seconds, rate));
  metrics_.lag_messages.set(static_cast<double>(lag));
  metrics_.lag_seconds.set(lag_seconds);
  metrics_.unpublished.set(static_cast<double>(unpublished));
  metrics_.silent_seconds.set(std::max(0.0, silent_seconds));
  metrics_.published_seq.set(static_cast<double>(before.published_seq));
  metrics_.ready.set(stuck ? 0 : 1);
  health_.update([&](FeedView& view) {
    view.captured_seq = captured;
    view.lag_seconds = lag_seconds;
    view.silent_seconds = std::max(0.0, silent_seconds);
    view.stuck = stuck;
    if (stuck) {
      view.reason = "messages wait and none gets through";
    } else if (before.stuck) {
      view.reason.clear();
    }
  });
}

// Progress does not tell: a controller that catches up makes much of it, and may be hours behind.
double FeedMonitor::oldest_waits_seconds(const nats::StreamInfo& ingest,
                                         std::uint64_t checkpoint_seq) {
  const std::uint64_t oldest = ingest.next_behind(checkpoint_seq);
  if (const auto message = jetstream_.get_message(feed_.ingest_stream(), oldest)) {
    const std::int64_t waited_ns = Clock::system().unix_ns() - message->time_ns;
    return std::max(0.0, static_cast<double>(waited_ns) * 1e-9);
  }
  // Deleted out of the middle, or the broker does not answer: so long at least, roughly.
  return std::chrono::duration<double>(steady_clock::now() - progress_at_).count();
}

double seconds_to_loss(const nats::StreamInfo& ingest,
                       std::uint64_t lag_messages,
                       double lag_seconds,
                       double captured_per_second) {
  double left = std::numeric_limits<double>::infinity();
  const nats::StreamConfig& limits = ingest.config;
  if (limits.max_age_ns > 0) {
    left = static_cast<double>(limits.max_age_ns) * 1e-9 - lag_seconds;
  }
  const auto until_full = [&](double room) {
    if (room <= 0) {
      left = 0;
    } else if (captured_per_second > 0) {
      left = std::min(left, room / captured_per_second);
    }
  };
  // What is dealt with goes first, whatever the stream holds of it.
  const auto waiting = static_cast<double>(lag_messages);
  if (limits.max_msgs > 0) {
    until_full(static_cast<double>(limits.max_msgs) - waiting);
  }
  if (limits.max_msgs_per_subject > 0) {  // all of them may be of one subject
    until_full(static_cast<double>(limits.max_msgs_per_subject) - waiting);
  }
  if (limits.max_bytes > 0 && ingest.messages > 0) {
    const double message_bytes =
        static_cast<double>(ingest.bytes) / static_cast<double>(ingest.messages);
    until_full(static_cast<double>(limits.max_bytes) / message_bytes - waiting);
  }
  return std::max(0.0, left);
}

void FeedMonitor::check_feed_stream() {
  const std::uint64_t published = publisher_.published();  // before the stream is asked
  const auto stream = jetstream_.stream_info(feed_.feed_stream());
  if (stream.has_value() ? stream->last_seq < published
                         : stream.error().code() == StatusCode::kNotFound) {
    session_.fail(unavailable(feed_.feed_stream() + " no longer holds what was published to it"));
  }
}

void FeedMonitor::purge(std::uint64_t checkpoint_seq) {
  const auto now = steady_clock::now();
  const auto keep = std::chrono::duration_cast<steady_clock::duration>(config_.ingest.keep_s);
  if (checkpoints_.empty() || now - checkpoints_.back().first >= keep / kPurgeSteps) {
    checkpoints_.emplace_back(now, checkpoint_seq);
  }
  std::uint64_t below = 0;
  while (!checkpoints_.empty() && now - checkpoints_.front().first >= keep) {
    below = checkpoints_.front().second;
    checkpoints_.pop_front();
  }
  if (below <= std::max<std::uint64_t>(purged_below_, 1)) {
    return;
  }
  if (const Status purged = jetstream_.purge_below(feed_.ingest_stream(), below); purged.ok()) {
    purged_below_ = below;
    metrics_.purged.increment();
    logger("controller")
        ->debug("purged catalogued messages stream={} below={}", feed_.ingest_stream(), below);
  }
}

}  // namespace feedvault::controller
