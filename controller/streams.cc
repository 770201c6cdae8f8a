#include "controller/streams.h"

#include <charconv>
#include <thread>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/nats/stream_reader.h"
#include "controller/ingest_message.h"
#include "controller/limits.h"

namespace feedvault::controller {

nats::StreamConfig ingest_stream_config(const Config& config, const FeedConfig& feed) {
  nats::StreamConfig stream;
  stream.name = feed.ingest_stream();
  stream.description = "Feedvault: captured messages of feed " + feed.name;
  stream.subjects = feed.subjects;
  stream.replicas = config.ingest.replicas;
  stream.duplicate_window_ns = kDuplicateWindowNs;
  return stream;
}

nats::StreamConfig feed_stream_config(const Config& config, const FeedConfig& feed) {
  nats::StreamConfig stream;
  stream.name = feed.feed_stream();
  stream.description = "Feedvault: catalogued messages of feed " + feed.name;
  stream.subjects = {feed.republish};
  stream.max_age_ns = std::chrono::nanoseconds(config.published.keep_s).count();
  stream.max_bytes = config.published.bytes_max;
  stream.replicas = config.published.replicas;
  stream.duplicate_window_ns = kDuplicateWindowNs;
  stream.deny_delete = true;
  stream.deny_purge = true;
  stream.allow_direct = true;
  return stream;
}

std::vector<std::string> differing_limits(const nats::StreamConfig& stream,
                                          const nats::StreamConfig& wanted) {
  std::vector<std::string> names;
  const auto compare = [&](const char* name, bool same) {
    if (!same) {
      names.emplace_back(name);
    }
  };
  compare("subjects", stream.subjects == wanted.subjects);
  compare("max_age", stream.max_age_ns == wanted.max_age_ns);
  compare("max_bytes", stream.max_bytes == wanted.max_bytes);
  compare("max_msgs", stream.max_msgs == wanted.max_msgs);
  compare("max_msgs_per_subject", stream.max_msgs_per_subject == wanted.max_msgs_per_subject);
  compare("duplicate_window", stream.duplicate_window_ns == wanted.duplicate_window_ns);
  return names;
}

namespace {

// "2.10.29" -> {2, 10}; what cannot be read counts as old.
bool knows_first_seq(const std::string& version) {
  int major = 0;
  int minor = 0;
  const char* end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc{} || dot == end) {
    return false;
  }
  std::from_chars(dot + 1, end, minor);
  return major > 2 || (major == 2 && minor >= 10);
}

// Brings an existing stream to `wanted`, keeping what we do not decide.
Result<nats::StreamInfo> adjust(nats::JetStream& jetstream,
                                nats::StreamInfo info,
                                const nats::StreamConfig& wanted) {
  if (differing_limits(info.config, wanted).empty()) {
    return info;
  }
  nats::StreamConfig config = info.config;
  config.subjects = wanted.subjects;
  config.max_age_ns = wanted.max_age_ns;
  config.max_bytes = wanted.max_bytes;
  config.max_msgs = wanted.max_msgs;
  config.max_msgs_per_subject = wanted.max_msgs_per_subject;
  config.duplicate_window_ns = wanted.duplicate_window_ns;
  logger("controller")
      ->info("stream configuration differs from ours and is updated stream={}", config.name);
  return jetstream.update_stream(config);
}

bool is_row(const nats::StoredMessage& message, const storage::Row& row) {
  return message.header("Feed-Id") == row.id && message.payload == row.data &&
         message.header("Feed-Timestamp") == format_rfc3339_us(row.timestamp_us);
}

Status diverged(const FeedConfig& feed, std::uint64_t seq) {
  return {
      StatusCode::kCorruption,
      fmt::format(
          "table and stream {0} hold different messages at seq {1}: two controllers wrote to "
          "different databases, or one was restored. Decide which is right. If it is the table, "
          "delete stream {0}; it is refilled from the table",
          feed.feed_stream(),
          seq)};
}

// Numbers above the table's that no message has: not rows that the table lost.
Status check_tail(nats::JetStream& jetstream,
                  const FeedConfig& feed,
                  std::uint64_t tail,
                  std::uint64_t last_seq) {
  const auto message = jetstream.get_message(feed.feed_stream(), tail);
  if (message.has_value() || message.error().code() != StatusCode::kNotFound) {
    return message.status();
  }
  return {
      StatusCode::kCorruption,
      fmt::format("stream {0} ends at {1} and holds no such message, the table ends at {2}: the "
                  "broker has skipped numbers, as after a power cut with sync = \"interval\", or "
                  "the table lost rows that the stream has dropped since. Restore the table if it "
                  "lost rows; then delete stream {0}, it is refilled from the table",
                  feed.feed_stream(),
                  tail,
                  last_seq)};
}

// The newest seq that both hold must be the same message.
Status compare_at(nats::JetStream& jetstream,
                  const FeedConfig& feed,
                  std::uint64_t seq,
                  storage::Catalogue& catalogue) {
  auto message = jetstream.get_message(feed.feed_stream(), seq);
  if (!message.has_value()) {
    // Expired: the stream's numbers go on, and nothing is left to compare.
    return message.error().code() == StatusCode::kNotFound ? Status() : message.error();
  }
  ASSIGN_OR_RETURN(const auto rows, catalogue.read_range(seq, 1, 1));
  if (rows.empty() || rows.front().seq != seq || !is_row(*message, rows.front())) {
    return diverged(feed, seq);
  }
  return {};
}

Result<storage::Row> row_from_stream(const nats::StreamMessage& message,
                                     MessageSchema::Decoder* body_decoder) {
  storage::Row row;
  row.seq = message.stream_seq;
  const auto id = message.message.header("Feed-Id");
  const auto timestamp = message.message.header("Feed-Timestamp");
  if (!id.has_value() || !timestamp.has_value()) {
    return Status(StatusCode::kCorruption,
                  fmt::format("message {} of the feed stream has no Feed-Id or Feed-Timestamp; "
                              "somebody else published to its subject",
                              message.stream_seq));
  }
  ASSIGN_OR_RETURN(const std::int64_t time_ns, parse_rfc3339_ns(*timestamp));
  row.id = *id;
  row.timestamp_us = time_ns / 1000;
  row.data = message.message.payload();
  if (body_decoder != nullptr && !body_decoder->to_json(row.data, row.body).ok()) {
    row.body.clear();  // catalogued once, so it was good once; the schema has changed since
  }
  return row;
}

// Reads (last_seq, tail] of the feed stream into the table.
Status restore_from_stream(nats::Connection& connection,
                           const FeedConfig& feed,
                           std::uint64_t last_seq,
                           std::uint64_t tail,
                           MessageSchema::Decoder* body_decoder,
                           storage::Catalogue& catalogue) {
  ASSIGN_OR_RETURN(auto reader,
                   nats::StreamReader::open(connection, feed.feed_stream(), last_seq + 1, {}));
  std::vector<storage::Row> rows;
  std::size_t bytes = 0;
  std::uint64_t next = last_seq + 1;
  while (next <= tail) {
    ASSIGN_OR_RETURN(const auto message,
                     reader->next(std::chrono::steady_clock::now() + kApiTimeout));
    if (message.stream_seq != next) {
      return {
          StatusCode::kCorruption,
          fmt::format("the table lost rows {}..{} of feed {}, and stream {} does not hold them any "
                      "more: restore them from a backup",
                      next,
                      message.stream_seq - 1,
                      feed.name,
                      feed.feed_stream())};
    }
    ASSIGN_OR_RETURN(auto row, row_from_stream(message, body_decoder));
    bytes += row.data.size();
    rows.push_back(std::move(row));
    if (next == tail || rows.size() == kBacklogRows || bytes >= kBacklogBytes) {
      RETURN_IF_ERROR(catalogue.restore(rows));
      rows.clear();
      bytes = 0;
    }
    ++next;
  }
  return {};
}

}  // namespace

