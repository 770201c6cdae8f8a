// The API's requests about single messages.

#include "broker/jetstream/api.h"
#include "broker/jetstream/api_call.h"
#include "broker/streams/direct_get.h"

namespace feedvault::broker::jetstream {

using streams::ApiResult;
using streams::Stream;
namespace errors = streams::errors;

namespace {

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  const auto at = [&](std::size_t i) {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t three = (at(i) << 16U) | (at(i + 1) << 8U) | at(i + 2);
    text.push_back(kDigits[three >> 18U]);
    text.push_back(kDigits[(three >> 12U) & 63U]);
    text.push_back(i + 1 < bytes.size() ? kDigits[(three >> 6U) & 63U] : '=');
    text.push_back(i + 2 < bytes.size() ? kDigits[three & 63U] : '=');
  }
  return text;
}

}  // namespace

void Api::message_get(Call& call) {
  std::uint64_t seq = 0;
  std::string last;
  std::string next;
  if (call.empty_payload()) {
    fail(call, errors::kBadRequest);
    return;
  }
  const auto json = parse_json(call.arrival.payload);
  if (!json || !read_object(*json,
                            {uint_field("seq", seq),
                             text_field("last_by_subj", last),
                             text_field("next_by_subj", next)})) {
    fail(call, errors::kInvalidJson);
    return;
  }
  if ((seq == 0 && last.empty() && next.empty()) || (seq > 0 && !last.empty()) ||
      (!last.empty() && !next.empty())) {
    fail(call, errors::kBadRequest);
    return;
  }
  const Stream* const stream = find_stream(call);
  if (stream == nullptr) {
    return;
  }
  const ApiResult<store::MessageView> found =
      !next.empty()   ? stream->next_by_subject(seq, next, buffer_)
      : !last.empty() ? stream->last_by_subject(last, buffer_)
                      : stream->get(seq, buffer_);
  if (!found) {
    call.refuse(found.error());
    return;
  }
  Json& message = call.json["message"] = Json::object();
  message["subject"] = found->subject;
  message["seq"] = found->seq;
  if (!found->headers.empty()) {
    message["hdrs"] = base64(found->headers);
  }
  if (!found->payload.empty()) {
    message["data"] = base64(found->payload);
  }
  message["time"] = json_time_text(found->time_ns);
}

void Api::message_delete(Call& call) {
  std::uint64_t seq = 0;
  bool no_erase = false;
  if (call.empty_payload()) {
    fail(call, errors::kBadRequest);
    return;
  }
  const auto json = parse_json(call.arrival.payload);
  if (!json || !read_object(*json, {uint_field("seq", seq), bool_field("no_erase", no_erase)})) {
    fail(call, errors::kInvalidJson);
    return;
  }
  Stream* const stream = find_stream(call);
  if (stream == nullptr) {
    return;
  }
  const auto error = stream->delete_message(seq, /*erase=*/!no_erase);
  host_.touched(*stream);
  if (error) {
    call.refuse(*error);
    return;
  }
  call.json["success"] = true;
  answer_when_durable(call, *stream, errors::kMessageDeleteFailed);
}

// Answered with messages, not with JSON. Who asks a stream that is not there, or does not allow it,
// hears that nobody answers.
void Api::direct_get(Call& call) {
  const Stream* const stream = streams_.find(call.stream);
  const std::string_view reply = call.arrival.reply;
  if (reply.empty()) {
    return;
  }
  if (stream == nullptr || !stream->config().allow_direct) {
    host_.no_responders(call.arrival.from, reply);
    return;
  }
  streams::DirectGetRequest request;
  if (!call.rest.empty()) {
    request.last_by_subject = call.rest;
  } else if (!call.arrival.payload.empty()) {
    const auto json = parse_json(call.arrival.payload);
    if (!json || !read_object(*json,
                              {uint_field("seq", request.seq),
                               time_field("start_time", request.start_time_ns),
                               text_field("last_by_subj", request.last_by_subject),
                               text_field("next_by_subj", request.next_by_subject),
                               uint_field("batch", request.batch),
                               uint_field("max_bytes", request.max_bytes),
                               texts_field("multi_last", request.multi_last),
                               uint_field("up_to_seq", request.up_to_seq),
                               time_field("up_to_time", request.up_to_time_ns)})) {
      streams::send_status(output_, reply, "408 Malformed Request");
      return;
    }
  }
  streams::direct_get(*stream, request, reply);
}

}  // namespace feedvault::broker::jetstream
