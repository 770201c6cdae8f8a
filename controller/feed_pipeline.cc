#include "controller/feed_pipeline.h"

#include <random>

#include <fmt/format.h>

#include "base/log.h"
#include "client/nats/jetstream.h"
#include "controller/committer.h"
#include "controller/feed_monitor.h"
#include "controller/ingest_reader.h"
#include "controller/limits.h"
#include "controller/publisher.h"
#include "controller/session.h"
#include "controller/streams.h"
#include "storage/catalogue_reader.h"

namespace feedvault::controller {

using std::chrono::steady_clock;

namespace {

Logger log() {
  static const Logger instance = logger("controller");
  return instance;
}

// Decodes again what people asked to requeue, perhaps with a newer schema than when it was refused.
class SchemaRequeueDecoder final : public storage::Catalogue::RequeueDecoder {
 public:
  SchemaRequeueDecoder(const MessageSchema& schema, bool json, std::size_t payload_bytes_max)
      : decoder_(schema.new_decoder()), json_(json), payload_bytes_max_(payload_bytes_max) {}

  Result<std::string> decode(std::string_view data) override {
    // Catalogued, it could not be published, and nothing behind it either.
    if (data.size() > payload_bytes_max_) {
      return invalid_argument(payload_too_large(data.size(), payload_bytes_max_));
    }
    std::string body;
    RETURN_IF_ERROR(json_ ? decoder_->to_json(data, body) : decoder_->check(data));
    return body;
  }

