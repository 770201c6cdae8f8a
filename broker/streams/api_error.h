#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace feedvault::broker::streams {

/// What the JetStream API says when it refuses: an HTTP-like code, the number that clients act on,
/// and a text that some clients compare. Value type.
struct ApiError {
  int code = 0;
  std::uint32_t err_code = 0;
  std::string description;

  friend bool operator==(const ApiError&, const ApiError&) = default;
};

/// One line of the table of all errors. Part of `text` may be in braces: "{err}"; make_error() puts
/// a value there.
struct ErrorSpec {
  int code;
  std::uint32_t err_code;
  std::string_view text;
};

/// The error with the texts' braces, if any, replaced by `value`.
ApiError make_error(const ErrorSpec& spec, std::string_view value = {});
ApiError make_error(const ErrorSpec& spec, std::uint64_t value);

/// A value, or the API's refusal. Reading the wrong side aborts.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  // Implicit on purpose: `return value;` and `return error;` both read well.
  // NOLINTBEGIN(google-explicit-constructor)
  ApiResult(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  ApiResult(ApiError error) : state_(std::in_place_index<1>, std::move(error)) {}
  // NOLINTEND(google-explicit-constructor)

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() {
    CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const {
    CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const ApiError& error() const {
    CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, ApiError> state_;
};

/// Every error of the API that a single server of version 2.10 can give (and a few whose texts
/// clients know), with nats-server's numbers and texts. Where 2.9 and 2.10 differ, 2.10 counts.
namespace errors {

inline constexpr ErrorSpec kResourceLimits{400, 10002, "resource limits exceeded for account"};
inline constexpr ErrorSpec kBadRequest{400, 10003, "bad request"};
inline constexpr ErrorSpec kSystemUnavailable{
    503, 10008, "JetStream system temporarily unavailable"};
inline constexpr ErrorSpec kClusterRequired{503, 10010, "JetStream clustering support required"};
inline constexpr ErrorSpec kConsumerCreate{500, 10012, "{err}"};
inline constexpr ErrorSpec kConsumerNameInUse{400, 10013, "consumer name already in use"};
inline constexpr ErrorSpec kConsumerNotFound{404, 10014, "consumer not found"};
inline constexpr ErrorSpec kDurableNotInSubject{
    400, 10016, "consumer expected to be durable but no durable name set in subject"};
inline constexpr ErrorSpec kDurableNotMatchSubject{
    400, 10017, "consumer name in subject does not match durable name in request"};
inline constexpr ErrorSpec kDurableNotSet{
    400, 10018, "consumer expected to be durable but a durable name was not set"};
inline constexpr ErrorSpec kEphemeralWithDurableInSubject{
    400, 10019, "consumer expected to be ephemeral but detected a durable name set in subject"};
inline constexpr ErrorSpec kEphemeralWithDurableName{
    400, 10020, "consumer expected to be ephemeral but a durable name was set in request"};
inline constexpr ErrorSpec kInsufficientResources{503, 10023, "insufficient resources"};
/// 2.9 says only "invalid JSON"; clients compare the number.
inline constexpr ErrorSpec kInvalidJson{400, 10025, "invalid JSON"};
inline constexpr ErrorSpec kMaximumConsumers{400, 10026, "maximum consumers limit reached"};
inline constexpr ErrorSpec kMaximumStreams{400, 10027, "maximum number of streams reached"};
inline constexpr ErrorSpec kMemoryExceeded{500, 10028, "insufficient memory resources available"};
inline constexpr ErrorSpec kMessageNotFound{404, 10037, "no message found"};
inline constexpr ErrorSpec kNotEmptyRequest{400, 10038, "expected an empty request payload"};
inline constexpr ErrorSpec kNotEnabledForAccount{503, 10039, "JetStream not enabled for account"};
inline constexpr ErrorSpec kSequenceNotFound{400, 10043, "sequence {seq} not found"};
inline constexpr ErrorSpec kStorageExceeded{500, 10047, "insufficient storage resources available"};
inline constexpr ErrorSpec kStreamCreate{500, 10049, "{err}"};
inline constexpr ErrorSpec kStreamDelete{500, 10050, "{err}"};
inline constexpr ErrorSpec kStreamGeneral{500, 10051, "{err}"};
inline constexpr ErrorSpec kStreamInvalidConfig{500, 10052, "{err}"};
inline constexpr ErrorSpec kStreamLimits{500, 10053, "{err}"};
inline constexpr ErrorSpec kMessageTooLarge{400, 10054, "message size exceeds maximum allowed"};
inline constexpr ErrorSpec kMirrorNotUpdatable{
    400, 10055, "stream mirror configuration can not be updated"};
inline constexpr ErrorSpec kStreamMismatch{
    400, 10056, "stream name in subject does not match request"};
inline constexpr ErrorSpec kMessageDeleteFailed{500, 10057, "{err}"};
inline constexpr ErrorSpec kStreamNameInUse{
    400, 10058, "stream name already in use with a different configuration"};
inline constexpr ErrorSpec kStreamNotFound{404, 10059, "stream not found"};
inline constexpr ErrorSpec kExpectedStream{400, 10060, "expected stream does not match"};
inline constexpr ErrorSpec kReplicasNotUpdatable{
    400, 10061, "Replicas configuration can not be updated"};
inline constexpr ErrorSpec kSubjectOverlap{400, 10065, "subjects overlap with an existing stream"};
inline constexpr ErrorSpec kStreamUpdate{500, 10069, "{err}"};
inline constexpr ErrorSpec kWrongLastMsgId{400, 10070, "wrong last msg ID: {id}"};
inline constexpr ErrorSpec kWrongLastSequence{400, 10071, "wrong last sequence: {seq}"};
inline constexpr ErrorSpec kReplicasNotSupported{
    500, 10074, "replicas > 1 not supported in non-clustered mode"};
inline constexpr ErrorSpec kNotEnabled{503, 10076, "JetStream not enabled"};
inline constexpr ErrorSpec kStoreFailed{503, 10077, "{err}"};
inline constexpr ErrorSpec kConsumerConfigRequired{400, 10078, "consumer config required"};
inline constexpr ErrorSpec kDeliverToWildcards{
    400, 10079, "consumer deliver subject has wildcards"};
inline constexpr ErrorSpec kPushMaxWaiting{
    400, 10080, "consumer in push mode can not set max waiting"};
inline constexpr ErrorSpec kDeliverCycle{400, 10081, "consumer deliver subject forms a cycle"};
inline constexpr ErrorSpec kMaxAckPendingNeedsAck{
    400, 10082, "consumer requires ack policy for max ack pending"};
inline constexpr ErrorSpec kSmallHeartbeat{
    400, 10083, "consumer idle heartbeat needs to be >= 100ms"};
inline constexpr ErrorSpec kPullRequiresAck{
    400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream"};
inline constexpr ErrorSpec kPullNotDurable{
    400, 10085, "consumer in pull mode requires a durable name"};
inline constexpr ErrorSpec kPullRateLimit{
    400, 10086, "consumer in pull mode can not have rate limit set"};
inline constexpr ErrorSpec kMaxWaitingNegative{
    400, 10087, "consumer max waiting needs to be positive"};
inline constexpr ErrorSpec kHeartbeatRequiresPush{
    400, 10088, "consumer idle heartbeat requires a push based consumer"};
inline constexpr ErrorSpec kFlowControlRequiresPush{
    400, 10089, "consumer flow control requires a push based consumer"};
inline constexpr ErrorSpec kDirectRequiresPush{
    400, 10090, "consumer direct requires a push based consumer"};
inline constexpr ErrorSpec kDirectRequiresEphemeral{
    400, 10091, "consumer direct requires an ephemeral consumer"};
inline constexpr ErrorSpec kFilterNotSubset{
    400, 10093, "consumer filter subject is not a valid subset of the interest subjects"};
inline constexpr ErrorSpec kInvalidPolicy{400, 10094, "{err}"};
inline constexpr ErrorSpec kInvalidSampling{
    400, 10095, "failed to parse consumer sampling configuration: {err}"};
inline constexpr ErrorSpec kStreamInvalid{500, 10096, "stream not valid"};
inline constexpr ErrorSpec kHeaderTooLarge{
    400, 10097, "header size exceeds maximum allowed of 64k"};
inline constexpr ErrorSpec kWorkQueueExplicitAck{
    400, 10098, "workqueue stream requires explicit ack"};
inline constexpr ErrorSpec kWorkQueueMultipleUnfiltered{
    400, 10099, "multiple non-filtered consumers not allowed on workqueue stream"};
inline constexpr ErrorSpec kWorkQueueNotUnique{
    400, 10100, "filtered consumer not unique on workqueue stream"};
inline constexpr ErrorSpec kWorkQueueDeliverAll{
    400, 10101, "consumer must be deliver all on workqueue stream"};
inline constexpr ErrorSpec kConsumerNameTooLong{
    400, 10102, "consumer name is too long, maximum allowed is {max}"};
inline constexpr ErrorSpec kBadDurableName{
    400, 10103, "durable name can not contain '.', '*', '>'"};
inline constexpr ErrorSpec kConsumerStoreFailed{
    500, 10104, "error creating store for consumer: {err}"};
inline constexpr ErrorSpec kConsumerActive{
    400, 10105, "consumer already exists and is still active"};
inline constexpr ErrorSpec kConsumerReplacement{
    400, 10106, "consumer replacement durable config not the same"};
inline constexpr ErrorSpec kConsumerDescriptionTooLong{
    400, 10107, "consumer description is too long, maximum allowed is {max}"};
inline constexpr ErrorSpec kFlowControlNeedsHeartbeat{
    400, 10108, "consumer with flow control also needs heartbeats"};
inline constexpr ErrorSpec kStreamSealed{400, 10109, "invalid operation on sealed stream"};
inline constexpr ErrorSpec kPurgeFailed{500, 10110, "{err}"};
inline constexpr ErrorSpec kRollupFailed{500, 10111, "{err}"};
inline constexpr ErrorSpec kInvalidDeliverSubject{
    400, 10112, "invalid push consumer deliver subject"};
inline constexpr ErrorSpec kMaxBytesRequired{
    400, 10113, "account requires a stream config to have max bytes set"};
inline constexpr ErrorSpec kMaxBatchNegative{
    400, 10114, "consumer max request batch needs to be > 0"};
inline constexpr ErrorSpec kMaxExpiresTooSmall{
    400, 10115, "consumer max request expires needs to be >= 1ms"};
inline constexpr ErrorSpec kMaxDeliverBackoff{
    400, 10116, "max deliver is required to be > length of backoff values"};
inline constexpr ErrorSpec kTooManySubjects{
    500, 10117, "subject details would exceed maximum allowed"};
inline constexpr ErrorSpec kStreamOffline{500, 10118, "stream is offline"};
inline constexpr ErrorSpec kConsumerOffline{500, 10119, "consumer is offline"};
inline constexpr ErrorSpec kMaxAckPendingExcess{
    400, 10121, "consumer max ack pending exceeds system limit of {limit}"};
inline constexpr ErrorSpec kMaxStreamBytesExceeded{
    400, 10122, "stream max bytes exceeds account limit max stream bytes"};
inline constexpr ErrorSpec kMaxBatchExceeded{
    400, 10125, "consumer max request batch exceeds server limit of {limit}"};
inline constexpr ErrorSpec kConsumerReplicasExceed{
    400, 10126, "consumer config replica count exceeds parent stream"};
inline constexpr ErrorSpec kConsumerNamePathSeparators{
    400, 10127, "Consumer name can not contain path separators"};
inline constexpr ErrorSpec kStreamNamePathSeparators{
    400, 10128, "Stream name can not contain path separators"};
inline constexpr ErrorSpec kFilterMismatchSubject{
    400, 10131, "Consumer create request did not match filtered subject from create subject"};
inline constexpr ErrorSpec kDurableAndNameMismatch{
    400, 10132, "Consumer Durable and Name have to be equal if both are provided"};
inline constexpr ErrorSpec kReplicasNegative{400, 10133, "replicas count cannot be negative"};
inline constexpr ErrorSpec kConsumerReplicasMatch{
    400, 10134, "consumer config replicas must match interest retention stream's replicas"};
inline constexpr ErrorSpec kConsumerMetadataTooLong{
    400, 10135, "consumer metadata exceeds maximum size of {limit}"};
inline constexpr ErrorSpec kBothFilters{
    400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"};
inline constexpr ErrorSpec kMultipleFiltersInSubject{
    400, 10137, "consumer with multiple subject filters cannot use subject based API"};
inline constexpr ErrorSpec kFiltersOverlap{400, 10138, "consumer subject filters cannot overlap"};
inline constexpr ErrorSpec kEmptyFilter{
    400, 10139, "consumer filter in FilterSubjects cannot be empty"};
inline constexpr ErrorSpec kConsumerExists{400, 10148, "consumer already exists"};
inline constexpr ErrorSpec kConsumerDoesNotExist{400, 10149, "consumer does not exist"};
inline constexpr ErrorSpec kInactiveThresholdExcess{
    400, 10153, "consumer inactive threshold exceeds system limit of {limit}"};
inline constexpr ErrorSpec kTransformInvalidSource{400, 10155, "stream transform source: {err}"};
inline constexpr ErrorSpec kTransformInvalidDestination{400, 10156, "stream transform: {err}"};

/// All of the above, by number.
std::span<const ErrorSpec> all();

}  // namespace errors
}  // namespace feedvault::broker::streams
