#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/doctor.h"
#include "client/nats/jetstream.h"
#include "controller/streams.h"
#include "storage/catalogue_reader.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto kDoctorTimeout = 5s;
// What our headers may need beside a payload.
constexpr std::int64_t kHeaderRoom = 1024;

/// Of a feed, in the order that makes them comparable while everything runs: streams first.
struct FeedFacts {
  Result<nats::StreamInfo> ingest = unavailable("not asked");
  Result<nats::StreamInfo> published = unavailable("not asked");
  Result<storage::FeedState> state = unavailable("not asked");  // kNotFound: it is not in there
};

Result<storage::FeedState> read_state(storage::CatalogueReader& table, const FeedConfig& feed) {
  ASSIGN_OR_RETURN(const auto summaries, table.feeds());
  for (const storage::FeedSummary& summary : summaries) {
    if (summary.feed == feed.number) {
      return summary.state;
    }
  }
  return not_found(feed.name);
}

FeedFacts read_facts(nats::JetStream& jetstream,
                     storage::CatalogueReader* table,
                     const FeedConfig& feed) {
  FeedFacts facts;
  facts.published = jetstream.stream_info(feed.feed_stream());
  if (table != nullptr) {
    facts.state = read_state(*table, feed);
  }
  facts.ingest = jetstream.stream_info(feed.ingest_stream());
  return facts;
}

/// Whether the stream is there and has our limits; says so when not.
bool stream_is_ours(const std::string& check,
                    const Result<nats::StreamInfo>& stream,
                    const nats::StreamConfig& wanted,
                    Grade grade,
                    Findings& findings) {
  if (!stream.has_value()) {
    const bool missing = stream.error().code() == StatusCode::kNotFound;
    findings.fail(check,
                  missing ? "stream " + wanted.name + " is not there" : stream.error().message(),
                  missing ? "start feedvault-controller, which makes it"
                          : "see the broker's log: its streams do not answer");
    return false;
  }
  const auto differing = controller::differing_limits(stream->config, wanted);
  if (!differing.empty()) {
    findings.add({grade,
                  check,
                  fmt::format("stream {} has not the {} that the configuration wants",
                              wanted.name,
                              fmt::join(differing, ", ")),
                  "restart feedvault-controller, which takes it back; then find who changed it"});
    return false;
  }
  if (stream->config.replicas < wanted.replicas) {
    findings.warn(
        check,
        "stream " + wanted.name + " has " + std::to_string(stream->config.replicas) +
            " replicas, not " + std::to_string(wanted.replicas),
        "nats stream edit " + wanted.name + " --replicas=" + std::to_string(wanted.replicas));
    return false;
  }
  return true;
}

/// The alarm of check_ingest(); empty: the ingest stream is the one that was read.
std::string ingest_alarm(nats::JetStream& jetstream, const FeedFacts& facts) {
  if (!facts.ingest.has_value() || !facts.state.has_value()) {
    return {};
  }
  const auto start = controller::check_ingest(jetstream, *facts.ingest, facts.state->ingest);
  return start.has_value() ? start->alarm : start.error().message();
}

void examine_feed(const Config& config,
                  const FeedConfig& feed,
                  nats::JetStream& jetstream,
                  storage::CatalogueReader* table,
                  Findings& findings) {
  const std::string check = "feed " + feed.name;
  FeedFacts facts = read_facts(jetstream, table, feed);
  bool well = stream_is_ours(
      check, facts.ingest, controller::ingest_stream_config(config, feed), Grade::kFail, findings);
  well = stream_is_ours(check,
                        facts.published,
                        controller::feed_stream_config(config, feed),
                        Grade::kWarn,
                        findings) &&
         well;
  std::string alarm = ingest_alarm(jetstream, facts);
  if (!alarm.empty()) {
    // The checkpoint may have moved on, and what it named been purged, since it was read.
    facts = read_facts(jetstream, table, feed);
    alarm = ingest_alarm(jetstream, facts);
  }
  if (!alarm.empty()) {
    well = false;
    findings.fail(check,
                  alarm,
                  "restart feedvault-controller: it reads the stream again, drops what it has, and "
                  "notes what is gone in table Gaps");
  }
  if (table != nullptr && !facts.state.has_value()) {
    well = false;
    if (facts.state.error().code() == StatusCode::kNotFound) {
      findings.warn(check,
                    "the table does not know this feed: its streams are not compared with it",
                    "start feedvault-controller, which enters it");
    } else {
      findings.warn(check,
                    "its streams are not compared with the table: " + facts.state.error().message(),
                    "see the database's log");
    }
  }
  if (facts.published.has_value() && facts.state.has_value() &&
      facts.published->last_seq > facts.state->last_seq) {
    well = false;
    findings.fail(check,
                  "stream " + feed.feed_stream() + " ends at " +
                      std::to_string(facts.published->last_seq) + ", the table at " +
                      std::to_string(facts.state->last_seq) + ": the database lost rows",
                  "restart feedvault-controller, which takes them back from the stream");
  }
  if (well) {
    findings.ok(check,
                "streams " + feed.ingest_stream() + " (" + std::to_string(facts.ingest->messages) +
                    " messages) and " + feed.feed_stream() + " (" +
                    std::to_string(facts.published->messages) + ")");
  }
}

