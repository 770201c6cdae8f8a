// Configurations as they are stored.

#include "broker/streams/field_codec.h"
#include "broker/streams/stream_config.h"

namespace feedvault::broker::streams {
namespace {

// On disk: do not renumber.
enum StreamField : std::uint16_t {
  kFieldName = 1,
  kFieldDescription = 2,
  kFieldSubject = 3,  // one each
  kFieldRetention = 4,
  kFieldMaxConsumers = 5,
  kFieldMaxMsgs = 6,
  kFieldMaxBytes = 7,
  kFieldMaxAge = 8,
  kFieldMaxMsgsPerSubject = 9,
  kFieldMaxMsgSize = 10,
  kFieldDiscard = 11,
  kFieldStorage = 12,
  kFieldReplicas = 13,
  kFieldDuplicateWindow = 14,
  kFieldFlags = 15,
  kFieldFirstSeq = 16,
  kFieldCompression = 17,
  kFieldRepublishSource = 18,
  kFieldRepublishDestination = 19,
  kFieldTransformSource = 20,
  kFieldTransformDestination = 21,
  kFieldInactiveThreshold = 22,
  kFieldMaxAckPending = 23,
  kFieldMetadataKey = 24,    // each followed by ...
  kFieldMetadataValue = 25,  // ... its value
  kFieldTemplateOwner = 26,
};

/// The flags, by bit. On disk: do not reorder.
template <typename Config, typename Visit>
void for_each_flag(Config& config, Visit&& visit) {
  visit(config.discard_new_per_subject, 0U);
  visit(config.no_ack, 1U);
  visit(config.sealed, 2U);
  visit(config.deny_delete, 3U);
  visit(config.deny_purge, 4U);
  visit(config.allow_rollup_hdrs, 5U);
  visit(config.allow_direct, 6U);
  visit(config.mirror_direct, 7U);
  visit(config.has_placement, 8U);
}
constexpr unsigned kHeadersOnlyFlag = 9;  // of republish

/// A number of the enumeration up to `last`, or its first.
template <typename Enum>
Enum stream_enum(const FieldReader::Field& field, Enum last) {
  return field.integer() <= static_cast<std::uint64_t>(last) ? static_cast<Enum>(field.integer())
                                                             : Enum{};
}

void apply_numbers(StreamConfig& config, const FieldReader::Field& field) {
  switch (field.number) {
    case kFieldRetention:
      config.retention = stream_enum(field, Retention::kWorkQueue);
      break;
    case kFieldMaxConsumers:
      config.max_consumers = field.signed_integer();
      break;
    case kFieldMaxMsgs:
      config.max_msgs = field.signed_integer();
      break;
    case kFieldMaxBytes:
      config.max_bytes = field.signed_integer();
      break;
    case kFieldMaxAge:
      config.max_age_ns = field.signed_integer();
      break;
    case kFieldMaxMsgsPerSubject:
      config.max_msgs_per_subject = field.signed_integer();
      break;
    case kFieldMaxMsgSize:
      config.max_msg_size = field.signed_integer();
      break;
    case kFieldDiscard:
      config.discard = stream_enum(field, Discard::kNew);
      break;
    case kFieldStorage:
      config.storage = stream_enum(field, StorageType::kMemory);
      break;
    case kFieldReplicas:
      config.num_replicas = field.signed_integer();
      break;
    case kFieldDuplicateWindow:
      config.duplicate_window_ns = field.signed_integer();
      break;
    case kFieldFirstSeq:
      config.first_seq = field.integer();
      break;
    case kFieldCompression:
      config.compression = stream_enum(field, Compression::kS2);
      break;
    case kFieldInactiveThreshold:
      config.consumer_limits.inactive_threshold_ns = field.signed_integer();
      break;
    case kFieldMaxAckPending:
      config.consumer_limits.max_ack_pending = field.signed_integer();
      break;
    default:
      break;
  }
}

void apply_texts(StreamConfig& config, std::string& key, const FieldReader::Field& field) {
  switch (field.number) {
    case kFieldName:
      config.name = field.text();
      break;
    case kFieldDescription:
      config.description = field.text();
      break;
    case kFieldSubject:
      config.subjects.push_back(field.text());
      break;
    case kFieldRepublishSource:
      config.republish.emplace().source = field.text();
      break;
    case kFieldRepublishDestination:
      if (config.republish.has_value()) {
        config.republish->destination = field.text();
      }
      break;
    case kFieldTransformSource:
      config.subject_transform.emplace().source = field.text();
      break;
    case kFieldTransformDestination:
      if (config.subject_transform.has_value()) {
        config.subject_transform->destination = field.text();
      }
      break;
    case kFieldMetadataKey:
      key = field.text();
      break;
    case kFieldMetadataValue:
      config.metadata[key] = field.text();
      break;
    case kFieldTemplateOwner:
      config.template_owner = field.text();
      break;
    default:
      break;
  }
}

}  // namespace

std::string encode_stream_config(const StreamConfig& config) {
  FieldWriter out;
  out.put(kFieldName, config.name);
  out.put(kFieldDescription, config.description);
  for (const std::string& subject : config.subjects) {
    out.put(kFieldSubject, subject);
  }
  out.put(kFieldRetention, static_cast<std::uint64_t>(config.retention));
  out.put(kFieldMaxConsumers, config.max_consumers);
  out.put(kFieldMaxMsgs, config.max_msgs);
  out.put(kFieldMaxBytes, config.max_bytes);
  out.put(kFieldMaxAge, config.max_age_ns);
  out.put(kFieldMaxMsgsPerSubject, config.max_msgs_per_subject);
  out.put(kFieldMaxMsgSize, config.max_msg_size);
  out.put(kFieldDiscard, static_cast<std::uint64_t>(config.discard));
  out.put(kFieldStorage, static_cast<std::uint64_t>(config.storage));
  out.put(kFieldReplicas, config.num_replicas);
  out.put(kFieldDuplicateWindow, config.duplicate_window_ns);
  std::uint64_t flags = 0;
  for_each_flag(config, [&flags](bool value, unsigned bit) {
    flags |= std::uint64_t{value ? 1U : 0U} << bit;
  });
  if (config.republish.has_value()) {
    out.put(kFieldRepublishSource, config.republish->source);
    out.put(kFieldRepublishDestination, config.republish->destination);
    flags |= std::uint64_t{config.republish->headers_only ? 1U : 0U} << kHeadersOnlyFlag;
  }
  out.put(kFieldFlags, flags);  // behind republish, one of whose settings it holds
  out.put(kFieldFirstSeq, config.first_seq);
  out.put(kFieldCompression, static_cast<std::uint64_t>(config.compression));
  if (config.subject_transform.has_value()) {
    out.put(kFieldTransformSource, config.subject_transform->source);
    out.put(kFieldTransformDestination, config.subject_transform->destination);
  }
  out.put(kFieldInactiveThreshold, config.consumer_limits.inactive_threshold_ns);
  out.put(kFieldMaxAckPending, config.consumer_limits.max_ack_pending);
  for (const auto& [key, value] : config.metadata) {
    out.put(kFieldMetadataKey, key);
    out.put(kFieldMetadataValue, value);
  }
  out.put(kFieldTemplateOwner, config.template_owner);
  return out.take();
}

Result<StreamConfig> decode_stream_config(std::string_view bytes) {
  StreamConfig config;
  FieldReader in(bytes);
  std::string key;
  while (const auto field = in.next()) {
    if (field->number == kFieldFlags) {
      const std::uint64_t flags = field->integer();
      for_each_flag(config,
                    [flags](bool& value, unsigned bit) { value = (flags >> bit & 1U) != 0; });
      if (config.republish.has_value()) {
        config.republish->headers_only = (flags >> kHeadersOnlyFlag & 1U) != 0;
      }
    } else {
      apply_numbers(config, *field);
      apply_texts(config, key, *field);
    }
  }
  if (!in.ok() || config.name.empty()) {
    return Status(StatusCode::kCorruption, "the stored configuration of a stream is unreadable");
  }
  return config;
}

}  // namespace feedvault::broker::streams
