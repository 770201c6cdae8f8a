// The API's requests about streams.

#include <algorithm>

#include "broker/jetstream/api.h"
#include "broker/jetstream/api_call.h"

namespace feedvault::broker::jetstream {

using streams::ApiError;
using streams::make_error;
using streams::Stream;
using streams::StreamConfig;
namespace errors = streams::errors;

Json stream_state_json(const Stream& stream) {
  const streams::StreamState state = stream.state();
  Json json;
  json["messages"] = state.messages;
  json["bytes"] = state.bytes;
  json["first_seq"] = state.first_seq;
  json["first_ts"] = json_time_text(state.first_time_ns);
  json["last_seq"] = state.last_seq;
  json["last_ts"] = json_time_text(state.last_time_ns);
  if (state.num_subjects > 0) {
    json["num_subjects"] = state.num_subjects;
  }
  if (state.num_deleted > 0) {
    json["num_deleted"] = state.num_deleted;
  }
  json["consumer_count"] = state.consumers;
  return json;
}

void put_stream(Json& json, const Stream& stream) {
  json["config"] = stream_config_json(stream.config());
  json["created"] = json_time_text(stream.created_ns());
  json["state"] = stream_state_json(stream);
}

namespace {

// Reads the configuration of a request about the stream that its subject names; false after a
// refusal.
bool read_config(std::string_view stream,
                 std::string_view payload,
                 StreamConfig& config,
                 std::optional<ApiError>& error) {
  const auto json = parse_json(payload);
  if (!json || !read_stream_config(*json, config)) {
    error = make_error(errors::kInvalidJson);
  } else if (config.name != stream) {
    error = make_error(errors::kStreamMismatch);
  }
  return !error;
}

}  // namespace

// Room that streams have reserved by max_bytes counts, as in nats-server.
std::optional<ApiError> Api::check_limits(const StreamConfig& config) const {
  const bool memory = config.storage == streams::StorageType::kMemory;
  const std::int64_t limit = memory ? limits_.max_memory : limits_.max_file;
  if (limit < 0 || config.max_bytes <= 0) {
    return std::nullopt;
  }
  if (config.max_bytes <= limit - streams_.reserved_bytes(config.storage, config.name)) {
    return std::nullopt;
  }
  return make_error(memory ? errors::kMemoryExceeded : errors::kStorageExceeded);
}

void Api::stream_create(Call& call) {
  StreamConfig config;
  std::optional<ApiError> error;
  if (!read_config(call.stream, call.arrival.payload, config, error) ||
      (error = check_limits(config))) {
    call.refuse(*error);
    return;
  }
  auto begun = streams_.begin_create(std::move(config));
  if (!begun) {
    call.refuse(begun.error());
    return;
  }
  const auto creation = *begun;
  if (creation->outcome()) {
    put_stream(call.json, *creation->outcome()->stream);
    call.json["did_create"] = true;
    return;
  }
  host_.on_disk([creation] { creation->run(); },
                [this, creation, late = put_off(call)] {
                  finish(*late, [&](Call& answered) {
                    const auto created = streams_.end_create(*creation);
                    if (!created) {
                      answered.refuse(created.error());
                      return;
                    }
                    host_.stream_created(*created->stream);
                    put_stream(answered.json, *created->stream);
                    answered.json["did_create"] = true;
                  });
                });
}

void Api::stream_update(Call& call) {
  StreamConfig config;
  std::optional<ApiError> error;
  if (!read_config(call.stream, call.arrival.payload, config, error) ||
      (error = check_limits(config))) {
    call.refuse(*error);
    return;
  }
  const auto begun = streams_.begin_update(config);
  if (!begun) {
    call.refuse(begun.error());
    return;
  }
  Stream* const stream = *begun;
  host_.on_disk([stream] { stream->run_update(); },
                [this, stream, late = put_off(call)] {
                  finish(*late, [&](Call& answered) {
                    if (const auto updated = streams_.end_update(*stream); !updated) {
                      answered.refuse(updated.error());
                      return;
                    }
                    host_.stream_updated(*stream);
                    put_stream(answered.json, *stream);
                  });
                });
}

void Api::stream_info(Call& call) {
  bool deleted_details = false;
  std::string subjects_filter;
  std::int64_t offset = 0;
  bool readable = true;
  if (!call.empty_payload()) {
    const auto json = parse_json(call.arrival.payload);
    readable = json && read_object(*json,
                                   {bool_field("deleted_details", deleted_details),
                                    text_field("subjects_filter", subjects_filter),
                                    int_field("offset", offset)});
  }
  Stream* const stream = readable ? find_stream(call) : nullptr;
  if (stream == nullptr) {
    if (readable) {
      call.put_page(0, 0, 0);
      return;
    }
    fail(call, errors::kInvalidJson);
    call.put_page(0, 0, 0);
    return;
  }
  call.put_page(0, 0, 0);
  put_stream(call.json, *stream);
  Json& state = call.json["state"];
  if (deleted_details && state.contains("num_deleted")) {
    state["deleted"] = stream->deleted(kDeletedMax);
  }
  if (!subjects_filter.empty()) {
    const std::vector<store::SubjectCount> subjects = stream->subjects(subjects_filter);
    const std::size_t begin = std::min<std::size_t>(
        static_cast<std::size_t>(std::max<std::int64_t>(offset, 0)), subjects.size());
    const std::size_t end = std::min(subjects.size(), begin + kSubjectsMax);
    call.put_page(subjects.size(), begin, kSubjectsMax);
    // Put in behind each other: by name, each would be looked for among all before it.
    state["subjects"] = Json::object();
    auto& list = state["subjects"].get_ref<Json::object_t&>();
    list.reserve(end - begin);
    for (std::size_t i = begin; i < end; ++i) {
      list.Container::emplace_back(subjects[i].subject, subjects[i].state.messages);
    }
  }
}

// The streams of the page that was asked for; none when the request cannot be read.
std::vector<Stream*> Api::stream_page(Call& call, std::size_t limit) {
  PageRequest request;
  if (!read_page(call.arrival.payload, request)) {
    fail(call, errors::kInvalidJson);
    call.put_page(0, 0, 0);
    return {};
  }
  return call.page_of(streams_.list(request.subject), request.offset, limit);
}

void Api::stream_names(Call& call) {
  const std::vector<Stream*> page = stream_page(call, kPageMax);
  Json& names = call.json["streams"] = Json::array();
  for (const Stream* const stream : page) {
    names.push_back(stream->name());
  }
}

void Api::stream_list(Call& call) {
  const std::vector<Stream*> page = stream_page(call, kListMax);
  Json& list = call.json["streams"] = Json::array();
  for (Stream* const stream : page) {
    put_stream(list.emplace_back(Json::object()), *stream);
  }
}

void Api::stream_delete(Call& call) {
  if (!call.empty_payload()) {
    fail(call, errors::kNotEmptyRequest);
    return;
  }
  Stream* const stream = find_stream(call);
  if (stream == nullptr) {
    return;
  }
  host_.stream_removed(*stream, [this, late = put_off(call)] {
    const auto removal = streams_.begin_remove(late->stream);
    host_.on_disk([removal] { removal->run(); },
                  [this, removal, late] {
                    finish(*late, [&](Call& answered) {
                      if (const auto error = streams_.end_remove(*removal)) {
                        answered.refuse(*error);
                        return;
                      }
                      answered.json["success"] = true;
                    });
                  });
  });
}

void Api::stream_purge(Call& call) {
  streams::PurgeRequest request;
  std::uint64_t below = 0;
  bool readable = true;
  if (!call.empty_payload()) {
    const auto json = parse_json(call.arrival.payload);
    readable = json && read_object(*json,
                                   {text_field("filter", request.filter),
                                    uint_field("seq", below),
                                    uint_field("keep", request.keep)});
  }
  request.below = below;
  Stream* stream = nullptr;
  if (!readable) {
    fail(call, errors::kInvalidJson);
  } else if (below > 0 && request.keep > 0) {
    fail(call, errors::kBadRequest);
  } else {
    stream = find_stream(call);
  }
  call.json["purged"] = 0;
  if (stream == nullptr) {
    return;
  }
  const auto purged = stream->purge(request);
  host_.touched(*stream);
  if (!purged) {
    call.refuse(purged.error());
    return;
  }
  call.json.erase("purged");
  call.json["success"] = true;
  call.json["purged"] = *purged;
  answer_when_durable(call, *stream, errors::kPurgeFailed);
}

}  // namespace feedvault::broker::jetstream
