// Which configurations a consumer can have. Texts and defaults are nats-server's
// (server/consumer.go, setConsumerConfigDefaults and checkConsumerCfg).

#include "broker/streams/consumer_config.h"

#include <algorithm>
#include <charconv>

#include "base/subject.h"
#include "broker/streams/go_duration.h"
#include "broker/streams/pub_ack.h"

namespace feedvault::broker::streams {
namespace {

using MaybeError = std::optional<ApiError>;

void fill_consumer_defaults(ConsumerConfig& config, const StreamConfig& stream) {
  const bool acknowledged = config.ack_policy != AckPolicy::kNone;
  if (config.is_pull() && config.max_waiting == 0) {
    config.max_waiting = kDefaultMaxWaiting;
  }
  if (config.ack_wait_ns == 0 && acknowledged) {
    config.ack_wait_ns = kDefaultAckWaitNs;
  }
  if (config.max_deliver == 0) {
    config.max_deliver = -1;
  }
  if (!config.backoff_ns.empty()) {
    config.ack_wait_ns = config.backoff_ns[0];
  }
  if (config.max_ack_pending == 0 && acknowledged) {
    config.max_ack_pending = stream.consumer_limits.max_ack_pending > 0
                                 ? stream.consumer_limits.max_ack_pending
                                 : kDefaultMaxAckPending;
  }
  if (config.inactive_threshold_ns == 0) {
    config.inactive_threshold_ns = stream.consumer_limits.inactive_threshold_ns;
  }
  if (config.inactive_threshold_ns == 0 && config.durable_name.empty()) {
    config.inactive_threshold_ns = kDefaultInactiveThresholdNs;
  }
}

MaybeError check_replicas(const ConsumerConfig& config, const StreamConfig& stream) {
  if (config.num_replicas < 0) {
    return make_error(errors::kReplicasNegative);
  }
  if (config.num_replicas > stream.num_replicas) {
    return make_error(errors::kConsumerReplicasExceed);
  }
  return std::nullopt;
}

MaybeError check_push(const ConsumerConfig& config, const StreamConfig& stream) {
  if (has_wildcard(config.deliver_subject)) {
    return make_error(errors::kDeliverToWildcards);
  }
  if (!subject_problem(config.deliver_subject).empty()) {
    return make_error(errors::kInvalidDeliverSubject);
  }
  if (std::ranges::any_of(stream.subjects, [&config](const std::string& subject) {
        return subject_matches(subject, config.deliver_subject);
      })) {
    return make_error(errors::kDeliverCycle);
  }
  if (config.max_waiting != 0) {
    return make_error(errors::kPushMaxWaiting);
  }
  if (config.max_ack_pending > 0 && config.ack_policy == AckPolicy::kNone) {
    return make_error(errors::kMaxAckPendingNeedsAck);
  }
  if (config.idle_heartbeat_ns > 0 && config.idle_heartbeat_ns < kShortestTimeNs) {
    return make_error(errors::kSmallHeartbeat);
  }
  return std::nullopt;
}

MaybeError check_pull(const ConsumerConfig& config, const StreamConfig& stream) {
  if (config.ack_policy != AckPolicy::kExplicit && stream.retention == Retention::kWorkQueue) {
    return make_error(errors::kPullRequiresAck);
  }
  if (config.rate_limit_bps > 0) {
    return make_error(errors::kPullRateLimit);
  }
  if (config.max_waiting < 0) {
    return make_error(errors::kMaxWaitingNegative);
  }
  if (config.idle_heartbeat_ns > 0) {
    return make_error(errors::kHeartbeatRequiresPush);
  }
  if (config.flow_control) {
    return make_error(errors::kFlowControlRequiresPush);
  }
  if (config.max_batch < 0) {
    return make_error(errors::kMaxBatchNegative);
  }
  if (config.max_expires_ns != 0 && config.max_expires_ns < 1'000'000) {
    return make_error(errors::kMaxExpiresTooSmall);
  }
  return std::nullopt;
}

MaybeError check_limits(const ConsumerConfig& config, const StreamConfig& stream) {
  const ConsumerLimits& limits = stream.consumer_limits;
  if (limits.max_ack_pending > 0 && config.max_ack_pending > limits.max_ack_pending) {
    return make_error(errors::kMaxAckPendingExcess,
                      static_cast<std::uint64_t>(limits.max_ack_pending));
  }
  if (limits.inactive_threshold_ns > 0 &&
      config.inactive_threshold_ns > limits.inactive_threshold_ns) {
    return make_error(errors::kInactiveThresholdExcess,
                      format_go_duration(limits.inactive_threshold_ns));
  }
  if (config.direct) {
    return config.is_pull() ? make_error(errors::kDirectRequiresPush)
                            : make_error(errors::kDirectRequiresEphemeral);
  }
  return std::nullopt;
}

MaybeError check_filters(const ConsumerConfig& config, const StreamConfig& stream) {
  if (!config.filter_subject.empty() && !config.filter_subjects.empty()) {
    return make_error(errors::kBothFilters);
  }
  const std::vector<std::string> filters = config.filters();
  for (std::size_t i = 0; i < filters.size(); ++i) {
    if (filters[i].empty()) {
      return make_error(errors::kEmptyFilter);
    }
    if (!subject_problem(filters[i]).empty()) {
      return make_error(errors::kStreamInvalidConfig, "invalid subject");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (!filters[j].empty() && subjects_overlap(filters[i], filters[j])) {
        return make_error(errors::kFiltersOverlap);
      }
    }
  }
  // What a transform makes of subjects may be anything.
  if (stream.subject_transform.has_value()) {
    return std::nullopt;
  }
  for (const std::string& filter : filters) {
    if (std::ranges::none_of(stream.subjects, [&filter](const std::string& subject) {
          return subject_is_subset(subject, filter);
        })) {
      return make_error(errors::kFilterNotSubset);
    }
  }
  return std::nullopt;
}

MaybeError check_start(const ConsumerConfig& config) {
  const bool has_seq = config.opt_start_seq > 0;
  const bool has_time = config.opt_start_time_ns.has_value();
  const auto wrong = [](std::string_view policy, std::string_view what) {
    return make_error(errors::kInvalidPolicy,
                      "consumer delivery policy is deliver " + std::string(policy) +
                          ", but optional " + std::string(what));
  };
  static constexpr std::string_view kNames[] = {
      "all", "last", "new", "by start sequence", "by start time", "last per subject"};
  const std::string_view name = kNames[static_cast<std::size_t>(config.deliver_policy)];
  switch (config.deliver_policy) {
    case DeliverPolicy::kByStartSequence:
      if (!has_seq) {
        return wrong(name, "start sequence is not set");
      }
      return has_time ? MaybeError(wrong(name, "start time is also set")) : std::nullopt;
    case DeliverPolicy::kByStartTime:
      if (!has_time) {
        return wrong(name, "start time is not set");
      }
      return has_seq ? MaybeError(wrong(name, "start start sequence is also set")) : std::nullopt;
    default:
      break;
  }
  if (has_seq) {
    return wrong(name, "start sequence is also set");
  }
  if (has_time) {
    return wrong(name, "start time is also set");
  }
  if (config.deliver_policy == DeliverPolicy::kLastPerSubject && config.filters().empty()) {
    return wrong(name, "filter subject is not set");
  }
  return std::nullopt;
}

MaybeError check_sampling(const ConsumerConfig& config) {
  if (config.sample_freq.empty()) {
    return std::nullopt;
  }
  std::string_view text = config.sample_freq;
  if (text.ends_with('%')) {
    text.remove_suffix(1);
  }
  int percent = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || end != text.data() + text.size() || percent < 0) {
    return make_error(errors::kInvalidSampling,
                      "\"" + config.sample_freq + "\" is not a percentage");
  }
  return std::nullopt;
}

MaybeError check_names(const ConsumerConfig& config) {
  for (const std::string& name : {config.durable_name, config.name}) {
    if (auto error = name.empty() ? std::nullopt : check_consumer_name(name); error.has_value()) {
      return error;
    }
  }
  if (!config.durable_name.empty() && !config.name.empty() && config.durable_name != config.name) {
    return make_error(errors::kDurableAndNameMismatch);
  }
  return std::nullopt;
}

MaybeError check_consumer_texts(const ConsumerConfig& config) {
  if (config.description.size() > kDescriptionBytesMax) {
    return make_error(errors::kConsumerDescriptionTooLong, kDescriptionBytesMax);
  }
  std::size_t metadata = 0;
  for (const auto& [key, value] : config.metadata) {
    metadata += key.size() + value.size();
  }
  if (metadata > kMetadataBytesMax) {
    return make_error(errors::kConsumerMetadataTooLong,
                      std::to_string(kMetadataBytesMax >> 10U) + "KB");
  }
  return std::nullopt;
}

MaybeError check_work_queue(const ConsumerConfig& config, const StreamConfig& stream) {
  if (stream.retention != Retention::kWorkQueue) {
    return std::nullopt;
  }
  if (config.ack_policy != AckPolicy::kExplicit) {
    return make_error(errors::kWorkQueueExplicitAck);
  }
  if (config.deliver_policy != DeliverPolicy::kAll) {
    return make_error(errors::kWorkQueueDeliverAll);
  }
  return std::nullopt;
}

MaybeError check_deliver(const ConsumerConfig& config, const StreamConfig& stream) {
  const auto found = config.metadata.find(kDeliverKey);
  if (found == config.metadata.end() || found->second == "durable") {
    return std::nullopt;
  }
  if (found->second != "written") {
    return make_error(
        errors::kConsumerCreate,
        std::string(kDeliverKey) + " is durable or written, not " + json_quoted(found->second));
  }
  // What is acknowledged, kept or removed for a consumer's sake is durable.
  if (config.ack_policy != AckPolicy::kNone || stream.retention != Retention::kLimits ||
      (!config.mem_storage && stream.storage == StorageType::kFile)) {
    return make_error(errors::kConsumerCreate,
                      std::string(kDeliverKey) +
                          " written needs ack policy none, memory storage and a stream with "
                          "limits retention");
  }
  return std::nullopt;
}

MaybeError check_all(const ConsumerConfig& config, const StreamConfig& stream) {
  if (auto error = check_replicas(config, stream); error.has_value()) {
    return error;
  }
  if (!config.backoff_ns.empty() && config.max_deliver != -1 &&
      config.max_deliver < static_cast<std::int64_t>(config.backoff_ns.size())) {
    return make_error(errors::kMaxDeliverBackoff);
  }
  if (auto error = check_consumer_texts(config); error.has_value()) {
    return error;
  }
  auto error = config.is_pull() ? check_pull(config, stream) : check_push(config, stream);
  if (error.has_value()) {
    return error;
  }
  if (error = check_limits(config, stream); error.has_value()) {
    return error;
  }
  if (error = check_filters(config, stream); error.has_value()) {
    return error;
  }
  if (error = check_start(config); error.has_value()) {
    return error;
  }
  if (error = check_sampling(config); error.has_value()) {
    return error;
  }
  if (config.flow_control && config.idle_heartbeat_ns == 0) {
    return make_error(errors::kFlowControlNeedsHeartbeat);
  }
  if (error = check_names(config); error.has_value()) {
    return error;
  }
  if (error = check_deliver(config, stream); error.has_value()) {
    return error;
  }
  return check_work_queue(config, stream);
}

}  // namespace

std::vector<std::string> ConsumerConfig::filters() const {
  if (!filter_subject.empty()) {
    return {filter_subject};
  }
  return filter_subjects;
}

bool ConsumerConfig::delivers_written() const {
  const auto found = metadata.find(kDeliverKey);
  return found != metadata.end() && found->second == "written";
}

std::optional<ApiError> check_consumer_name(std::string_view name) {
  if (name.size() > kNameBytesMax) {
    return make_error(errors::kConsumerNameTooLong, kNameBytesMax);
  }
  if (name.find_first_of("/\\") != std::string_view::npos) {
    return make_error(errors::kConsumerNamePathSeparators);
  }
  if (name.empty() || name.find_first_of(" \t\r\n\f.*>") != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    return make_error(errors::kBadDurableName);
  }
  return std::nullopt;
}

std::optional<ApiError> check_consumer_config(ConsumerConfig& config, const StreamConfig& stream) {
  ConsumerConfig filled = config;
  fill_consumer_defaults(filled, stream);
  if (auto error = check_all(filled, stream); error.has_value()) {
    return error;
  }
  config = std::move(filled);
  return std::nullopt;
}

}  // namespace feedvault::broker::streams
