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
#include "broker/streams/stream_config.h"

namespace feedvault::broker::streams {

inline constexpr std::int64_t kDefaultAckWaitNs = 30'000'000'000;
inline constexpr std::int64_t kDefaultMaxAckPending = 1000;
inline constexpr std::int64_t kDefaultMaxWaiting = 512;
inline constexpr std::int64_t kDefaultInactiveThresholdNs = 5'000'000'000;  // of ephemerals

/// Our own: an entry of a consumer's metadata. "durable", the default: it gets what is durable.
/// "written": it gets a message once the operating system has it. A killed broker loses none of
/// those, a power cut may: then the stream ends earlier, and a number that only such consumers saw
/// is given to another message. For readers that keep their own position and know messages by
/// content; nothing about such a consumer is kept on disk.
inline constexpr const char* kDeliverKey = "feedvault.deliver";

// Stored on disk by number: do not renumber.
enum class DeliverPolicy : std::uint8_t {
  kAll = 0,
  kLast = 1,
  kNew = 2,
  kByStartSequence = 3,
  kByStartTime = 4,
  kLastPerSubject = 5,
};
enum class AckPolicy : std::uint8_t { kNone = 0, kAll = 1, kExplicit = 2 };
enum class ReplayPolicy : std::uint8_t { kInstant = 0, kOriginal = 1 };

/// A consumer's configuration: the fields of the JetStream API up to 2.10 (and pause_until of
/// 2.11), under its names. As requested: 0 and "" stand for "not said". Durations in nanoseconds.
struct ConsumerConfig {
  std::string durable_name;
  std::string name;
  std::string description;
  DeliverPolicy deliver_policy = DeliverPolicy::kAll;
  std::uint64_t opt_start_seq = 0;
  std::optional<std::int64_t> opt_start_time_ns;  // Unix time
  AckPolicy ack_policy = AckPolicy::kNone;
  std::int64_t ack_wait_ns = 0;
  std::int64_t max_deliver = 0;  // -1: no limit
  std::vector<std::int64_t> backoff_ns;
  std::string filter_subject;
  std::vector<std::string> filter_subjects;
  ReplayPolicy replay_policy = ReplayPolicy::kInstant;
  std::uint64_t rate_limit_bps = 0;  // bits a second
  std::string sample_freq;           // "30%" or "30"
  std::int64_t max_waiting = 0;
  std::int64_t max_ack_pending = 0;  // -1: no limit
  bool flow_control = false;
  std::int64_t idle_heartbeat_ns = 0;
  bool headers_only = false;
  std::int64_t max_batch = 0;
  std::int64_t max_expires_ns = 0;
  std::int64_t max_bytes = 0;
  std::string deliver_subject;  // "": a pull consumer
  std::string deliver_group;
  std::int64_t inactive_threshold_ns = 0;
  std::int64_t num_replicas = 0;
  bool mem_storage = false;
  bool direct = false;  // of mirrors and sources; refused
  std::map<std::string, std::string> metadata;
  std::optional<std::int64_t> pause_until_ns;  // Unix time

  bool is_pull() const { return deliver_subject.empty(); }
  bool delivers_written() const;
  /// filter_subject or filter_subjects, whichever is used; empty: everything.
  std::vector<std::string> filters() const;

  friend bool operator==(const ConsumerConfig&, const ConsumerConfig&) = default;
};

/// Fills in what was not said, as nats-server does, and checks everything that depends on nothing
/// but the stream's configuration: start positions, filters (also that they lie within the stream's
/// subjects), policies, limits, the rules of workqueue streams for a consumer by itself. Left to
/// the caller: names in the request's subject, other consumers (overlap on workqueue streams,
/// limits on their number), updates. `config` is unchanged when it is refused.
std::optional<ApiError> check_consumer_config(ConsumerConfig& config, const StreamConfig& stream);

/// Why `name` cannot name a consumer; nothing when it can.
std::optional<ApiError> check_consumer_name(std::string_view name);

/// For stored configurations, as of StreamConfig.
std::string encode_consumer_config(const ConsumerConfig& config);
Result<ConsumerConfig> decode_consumer_config(std::string_view bytes);

}  // namespace feedvault::broker::streams
