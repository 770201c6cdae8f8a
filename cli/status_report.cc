#include "cli/status_report.h"

#include <algorithm>
#include <utility>

#include "cli/controller_health.h"
#include "client/nats/jetstream.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto kApiTimeout = 5s;

/// Messages that wait, and since when the oldest of them does.
void measure_lag(nats::JetStream& jetstream,
                 const nats::StreamInfo& ingest,
                 const storage::FeedState& state,
                 FeedStatus& status) {
  const bool same_stream = state.ingest.stream_created_ns == ingest.created_ns;
  const std::uint64_t done = same_stream ? state.ingest.stream_seq : 0;
  const std::uint64_t uncatalogued = ingest.waiting_behind(done);
  const std::uint64_t unpublished =
      state.last_seq - std::min(state.last_seq, status.published.value_or(state.last_seq));
  status.lag_messages = uncatalogued + unpublished;
  status.lag_seconds = 0;
  if (uncatalogued > 0) {
    if (const auto oldest = jetstream.get_message(ingest.config.name, ingest.next_behind(done))) {
      const std::int64_t waited_ns = Clock::system().unix_ns() - oldest->time_ns;
      status.lag_seconds = std::max(0.0, static_cast<double>(waited_ns) / 1e9);
    }
  }
}

/// Null, and a problem, when the broker does not answer.
std::unique_ptr<nats::Connection> open_broker(const Config& config, StatusReport& report) {
  nats::ConnectionOptions options;
  options.name = "feedvault-status";
  auto connection = nats::Connection::open(config.nats, options);
  if (!connection) {
    report.problems.push_back("broker: " + connection.error().message());
    return nullptr;
  }
  return std::move(connection).value();
}

void ask_published(nats::JetStream& jetstream, StatusReport& report) {
  for (FeedStatus& status : report.feeds) {
    if (const auto published = jetstream.stream_info(status.feed->feed_stream())) {
      status.published = published->last_seq;
    } else {
      report.problems.push_back("broker: " + published.error().message());
    }
  }
}

void ask_captured(nats::JetStream& jetstream,
                  const std::map<std::uint8_t, storage::FeedSummary>& catalogue,
                  StatusReport& report) {
  for (FeedStatus& status : report.feeds) {
    const auto ingest = jetstream.stream_info(status.feed->ingest_stream());
    if (!ingest) {
      report.problems.push_back("broker: " + ingest.error().message());
      continue;
    }
    status.captured = ingest->last_seq;
    if (const auto found = catalogue.find(status.feed->number); found != catalogue.end()) {
      // The controller may have read what is not durable yet, which the broker shows to it alone.
      const storage::IngestPosition& read = found->second.state.ingest;
      if (read.stream_created_ns == ingest->created_ns) {
        status.captured = std::max(ingest->last_seq, read.stream_seq);
      }
      measure_lag(jetstream, *ingest, found->second.state, status);
    }
  }
}

void ask_controller(const Config& config, StatusReport& report) {
  const auto health = ask_controller_health(config);
  if (!health) {
    report.problems.push_back("controller: " + health.error().message());
    return;
  }
  report.ready = health->ready;
  if (!health->reason.empty()) {
    report.problems.push_back("controller: " + health->reason);
  }
  for (const ControllerHealth::Feed& feed : health->feeds) {
    for (FeedStatus& status : report.feeds) {
      if (feed.name == status.feed->name) {
        status.state = feed.state;
        status.reason = feed.reason;
      }
    }
    if (!feed.ready) {
      report.problems.push_back("controller: feed " + feed.name + " is " + feed.state +
                                (feed.reason.empty() ? "" : ": " + feed.reason));
    }
  }
}

}  // namespace

StatusReader::StatusReader(const Config& config)
    : config_(config), reader_(storage::CatalogueReader::create(config.mysql)) {}

Result<StatusReader::Look> StatusReader::look() {
  ASSIGN_OR_RETURN(const auto list, reader_->feeds());
  Look seen;
  for (const storage::FeedSummary& summary : list) {
    seen.feeds[summary.feed] = summary;
  }
  seen.at = std::chrono::steady_clock::now();
  return seen;
}

void StatusReader::show_catalogue(const Look& now, StatusReport& report) const {
  for (FeedStatus& status : report.feeds) {
    const auto found = now.feeds.find(status.feed->number);
    if (found == now.feeds.end()) {
      report.problems.push_back("database: feed " + status.feed->name +
                                " is not in the catalogue; has a controller run yet?");
      continue;
    }
    const std::uint64_t last_seq = found->second.state.last_seq;
    status.catalogued = last_seq;
    status.quarantined = found->second.quarantined;
    status.duplicates = found->second.duplicates;
    if (!before_.has_value()) {
      continue;
    }
    const std::chrono::duration<double> passed = now.at - before_->at;
    const auto then = before_->feeds.find(status.feed->number);
    // A table that was restored from a backup goes back.
    if (then != before_->feeds.end() && then->second.state.last_seq <= last_seq) {
      status.rate = static_cast<double>(last_seq - then->second.state.last_seq) / passed.count();
    }
  }
}

void StatusReader::begin() {
  if (auto first = look(); first.has_value()) {
    before_ = std::move(first).value();
  }
}

StatusReport StatusReader::take() {
  StatusReport report;
  for (const FeedConfig& feed : config_.feeds) {
    report.feeds.emplace_back().feed = &feed;
  }
  // Against the flow: what is seen later is further, so a running feed never shows more published
  // than catalogued, or more catalogued than captured.
  const auto broker = open_broker(config_, report);
  std::optional<nats::JetStream> jetstream;
  if (broker != nullptr) {
    jetstream.emplace(*broker, kApiTimeout);
    ask_published(*jetstream, report);
  }
  auto now = look();
  if (now.has_value()) {
    show_catalogue(*now, report);
    before_ = std::move(now).value();
  } else {
    report.problems.push_back("database: " + now.error().message());
    before_.reset();
  }
  if (jetstream.has_value()) {
    ask_captured(*jetstream, before_.has_value() ? before_->feeds : Summaries(), report);
  }
  ask_controller(config_, report);
  return report;
}

}  // namespace feedvault::cli
