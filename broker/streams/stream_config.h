#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/streams/api_error.h"

namespace feedvault::broker::streams {

// Limits that nats-server has fixed.
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kDescriptionBytesMax = 4096;
inline constexpr std::size_t kMetadataBytesMax = 128U << 10U;
inline constexpr std::size_t kMessageHeaderBytesMax = 65535;
inline constexpr std::int64_t kDefaultDuplicateWindowNs = 120'000'000'000;
inline constexpr std::int64_t kShortestTimeNs = 100'000'000;  // of max_age, windows, heartbeats

// Stored on disk by number: do not renumber.
enum class Retention : std::uint8_t { kLimits = 0, kInterest = 1, kWorkQueue = 2 };
enum class Discard : std::uint8_t { kOld = 0, kNew = 1 };
enum class StorageType : std::uint8_t { kFile = 0, kMemory = 1 };
enum class Compression : std::uint8_t { kNone = 0, kS2 = 1 };

/// A subject of one form becomes one of another: ADR-30.
struct SubjectTransformConfig {
  std::string source;
  std::string destination;
  friend bool operator==(const SubjectTransformConfig&, const SubjectTransformConfig&) = default;
};

struct RepublishConfig {
  std::string source;  // "" means ">"
  std::string destination;
  bool headers_only = false;
  friend bool operator==(const RepublishConfig&, const RepublishConfig&) = default;
};

/// Upper bounds and defaults for the stream's consumers; 0: none.
struct ConsumerLimits {
  std::int64_t inactive_threshold_ns = 0;
  std::int64_t max_ack_pending = 0;
  friend bool operator==(const ConsumerLimits&, const ConsumerLimits&) = default;
};

/// A stream's configuration: the fields of the JetStream API up to 2.10, under its names, for a
/// single server. As requested: 0 stands for "not said". As checked (check_stream_config): -1
/// stands for "no limit", everything else for itself. Durations in nanoseconds.
struct StreamConfig {
  std::string name;
  std::string description;
  std::vector<std::string> subjects;
  Retention retention = Retention::kLimits;
  std::int64_t max_consumers = 0;
  std::int64_t max_msgs = 0;
  std::int64_t max_bytes = 0;
  std::int64_t max_age_ns = 0;  // 0: no limit, also when checked
  std::int64_t max_msgs_per_subject = 0;
  std::int64_t max_msg_size = 0;  // of headers and payload together
  Discard discard = Discard::kOld;
  bool discard_new_per_subject = false;
  StorageType storage = StorageType::kFile;
  std::int64_t num_replicas = 0;
  std::int64_t duplicate_window_ns = 0;
  bool no_ack = false;
  bool sealed = false;
  bool deny_delete = false;
  bool deny_purge = false;
  bool allow_rollup_hdrs = false;
  bool allow_direct = false;
  bool mirror_direct = false;
  std::uint64_t first_seq = 0;
  Compression compression = Compression::kNone;  // accepted and echoed; nothing is compressed
  std::optional<RepublishConfig> republish;
  std::optional<SubjectTransformConfig> subject_transform;
  ConsumerLimits consumer_limits;
  std::map<std::string, std::string> metadata;
  std::string template_owner;

  // What a single server cannot do; only whether the request has it. Refused when checked, except
  // placement, which is ignored.
  bool has_placement = false;
  bool has_mirror = false;
  bool has_sources = false;

  friend bool operator==(const StreamConfig&, const StreamConfig&) = default;
};

/// Checks a configuration for a new stream and fills in what was not said, as nats-server does.
/// `config` is unchanged when it is refused. Overlaps with other streams are Streams' business.
std::optional<ApiError> check_stream_config(StreamConfig& config);

/// The same for an update of `current` (checked before): also refuses what may not change, and
/// carries over what follows from the old one (sealing implies denying, and so on).
std::optional<ApiError> check_stream_update(const StreamConfig& current, StreamConfig& config);

/// Why `name` cannot name a stream, as create and update say it; nothing when it can.
std::optional<ApiError> check_stream_name(std::string_view name);

/// For stored configurations: fields by number, unknown ones are passed over by older versions.
std::string encode_stream_config(const StreamConfig& config);
/// kCorruption when it is none.
Result<StreamConfig> decode_stream_config(std::string_view bytes);

}  // namespace feedvault::broker::streams