Result<nats::StreamInfo> ensure_ingest_stream(nats::JetStream& jetstream,
                                              const Config& config,
                                              const FeedConfig& feed) {
  const nats::StreamConfig wanted = ingest_stream_config(config, feed);
  auto info = jetstream.stream_info(wanted.name);
  if (info.has_value()) {
    return adjust(jetstream, std::move(info).value(), wanted);
  }
  if (info.error().code() != StatusCode::kNotFound) {
    return info.error();
  }
  logger("controller")->info("creating stream name={}", wanted.name);
  return jetstream.create_stream(wanted);
}

Result<nats::StreamInfo> ensure_feed_stream(nats::JetStream& jetstream,
                                            const Config& config,
                                            const FeedConfig& feed,
                                            const std::string& server_version,
                                            std::uint64_t last_seq,
                                            storage::CatalogueReader& table) {
  nats::StreamConfig wanted = feed_stream_config(config, feed);
  auto info = jetstream.stream_info(wanted.name);
  if (info.has_value()) {
    return adjust(jetstream, std::move(info).value(), wanted);
  }
  if (info.error().code() != StatusCode::kNotFound) {
    return info.error();
  }
  if (last_seq > 0 && knows_first_seq(server_version)) {
    const std::int64_t oldest_us = (Clock::system().unix_ns() - wanted.max_age_ns) / 1000;
    ASSIGN_OR_RETURN(const auto first, table.seq_at_time(feed.number, oldest_us));
    wanted.first_seq = first.value_or(last_seq + 1);
  }
  logger("controller")->info("creating stream name={} first_seq={}", wanted.name, wanted.first_seq);
  return jetstream.create_stream(wanted);
}

