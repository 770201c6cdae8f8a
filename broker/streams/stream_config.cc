// Which configurations a stream can have. Texts and defaults are nats-server's (server/stream.go,
// checkStreamCfg and configUpdateCheck): clients compare some of them.

#include "broker/streams/stream_config.h"

#include <algorithm>
#include <set>

#include "base/subject.h"
#include "broker/streams/subject_transform.h"

namespace feedvault::broker::streams {
namespace {

ApiError invalid_config(std::string_view why) {
  return make_error(errors::kStreamInvalidConfig, why);
}

void fill_defaults(StreamConfig& config) {
  for (std::int64_t* const limit : {&config.max_msgs,
                                    &config.max_msgs_per_subject,
                                    &config.max_bytes,
                                    &config.max_msg_size,
                                    &config.max_consumers}) {
    // Any negative limit means none; one way to say so keeps equal configurations equal.
    *limit = *limit <= 0 ? -1 : *limit;
  }
  if (config.num_replicas == 0) {
    config.num_replicas = 1;
  }
  if (config.duplicate_window_ns == 0) {
    config.duplicate_window_ns = config.max_age_ns > 0
                                     ? std::min(config.max_age_ns, kDefaultDuplicateWindowNs)
                                     : kDefaultDuplicateWindowNs;
  }
  if (config.subjects.empty()) {
    config.subjects.push_back(config.name);
  }
  if (config.republish.has_value() && config.republish->source.empty()) {
    config.republish->source = ">";
  }
}

std::optional<ApiError> check_texts(const StreamConfig& config) {
  if (config.description.size() > kDescriptionBytesMax) {
    return invalid_config("stream description is too long, maximum allowed is " +
                          std::to_string(kDescriptionBytesMax));
  }
  std::size_t metadata = 0;
  for (const auto& [key, value] : config.metadata) {
    metadata += key.size() + value.size();
  }
  if (metadata > kMetadataBytesMax) {
    return invalid_config("stream metadata exceeds maximum size of " +
                          std::to_string(kMetadataBytesMax) + " bytes");
  }
  return std::nullopt;
}

std::optional<ApiError> check_single_server(const StreamConfig& config) {
  if (config.num_replicas < 0) {
    return make_error(errors::kReplicasNegative);
  }
  if (config.num_replicas > 5) {
    return invalid_config("maximum replicas is 5");
  }
  if (config.num_replicas > 1) {
    return make_error(errors::kReplicasNotSupported);
  }
  if (config.has_mirror) {
    return invalid_config("mirrors are not supported by this server");
  }
  if (config.has_sources) {
    return invalid_config("sources are not supported by this server");
  }
  return std::nullopt;
}

std::optional<ApiError> check_times(const StreamConfig& config) {
  if (config.max_age_ns < 0) {
    return invalid_config("max age can not be negative");
  }
  if (config.max_age_ns > 0 && config.max_age_ns < kShortestTimeNs) {
    return invalid_config("max age needs to be >= 100ms");
  }
  if (config.duplicate_window_ns < 0) {
    return invalid_config("duplicates window can not be negative");
  }
  if (config.max_age_ns != 0 && config.duplicate_window_ns > config.max_age_ns) {
    return invalid_config("duplicates window can not be larger then max age");
  }
  if (config.duplicate_window_ns > 0 && config.duplicate_window_ns < kShortestTimeNs) {
    return invalid_config("duplicates window needs to be >= 100ms");
  }
  return std::nullopt;
}

std::optional<ApiError> check_policies(const StreamConfig& config) {
  if (config.deny_purge && config.allow_rollup_hdrs) {
    return invalid_config("roll-ups require the purge permission");
  }
  if (config.discard_new_per_subject) {
    if (config.discard != Discard::kNew) {
      return invalid_config("discard new per subject requires discard new policy to be set");
    }
    if (config.max_msgs_per_subject <= 0) {
      return invalid_config("discard new per subject requires max msgs per subject > 0");
    }
  }
  if (config.consumer_limits.inactive_threshold_ns < 0 ||
      config.consumer_limits.max_ack_pending < 0) {
    return invalid_config("consumer limits can not be negative");
  }
  return std::nullopt;
}

/// Subjects that belong to the server: to be captured only by a stream that answers nothing.
std::optional<ApiError> check_reserved(const StreamConfig& config, const std::string& subject) {
  if (subject_is_subset("$JS.API.>", subject)) {
    return invalid_config("subjects overlap with jetstream api");
  }
  if (config.no_ack) {
    return std::nullopt;
  }
  if (subject == ">") {
    return invalid_config("capturing all subjects requires no-ack to be true");
  }
  for (const std::string_view reserved : {"$JS.>", "$JSC.>", "$NRG.>"}) {
    if (subjects_overlap(subject, reserved) && !subject_is_subset("$JS.EVENT.>", subject)) {
      return invalid_config("subjects that overlap with jetstream api require no-ack to be true");
    }
  }
  if (subjects_overlap(subject, "$SYS.>") && !subject_is_subset("$SYS.ACCOUNT.>", subject)) {
    return invalid_config("subjects that overlap with system api require no-ack to be true");
  }
  return std::nullopt;
}

std::optional<ApiError> check_subjects(const StreamConfig& config) {
  std::set<std::string_view> seen;
  for (const std::string& subject : config.subjects) {
    if (!subject_problem(subject).empty()) {
      return invalid_config("invalid subject");
    }
    if (!seen.insert(subject).second) {
      return invalid_config("duplicate subjects detected");
    }
    if (auto error = check_reserved(config, subject); error.has_value()) {
      return error;
    }
  }
  for (const std::string& a : config.subjects) {
    for (const std::string& b : config.subjects) {
      if (a != b && subjects_overlap(a, b)) {
        return invalid_config(
            std::string("subject \"").append(a).append("\" overlaps with \"").append(b) += '"');
      }
    }
  }
  return std::nullopt;
}

std::optional<ApiError> check_transforms(const StreamConfig& config) {
  if (config.republish.has_value()) {
    const RepublishConfig& republish = *config.republish;
    // Functions make a destination that cannot be compared; the literal parts of it can.
    const bool plain = subject_problem(republish.destination).empty();
    if (plain && std::ranges::any_of(config.subjects, [&republish](const std::string& subject) {
          return subjects_overlap(republish.destination, subject);
        })) {
      return invalid_config("stream configuration for republish destination forms a cycle");
    }
    const auto compiled = SubjectTransform::compile({republish.source, republish.destination});
    if (!compiled.has_value()) {
      return invalid_config("stream configuration for republish with transform from '" +
                            republish.source + "' to '" + republish.destination + "' not valid");
    }
  }
  if (config.subject_transform.has_value()) {
    const SubjectTransformConfig& transform = *config.subject_transform;
    if (!transform.source.empty() && !subject_problem(transform.source).empty()) {
      return make_error(errors::kTransformInvalidSource, "invalid subject " + transform.source);
    }
    if (transform.destination.empty()) {
      return std::nullopt;  // as nats-server: nothing is transformed
    }
    if (const auto compiled = SubjectTransform::compile(transform); !compiled.has_value()) {
      return make_error(errors::kTransformInvalidDestination, compiled.error().message());
    }
  }
  return std::nullopt;
}

std::optional<ApiError> check_common(const StreamConfig& config) {
  for (const auto check : {check_texts,
                           check_single_server,
                           check_times,
                           check_policies,
                           check_subjects,
                           check_transforms}) {
    if (auto error = check(config); error.has_value()) {
      return error;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> check_stream_name(std::string_view name) {
  if (name.empty() || name.find_first_of(" \t\r\n\f.*>") != std::string_view::npos) {
    return invalid_config("stream name is required and can not contain '.', '*', '>'");
  }
  if (name.find_first_of("/\\") != std::string_view::npos) {
    return make_error(errors::kStreamNamePathSeparators);
  }
  if (name.size() > kNameBytesMax) {
    return invalid_config("stream name is too long, maximum allowed is " +
                          std::to_string(kNameBytesMax));
  }
  // What no other server refuses, but no file and no subject can be named.
  if (name.find('\0') != std::string_view::npos) {
    return invalid_config("stream name is required and can not contain '.', '*', '>'");
  }
  return std::nullopt;
}

std::optional<ApiError> check_stream_config(StreamConfig& config) {
  if (auto error = check_stream_name(config.name); error.has_value()) {
    return error;
  }
  if (config.sealed) {
    return invalid_config("stream configuration for create can not be sealed");
  }
  StreamConfig filled = config;
  fill_defaults(filled);
  if (auto error = check_common(filled); error.has_value()) {
    return error;
  }
  config = std::move(filled);
  return std::nullopt;
}

std::optional<ApiError> check_stream_update(const StreamConfig& current, StreamConfig& config) {
  StreamConfig filled = config;
  fill_defaults(filled);
  filled.first_seq = current.first_seq;  // said when it was made; it means nothing any more
  if (auto error = check_common(filled); error.has_value()) {
    return error;
  }
  const auto refuse = [](std::string_view what) {
    return invalid_config("stream configuration update " + std::string(what));
  };
  if (filled.name != current.name) {
    return invalid_config("stream configuration name must match original");
  }
  if (filled.max_consumers != current.max_consumers) {
    return refuse("can not change MaxConsumers");
  }
  if (filled.storage != current.storage) {
    return refuse("can not change storage type");
  }
  if (filled.retention != current.retention &&
      (current.retention == Retention::kWorkQueue || filled.retention == Retention::kWorkQueue)) {
    return refuse("can not change retention policy to/from workqueue");
  }
  if (!current.template_owner.empty()) {
    return refuse("not allowed on template owned stream");
  }
  if (!filled.template_owner.empty()) {
    return refuse("can not be owned by a template");
  }
  if (!filled.sealed && current.sealed) {
    return refuse("can not unseal a sealed stream");
  }
  if (!filled.deny_delete && current.deny_delete) {
    return refuse("can not cancel deny message deletes");
  }
  if (!filled.deny_purge && current.deny_purge) {
    return refuse("can not cancel deny purge");
  }
  if (filled.sealed) {
    filled.max_age_ns = 0;
    filled.discard = Discard::kNew;
    filled.deny_delete = true;
    filled.deny_purge = true;
    filled.allow_rollup_hdrs = false;
  }
  config = std::move(filled);
  return std::nullopt;
}

}  // namespace feedvault::broker::streams
