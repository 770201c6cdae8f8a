#include "gateway/service_discovery.h"

#include <nlohmann/json.hpp>

namespace feedvault::gateway {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kPrefix = "$SRV.";

ordered_json standard_fields(const ServiceDescription& service, const char* type) {
  return {{"type", std::string("io.nats.micro.v1.") + type},
          {"name", service.name},
          {"id", service.id},
          {"version", service.version},
          {"metadata", ordered_json::object()}};
}

ordered_json info(const ServiceDescription& service) {
  ordered_json answer = standard_fields(service, "info_response");
  answer["description"] = service.description;
  answer["endpoints"] = ordered_json::array();
  for (const ServiceEndpoint& endpoint : service.endpoints) {
    answer["endpoints"].push_back({{"name", endpoint.name},
                                   {"subject", endpoint.subject},
                                   {"queue_group", service.queue_group},
                                   {"metadata", ordered_json::object()}});
  }
  return answer;
}

ordered_json stats(const ServiceDescription& service) {
  ordered_json answer = standard_fields(service, "stats_response");
  answer["started"] = service.started;
  answer["endpoints"] = ordered_json::array();
  for (const ServiceEndpoint& endpoint : service.endpoints) {
    const auto requests = static_cast<std::int64_t>(endpoint.requests);
    answer["endpoints"].push_back(
        {{"name", endpoint.name},
         {"subject", endpoint.subject},
         {"queue_group", service.queue_group},
         {"num_requests", endpoint.requests},
         {"num_errors", endpoint.errors},
         {"last_error", endpoint.last_error},
         {"processing_time", endpoint.processing_ns},
         {"average_processing_time", requests == 0 ? 0 : endpoint.processing_ns / requests}});
  }
  return answer;
}

}  // namespace

std::vector<std::string> discovery_subjects(const ServiceDescription& service) {
  // Not one `$SRV.>`: whoever asks for a service that is not there would wait instead of being told
  // at once that nobody listens.
  const std::string each_verb = std::string(kPrefix) + "*";
  return {
      each_verb, each_verb + "." + service.name, each_verb + "." + service.name + "." + service.id};
}

std::string answer_discovery(const ServiceDescription& service, std::string_view subject) {
  if (!subject.starts_with(kPrefix)) {
    return {};
  }
  subject.remove_prefix(kPrefix.size());
  const std::string_view verb = subject.substr(0, subject.find('.'));
  const std::string_view target = subject.substr(std::min(subject.size(), verb.size() + 1));
  if (!target.empty() && target != service.name && target != service.name + "." + service.id) {
    return {};
  }
  ordered_json answer;
  if (verb == "PING") {
    answer = standard_fields(service, "ping_response");
  } else if (verb == "INFO") {
    answer = info(service);
  } else if (verb == "STATS") {
    answer = stats(service);
  } else {
    return {};
  }
  return answer.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace feedvault::gateway
