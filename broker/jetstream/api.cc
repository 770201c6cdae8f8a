#include "broker/jetstream/api.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/check.h"
#include "broker/jetstream/api_call.h"
#include "broker/monitoring_json.h"

namespace feedvault::broker::jetstream {

using streams::ApiError;
using streams::make_error;
namespace errors = streams::errors;

Api::Api(streams::Streams& streams, streams::Output& output, ApiHost& host, Limits limits)
    : streams_(streams), output_(output), host_(host), limits_(limits) {}

Api::~Api() = default;

std::span<const Api::Method> Api::methods() {
  static constexpr Method kMethods[] = {
      {"INFO", "account_info", &Api::account_info},
      {"STREAM.NAMES", "stream_names", &Api::stream_names},
      {"STREAM.LIST", "stream_list", &Api::stream_list},
      {"STREAM.CREATE.S", "stream_create", &Api::stream_create, true},
      {"STREAM.UPDATE.S", "stream_update", &Api::stream_update, true},
      {"STREAM.INFO.S", "stream_info", &Api::stream_info},
      {"STREAM.DELETE.S", "stream_delete", &Api::stream_delete, true},
      {"STREAM.PURGE.S", "stream_purge", &Api::stream_purge},
      {"STREAM.MSG.GET.S", "stream_msg_get", &Api::message_get},
      {"STREAM.MSG.DELETE.S", "stream_msg_delete", &Api::message_delete},
      {"DIRECT.GET.S", "", &Api::direct_get},
      {"DIRECT.GET.S.>", "", &Api::direct_get},
      {"CONSUMER.MSG.NEXT.S.C", "", &Api::consumer_next},
      {"CONSUMER.CREATE.S", "consumer_create", &Api::consumer_create, true},
      {"CONSUMER.CREATE.S.C", "consumer_create", &Api::consumer_create, true},
      {"CONSUMER.CREATE.S.C.>", "consumer_create", &Api::consumer_create, true},
      {"CONSUMER.DURABLE.CREATE.S.C", "consumer_create", &Api::durable_create, true},
      {"CONSUMER.INFO.S.C", "consumer_info", &Api::consumer_info},
      {"CONSUMER.NAMES.S", "consumer_names", &Api::consumer_names},
      {"CONSUMER.LIST.S", "consumer_list", &Api::consumer_list},
      {"CONSUMER.DELETE.S.C", "consumer_delete", &Api::consumer_delete, true},
      {"CONSUMER.PAUSE.S.C", "consumer_pause", &Api::consumer_pause, true},
      {"STREAM.SNAPSHOT.S", "stream_snapshot", &Api::unsupported},
      {"STREAM.RESTORE.S", "stream_restore", &Api::unsupported},
      {"STREAM.TEMPLATE.NAMES", "stream_template_names", &Api::template_names},
      {"STREAM.LEADER.STEPDOWN.S", "stream_leader_stepdown", &Api::not_clustered},
      {"STREAM.PEER.REMOVE.S", "stream_remove_peer", &Api::not_clustered},
      {"CONSUMER.LEADER.STEPDOWN.S.C", "consumer_leader_stepdown", &Api::not_clustered},
      {"META.LEADER.STEPDOWN", "meta_leader_stepdown", &Api::not_clustered},
  };
  return kMethods;
}

namespace {

std::string_view next_token(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view token = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return token;
}

}  // namespace

// Few methods, and none of them is a fast path but pulling, which is near the front.
bool Api::dispatch(Call& call) {
  for (const Method& method : methods()) {
    std::string_view pattern = method.path;
    std::string_view path = call.path;
    call.stream = call.consumer = call.rest = {};
    bool matches = true;
    while (matches && !pattern.empty()) {
      const std::string_view want = next_token(pattern);
      if (want == ">") {
        call.rest = path;
        matches = !path.empty();
        path = {};
        break;
      }
      const std::string_view got = next_token(path);
      if (want == "S") {
        call.stream = got;
      } else if (want == "C") {
        call.consumer = got;
      }
      matches = !got.empty() && (want.size() == 1 || want == got);
    }
    if (matches && path.empty() && call.path.back() != '.') {
      call.method = &method;
      return true;
    }
  }
  return false;
}

void Api::handle(std::string_view path, const Arrival& arrival) {
  Call call{path, {}, {}, {}, arrival};
  if (!path.empty() && dispatch(call) && call.method->type.empty()) {
    (this->*call.method->run)(call);  // answers in its own way
    return;
  }
  const bool changes = call.method != nullptr && call.method->changes;
  const bool too_many = changes_ >= kChangesMax || changes_bytes_ >= kChangesBytesMax;
  if (changes && !too_many) {
    if (const auto changing = changing_.find(call.stream); changing != changing_.end()) {
      count_change(changing->second.emplace_back(Asked::copy_of(path, arrival)));
      return;
    }
  }
  ++total_;
  const std::string_view type = call.method != nullptr ? call.method->type : "system";
  call.json["type"] = std::string("io.nats.jetstream.api.v1.").append(type).append("_response");
  if (call.method == nullptr) {
    fail(call, errors::kBadRequest);
  } else if (changes && too_many) {
    fail(call, errors::kInsufficientResources);  // the disk does not get on with those before
  } else {
    (this->*call.method->run)(call);
  }
  errors_ += call.failed ? 1U : 0U;
  if (!call.silent) {
    answer(call);
  }
}

void Api::answer(const Call& call) {
  const std::string text = json_text(call.json, /*pretty=*/false);
  if (!call.arrival.reply.empty()) {
    host_.answer(call.arrival.reply, text);
  }
  audit(call.arrival, text);
}

/// From here on the answer is finish()'s.
std::shared_ptr<Api::Late> Api::put_off(Call& call) {
  call.silent = true;
  auto late = std::make_shared<Late>(call);
  if (late->changes) {
    changing_.try_emplace(late->stream);
    count_change(late->asked);
  }
  return late;
}

void Api::count_change(const Asked& asked) {
  ++changes_;
  changes_bytes_ += asked.bytes();
}

void Api::uncount_change(const Asked& asked) {
  --changes_;
  changes_bytes_ -= asked.bytes();
}

void Api::finish(Late& late, const std::function<void(Call&)>& complete) {
  const Arrival arrival = late.asked.arrival();
  Call call{late.asked.path, late.stream, late.consumer, {}, arrival};
  call.json = std::move(late.json);
  complete(call);
  errors_ += call.failed ? 1U : 0U;
  answer(call);
  if (late.changes) {
    uncount_change(late.asked);
    end_change(late.stream);
  }
}

// Not within whatever has just called: that may be in the middle of the stream.
void Api::end_change(const std::string& stream) {
  const auto changing = changing_.find(stream);
  CHECK(changing != changing_.end());
  if (changing->second.empty()) {
    changing_.erase(changing);
    return;
  }
  host_.later([this, stream] {
    auto waiting = std::move(changing_.extract(stream).mapped());
    while (!waiting.empty()) {
      const Asked next = std::move(waiting.front());
      waiting.pop_front();
      uncount_change(next);
      handle(next.path, next.arrival());
      if (const auto again = changing_.find(stream); again != changing_.end()) {
        again->second.insert(again->second.end(),
                             std::make_move_iterator(waiting.begin()),
                             std::make_move_iterator(waiting.end()));
        return;
      }
    }
  });
}

/// `call.json` says that it is done, which is true once that is on disk.
void Api::answer_when_durable(Call& call,
                              streams::Stream& stream,
                              const streams::ErrorSpec& failure) {
  stream.when_durable([this, late = put_off(call), failure](const Status& status) {
    finish(*late, [&](Call& answered) {
      if (!status.ok()) {
        answered.json.erase("success");
        answered.refuse(status.code() == StatusCode::kCancelled
                            ? make_error(errors::kStreamNotFound)  // deleted meanwhile
                            : make_error(failure, "the stream's disk has failed"));
      }
    });
  });
}

void Api::audit(const Arrival& arrival, std::string_view response) {
  if (output_.has_interest(streams::kAuditSubject)) {
    output_.advisory(streams::ApiAudit{std::string(arrival.subject),
                                       std::string(arrival.payload),
                                       std::string(response),
                                       arrival.from.connection});
  }
}

void Api::fail(Call& call, const streams::ErrorSpec& error) {
  call.refuse(make_error(error));
}

streams::Stream* Api::find_stream(Call& call) {
  streams::Stream* const stream = streams_.find(call.stream);
  if (stream == nullptr) {
    fail(call, errors::kStreamNotFound);
  }
  return stream;
}

// --- one call ---

bool Api::Call::empty_payload() const {
  std::string_view text = arrival.payload;
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  text =
      first == std::string_view::npos ? std::string_view() : text.substr(first, last - first + 1);
  return text.empty() || text == "{}";
}

void Api::Call::refuse(const ApiError& error) {
  failed = true;
  json["error"] = {
      {"code", error.code}, {"err_code", error.err_code}, {"description", error.description}};
}

void Api::Call::put_page(std::uint64_t total, std::uint64_t offset, std::uint64_t limit) {
  json["total"] = total;
  json["offset"] = offset;
  json["limit"] = limit;
}

bool read_page(std::string_view payload, PageRequest& request) {
  if (payload.empty()) {
    return true;
  }
  const auto json = parse_json(payload);
  return json &&
         read_object(*json,
                     {int_field("offset", request.offset), text_field("subject", request.subject)});
}

// --- the server ---

void Api::account_info(Call& call) {
  std::uint64_t memory = 0;
  std::uint64_t storage = 0;
  std::size_t consumers = 0;
  for (const streams::Stream* const stream : streams_.list()) {
    const streams::StreamState state = stream->state();
    (stream->config().storage == streams::StorageType::kMemory ? memory : storage) += state.bytes;
    consumers += state.consumers;
  }
  call.json["memory"] = memory;
  call.json["storage"] = storage;
  call.json["streams"] = streams_.size();
  call.json["consumers"] = consumers;
  Json& limits = call.json["limits"] = Json::object();
  for (const char* name : {"max_memory",
                           "max_storage",
                           "max_streams",
                           "max_consumers",
                           "max_ack_pending",
                           "memory_max_stream_bytes",
                           "storage_max_stream_bytes"}) {
    limits[name] = -1;
  }
  limits["max_bytes_required"] = false;
  call.json["api"] = {{"total", total_ - 1}, {"errors", errors_}};
}

void Api::not_clustered(Call& call) {
  fail(call, errors::kClusterRequired);
}

void Api::unsupported(Call& call) {
  call.refuse(make_error(errors::kStreamGeneral,
                         "not supported by this server; stop it and copy its store folder"));
}

void Api::template_names(Call& call) {
  call.put_page(0, 0, kPageMax);
  call.json["streams"] = Json::array();
}

}  // namespace feedvault::broker::jetstream