 private:
  std::unique_ptr<MessageSchema::Decoder> decoder_;
  bool json_;
  std::size_t payload_bytes_max_;
};

// Stops that need a person; everything else is retried for ever.
bool needs_a_person(const Status& status) {
  return status.code() == StatusCode::kCorruption;
}

}  // namespace

/// In the order of construction; destruction the other way round stops the threads before what they
/// use goes away.
struct FeedPipeline::Parts {
  Session session;
  std::unique_ptr<storage::Catalogue> catalogue;
  storage::FeedState state;
  nats::StreamInfo ingest;
  nats::StreamInfo feed_stream;
  IngestStart start;
  std::uint64_t last_seq = 0;
  std::unique_ptr<IngestReader::Queue> queue;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<IngestReader> reader;
  std::unique_ptr<FeedMonitor> monitor;
};

FeedPipeline::FeedPipeline(const Config& config,
                           const FeedConfig& feed,
                           std::unique_ptr<MessageSchema> schema,
                           FeedMetrics& metrics)
    : config_(config),
      feed_(feed),
      schema_(std::move(schema)),
      metrics_(metrics),
      health_(feed.name),
      backoff_(kRetryFirst, kRetryMost, std::random_device{}()) {}

FeedPipeline::~FeedPipeline() {
  request_stop();
  join();
}

void FeedPipeline::start() {
  thread_ = std::thread([this] { run(); });
}

void FeedPipeline::request_stop() {
  stop_.request_stop();
  MutexLock lock(active_mutex_);
  if (active_reader_ != nullptr) {
    active_reader_->cancel();
  }
}

void FeedPipeline::join() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void FeedPipeline::run() {
  while (!stop_.stop_requested()) {
    const Status ended = run_session();
    metrics_.end_session();
    if (ended.ok() || stop_.stop_requested()) {
      continue;
    }
    metrics_.session_failures.increment();
    if (needs_a_person(ended)) {
      if (health_.view().phase != FeedPhase::kStopped) {
        log()->error("feed stopped feed={} reason=\"{}\"", feed_.name, ended.message());
      }
      health_.set_phase(FeedPhase::kStopped, ended.message());
      metrics_.ready.set(0);
      stop_.wait_until(SteadyTime::max());
      return;
    }
    report_outage(ended);
    stop_.wait_for(backoff_.next());
  }
}

void FeedPipeline::report_outage(const Status& why) {
  health_.set_phase(FeedPhase::kWaiting, why.message());
  metrics_.ready.set(0);
  // Said once an outage: what follows usually repeats it in other words, and goes to debug.
  if (outage_since_.has_value()) {
    log()->debug("still waiting feed={} reason=\"{}\"", feed_.name, why.message());
    return;
  }
  outage_since_ = steady_clock::now();
  outage_said_ = why.message();
  log()->warn("feed waits and retries feed={} reason=\"{}\"", feed_.name, why.message());
}

void FeedPipeline::report_recovery() {
  backoff_.reset();
  if (outage_since_.has_value()) {
    log()->info("feed goes on feed={} after_s={:.3f} last_reason=\"{}\"",
                feed_.name,
                std::chrono::duration<double>(steady_clock::now() - *outage_since_).count(),
                outage_said_);
    outage_since_.reset();
  }
}

Status FeedPipeline::run_session() {
  Parts parts;
  RETURN_IF_ERROR(wait_for_broker());
  RETURN_IF_ERROR(win_election(parts));
  RETURN_IF_ERROR(prepare(parts));
  return pump(parts);
}

Result<std::unique_ptr<nats::Connection>> FeedPipeline::connect(const std::string& name,
                                                                bool send_asap) const {
  return nats::Connection::open(config_.nats,
                                {.name = name,
                                 .send_asap = send_asap,
                                 .require_at_open = false,
                                 .connect_timeout = std::chrono::seconds(2),
                                 .on_state = nullptr});
}

Status FeedPipeline::wait_for_broker() {
  if (connection_ == nullptr) {
    ASSIGN_OR_RETURN(connection_, connect("feedvault-controller " + feed_.name, false));
  }
  if (prompt_connection_ == nullptr) {
    ASSIGN_OR_RETURN(prompt_connection_,
                     connect("feedvault-controller " + feed_.name + " prompt", true));
  }
  if (!connection_->connected() || !prompt_connection_->connected()) {
    return unavailable("the broker at " + config_.nats.urls().front() + " is away");
  }
  if (const std::uint64_t now = connection_->reconnects(); now != reconnects_seen_) {
    metrics_.broker_reconnects.increment(static_cast<double>(now - reconnects_seen_));
    reconnects_seen_ = now;
  }
  // What an earlier session still had on its way must arrive before the streams are asked.
  RETURN_IF_ERROR(prompt_connection_->flush(kApiTimeout));
  return connection_->flush(kApiTimeout);
}

Status FeedPipeline::win_election(Parts& parts) {
  ASSIGN_OR_RETURN(parts.catalogue, storage::Catalogue::open(config_.mysql, feed_));
  bool said = false;
  for (;;) {
    Status elected = parts.catalogue->elect(kElectionWait);
    if (elected.ok()) {
      break;
    }
    if (elected.code() != StatusCode::kTimeout) {
      return elected;
    }
    if (stop_.stop_requested()) {
      return cancelled("stopping");
    }
    if (!said) {
      said = true;
      report_recovery();
      log()->info("standby: another controller runs the feed feed={}", feed_.name);
      health_.set_phase(FeedPhase::kStandby, "another controller runs this feed");
      metrics_.ready.set(1);
    }
  }
  ASSIGN_OR_RETURN(parts.state, parts.catalogue->take_over());
  if (!connection_->connected()) {
    return unavailable("the broker went away while this controller was standby");
  }
  const auto warnings = parts.catalogue->durability_warnings();
  metrics_.database_durable.set(warnings.empty() ? 1 : 0);
  if (!durability_said_) {
    durability_said_ = true;
    for (const std::string& warning : warnings) {
      log()->warn("the database may lose what it says is committed feed={} setting=\"{}\"",
                  feed_.name,
                  warning);
    }
  }
  return {};
}

Status FeedPipeline::prepare(Parts& parts) {
  nats::JetStream jetstream(*connection_, kApiTimeout);
  const auto table = storage::CatalogueReader::create(config_.mysql);
  ASSIGN_OR_RETURN(parts.ingest, ensure_ingest_stream(jetstream, config_, feed_));
  ASSIGN_OR_RETURN(
      parts.feed_stream,
      ensure_feed_stream(
          jetstream, config_, feed_, connection_->server_version(), parts.state.last_seq, *table));
  const auto decoder = config_.catalogue.json ? schema_->new_decoder() : nullptr;
  ASSIGN_OR_RETURN(parts.last_seq,
                   reconcile_feed_stream(*connection_,
                                         jetstream,
                                         feed_,
                                         parts.feed_stream,
                                         parts.state.last_seq,
                                         decoder.get(),
                                         *parts.catalogue));
  metrics_.restored.increment(static_cast<double>(parts.last_seq - parts.state.last_seq));
  ASSIGN_OR_RETURN(parts.start, check_ingest(jetstream, parts.ingest, parts.state.ingest));
  if (!parts.start.alarm.empty()) {
    log()->error(
        "the ingest stream is not as it was left feed={} {}", feed_.name, parts.start.alarm);
  }
  return {};
}

/// What can be catalogued must fit the broker with our headers.
std::size_t FeedPipeline::payload_bytes_max() const {
  const std::int64_t most = std::min<std::int64_t>(config_.ingest.message_bytes_max,
                                                   connection_->max_payload() - kHeaderBytesMax);
  return static_cast<std::size_t>(std::max<std::int64_t>(most, 0));
}

void FeedPipeline::make_stages(Parts& parts) {
  parts.queue = std::make_unique<IngestReader::Queue>(config_.controller.queue_rows_max,
                                                      config_.controller.queue_bytes_max);
  parts.publisher =
      std::make_unique<Publisher>(Publisher::Options{.feed = feed_,
                                                     .stream_tail = parts.feed_stream.last_seq,
                                                     .committed_tail = parts.last_seq,
                                                     .window = config_.controller.publish_window},
                                  *connection_,
                                  *prompt_connection_,
                                  storage::CatalogueReader::create(config_.mysql),
                                  parts.session,
                                  metrics_);
  parts.reader = std::make_unique<IngestReader>(
      IngestReader::Options{.stream = feed_.ingest_stream(),
                            .stream_created_ns = parts.ingest.created_ns,
                            .start_seq = parts.start.seq,
                            .payload_bytes_max = payload_bytes_max(),
                            .json = config_.catalogue.json,
                            .stop_after_bad_messages = config_.controller.stop_after_bad_messages},
      *connection_,
      *schema_,
      *parts.queue,
      parts.session,
      metrics_);
}

Status FeedPipeline::pump(Parts& parts) {
  make_stages(parts);
  SchemaRequeueDecoder requeue_decoder(*schema_, config_.catalogue.json, payload_bytes_max());
  Committer committer({.feed = feed_,
                       .stream_created_ns = parts.ingest.created_ns,
                       .first_gap = parts.start.gap,
                       .batch_rows_max = config_.controller.batch_rows_max,
                       .batch_bytes_max = config_.controller.batch_bytes_max},
                      *parts.catalogue,
                      requeue_decoder,
                      *parts.queue,
                      *parts.publisher,
                      parts.session,
                      health_,
                      metrics_);
  RETURN_IF_ERROR(parts.publisher->start());
  RETURN_IF_ERROR(parts.reader->start());

  announce(parts);
  activate(parts.reader.get());
  const Status ran = committer.run();
  activate(nullptr);
  if (!ran.ok()) {
    parts.session.fail(ran);
  }
  if (parts.session.failed()) {
    return parts.session.failure();
  }
  // The reader closed the queue: we were asked to stop, or the feed must.
  const Status drained = parts.publisher->drain(steady_clock::now() + kDrainTimeout);
  if (!drained.ok()) {
    log()->warn(
        "stopping with rows unpublished feed={} reason=\"{}\"", feed_.name, drained.message());
  }
  return parts.reader->too_many_bad() ? hold_stopped_feed(parts) : Status();
}

// The feed runs from here on: says so, and starts to watch it.
void FeedPipeline::announce(Parts& parts) {
  report_recovery();
  health_.update([&](FeedView& view) {
    view.last_seq = parts.last_seq;
    view.published_seq = parts.feed_stream.last_seq;
    // Not the checkpoint's: where reading starts over, what lies between is not purged yet.
    view.ingest_seq = parts.start.seq - 1;
  });
  health_.set_phase(FeedPhase::kActive, "");
  metrics_.sessions.increment();
  metrics_.active.set(1);
  metrics_.ready.set(1);
  log()->info(
      "active feed={} epoch={} last_seq={} published={} ingest_from={} broker={} version={}",
      feed_.name,
      parts.state.epoch,
      parts.last_seq,
      parts.feed_stream.last_seq,
      parts.start.seq,
      connection_->connected_url(),
      connection_->server_version());
  parts.monitor = std::make_unique<FeedMonitor>(
      config_, feed_, *connection_, *parts.publisher, parts.session, health_, metrics_);
}

void FeedPipeline::activate(IngestReader* reader) {
  MutexLock lock(active_mutex_);
  active_reader_ = reader;
  if (reader != nullptr && stop_.stop_requested()) {
    reader->cancel();
  }
}

// Stays elected, so that no standby runs into the same messages, until people have looked.
Status FeedPipeline::hold_stopped_feed(Parts& parts) {
  const std::string reason = fmt::format(
      "{} bad messages in a row, probably a new schema; they are in table Quarantine. Mend {} "
      "(message {}), restart the controller, then requeue them",
      config_.controller.stop_after_bad_messages,
      feed_.proto,
      feed_.message);
  log()->error("feed stopped feed={} reason=\"{}\"", feed_.name, reason);
  parts.monitor.reset();  // first: it would say "ready" again
  metrics_.end_session();
  health_.set_phase(FeedPhase::kStopped, reason);
  metrics_.ready.set(0);
  while (!stop_.wait_for(storage::kKeepAliveInterval)) {
    if (const Status alive = parts.catalogue->keep_alive(); !alive.ok()) {
      break;  // the election is lost, the feed stays stopped
    }
  }
  return {StatusCode::kCorruption, reason};
}

}  // namespace feedvault::controller
