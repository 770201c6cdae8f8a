#include "gateway/watch.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/nats/jetstream.h"
#include "gateway/limits.h"

namespace feedvault::gateway {
namespace {

constexpr std::chrono::milliseconds kStreamInfoTimeout{1000};
constexpr std::chrono::seconds kRateWindow{10};
/// Waiting messages without any progress for so long: somebody should look.
constexpr std::chrono::seconds kStuckAfter{10};

}  // namespace

Watch::Watch(const MysqlConfig& mysql,
             const FeedList& feeds,
             const LiveFeeds& live,
             nats::Connection& broker,
             Metrics& metrics)
    : feeds_(feeds),
      live_(live),
      broker_(broker),
      catalogue_(storage::CatalogueReader::create(mysql)) {
  for (const auto& feed : feeds_.all()) {
    const Metrics::Labels labels{{"feed", feed->name()}};
    gauges_[feed->name()] = {
        metrics.gauge("feedvault_gateway_last_seq", "Last position in the catalogue", labels),
        metrics.gauge("feedvault_gateway_rate", "Messages catalogued a second", labels)};
  }
  thread_ = std::thread([this] { run(); });
}

Watch::~Watch() {
  stop_.request_stop();
  thread_.join();
}

FeedStatus Watch::status(const std::string& feed) const {
  MutexLock lock(mutex_);
  const auto found = statuses_.find(feed);
  return found == statuses_.end() ? FeedStatus{} : found->second;
}

std::vector<ActivitySample> Watch::activity(const std::string& feed, std::int64_t since_ms) const {
  MutexLock lock(mutex_);
  const auto found = activity_.find(feed);
  if (found == activity_.end()) {
    return {};
  }
  const auto& samples = found->second;
  const auto first = std::find_if(samples.begin(), samples.end(), [since_ms](const auto& sample) {
    return sample.unix_ms > since_ms;
  });
  return {first, samples.end()};
}

std::string Watch::not_ready_reason() const {
  {
    MutexLock lock(mutex_);
    if (!database_problem_.empty()) {
      return database_problem_;
    }
  }
  return broker_.connected() ? "" : "no connection to the broker";
}

void Watch::run() {
  std::string said;
  do {
    const Status looked = look();
    if (looked.message() != said) {
      said = looked.message();
      if (said.empty()) {
        logger("gateway")->info("the database answers");
      } else {
        logger("gateway")->warn("the database cannot be read reason=\"{}\"", said);
      }
    }
    MutexLock lock(mutex_);
    database_problem_ = looked.message();
  } while (!stop_.wait_for(kWatchInterval));
}

Status Watch::look() {
  // Against the flow, published, catalogued, captured: what is seen later is further, so a running
  // feed never shows more published than catalogued, or more catalogued than captured.
  const std::map<std::string, std::uint64_t> published = published_positions();
  ASSIGN_OR_RETURN(const auto summaries, catalogue_->feeds());
  for (const auto& feed : feeds_.all()) {
    FeedStatus status;
    storage::IngestPosition read;
    for (const storage::FeedSummary& summary : summaries) {
      if (summary.feed == feed->config.number) {
        status.last_seq = summary.state.last_seq;
        status.duplicates = summary.duplicates;
        status.quarantined = summary.quarantined;
        status.gaps = summary.gaps;
        read = summary.state.ingest;
      }
    }
    if (status.last_seq > 0) {
      ASSIGN_OR_RETURN(const auto first, catalogue_->read_range(feed->config.number, 1, 1, 1));
      ASSIGN_OR_RETURN(const auto last,
                       catalogue_->read_range(feed->config.number, status.last_seq, 1, 1));
      status.first_seq = first.empty() ? 0 : first.front().seq;
      status.last_timestamp_us = last.empty() ? 0 : last.front().timestamp_us;
    }
    status.rate = rate_of(feed->name(), status.last_seq);
    if (const auto found = published.find(feed->name()); found != published.end()) {
      status.published = static_cast<std::int64_t>(found->second);
      status.unpublished = static_cast<std::int64_t>(
          status.last_seq - std::min<std::uint64_t>(status.last_seq, found->second));
    }
    look_at_ingest(*feed, read, status);
    judge_flow(feed->name(), read.stream_seq, status);
    gauges_[feed->name()].last_seq.set(status.last_seq);
    gauges_[feed->name()].rate.set(status.rate);
    note(feed->name(), std::move(status));
  }
  return {};
}

void Watch::note(const std::string& feed, FeedStatus status) {
  ActivitySample sample;
  sample.unix_ms = Clock::system().unix_ns() / 1'000'000;
  sample.waiting = status.waiting;
  sample.unpublished = status.unpublished;
  sample.latency = live_.at(feed)->latency().take();
  const std::deque<Sample>& looks = samples_[feed];
  if (looks.size() > 1) {
    const Sample& before = looks[looks.size() - 2];
    const std::chrono::duration<double> time = looks.back().at - before.at;
    const std::uint64_t from = std::min(before.last_seq, looks.back().last_seq);
    sample.rate = static_cast<double>(looks.back().last_seq - from) / std::max(time.count(), 1e-3);
  }
  MutexLock lock(mutex_);
  status.latency = sample.latency.count > 0 ? sample.latency : statuses_[feed].latency;
  statuses_[feed] = std::move(status);
  std::deque<ActivitySample>& activity = activity_[feed];
  activity.push_back(sample);
  if (activity.size() > kActivitySamples) {
    activity.pop_front();
  }
}

void Watch::judge_flow(const std::string& feed, std::uint64_t stream_seq, FeedStatus& status) {
  if (status.waiting < 0 || status.unpublished < 0) {
    // Nobody knows since when: it begins anew with the next look that sees something.
    catalogued_.erase(feed);
    published_.erase(feed);
    status.reason = "the broker does not say what it holds of this feed";
    return;
  }
  const SteadyTime now = std::chrono::steady_clock::now();
  const auto seconds_stuck = [&feed, now](std::map<std::string, Progress>& all,
                                          std::uint64_t position,
                                          std::int64_t more) {
    Progress& progress = all.try_emplace(feed, Progress{position, now}).first->second;
    if (progress.position != position || more == 0) {
      progress = {position, now};
    }
    return std::chrono::duration_cast<std::chrono::seconds>(now - progress.since);
  };
  const auto catalogued = seconds_stuck(catalogued_, stream_seq, status.waiting);
  const auto published =
      seconds_stuck(published_, static_cast<std::uint64_t>(status.published), status.unpublished);
  if (catalogued >= kStuckAfter) {
    status.flow = Flow::kStuck;
    status.reason = fmt::format(
        "{} captured messages wait, and none was catalogued for {} s: the controller's log says "
        "why",
        status.waiting,
        catalogued.count());
  } else if (published >= kStuckAfter) {
    status.flow = Flow::kStuck;
    status.reason = fmt::format(
        "{} catalogued messages wait, and none was published for {} s: the controller's log says "
        "why",
        status.unpublished,
        published.count());
  } else {
    const bool moves = status.rate > 0 || status.waiting > 0 || status.unpublished > 0;
    status.flow = moves ? Flow::kFlowing : Flow::kSilent;
  }
}

std::map<std::string, std::uint64_t> Watch::published_positions() {
  std::map<std::string, std::uint64_t> positions;
  if (!broker_.connected()) {
    return positions;
  }
  nats::JetStream jetstream(broker_, kStreamInfoTimeout);
  for (const auto& feed : feeds_.all()) {
    if (const auto stream = jetstream.stream_info(feed->config.feed_stream())) {
      positions[feed->name()] = stream->last_seq;
    }
  }
  return positions;
}

void Watch::look_at_ingest(const Feed& feed,
                           const storage::IngestPosition& read,
                           FeedStatus& status) {
  if (!broker_.connected()) {
    return;
  }
  nats::JetStream jetstream(broker_, kStreamInfoTimeout);
  if (const auto ingest = jetstream.stream_info(feed.config.ingest_stream())) {
    // The controller may have read what is not durable yet, which the broker shows to it alone.
    const std::uint64_t done = read.stream_created_ns == ingest->created_ns ? read.stream_seq : 0;
    status.captured = static_cast<std::int64_t>(std::max(ingest->last_seq, done));
    status.waiting = static_cast<std::int64_t>(ingest->waiting_behind(done));
  }
}

double Watch::rate_of(const std::string& feed, std::uint64_t last_seq) {
  std::deque<Sample>& samples = samples_[feed];
  const SteadyTime now = std::chrono::steady_clock::now();
  samples.push_back({now, last_seq});
  while (samples.size() > 2 && now - samples.front().at > kRateWindow) {
    samples.pop_front();
  }
  const std::chrono::duration<double> time = now - samples.front().at;
  const std::uint64_t before = std::min(samples.front().last_seq, last_seq);
  return time.count() > 0 ? static_cast<double>(last_seq - before) / time.count() : 0;
}

}  // namespace feedvault::gateway
