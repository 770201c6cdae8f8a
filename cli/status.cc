#include <cstdio>
#include <map>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/controller_health.h"
#include "client/nats/jetstream.h"
#include "storage/catalogue_reader.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr auto kRateInterval = 1s;
constexpr auto kApiTimeout = 5s;

/// What is known of a feed; unknown where nobody answered.
struct FeedStatus {
  const FeedConfig* feed = nullptr;
  std::optional<std::uint64_t> captured;
  std::optional<std::uint64_t> catalogued;
  std::optional<std::uint64_t> published;
  std::optional<std::uint64_t> quarantined;
  std::optional<std::uint64_t> duplicates;
  std::optional<std::uint64_t> lag_messages;
  std::optional<double> lag_seconds;
  std::optional<double> rate;
  std::string state = "unknown";  // of the controller
  std::string reason;
};

struct Report {
  std::vector<FeedStatus> feeds;
  std::vector<std::string> problems;
  bool ready = false;
};

using Summaries = std::map<std::uint8_t, storage::FeedSummary>;

Result<Summaries> summaries(storage::CatalogueReader& reader) {
  ASSIGN_OR_RETURN(const auto list, reader.feeds());
  Summaries by_number;
  for (const storage::FeedSummary& summary : list) {
    by_number[summary.feed] = summary;
  }
  return by_number;
}

/// Messages that wait, and since when the oldest of them does.
void measure_lag(nats::JetStream& jetstream,
                 const nats::StreamInfo& ingest,
                 const storage::FeedState& state,
                 FeedStatus& status) {
  const bool same_stream = state.ingest.stream_created_ns == ingest.created_ns;
  std::uint64_t done = same_stream ? state.ingest.stream_seq : 0;
  done = std::max(done, ingest.first_seq - 1);
  const std::uint64_t uncatalogued = ingest.last_seq - std::min(ingest.last_seq, done);
  const std::uint64_t unpublished =
      state.last_seq - std::min(state.last_seq, status.published.value_or(state.last_seq));
  status.lag_messages = uncatalogued + unpublished;
  status.lag_seconds = 0;
  if (uncatalogued > 0) {
    if (const auto oldest = jetstream.get_message(ingest.config.name, done + 1)) {
      const std::int64_t waited_ns = Clock::system().unix_ns() - oldest->time_ns;
      status.lag_seconds = std::max(0.0, static_cast<double>(waited_ns) / 1e9);
    }
  }
}

void ask_broker(const Config& config, const Summaries& catalogue, Report& report) {
  nats::ConnectionOptions options;
  options.name = "feedvault-status";
  auto connection = nats::Connection::open(config.nats, options);
  if (!connection) {
    report.problems.push_back("broker: " + connection.error().message());
    return;
  }
  nats::JetStream jetstream(**connection, kApiTimeout);
  for (FeedStatus& status : report.feeds) {
    const auto published = jetstream.stream_info(status.feed->feed_stream());
    if (published) {
      status.published = published->last_seq;
    } else {
      report.problems.push_back("broker: " + published.error().message());
    }
    const auto ingest = jetstream.stream_info(status.feed->ingest_stream());
    if (!ingest) {
      report.problems.push_back("broker: " + ingest.error().message());
      continue;
    }
    status.captured = ingest->last_seq;
    if (const auto found = catalogue.find(status.feed->number); found != catalogue.end()) {
      measure_lag(jetstream, *ingest, found->second.state, status);
    }
  }
}

Summaries ask_catalogue(const Config& config, Report& report) {
  const auto reader = storage::CatalogueReader::create(config.mysql);
  const auto before = summaries(*reader);
  const SteadyTime start = std::chrono::steady_clock::now();
  if (!before) {
    report.problems.push_back("database: " + before.error().message());
    return {};
  }
  std::this_thread::sleep_for(kRateInterval);  // a rate needs two looks
  const auto after = summaries(*reader);
  if (!after) {
    report.problems.push_back("database: " + after.error().message());
    return *before;
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  for (FeedStatus& status : report.feeds) {
    const auto now = after->find(status.feed->number);
    const auto then = before->find(status.feed->number);
    if (now == after->end()) {
      report.problems.push_back("database: feed " + status.feed->name +
                                " is not in the catalogue; has a controller run yet?");
      continue;
    }
    status.catalogued = now->second.state.last_seq;
    status.quarantined = now->second.quarantined;
    status.duplicates = now->second.duplicates;
    if (then != before->end()) {
      status.rate = static_cast<double>(now->second.state.last_seq - then->second.state.last_seq) /
                    passed.count();
    }
  }
  return *after;
}

void ask_controller(const Config& config, Report& report) {
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

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

void print_json(const Report& report) {
  ordered_json feeds = ordered_json::array();
  for (const FeedStatus& status : report.feeds) {
    feeds.push_back({{"name", status.feed->name},
                     {"captured", or_null(status.captured)},
                     {"catalogued", or_null(status.catalogued)},
                     {"published", or_null(status.published)},
                     {"quarantined", or_null(status.quarantined)},
                     {"duplicates", or_null(status.duplicates)},
                     {"lag_messages", or_null(status.lag_messages)},
                     {"lag_seconds", or_null(status.lag_seconds)},
                     {"rate", or_null(status.rate)},
                     {"state", status.state},
                     {"reason", status.reason}});
  }
  const ordered_json out = {
      {"ready", report.ready}, {"feeds", feeds}, {"problems", report.problems}};
  std::printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

std::string number(const std::optional<std::uint64_t>& value) {
  return value ? std::to_string(*value) : "?";
}

std::string decimal(const std::optional<double>& value) {
  if (!value) {
    return "?";
  }
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", *value);
  return text;
}

void print_table(const Report& report) {
  constexpr const char* kFormat = "%-12s %12s %12s %12s %11s %10s %9s %8s %10s  %s\n";
  std::printf(kFormat,
              "FEED",
              "CAPTURED",
              "CATALOGUED",
              "PUBLISHED",
              "QUARANTINED",
              "DUPLICATES",
              "LAG MSGS",
              "LAG S",
              "RATE/S",
              "CONTROLLER");
  for (const FeedStatus& status : report.feeds) {
    std::printf(kFormat,
                status.feed->name.c_str(),
                number(status.captured).c_str(),
                number(status.catalogued).c_str(),
                number(status.published).c_str(),
                number(status.quarantined).c_str(),
                number(status.duplicates).c_str(),
                number(status.lag_messages).c_str(),
                decimal(status.lag_seconds).c_str(),
                decimal(status.rate).c_str(),
                status.state.c_str());
  }
}

}  // namespace

int status(const Config& config, const StatusOptions& options) {
  Report report;
  for (const FeedConfig& feed : config.feeds) {
    report.feeds.emplace_back().feed = &feed;
  }
  const Summaries catalogue = ask_catalogue(config, report);
  ask_broker(config, catalogue, report);
  ask_controller(config, report);
  if (options.json) {
    print_json(report);
  } else {
    print_table(report);
  }
  std::fflush(stdout);  // in this order, also where both go to one file
  for (const std::string& problem : report.problems) {
    std::fprintf(stderr, "feedvault: %s\n", printable(problem, 2000).c_str());
  }
  return report.ready && report.problems.empty() ? kExitOk : kExitProblem;
}

}  // namespace feedvault::cli