/// The host of "nats://user@host:4222".
std::string host_of(const std::string& url) {
  std::string host = url.substr(url.find("://") == std::string::npos ? 0 : url.find("://") + 3);
  host = host.substr(host.find('@') == std::string::npos ? 0 : host.find('@') + 1);
  if (host.starts_with('[')) {
    return host.substr(1, host.find(']') - 1);
  }
  return host.substr(0, host.find(':'));
}

void examine_promises(const nlohmann::json& varz, const nlohmann::json& jsz, Findings& findings) {
  const std::string version = varz.value("version", "");
  if (!varz.value("go", "").starts_with("go1")) {
    findings.ok("broker", "feedvault-broker " + version);
    return;
  }
  const auto streams = jsz.find("config");
  if (streams != jsz.end() && streams->value("sync_always", false)) {
    findings.ok("broker", "nats-server " + version + ", sync_interval: always");
    return;
  }
  findings.warn(
      "broker",
      "nats-server " + version +
          " acknowledges messages that are not on disk yet: a power cut loses them",
      "set jetstream { sync_interval: always } (2.10 and later), or run feedvault-broker");
}

void examine_monitoring(const Config& config, const std::string& host, Findings& findings) {
  const std::uint16_t port = config.monitor.port;
  const std::int64_t before_us = Clock::system().unix_ns() / 1000;
  const auto varz = http_get(host, port, "/varz", kDoctorTimeout);
  const std::int64_t after_us = Clock::system().unix_ns() / 1000;
  const auto jsz = http_get(host, port, "/jsz", kDoctorTimeout);
  if (!varz.has_value() || !jsz.has_value()) {
    findings.warn("monitoring",
                  varz.has_value() ? jsz.error().message() : varz.error().message(),
                  "start the broker with -m " + std::to_string(port) +
                      ", or correct [monitor] port: its clock, disk and promises are unknown");
    return;
  }
  const std::string place = place_of(host, port);
  try {
    const auto server = nlohmann::json::parse(varz->body);
    const auto streams = nlohmann::json::parse(jsz->body);
    const auto now = parse_rfc3339_ns(server.at("now").get<std::string>());
    examine_promises(server, streams, findings);
    findings.ok("monitoring", "http://" + place);
    if (now.has_value()) {
      findings.add(judge_clock("broker", *now / 1000, before_us, after_us));
    }
    const auto settings = streams.find("config");
    if (is_loopback(host) && settings != streams.end()) {
      // A container's folder need not exist here; then there is nothing to say.
      examine_disk("streams", settings->value("store_dir", ""), findings);
    }
  } catch (const nlohmann::json::exception&) {
    findings.fail("monitoring",
                  "what answers at " + place + " is no NATS server",
                  "correct [monitor] port, or end the program that has taken it");
  }
}

}  // namespace

void examine_broker(const Config& config, bool catalogue, Findings& findings) {
  nats::ConnectionOptions options;
  options.name = "feedvault-doctor";
  auto connection = nats::Connection::open(config.nats, options);
  if (!connection) {
    findings.fail(
        "broker",
        connection.error().message(),
        connection.error().code() == StatusCode::kInvalidArgument
            ? "correct the credentials in [nats] of " + config.path
            : "start feedvault-broker, or correct [nats] host and port in " + config.path);
    return;
  }
  const std::string url = (*connection)->connected_url();
  const std::int64_t room = (*connection)->max_payload() - kHeaderRoom;
  if (room < static_cast<std::int64_t>(config.ingest.message_bytes_max)) {
    findings.warn("broker",
                  "at " + url + "; its max_payload leaves " + std::to_string(room) +
                      " bytes for a message, and [ingest] message_bytes_max is " +
                      std::to_string(config.ingest.message_bytes_max),
                  "raise max_payload, or larger messages are quarantined");
  } else {
    findings.ok("broker", "at " + url);
  }
  nats::JetStream jetstream(**connection, kDoctorTimeout);
  const auto table = catalogue ? storage::CatalogueReader::create(config.mysql) : nullptr;
  for (const FeedConfig& feed : config.feeds) {
    examine_feed(config, feed, jetstream, table.get(), findings);
  }
  examine_monitoring(config, host_of(url), findings);
}

}  // namespace feedvault::cli
