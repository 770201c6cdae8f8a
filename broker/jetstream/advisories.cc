#include "broker/jetstream/advisories.h"

#include "broker/jetstream/config_json.h"
#include "broker/monitoring_json.h"

namespace feedvault::broker::jetstream {
namespace {

using streams::Action;

const char* word(Action action) {
  switch (action) {
    case Action::kCreate:
      return "create";
    case Action::kModify:
      return "modify";
    case Action::kDelete:
      return "delete";
  }
  return "";
}

const char* subject_word(Action action) {
  switch (action) {
    case Action::kCreate:
      return "CREATED.";
    case Action::kModify:
      return "UPDATED.";
    case Action::kDelete:
      return "DELETED.";
  }
  return "";
}

/// Writes one event behind the fields that all have.
class AdvisoryWriter {
 public:
  AdvisoryWriter(std::string& subject, Json& json) : subject_(subject), json_(json) {}

  void operator()(const streams::StreamAction& event) {
    type("advisory.v1.stream_action");
    subject_ =
        std::string("$JS.EVENT.ADVISORY.STREAM.") + subject_word(event.action) + event.stream;
    json_["stream"] = event.stream;
    json_["action"] = word(event.action);
  }
  void operator()(const streams::ConsumerAction& event) {
    type("advisory.v1.consumer_action");
    of_consumer(event, subject_word(event.action));
    json_["action"] = word(event.action);
  }
  void operator()(const streams::ConsumerPaused& event) {
    type("advisory.v1.consumer_pause");
    of_consumer(event, "PAUSE.");
    json_["paused"] = event.paused;
    if (event.paused) {
      json_["pause_until"] = json_time_text(event.pause_until_ns);
    }
  }
  void operator()(const streams::MaxDeliveries& event) {
    type("advisory.v1.max_deliver");
    of_consumer(event, "MAX_DELIVERIES.");
    json_["stream_seq"] = event.stream_seq;
    json_["deliveries"] = event.deliveries;
  }
  void operator()(const streams::MessageNaked& event) {
    type("advisory.v1.nak");
    of_consumer(event, "MSG_NAKED.");
    of_delivery(event);
  }
  void operator()(const streams::MessageTerminated& event) {
    type("advisory.v1.terminated");
    of_consumer(event, "MSG_TERMINATED.");
    of_delivery(event);
    if (!event.reason.empty()) {
      json_["reason"] = event.reason;
    }
  }
  void operator()(const streams::AckMetric& event) {
    type("metric.v1.consumer_ack");
    subject_ = "$JS.EVENT.METRIC.CONSUMER.ACK." + event.stream + "." + event.consumer;
    json_["stream"] = event.stream;
    json_["consumer"] = event.consumer;
    json_["consumer_seq"] = event.consumer_seq;
    json_["stream_seq"] = event.stream_seq;
    json_["ack_time"] = event.delay_ns;
    json_["deliveries"] = event.deliveries;
  }
  void operator()(const streams::ApiAudit& event) {
    type("advisory.v1.api_audit");
    subject_ = streams::kAuditSubject;
    json_["client"] = {{"acc", "$G"}, {"id", event.connection}};
    json_["subject"] = event.subject;
    if (!event.request.empty()) {
      json_["request"] = event.request;
    }
    json_["response"] = event.response;
  }

 private:
  void type(const char* name) { json_["type"] = std::string("io.nats.jetstream.") + name; }
  template <typename Event>
  void of_consumer(const Event& event, const char* what) {
    subject_ =
        std::string("$JS.EVENT.ADVISORY.CONSUMER.") + what + event.stream + "." + event.consumer;
    json_["stream"] = event.stream;
    json_["consumer"] = event.consumer;
  }
  template <typename Event>
  void of_delivery(const Event& event) {
    json_["consumer_seq"] = event.consumer_seq;
    json_["stream_seq"] = event.stream_seq;
    json_["deliveries"] = event.deliveries;
  }

  std::string& subject_;
  Json& json_;
};

}  // namespace

AdvisoryText advisory_text(const streams::Advisory& event,
                           const std::string& id,
                           std::int64_t unix_ns,
                           const std::string& domain) {
  AdvisoryText text;
  Json json;
  json["type"] = "";
  json["id"] = id;
  json["timestamp"] = json_time_text(unix_ns);
  std::visit(AdvisoryWriter(text.subject, json), event);
  if (!domain.empty()) {
    json["domain"] = domain;
  }
  text.payload = json_text(json, /*pretty=*/false);
  return text;
}

}  // namespace feedvault::broker::jetstream
