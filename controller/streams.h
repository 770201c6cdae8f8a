#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "client/nats/jetstream.h"
#include "proto/message_schema.h"
#include "storage/catalogue.h"
#include "storage/catalogue_reader.h"

namespace feedvault::controller {

// What a session asks and repairs before its pipeline runs: are the streams there, is the ingest
// stream still the one that the checkpoint means, and do feed stream and table agree?

/// The streams as the configuration wants them.
nats::StreamConfig ingest_stream_config(const Config& config, const FeedConfig& feed);
nats::StreamConfig feed_stream_config(const Config& config, const FeedConfig& feed);

/// The limits that an existing stream has otherwise than wanted, by their names in the JetStream
/// API: what ensure_..._stream() takes back.
std::vector<std::string> differing_limits(const nats::StreamConfig& stream,
                                          const nats::StreamConfig& wanted);

/// Finds the feed's ingest stream, makes it when missing, and takes back limits that could delete
/// what is not catalogued. kInvalidArgument when another stream holds the subjects.
Result<nats::StreamInfo> ensure_ingest_stream(nats::JetStream& jetstream,
                                              const Config& config,
                                              const FeedConfig& feed);

/// Finds the feed's feed stream, or makes it so that its next sequence is the first row worth
/// having (on servers before 2.10, which cannot start at a number: 1, and everything is published
/// again).
Result<nats::StreamInfo> ensure_feed_stream(nats::JetStream& jetstream,
                                            const Config& config,
                                            const FeedConfig& feed,
                                            const std::string& server_version,
                                            std::uint64_t last_seq,
                                            storage::CatalogueReader& table);

/// Where reading starts, and what is to be said about it.
struct IngestStart {
  std::uint64_t seq = 1;
  std::optional<storage::NewGap> gap;  // to be recorded with the first batch
  std::string alarm;                   // empty: the stream is the one we know
};

/// Compares the ingest stream with the checkpoint: created time, last sequence, and time and hash
/// of the message at the checkpoint. What was read may become durable only now: a stream that ends
/// before the checkpoint gets a second to reach it. Where they differ, reading starts over from
/// what the stream holds: message ids make that harmless, and skipping could lose what was stored
/// under numbers used twice.
Result<IngestStart> check_ingest(nats::JetStream& jetstream,
                                 nats::StreamInfo stream,
                                 const storage::IngestPosition& checkpoint);

/// Makes table and feed stream agree as far as both exist, and returns the table's last seq.
/// - The stream is ahead (the database lost committed rows): the rows are restored from it.
/// - They differ at the newest seq that both have, or the stream ends behind the table with numbers
///   that no message has: kCorruption; only people can decide.
/// - The stream is behind: nothing to do here, the publisher refills it.
Result<std::uint64_t> reconcile_feed_stream(nats::Connection& connection,
                                            nats::JetStream& jetstream,
                                            const FeedConfig& feed,
                                            const nats::StreamInfo& stream,
                                            std::uint64_t last_seq,
                                            MessageSchema::Decoder* body_decoder,
                                            storage::Catalogue& catalogue);

}  // namespace feedvault::controller
