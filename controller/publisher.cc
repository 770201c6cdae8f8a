#include "controller/publisher.h"

#include <charconv>
#include <iterator>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "controller/limits.h"

namespace feedvault::controller {

using std::chrono::steady_clock;

Publisher::Publisher(Options options,
                     nats::Connection& connection,
                     std::unique_ptr<storage::CatalogueReader> table,
                     Session& session,
                     FeedMetrics& metrics)
    : options_(std::move(options)),
      stream_(options_.feed.feed_stream()),
      connection_(connection),
      table_(std::move(table)),
      session_(session),
      metrics_(metrics),
      queue_(kPublishQueueRows, kPublishQueueBytes),
      acked_(options_.stream_tail),
      committed_(options_.committed_tail),
      next_seq_(options_.stream_tail + 1),
      last_ack_(steady_clock::now()) {}

Status Publisher::start() {
  const std::string inbox = connection_.new_inbox();
  reply_prefix_ = inbox + ".";
  ASSIGN_OR_RETURN(acks_, connection_.subscribe(inbox + ".*", [this](nats::Message message) {
    on_ack(std::move(message));
  }));
  thread_ = std::thread([this] {
    run();
    queue_.close();  // the committer must not wait for room that nobody makes any more
  });
  return {};
}

void Publisher::stop() {
  stopping_.store(true, std::memory_order_release);
  queue_.close();
  ack_arrived_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
  acks_.reset();
}

void Publisher::offer(std::vector<CommittedRow> rows) {
  if (rows.empty()) {
    return;
  }
  {
    MutexLock lock(hand_over_mutex_);
    committed_ = rows.back().seq;
    if (catching_up_) {
      return;
    }
  }
  for (CommittedRow& row : rows) {
    const std::size_t bytes = row.bytes();
    if (!queue_.push(std::move(row), bytes)) {
      return;
    }
  }
}

Status Publisher::drain(SteadyTime deadline) {
  const std::uint64_t target = committed();
  MutexLock lock(ack_mutex_);
  while (published() < target) {
    awaited_seq_ = target;
    if (ended() || !ack_arrived_.wait_until(ack_mutex_, deadline)) {
      return timeout_error(fmt::format(
          "{} rows are not published yet; they will be at the next start", target - published()));
    }
  }
  return {};
}

std::uint64_t Publisher::committed() {
  MutexLock lock(hand_over_mutex_);
  return committed_;
}

bool Publisher::caught_up() {
  MutexLock lock(hand_over_mutex_);
  if (next_seq_ <= committed_) {
    return false;
  }
  catching_up_ = false;
  return true;
}

void Publisher::run() {
  if (!catch_up()) {
    return;
  }
  std::vector<CommittedRow> rows;
  while (!ended()) {
    rows.clear();
    const auto deadline = steady_clock::now() + std::chrono::seconds(1);
    if (!queue_.pop_batch(rows, kBacklogRows, kBacklogBytes, deadline)) {
      // Nothing to publish: a good moment to notice acknowledgements that never came.
      if (!wait_for_window() || queue_.drained()) {
        return;
      }
      continue;
    }
    if (!publish_live(rows)) {
      return;
    }
  }
}

bool Publisher::catch_up() {
  while (!caught_up()) {
    if (ended()) {
      return false;
    }
    auto rows = table_->read_range(options_.feed.number, next_seq_, kBacklogRows, kBacklogBytes);
    if (!rows.has_value()) {
      session_.fail(rows.error().with_context("reading rows to publish"));
      return false;
    }
    if (rows->empty() || rows->front().seq != next_seq_) {
      session_.fail(
          Status(StatusCode::kCorruption,
                 fmt::format("table Messages has no row {} of feed {}, which is committed",
                             next_seq_,
                             options_.feed.name)));
      return false;
    }
    for (storage::Row& row : *rows) {
      CommittedRow committed;
      committed.seq = row.seq;
      committed.timestamp_us = row.timestamp_us;
      committed.id = std::move(row.id);
      committed.data = std::move(row.data);
      if (!publish_row(committed)) {
        return false;
      }
    }
    metrics_.republished_from_table.increment(static_cast<double>(rows->size()));
  }
  return true;
}

bool Publisher::publish_live(std::vector<CommittedRow>& rows) {
  for (const CommittedRow& row : rows) {
    if (!publish_row(row)) {
      return false;
    }
  }
  if (rows.size() <= kFlushBurstMax) {
    if (const Status flushed = connection_.flush(kPubAckTimeout); !flushed.ok()) {
      session_.fail(flushed.with_context("publishing to " + stream_));
      return false;
    }
  }
  return true;
}

bool Publisher::publish_row(const CommittedRow& row) {
  if (row.seq != next_seq_) {
    session_.fail(internal_error(fmt::format(
        "row {} came to the publisher of {} after {}", row.seq, stream_, next_seq_ - 1)));
    return false;
  }
  if (!wait_for_window(&row)) {
    return false;
  }
  FAILPOINT("publish.before");
  fmt::memory_buffer text;
  const auto number = [](char* buffer, std::uint64_t value) {
    return std::string_view(
        buffer, static_cast<std::size_t>(std::to_chars(buffer, buffer + 20, value).ptr - buffer));
  };
  char seq_text[20];
  char previous_text[20];
  const std::string_view seq = number(seq_text, row.seq);
  const std::string_view previous = number(previous_text, row.seq - 1);
  fmt::format_to(std::back_inserter(text), "{}-{}", options_.feed.name, seq);
  const std::string timestamp = format_rfc3339_us(row.timestamp_us);
  reply_.assign(reply_prefix_).append(seq);
  const nats::Header headers[] = {{"Nats-Msg-Id", std::string_view(text.data(), text.size())},
                                  {"Nats-Expected-Last-Sequence", previous},
                                  {"Feed-Id", row.id},
                                  {"Feed-Seq", seq},
                                  {"Feed-Timestamp", timestamp}};
  const Status sent = connection_.publish({.subject = options_.feed.republish,
                                           .reply = reply_,
                                           .headers = headers,
                                           .payload = row.payload()});
  if (!sent.ok()) {
    session_.fail(sent.with_context("publishing to " + stream_));
    return false;
  }
  FAILPOINT("publish.sent");
  ++next_seq_;
  return true;
}

// Waits until `next` may be on its way. False when the session ended meanwhile, or ends now because
// nothing was acknowledged in time.
bool Publisher::wait_for_window(const CommittedRow* next) {
  const auto in_flight = [this] { return next_seq_ - 1 - published(); };
  MutexLock lock(ack_mutex_);
  if (next != nullptr && sampled_seq_ == 0) {
    sampled_seq_ = next->seq;
    sampled_timestamp_us_ = next->timestamp_us;
  }
  const bool full = in_flight() >= options_.window;
  for (;;) {
    if (ended()) {
      return false;
    }
    if (in_flight() == 0) {
      last_ack_ = steady_clock::now();  // nothing is owed: the wait starts with the next publish
    }
    if (in_flight() > 0 && steady_clock::now() > last_ack_ + kPubAckTimeout) {
      session_.fail(timeout_error(fmt::format("no PubAck from {} in {} s, {} publishes in flight",
                                              stream_,
                                              kPubAckTimeout.count(),
                                              in_flight())));
      return false;
    }
    if (!full || in_flight() <= options_.window / 2) {
      return true;
    }
    awaited_seq_ = next_seq_ - 1 - options_.window / 2;
    ack_arrived_.wait_until(ack_mutex_, steady_clock::now() + std::chrono::milliseconds(100));
  }
}

Status Publisher::check_ack(const nats::PubAck& ack, std::uint64_t seq) const {
  if (ack.error_code != 0) {
    return unavailable(fmt::format("{} did not take row {}: {}", stream_, seq, ack.error_text));
  }
  if (ack.stream != stream_ || ack.seq != seq) {
    return unavailable(
        fmt::format("row {} of {} was acknowledged as {}:{}", seq, stream_, ack.stream, ack.seq));
  }
  return {};
}

void Publisher::on_ack(nats::Message message) {
  const std::string_view subject = message.subject();
  std::uint64_t seq = 0;
  if (subject.size() > reply_prefix_.size()) {
    std::from_chars(subject.data() + reply_prefix_.size(), subject.data() + subject.size(), seq);
  }
  const auto ack = nats::parse_pub_ack(message);
  const Status verdict = ack.has_value() ? check_ack(*ack, seq) : ack.error();
  if (!verdict.ok()) {
    metrics_.publish_doubts.increment();
    session_.fail(verdict);
    ack_arrived_.notify_all();
    return;
  }
  FAILPOINT("publish.acked");
  static const Logger log = logger("controller");
  log->debug("published feed={} seq={} stream_seq={}", options_.feed.name, seq, ack->seq);
  {
    // A stored row proves that all before it are stored: each named its predecessor.
    MutexLock lock(ack_mutex_);
    if (seq > published()) {
      metrics_.published.increment(static_cast<double>(seq - published()));
      acked_.store(seq, std::memory_order_release);
    }
    last_ack_ = steady_clock::now();
    if (sampled_seq_ != 0 && seq >= sampled_seq_) {
      const std::int64_t age_us = Clock::system().unix_ns() / 1000 - sampled_timestamp_us_;
      metrics_.capture_to_publish_seconds.observe(static_cast<double>(age_us) * 1e-6);
      sampled_seq_ = 0;
    }
    if (awaited_seq_ == 0 || seq < awaited_seq_) {
      return;
    }
    awaited_seq_ = 0;
  }
  ack_arrived_.notify_all();
}

}  // namespace feedvault::controller
