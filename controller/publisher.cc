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
                     nats::Connection& bulk,
                     nats::Connection& prompt,
                     std::unique_ptr<storage::CatalogueReader> table,
                     Session& session,
                     FeedMetrics& metrics)
    : options_(std::move(options)),
      stream_(options_.feed.feed_stream()),
      bulk_{bulk, {}, nullptr},
      prompt_{prompt, {}, nullptr},
      table_(std::move(table)),
      session_(session),
      metrics_(metrics),
      queue_(kPublishQueueRows, kPublishQueueBytes),
      acked_(options_.stream_tail),
      committed_(options_.committed_tail),
      catching_up_(behind_at_start()),
      next_seq_(options_.stream_tail + 1),
      last_ack_(steady_clock::now()) {}

Status Publisher::start() {
  RETURN_IF_ERROR(open(bulk_));
  RETURN_IF_ERROR(open(prompt_));
  thread_ = std::thread([this] {
    run();
    queue_.close();  // the committer must not wait for room that nobody makes any more
  });
  return {};
}

Status Publisher::open(Lane& lane) {
  const std::string inbox = lane.connection.new_inbox();
  lane.reply_prefix = inbox + ".";
  ASSIGN_OR_RETURN(lane.acks,
                   lane.connection.subscribe(
                       inbox + ".*",
                       [this, &lane](const nats::Message& message) { on_ack(lane, message); },
                       [this] {
                         session_.fail(unavailable("publishing to " + stream_ +
                                                   ": the connection to the broker was lost"));
                       }));
  return {};
}

void Publisher::stop() {
  stopping_.store(true, std::memory_order_release);
  queue_.close();
  ack_arrived_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
  bulk_.acks.reset();
  prompt_.acks.reset();
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
  if (publish_at_once(rows)) {
    return;
  }
  queued_.fetch_add(rows.size());
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
  if (next_seq_.load() <= committed_) {
    return false;
  }
  catching_up_ = false;
  return true;
}

void Publisher::run() {
  if (behind_at_start() && !catch_up()) {
    return;
  }
  std::vector<CommittedRow> rows;
  while (!ended()) {
    rows.clear();
    const auto deadline = steady_clock::now() + std::chrono::seconds(1);
    if (!queue_.pop_batch(rows, kBacklogRows, kBacklogBytes, deadline)) {
      // Nothing to publish: a good moment to notice acknowledgements that never came.
      if (!wait_for_acks(options_.window) || queue_.drained()) {
        return;
      }
      continue;
    }
    if (!publish_queued(rows)) {
      return;
    }
    queued_.fetch_sub(rows.size());
  }
}

bool Publisher::catch_up() {
  lane_ = &bulk_;
  while (!caught_up()) {
    if (ended()) {
      return false;
    }
    auto rows =
        table_->read_range(options_.feed.number, next_seq_.load(), kBacklogRows, kBacklogBytes);
    if (!rows.has_value()) {
      session_.fail(rows.error().with_context("reading rows to publish"));
      return false;
    }
    if (rows->empty() || rows->front().seq != next_seq_.load()) {
      session_.fail(
          Status(StatusCode::kCorruption,
                 fmt::format("table Messages has no row {} of feed {}, which is committed",
                             next_seq_.load(),
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

bool Publisher::publish_at_once(const std::vector<CommittedRow>& rows) {
  if (rows.size() > kPromptRows || queued_.load() != 0 ||
      in_flight() + rows.size() > options_.window || (lane_ != &prompt_ && in_flight() != 0)) {
    return false;
  }
  lane_ = &prompt_;
  for (const CommittedRow& row : rows) {
    if (!publish_row(row)) {
      break;  // the session has ended
    }
  }
  return true;
}

bool Publisher::publish_queued(const std::vector<CommittedRow>& rows) {
  if (!use_bulk_lane()) {
    return false;
  }
  for (const CommittedRow& row : rows) {
    if (!publish_row(row)) {
      return false;
    }
  }
  if (rows.size() <= kFlushBurstMax) {
    if (const Status flushed = bulk_.connection.flush(kPubAckTimeout); !flushed.ok()) {
      session_.fail(flushed.with_context("publishing to " + stream_));
      return false;
    }
  }
  return true;
}

bool Publisher::use_bulk_lane() {
  if (lane_ != &bulk_) {
    if (!wait_for_acks(0)) {
      return false;
    }
    lane_ = &bulk_;
  }
  return true;
}

bool Publisher::publish_row(const CommittedRow& row) {
  const std::uint64_t next_seq = next_seq_.load();
  if (row.seq != next_seq) {
    session_.fail(internal_error(fmt::format(
        "row {} came to the publisher of {} after {}", row.seq, stream_, next_seq - 1)));
    return false;
  }
  const bool full = in_flight() >= options_.window;
  if (!wait_for_acks(full ? options_.window / 2 : options_.window, &row)) {
    return false;
  }
  // Before its PubAck can come: the publisher's thread may be looking what is owed.
  next_seq_.store(next_seq + 1);
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
  reply_.assign(lane_->reply_prefix).append(seq);
  const nats::Header headers[] = {{"Nats-Msg-Id", std::string_view(text.data(), text.size())},
                                  {"Nats-Expected-Last-Sequence", previous},
                                  {"Feed-Id", row.id},
                                  {"Feed-Seq", seq},
                                  {"Feed-Timestamp", timestamp}};
  const Status sent = lane_->connection.publish({.subject = options_.feed.republish,
                                                 .reply = reply_,
                                                 .headers = headers,
                                                 .payload = row.payload()});
  if (sent.code() == StatusCode::kInvalidArgument) {
    // It fitted when it was catalogued. Trying again cannot help, and rows behind it must wait.
    session_.fail(Status(StatusCode::kCorruption,
                         fmt::format("row {} cannot be published to {}: {}; raise it there, then "
                                     "restart the controller",
                                     row.seq,
                                     stream_,
                                     sent.message())));
    return false;
  }
  if (!sent.ok()) {
    session_.fail(sent.with_context("publishing to " + stream_));
    return false;
  }
  FAILPOINT("publish.sent");
  return true;
}

bool Publisher::wait_for_acks(std::uint64_t in_flight_max, const CommittedRow* next) {
  MutexLock lock(ack_mutex_);
  if (next != nullptr && sampled_seq_ == 0) {
    sampled_seq_ = next->seq;
    sampled_timestamp_us_ = next->timestamp_us;
  }
  for (;;) {
    if (ended()) {
      return false;
    }
    const std::uint64_t owed = in_flight();
    if (owed == 0) {
      last_ack_ = steady_clock::now();  // the wait starts with the next publish
    }
    if (owed > 0 && steady_clock::now() > last_ack_ + kPubAckTimeout) {
      session_.fail(timeout_error(fmt::format("no PubAck from {} in {} s, {} publishes in flight",
                                              stream_,
                                              kPubAckTimeout.count(),
                                              owed)));
      return false;
    }
    if (owed <= in_flight_max) {
      return true;
    }
    awaited_seq_ = next_seq_.load() - 1 - in_flight_max;
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

void Publisher::on_ack(const Lane& lane, const nats::Message& message) {
  const std::string_view subject = message.subject();
  std::uint64_t seq = 0;
  if (subject.size() > lane.reply_prefix.size()) {
    std::from_chars(
        subject.data() + lane.reply_prefix.size(), subject.data() + subject.size(), seq);
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