Result<IngestStart> check_ingest(nats::JetStream& jetstream,
                                 nats::StreamInfo stream,
                                 const storage::IngestPosition& checkpoint) {
  const std::string name = stream.config.name;
  // Read before it was durable: our broker shows it to others once it is.
  const auto deadline = std::chrono::steady_clock::now() + kDurableWait;
  while (checkpoint.stream_created_ns == stream.created_ns &&
         stream.last_seq < checkpoint.stream_seq && std::chrono::steady_clock::now() < deadline) {
    // The broker does not say when.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSIGN_OR_RETURN(stream, jetstream.stream_info(name));
  }
  if (checkpoint.stream_created_ns == 0) {
    return IngestStart{};
  }
  if (checkpoint.stream_created_ns != stream.created_ns) {
    IngestStart start;
    start.gap = storage::NewGap{
        checkpoint.stream_created_ns,
        checkpoint.stream_seq + 1,
        0,
        "the stream was deleted and made anew; what it held behind the checkpoint is gone"};
    start.alarm =
        fmt::format("{} is not the stream that was read until sequence {}: it was made anew at {}",
                    name,
                    checkpoint.stream_seq,
                    format_rfc3339_us(stream.created_ns / 1000));
    return start;
  }
  if (checkpoint.stream_seq == 0) {
    return IngestStart{};
  }
  // Over-reading starts at the oldest message that the stream holds.
  IngestStart again;
  again.seq = std::max<std::uint64_t>(stream.first_seq, 1);
  if (stream.last_seq < checkpoint.stream_seq) {
    again.alarm = fmt::format(
        "{} lost its tail: it ends at {}, but was read until {}; reading it again from {}",
        name,
        stream.last_seq,
        checkpoint.stream_seq,
        again.seq);
    return again;
  }
  const auto message = jetstream.get_message(name, checkpoint.stream_seq);
  if (!message.has_value() && message.error().code() != StatusCode::kNotFound) {
    return message.error();
  }
  if (!message.has_value()) {
    if (stream.first_seq > checkpoint.stream_seq + 1) {
      again.gap = storage::NewGap{stream.created_ns,
                                  checkpoint.stream_seq + 1,
                                  stream.first_seq - 1,
                                  "deleted from the stream before they were read"};
    }
    again.alarm =
        fmt::format("{} no longer holds message {} of the checkpoint; reading it again from {}",
                    name,
                    checkpoint.stream_seq,
                    again.seq);
    return again;
  }
  const auto producer_id = message->header(kMsgIdHeader);
  if (message->time_ns != checkpoint.time_ns ||
      ingest_hash(producer_id.value_or(""), message->payload) != checkpoint.hash) {
    again.alarm = fmt::format(
        "{} holds another message at checkpoint {} than was read: it lost its tail and grew "
        "again; reading it again from {}",
        name,
        checkpoint.stream_seq,
        again.seq);
    return again;
  }
  return IngestStart{checkpoint.stream_seq + 1, std::nullopt, ""};
}

Result<std::uint64_t> reconcile_feed_stream(nats::Connection& connection,
                                            nats::JetStream& jetstream,
                                            const FeedConfig& feed,
                                            const nats::StreamInfo& stream,
                                            std::uint64_t last_seq,
                                            MessageSchema::Decoder* body_decoder,
                                            storage::Catalogue& catalogue) {
  const std::uint64_t tail = stream.last_seq;
  if (const std::uint64_t both = std::min(tail, last_seq); both > 0) {
    RETURN_IF_ERROR(compare_at(jetstream, feed, both, catalogue));
  }
  if (tail <= last_seq) {
    return last_seq;
  }
  RETURN_IF_ERROR(check_tail(jetstream, feed, tail, last_seq));
  logger("controller")
      ->error("the table lost rows that stream {} holds, restoring them feed={} from={} to={}",
              stream.config.name,
              feed.name,
              last_seq + 1,
              tail);
  RETURN_IF_ERROR(restore_from_stream(connection, feed, last_seq, tail, body_decoder, catalogue));
  return tail;
}

}  // namespace feedvault::controller
