#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "client/nats/stream_reader.h"

namespace feedvault::controller {

/// A message of the ingest stream on its way to the catalogue. Move-only: owns the broker's
/// message, whose bytes are what is catalogued and republished, without another copy.
struct IngestMessage {
  nats::StreamMessage received;
  std::string id;             // the row's id
  bool id_generated = false;  // made by us, not sent by the producer
  std::string body;           // JSON; empty when not wanted
  std::string error;          // why it is quarantined; empty: it is good
  /// First of the stream sequences that were missing right before this one; 0: none.
  std::uint64_t gap_first = 0;

  std::string_view payload() const { return received.message.payload(); }
  bool good() const { return error.empty(); }
  std::int64_t timestamp_us() const { return received.time_ns / 1000; }
  /// What it weighs in a queue.
  std::size_t bytes() const {
    return sizeof(IngestMessage) + payload().size() + id.size() + body.size();
  }
};

/// Identifies a message at the checkpoint, over restarts and versions of this program (FNV-1a, 64
/// bits, over producer's id, a zero byte and payload). Do not change: it is stored.
std::uint64_t ingest_hash(std::string_view producer_id, std::string_view payload);

/// "<stream>-<created, unix seconds>-<stream sequence>".
std::string generated_id(std::string_view stream,
                         std::int64_t stream_created_ns,
                         std::uint64_t stream_seq);

/// Why a payload that is too large for the feed cannot be catalogued.
std::string payload_too_large(std::size_t bytes, std::size_t bytes_max);

/// Carries the producer's id; an empty one counts as none.
inline constexpr const char* kMsgIdHeader = "Nats-Msg-Id";

}  // namespace feedvault::controller
