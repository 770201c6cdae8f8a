// Configurations of consumers as they are stored.

#include "broker/streams/consumer_config.h"
#include "broker/streams/field_codec.h"

namespace feedvault::broker::streams {
namespace {

// On disk: do not renumber.
enum ConsumerField : std::uint16_t {
  kConsumerDurable = 1,
  kConsumerName = 2,
  kConsumerDescription = 3,
  kConsumerDeliverPolicy = 4,
  kConsumerStartSeq = 5,
  kConsumerStartTime = 6,
  kConsumerAckPolicy = 7,
  kConsumerAckWait = 8,
  kConsumerMaxDeliver = 9,
  kConsumerBackoff = 10,  // one each
  kConsumerFilter = 11,
  kConsumerFilters = 12,  // one each
  kConsumerReplay = 13,
  kConsumerRateLimit = 14,
  kConsumerSample = 15,
  kConsumerMaxWaiting = 16,
  kConsumerMaxAckPending = 17,
  kConsumerFlags = 18,
  kConsumerHeartbeat = 19,
  kConsumerMaxBatch = 20,
  kConsumerMaxExpires = 21,
  kConsumerMaxBytes = 22,
  kConsumerDeliverSubject = 23,
  kConsumerDeliverGroup = 24,
  kConsumerInactive = 25,
  kConsumerReplicas = 26,
  kConsumerMetadataKey = 27,    // each followed by ...
  kConsumerMetadataValue = 28,  // ... its value
  kConsumerPauseUntil = 29,
};

/// The flags, by bit. On disk: do not reorder.
template <typename Config, typename Visit>
void for_each_consumer_flag(Config& config, Visit&& visit) {
  visit(config.flow_control, 0U);
  visit(config.headers_only, 1U);
  visit(config.mem_storage, 2U);
  visit(config.direct, 3U);
}

template <typename Enum>
Enum consumer_enum(const FieldReader::Field& field, Enum last) {
  return field.integer() <= static_cast<std::uint64_t>(last) ? static_cast<Enum>(field.integer())
                                                             : Enum{};
}

/// Where a number goes; nullptr when it is none of these.
std::int64_t* consumer_number(ConsumerConfig& config, std::uint16_t field) {
  switch (field) {
    case kConsumerAckWait:
      return &config.ack_wait_ns;
    case kConsumerMaxDeliver:
      return &config.max_deliver;
    case kConsumerMaxWaiting:
      return &config.max_waiting;
    case kConsumerMaxAckPending:
      return &config.max_ack_pending;
    case kConsumerHeartbeat:
      return &config.idle_heartbeat_ns;
    case kConsumerMaxBatch:
      return &config.max_batch;
    case kConsumerMaxExpires:
      return &config.max_expires_ns;
    case kConsumerMaxBytes:
      return &config.max_bytes;
    case kConsumerInactive:
      return &config.inactive_threshold_ns;
    case kConsumerReplicas:
      return &config.num_replicas;
    default:
      return nullptr;
  }
}

std::string* consumer_text(ConsumerConfig& config, std::uint16_t field) {
  switch (field) {
    case kConsumerDurable:
      return &config.durable_name;
    case kConsumerName:
      return &config.name;
    case kConsumerDescription:
      return &config.description;
    case kConsumerFilter:
      return &config.filter_subject;
    case kConsumerSample:
      return &config.sample_freq;
    case kConsumerDeliverSubject:
      return &config.deliver_subject;
    case kConsumerDeliverGroup:
      return &config.deliver_group;
    default:
      return nullptr;
  }
}

void apply_other(ConsumerConfig& config, std::string& key, const FieldReader::Field& field) {
  switch (field.number) {
    case kConsumerDeliverPolicy:
      config.deliver_policy = consumer_enum(field, DeliverPolicy::kLastPerSubject);
      break;
    case kConsumerStartSeq:
      config.opt_start_seq = field.integer();
      break;
    case kConsumerStartTime:
      config.opt_start_time_ns = field.signed_integer();
      break;
    case kConsumerAckPolicy:
      config.ack_policy = consumer_enum(field, AckPolicy::kExplicit);
      break;
    case kConsumerBackoff:
      config.backoff_ns.push_back(field.signed_integer());
      break;
    case kConsumerFilters:
      config.filter_subjects.push_back(field.text());
      break;
    case kConsumerReplay:
      config.replay_policy = consumer_enum(field, ReplayPolicy::kOriginal);
      break;
    case kConsumerRateLimit:
      config.rate_limit_bps = field.integer();
      break;
    case kConsumerFlags:
      for_each_consumer_flag(config, [&field](bool& value, unsigned bit) {
        value = (field.integer() >> bit & 1U) != 0;
      });
      break;
    case kConsumerMetadataKey:
      key = field.text();
      break;
    case kConsumerMetadataValue:
      config.metadata[key] = field.text();
      break;
    case kConsumerPauseUntil:
      config.pause_until_ns = field.signed_integer();
      break;
    default:
      break;
  }
}

}  // namespace

std::string encode_consumer_config(const ConsumerConfig& config) {
  FieldWriter out;
  ConsumerConfig copy = config;
  for (std::uint16_t field = kConsumerDurable; field <= kConsumerPauseUntil; ++field) {
    if (const std::int64_t* const number = consumer_number(copy, field); number != nullptr) {
      out.put(field, *number);
    } else if (const std::string* const text = consumer_text(copy, field); text != nullptr) {
      out.put(field, *text);
    }
  }
  out.put(kConsumerDeliverPolicy, static_cast<std::uint64_t>(config.deliver_policy));
  out.put(kConsumerStartSeq, config.opt_start_seq);
  if (config.opt_start_time_ns.has_value()) {
    out.put(kConsumerStartTime, *config.opt_start_time_ns);
  }
  out.put(kConsumerAckPolicy, static_cast<std::uint64_t>(config.ack_policy));
  for (const std::int64_t wait : config.backoff_ns) {
    out.put(kConsumerBackoff, wait);
  }
  for (const std::string& filter : config.filter_subjects) {
    out.put(kConsumerFilters, filter);
  }
  out.put(kConsumerReplay, static_cast<std::uint64_t>(config.replay_policy));
  out.put(kConsumerRateLimit, config.rate_limit_bps);
  std::uint64_t flags = 0;
  for_each_consumer_flag(config, [&flags](bool value, unsigned bit) {
    flags |= std::uint64_t{value ? 1U : 0U} << bit;
  });
  out.put(kConsumerFlags, flags);
  for (const auto& [key, value] : config.metadata) {
    out.put(kConsumerMetadataKey, key);
    out.put(kConsumerMetadataValue, value);
  }
  if (config.pause_until_ns.has_value()) {
    out.put(kConsumerPauseUntil, *config.pause_until_ns);
  }
  return out.take();
}

Result<ConsumerConfig> decode_consumer_config(std::string_view bytes) {
  ConsumerConfig config;
  FieldReader in(bytes);
  std::string key;
  while (const auto field = in.next()) {
    if (std::int64_t* const number = consumer_number(config, field->number); number != nullptr) {
      *number = field->signed_integer();
    } else if (std::string* const text = consumer_text(config, field->number); text != nullptr) {
      *text = field->text();
    } else {
      apply_other(config, key, *field);
    }
  }
  if (!in.ok()) {
    return Status(StatusCode::kCorruption, "the stored configuration of a consumer is unreadable");
  }
  return config;
}

}  // namespace feedvault::broker::streams
