// The API's requests about consumers.

#include <algorithm>
#include <string>

#include "broker/jetstream/api.h"
#include "broker/jetstream/api_call.h"
#include "broker/jetstream/pull_json.h"
#include "broker/streams/consumer_set.h"
#include "broker/streams/direct_get.h"

namespace feedvault::broker::jetstream {

using streams::Consumer;
using streams::ConsumerConfig;
using streams::ConsumerSet;
using streams::make_error;
using streams::Stream;
namespace errors = streams::errors;

namespace {

constexpr JsonWord<ConsumerSet::CreateAction> kActions[] = {
    {"", ConsumerSet::CreateAction::kCreateOrUpdate},
    {"create", ConsumerSet::CreateAction::kCreate},
    {"update", ConsumerSet::CreateAction::kUpdate}};

struct CreateRequest {
  std::string stream;
  ConsumerConfig config;
  ConsumerSet::CreateAction action = ConsumerSet::CreateAction::kCreateOrUpdate;
};

bool read_create(std::string_view payload, CreateRequest& request) {
  const auto json = parse_json(payload);
  return json && json->is_object() &&
         read_object(*json,
                     {text_field("stream_name", request.stream),
                      {"config",
                       [&](const ReadJson& v) { return read_consumer_config(v, request.config); }},
                      word_field("action", kActions, request.action)});
}

Json sequence_json(const streams::SequencePair& pair, std::int64_t last_ns) {
  Json json;
  json["consumer_seq"] = pair.consumer;
  json["stream_seq"] = pair.stream;
  if (last_ns != 0) {
    json["last_active"] = json_time_text(last_ns);
  }
  return json;
}

void put_consumer(Json& json, const Stream& stream, Consumer& consumer) {
  const streams::ConsumerInfo info = consumer.info();
  json["stream_name"] = stream.name();
  json["name"] = consumer.name();
  json["created"] = json_time_text(info.created_ns);
  json["config"] = consumer_config_json(consumer.config());
  json["delivered"] = sequence_json(info.delivered, info.last_delivery_ns);
  json["ack_floor"] = sequence_json(info.ack_floor, info.last_ack_ns);
  json["num_ack_pending"] = info.num_ack_pending;
  json["num_redelivered"] = info.num_redelivered;
  json["num_waiting"] = info.num_waiting;
  json["num_pending"] = info.num_pending;
  if (info.push_bound) {
    json["push_bound"] = true;
  }
  if (info.paused) {
    json["paused"] = true;
    json["pause_remaining"] = info.pause_remaining_ns;
  }
}

bool has_path_separators(std::string_view name) {
  return name.find_first_of("/\\") != std::string_view::npos;
}

}  // namespace

void Api::consumer_create(Call& call) {
  CreateRequest request;
  if (!read_create(call.arrival.payload, request)) {
    fail(call, errors::kInvalidJson);
    return;
  }
  ConsumerConfig& config = request.config;
  if (request.stream != call.stream) {
    fail(call, errors::kStreamMismatch);
  } else if (has_path_separators(call.consumer)) {
    fail(call, errors::kConsumerNamePathSeparators);
  } else if (call.consumer.empty() && !config.durable_name.empty()) {
    fail(call, errors::kEphemeralWithDurableName);
  } else if (!call.consumer.empty() && !config.durable_name.empty() &&
             config.durable_name != call.consumer) {
    fail(call, errors::kDurableNotMatchSubject);
  } else if (!call.rest.empty() && !config.filter_subjects.empty()) {
    fail(call, errors::kMultipleFiltersInSubject);
  } else if (!call.rest.empty() && config.filter_subject != call.rest) {
    fail(call, errors::kFilterMismatchSubject);
  }
  if (call.failed) {
    return;
  }
  if (!call.consumer.empty()) {
    config.name = call.consumer;
  }
  finish_create(call, std::move(config), request.action);
}

void Api::durable_create(Call& call) {
  CreateRequest request;
  if (!read_create(call.arrival.payload, request)) {
    fail(call, errors::kInvalidJson);
  } else if (request.stream != call.stream) {
    fail(call, errors::kStreamMismatch);
  } else if (has_path_separators(call.consumer)) {
    fail(call, errors::kConsumerNamePathSeparators);
  } else if (request.config.durable_name.empty()) {
    fail(call, errors::kDurableNotSet);
  } else if (request.config.durable_name != call.consumer) {
    fail(call, errors::kDurableNotMatchSubject);
  } else {
    finish_create(call, std::move(request.config), request.action);
  }
}

void Api::finish_create(Call& call, ConsumerConfig config, ConsumerSet::CreateAction action) {
  Stream* const stream = find_stream(call);
  if (stream == nullptr) {
    return;
  }
  ConsumerSet& consumers = streams::consumers_of(*stream);
  const auto creation = consumers.begin_create(std::move(config), action);
  host_.touched(*stream);
  if (!creation->outcome()) {
    host_.on_disk([creation] { creation->run(); },
                  [this, creation, stream, late = put_off(call)] {
                    finish(*late, [&](Call& answered) {
                      const auto created = streams::consumers_of(*stream).end_create(*creation);
                      host_.touched(*stream);
                      if (!created) {
                        answered.refuse(created.error());
                        return;
                      }
                      put_consumer(answered.json, *stream, *created->consumer);
                    });
                  });
    return;
  }
  const auto& outcome = *creation->outcome();
  if (!outcome) {
    call.refuse(outcome.error());
  } else if (outcome->updated) {
    call.consumer = outcome->consumer->name();
    answer_when_stored(call, *outcome->consumer);
  } else {
    put_consumer(call.json, *stream, *outcome->consumer);
  }
}

/// With its description, once its configuration is durable.
void Api::answer_when_stored(Call& call, Consumer& consumer) {
  consumer.when_durable([this, late = put_off(call)](const Status& status) {
    finish(*late, [&](Call& answered) {
      Stream* const stream = find_stream(answered);
      Consumer* const found =
          stream == nullptr ? nullptr : streams::consumers_of(*stream).find(answered.consumer);
      if (!status.ok()) {
        answered.refuse(make_error(errors::kConsumerStoreFailed, status.message()));
      } else if (found == nullptr) {
        fail(answered, errors::kConsumerNotFound);
      } else {
        put_consumer(answered.json, *stream, *found);
      }
    });
  });
}

void Api::consumer_info(Call& call) {
  if (!call.empty_payload()) {
    fail(call, errors::kNotEmptyRequest);
    return;
  }
  Stream* const stream = find_stream(call);
  Consumer* const consumer =
      stream == nullptr ? nullptr : streams::consumers_of(*stream).find(call.consumer);
  if (consumer != nullptr) {
    put_consumer(call.json, *stream, *consumer);
  } else if (stream != nullptr) {
    fail(call, errors::kConsumerNotFound);
  }
}

std::vector<Consumer*> Api::consumer_page(Call& call, std::size_t limit) {
  PageRequest request;
  Stream* stream = nullptr;
  if (read_page(call.arrival.payload, request)) {
    stream = find_stream(call);
  } else {
    fail(call, errors::kInvalidJson);
  }
  call.put_page(0, 0, 0);
  if (stream == nullptr) {
    return {};
  }
  return call.page_of(streams::consumers_of(*stream).list(), request.offset, limit);
}

void Api::consumer_names(Call& call) {
  const std::vector<Consumer*> page = consumer_page(call, kPageMax);
  Json& names = call.json["consumers"] = Json::array();
  for (const Consumer* const consumer : page) {
    names.push_back(consumer->name());
  }
}

void Api::consumer_list(Call& call) {
  const std::vector<Consumer*> page = consumer_page(call, kListMax);
  Json& list = call.json["consumers"] = Json::array();
  for (Consumer* const consumer : page) {
    put_consumer(list.emplace_back(Json::object()), *streams_.find(call.stream), *consumer);
  }
}

void Api::consumer_delete(Call& call) {
  if (!call.empty_payload()) {
    fail(call, errors::kNotEmptyRequest);
    return;
  }
  Stream* const stream = find_stream(call);
  if (stream == nullptr) {
    return;
  }
  ConsumerSet& consumers = streams::consumers_of(*stream);
  if (consumers.find(call.consumer) == nullptr) {
    fail(call, errors::kConsumerNotFound);
    return;
  }
  const auto late = put_off(call);
  consumers.remove(late->consumer, [this, late](const Status& removed) {
    finish(*late, [&](Call& answered) {
      if (!removed.ok()) {
        answered.refuse(
            make_error(errors::kStreamGeneral,
                       "the consumer may come back with the next start: " + removed.message()));
        return;
      }
      answered.json["success"] = true;
    });
  });
  host_.touched(*stream);
}

void Api::consumer_pause(Call& call) {
  std::optional<std::int64_t> until;
  if (!call.empty_payload()) {
    const auto json = parse_json(call.arrival.payload);
    if (!json || !read_object(*json, {time_field("pause_until", until)})) {
      fail(call, errors::kInvalidJson);
      return;
    }
  }
  Stream* const stream = find_stream(call);
  if (stream == nullptr) {
    return;
  }
  const auto paused = streams::consumers_of(*stream).pause(call.consumer, until);
  host_.touched(*stream);
  if (!paused) {
    call.refuse(paused.error());
    return;
  }
  const streams::ConsumerInfo info = (*paused)->info();
  call.json["paused"] = info.paused;
  call.json["pause_until"] = json_time_text((*paused)->config().pause_until_ns.value_or(0));
  if (info.paused) {
    call.json["pause_remaining"] = info.pause_remaining_ns;
  }
  (*paused)->when_durable([this, late = put_off(call)](const Status& status) {
    finish(*late, [&](Call& answered) {
      if (!status.ok()) {
        answered.refuse(make_error(errors::kConsumerStoreFailed, status.message()));
      }
    });
  });
}

// Answered with messages and statuses. Who asks a consumer that is not there hears that nobody
// answers.
void Api::consumer_next(Call& call) {
  const std::string_view reply = call.arrival.reply;
  if (reply.empty()) {
    return;
  }
  Stream* const stream = streams_.find(call.stream);
  Consumer* const consumer =
      stream == nullptr ? nullptr : streams::consumers_of(*stream).find(call.consumer);
  if (consumer == nullptr) {
    host_.no_responders(call.arrival.from, reply);
    return;
  }
  streams::PullRequest request;
  if (!read_pull_request(call.arrival.payload, request)) {
    streams::send_status(output_, reply, "400 Bad Request - invalid JSON");
    return;
  }
  host_.touched(*stream);  // first: what goes out in the middle is to be written before
  consumer->on_pull(reply, request);
}

}  // namespace feedvault::broker::jetstream
