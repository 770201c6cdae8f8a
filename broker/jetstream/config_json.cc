#include "broker/jetstream/config_json.h"

#include "broker/monitoring_format.h"

namespace feedvault::broker::jetstream {
namespace {

using namespace streams;  // NOLINT(google-build-using-namespace): their words, all over this file

constexpr JsonWord<Retention> kRetentions[] = {{"limits", Retention::kLimits},
                                               {"interest", Retention::kInterest},
                                               {"workqueue", Retention::kWorkQueue}};
constexpr JsonWord<Discard> kDiscards[] = {{"old", Discard::kOld}, {"new", Discard::kNew}};
constexpr JsonWord<StorageType> kStorages[] = {{"file", StorageType::kFile},
                                               {"memory", StorageType::kMemory}};
constexpr JsonWord<Compression> kCompressions[] = {{"none", Compression::kNone},
                                                   {"s2", Compression::kS2}};
constexpr JsonWord<DeliverPolicy> kDeliverPolicies[] = {
    {"all", DeliverPolicy::kAll},
    {"last", DeliverPolicy::kLast},
    {"new", DeliverPolicy::kNew},
    {"by_start_sequence", DeliverPolicy::kByStartSequence},
    {"by_start_time", DeliverPolicy::kByStartTime},
    {"last_per_subject", DeliverPolicy::kLastPerSubject},
    {"undefined", DeliverPolicy::kAll}};
constexpr JsonWord<AckPolicy> kAckPolicies[] = {
    {"none", AckPolicy::kNone}, {"all", AckPolicy::kAll}, {"explicit", AckPolicy::kExplicit}};
constexpr JsonWord<ReplayPolicy> kReplayPolicies[] = {{"instant", ReplayPolicy::kInstant},
                                                      {"original", ReplayPolicy::kOriginal}};

bool read_republish(const ReadJson& json, std::optional<RepublishConfig>& to) {
  RepublishConfig& config = to.emplace();
  return read_object(json,
                     {text_field("src", config.source),
                      text_field("dest", config.destination),
                      bool_field("headers_only", config.headers_only)});
}

bool read_transform(const ReadJson& json, std::optional<SubjectTransformConfig>& to) {
  SubjectTransformConfig& config = to.emplace();
  return read_object(json,
                     {text_field("src", config.source), text_field("dest", config.destination)});
}

// Fields that are left out when they say nothing.
void put_text(Json& json, const char* name, const std::string& value) {
  if (!value.empty()) {
    json[name] = value;
  }
}
template <typename Number>
void put_number(Json& json, const char* name, Number value) {
  if (value != 0) {
    json[name] = value;
  }
}
void put_true(Json& json, const char* name, bool value) {
  if (value) {
    json[name] = true;
  }
}

}  // namespace

std::string json_time_text(std::int64_t unix_ns) {
  return unix_ns == 0 ? "0001-01-01T00:00:00Z" : format_time(unix_ns);
}

bool read_stream_config(const ReadJson& json, StreamConfig& config) {
  return read_object(
      json,
      {text_field("name", config.name),
       text_field("description", config.description),
       texts_field("subjects", config.subjects),
       word_field("retention", kRetentions, config.retention),
       int_field("max_consumers", config.max_consumers),
       int_field("max_msgs", config.max_msgs),
       int_field("max_bytes", config.max_bytes),
       int_field("max_age", config.max_age_ns),
       int_field("max_msgs_per_subject", config.max_msgs_per_subject),
       int_field("max_msg_size", config.max_msg_size),
       word_field("discard", kDiscards, config.discard),
       bool_field("discard_new_per_subject", config.discard_new_per_subject),
       word_field("storage", kStorages, config.storage),
       int_field("num_replicas", config.num_replicas),
       int_field("duplicate_window", config.duplicate_window_ns),
       bool_field("no_ack", config.no_ack),
       bool_field("sealed", config.sealed),
       bool_field("deny_delete", config.deny_delete),
       bool_field("deny_purge", config.deny_purge),
       bool_field("allow_rollup_hdrs", config.allow_rollup_hdrs),
       bool_field("allow_direct", config.allow_direct),
       bool_field("mirror_direct", config.mirror_direct),
       uint_field("first_seq", config.first_seq),
       word_field("compression", kCompressions, config.compression),
       {"republish", [&](const ReadJson& v) { return read_republish(v, config.republish); }},
       {"subject_transform",
        [&](const ReadJson& v) { return read_transform(v, config.subject_transform); }},
       {"consumer_limits",
        [&](const ReadJson& v) {
          return read_object(
              v,
              {int_field("inactive_threshold", config.consumer_limits.inactive_threshold_ns),
               int_field("max_ack_pending", config.consumer_limits.max_ack_pending)});
        }},
       text_map_field("metadata", config.metadata),
       text_field("template_owner", config.template_owner),
       present_field("placement", config.has_placement),
       present_field("mirror", config.has_mirror),
       present_field("sources", config.has_sources)});
}

Json stream_config_json(const StreamConfig& config) {
  Json json;
  json["name"] = config.name;
  put_text(json, "description", config.description);
  if (!config.subjects.empty()) {
    json["subjects"] = config.subjects;
  }
  json["retention"] = word_of(kRetentions, config.retention);
  json["max_consumers"] = config.max_consumers;
  json["max_msgs"] = config.max_msgs;
  json["max_bytes"] = config.max_bytes;
  json["max_age"] = config.max_age_ns;
  json["max_msgs_per_subject"] = config.max_msgs_per_subject;
  json["max_msg_size"] = config.max_msg_size;
  json["discard"] = word_of(kDiscards, config.discard);
  json["storage"] = word_of(kStorages, config.storage);
  json["num_replicas"] = config.num_replicas;
  put_true(json, "no_ack", config.no_ack);
  put_text(json, "template_owner", config.template_owner);
  put_number(json, "duplicate_window", config.duplicate_window_ns);
  json["compression"] = word_of(kCompressions, config.compression);
  put_number(json, "first_seq", config.first_seq);
  if (config.subject_transform) {
    json["subject_transform"] = {{"src", config.subject_transform->source},
                                 {"dest", config.subject_transform->destination}};
  }
  if (config.republish) {
    Json& republish = json["republish"] = Json::object();
    put_text(republish, "src", config.republish->source);
    republish["dest"] = config.republish->destination;
    put_true(republish, "headers_only", config.republish->headers_only);
  }
  json["allow_direct"] = config.allow_direct;
  json["mirror_direct"] = config.mirror_direct;
  put_true(json, "discard_new_per_subject", config.discard_new_per_subject);
  json["sealed"] = config.sealed;
  json["deny_delete"] = config.deny_delete;
  json["deny_purge"] = config.deny_purge;
  json["allow_rollup_hdrs"] = config.allow_rollup_hdrs;
  Json& limits = json["consumer_limits"] = Json::object();
  put_number(limits, "inactive_threshold", config.consumer_limits.inactive_threshold_ns);
  put_number(limits, "max_ack_pending", config.consumer_limits.max_ack_pending);
  if (!config.metadata.empty()) {
    json["metadata"] = config.metadata;
  }
  return json;
}

bool read_consumer_config(const ReadJson& json, ConsumerConfig& config) {
  return read_object(json,
                     {text_field("durable_name", config.durable_name),
                      text_field("name", config.name),
                      text_field("description", config.description),
                      word_field("deliver_policy", kDeliverPolicies, config.deliver_policy),
                      uint_field("opt_start_seq", config.opt_start_seq),
                      time_field("opt_start_time", config.opt_start_time_ns),
                      word_field("ack_policy", kAckPolicies, config.ack_policy),
                      int_field("ack_wait", config.ack_wait_ns),
                      int_field("max_deliver", config.max_deliver),
                      ints_field("backoff", config.backoff_ns),
                      text_field("filter_subject", config.filter_subject),
                      texts_field("filter_subjects", config.filter_subjects),
                      word_field("replay_policy", kReplayPolicies, config.replay_policy),
                      uint_field("rate_limit_bps", config.rate_limit_bps),
                      text_field("sample_freq", config.sample_freq),
                      int_field("max_waiting", config.max_waiting),
                      int_field("max_ack_pending", config.max_ack_pending),
                      bool_field("flow_control", config.flow_control),
                      int_field("idle_heartbeat", config.idle_heartbeat_ns),
                      bool_field("headers_only", config.headers_only),
                      int_field("max_batch", config.max_batch),
                      int_field("max_expires", config.max_expires_ns),
                      int_field("max_bytes", config.max_bytes),
                      text_field("deliver_subject", config.deliver_subject),
                      text_field("deliver_group", config.deliver_group),
                      int_field("inactive_threshold", config.inactive_threshold_ns),
                      int_field("num_replicas", config.num_replicas),
                      bool_field("mem_storage", config.mem_storage),
                      bool_field("direct", config.direct),
                      text_map_field("metadata", config.metadata),
                      time_field("pause_until", config.pause_until_ns)});
}

Json consumer_config_json(const ConsumerConfig& config) {
  Json json;
  put_text(json, "durable_name", config.durable_name);
  put_text(json, "name", config.name);
  put_text(json, "description", config.description);
  json["deliver_policy"] = word_of(kDeliverPolicies, config.deliver_policy);
  put_number(json, "opt_start_seq", config.opt_start_seq);
  if (config.opt_start_time_ns) {
    json["opt_start_time"] = json_time_text(*config.opt_start_time_ns);
  }
  json["ack_policy"] = word_of(kAckPolicies, config.ack_policy);
  put_number(json, "ack_wait", config.ack_wait_ns);
  put_number(json, "max_deliver", config.max_deliver);
  if (!config.backoff_ns.empty()) {
    json["backoff"] = config.backoff_ns;
  }
  put_text(json, "filter_subject", config.filter_subject);
  if (!config.filter_subjects.empty()) {
    json["filter_subjects"] = config.filter_subjects;
  }
  json["replay_policy"] = word_of(kReplayPolicies, config.replay_policy);
  put_number(json, "rate_limit_bps", config.rate_limit_bps);
  put_text(json, "sample_freq", config.sample_freq);
  put_number(json, "max_waiting", config.max_waiting);
  put_number(json, "max_ack_pending", config.max_ack_pending);
  put_true(json, "flow_control", config.flow_control);
  put_number(json, "idle_heartbeat", config.idle_heartbeat_ns);
  put_true(json, "headers_only", config.headers_only);
  put_number(json, "max_batch", config.max_batch);
  put_number(json, "max_expires", config.max_expires_ns);
  put_number(json, "max_bytes", config.max_bytes);
  put_text(json, "deliver_subject", config.deliver_subject);
  put_text(json, "deliver_group", config.deliver_group);
  put_number(json, "inactive_threshold", config.inactive_threshold_ns);
  json["num_replicas"] = config.num_replicas;
  put_true(json, "mem_storage", config.mem_storage);
  put_true(json, "direct", config.direct);
  if (!config.metadata.empty()) {
    json["metadata"] = config.metadata;
  }
  if (config.pause_until_ns) {
    json["pause_until"] = json_time_text(*config.pause_until_ns);
  }
  return json;
}

}  // namespace feedvault::broker::jetstream
