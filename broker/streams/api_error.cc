#include "broker/streams/api_error.h"

#include <algorithm>
#include <array>

namespace feedvault::broker::streams {
namespace {

constexpr std::array kAllErrors{
    errors::kResourceLimits,
    errors::kBadRequest,
    errors::kSystemUnavailable,
    errors::kClusterRequired,
    errors::kConsumerCreate,
    errors::kConsumerNameInUse,
    errors::kConsumerNotFound,
    errors::kDurableNotInSubject,
    errors::kDurableNotMatchSubject,
    errors::kDurableNotSet,
    errors::kEphemeralWithDurableInSubject,
    errors::kEphemeralWithDurableName,
    errors::kInsufficientResources,
    errors::kInvalidJson,
    errors::kMaximumConsumers,
    errors::kMaximumStreams,
    errors::kMemoryExceeded,
    errors::kMessageNotFound,
    errors::kNotEmptyRequest,
    errors::kNotEnabledForAccount,
    errors::kSequenceNotFound,
    errors::kStorageExceeded,
    errors::kStreamCreate,
    errors::kStreamDelete,
    errors::kStreamGeneral,
    errors::kStreamInvalidConfig,
    errors::kStreamLimits,
    errors::kMessageTooLarge,
    errors::kMirrorNotUpdatable,
    errors::kStreamMismatch,
    errors::kMessageDeleteFailed,
    errors::kStreamNameInUse,
    errors::kStreamNotFound,
    errors::kExpectedStream,
    errors::kReplicasNotUpdatable,
    errors::kSubjectOverlap,
    errors::kStreamUpdate,
    errors::kWrongLastMsgId,
    errors::kWrongLastSequence,
    errors::kReplicasNotSupported,
    errors::kNotEnabled,
    errors::kStoreFailed,
    errors::kConsumerConfigRequired,
    errors::kDeliverToWildcards,
    errors::kPushMaxWaiting,
    errors::kDeliverCycle,
    errors::kMaxAckPendingNeedsAck,
    errors::kSmallHeartbeat,
    errors::kPullRequiresAck,
    errors::kPullNotDurable,
    errors::kPullRateLimit,
    errors::kMaxWaitingNegative,
    errors::kHeartbeatRequiresPush,
    errors::kFlowControlRequiresPush,
    errors::kDirectRequiresPush,
    errors::kDirectRequiresEphemeral,
    errors::kFilterNotSubset,
    errors::kInvalidPolicy,
    errors::kInvalidSampling,
    errors::kStreamInvalid,
    errors::kHeaderTooLarge,
    errors::kWorkQueueExplicitAck,
    errors::kWorkQueueMultipleUnfiltered,
    errors::kWorkQueueNotUnique,
    errors::kWorkQueueDeliverAll,
    errors::kConsumerNameTooLong,
    errors::kBadDurableName,
    errors::kConsumerStoreFailed,
    errors::kConsumerActive,
    errors::kConsumerReplacement,
    errors::kConsumerDescriptionTooLong,
    errors::kFlowControlNeedsHeartbeat,
    errors::kStreamSealed,
    errors::kPurgeFailed,
    errors::kRollupFailed,
    errors::kInvalidDeliverSubject,
    errors::kMaxBytesRequired,
    errors::kMaxBatchNegative,
    errors::kMaxExpiresTooSmall,
    errors::kMaxDeliverBackoff,
    errors::kTooManySubjects,
    errors::kStreamOffline,
    errors::kConsumerOffline,
    errors::kMaxAckPendingExcess,
    errors::kMaxStreamBytesExceeded,
    errors::kMaxBatchExceeded,
    errors::kConsumerReplicasExceed,
    errors::kConsumerNamePathSeparators,
    errors::kStreamNamePathSeparators,
    errors::kFilterMismatchSubject,
    errors::kDurableAndNameMismatch,
    errors::kReplicasNegative,
    errors::kConsumerReplicasMatch,
    errors::kConsumerMetadataTooLong,
    errors::kBothFilters,
    errors::kMultipleFiltersInSubject,
    errors::kFiltersOverlap,
    errors::kEmptyFilter,
    errors::kConsumerExists,
    errors::kConsumerDoesNotExist,
    errors::kInactiveThresholdExcess,
    errors::kTransformInvalidSource,
    errors::kTransformInvalidDestination,
};
static_assert(std::ranges::is_sorted(kAllErrors, {}, &ErrorSpec::err_code));

}  // namespace

ApiError make_error(const ErrorSpec& spec, std::string_view value) {
  ApiError error{spec.code, spec.err_code, std::string(spec.text)};
  const std::size_t open = spec.text.find('{');
  if (open != std::string_view::npos) {
    const std::size_t close = spec.text.find('}', open);
    error.description.replace(open, close + 1 - open, value);
  }
  return error;
}

ApiError make_error(const ErrorSpec& spec, std::uint64_t value) {
  return make_error(spec, std::to_string(value));
}

std::span<const ErrorSpec> errors::all() {
  return kAllErrors;
}

}  // namespace feedvault::broker::streams
