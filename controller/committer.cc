#include "controller/committer.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "controller/limits.h"

namespace feedvault::controller {

using std::chrono::steady_clock;
using Fate = storage::CommitOutcome::Fate;

Committer::Committer(Options options,
                     storage::Catalogue& catalogue,
                     storage::Catalogue::RequeueDecoder& requeue_decoder,
                     IngestReader::Queue& queue,
                     Publisher& publisher,
                     Session& session,
                     FeedHealth& health,
                     FeedMetrics& metrics)
    : options_(std::move(options)),
      catalogue_(catalogue),
      requeue_decoder_(requeue_decoder),
      queue_(queue),
      publisher_(publisher),
      session_(session),
      health_(health),
      metrics_(metrics) {}

Status Committer::run() {
  std::vector<IngestMessage> messages;
  while (!session_.failed()) {
    messages.clear();
    const auto deadline = steady_clock::now() + kRequeueInterval / 2;
    if (queue_.pop_batch(messages, options_.batch_rows_max, options_.batch_bytes_max, deadline)) {
      RETURN_IF_ERROR(commit(messages));
      next_keep_alive_ = steady_clock::now() + storage::kKeepAliveInterval;
    } else if (queue_.drained()) {
      return {};
    }
    RETURN_IF_ERROR(housekeeping());
  }
  return {};
}

void Committer::build_batch(const std::vector<IngestMessage>& messages) {
  batch_.messages.clear();
  batch_.quarantine.clear();
  batch_.gaps.clear();
  origin_.clear();
  if (options_.first_gap.has_value()) {
    batch_.gaps.push_back(*options_.first_gap);
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const IngestMessage& message = messages[i];
    const std::uint64_t seq = message.received.stream_seq;
    if (message.gap_first != 0) {
      batch_.gaps.push_back({options_.stream_created_ns,
                             message.gap_first,
                             seq - 1,
                             "missing from the stream when it was read"});
    }
    if (message.good()) {
      batch_.messages.push_back({.id = message.id,
                                 .id_generated = message.id_generated,
                                 .stream_seq = seq,
                                 .timestamp_us = message.timestamp_us(),
                                 .data = message.payload(),
                                 .body = message.body});
      origin_.push_back(i);
    } else {
      batch_.quarantine.push_back({.message_id = message.id,
                                   .stream_seq = seq,
                                   .timestamp_us = message.timestamp_us(),
                                   .data = message.payload(),
                                   .error = message.error});
    }
  }
  const IngestMessage& last = messages.back();
  const auto producer_id = last.received.message.header(kMsgIdHeader);
  batch_.position = {options_.stream_created_ns,
                     last.received.stream_seq,
                     last.received.time_ns,
                     ingest_hash(producer_id.value_or(""), last.payload())};
}

Status Committer::commit(std::vector<IngestMessage>& messages) {
  build_batch(messages);
  const auto started = steady_clock::now();
  auto outcome = catalogue_.commit(batch_);
  if (!outcome.has_value()) {
    return outcome.error();
  }
  CHECK(outcome->items.size() == batch_.messages.size());
  account(messages, *outcome, started);
  options_.first_gap.reset();
  publisher_.offer(committed_rows(messages, *outcome));
  return {};
}

std::vector<CommittedRow> Committer::committed_rows(std::vector<IngestMessage>& messages,
                                                    const storage::CommitOutcome& outcome) const {
  std::vector<CommittedRow> rows;
  rows.reserve(outcome.items.size());
  for (std::size_t i = 0; i < outcome.items.size(); ++i) {
    const storage::CommitOutcome::Item& item = outcome.items[i];
    if (item.fate != Fate::kStored) {
      continue;
    }
    IngestMessage& message = messages[origin_[i]];
    CommittedRow row;
    row.seq = item.seq;
    row.timestamp_us = message.timestamp_us();
    if (item.id.empty()) {
      row.id = std::move(message.id);
    } else {
      row.id = item.id;
    }
    row.message = std::move(message.received.message);
    rows.push_back(std::move(row));
  }
  return rows;
}

void Committer::account(const std::vector<IngestMessage>& messages,
                        const storage::CommitOutcome& outcome,
                        SteadyTime started) {
  double stored = 0;
  double duplicates = 0;
  double conflicts = 0;
  double refused = 0;
  for (const storage::CommitOutcome::Item& item : outcome.items) {
    switch (item.fate) {
      case Fate::kStored:
        ++stored;
        break;
      case Fate::kDuplicate:
        ++duplicates;
        break;
      case Fate::kConflict:
        ++conflicts;
        break;
      case Fate::kQuarantined:
        ++refused;
        break;
    }
  }
  const double bad = static_cast<double>(batch_.quarantine.size()) + conflicts + refused;
  metrics_.catalogued.increment(stored);
  metrics_.duplicates.increment(duplicates);
  metrics_.conflicts.increment(conflicts);
  metrics_.quarantined.increment(bad);
  metrics_.commits.increment();
  metrics_.commit_rows.observe(static_cast<double>(messages.size()));
  const auto now = steady_clock::now();
  metrics_.commit_seconds.observe(std::chrono::duration<double>(now - started).count());
  metrics_.capture_to_commit_seconds.observe(
      static_cast<double>(Clock::system().unix_ns() - messages.front().received.time_ns) * 1e-9);
  metrics_.last_seq.set(static_cast<double>(outcome.last_seq));
  health_.update([&](FeedView& view) {
    view.last_seq = outcome.last_seq;
    view.ingest_seq = batch_.position.stream_seq;
  });
  static const Logger log = logger("controller");
  for (const storage::NewGap& gap : batch_.gaps) {
    metrics_.gaps.increment();
    metrics_.missing_messages.increment(
        gap.last >= gap.first ? static_cast<double>(gap.last - gap.first + 1) : 0);
    log->error("gap in the ingest stream feed={} first={} last={} reason=\"{}\"",
               options_.feed.name,
               gap.first,
               gap.last,
               gap.reason);
  }
  if (bad > 0) {
    log->warn("quarantined messages feed={} count={} first_error=\"{}\"",
              options_.feed.name,
              bad,
              batch_.quarantine.empty() ? "refused by the catalogue, see table Quarantine"
                                        : batch_.quarantine.front().error);
  }
}

Status Committer::housekeeping() {
  const auto now = steady_clock::now();
  if (now >= next_requeue_) {
    next_requeue_ = now + kRequeueInterval;
    ASSIGN_OR_RETURN(auto rows, catalogue_.requeue(requeue_decoder_, kRequeueRows));
    next_keep_alive_ = steady_clock::now() + storage::kKeepAliveInterval;
    if (rows.empty()) {
      return {};
    }
    metrics_.requeued.increment(static_cast<double>(rows.size()));
    logger("controller")
        ->info("requeued messages feed={} count={} last_seq={}",
               options_.feed.name,
               rows.size(),
               rows.back().seq);
    std::vector<CommittedRow> committed;
    for (storage::Row& row : rows) {
      CommittedRow& out = committed.emplace_back();
      out.seq = row.seq;
      out.timestamp_us = row.timestamp_us;
      out.id = std::move(row.id);
      out.data = std::move(row.data);
    }
    health_.update([&](FeedView& view) { view.last_seq = committed.back().seq; });
    publisher_.offer(std::move(committed));
    return {};
  }
  if (now >= next_keep_alive_) {
    next_keep_alive_ = now + storage::kKeepAliveInterval;
    return catalogue_.keep_alive();
  }
  return {};
}

}  // namespace feedvault::controller
