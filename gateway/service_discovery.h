#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace feedvault::gateway {

// NATS' convention for finding services and asking how they do (ADR-32): requests on
// $SRV.<PING|INFO|STATS>[.<name>[.<id>]], answers in JSON. Without the network.

struct ServiceEndpoint {
  std::string name;
  std::string subject;
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::string last_error;
  std::int64_t processing_ns = 0;  // of all requests together
};

struct ServiceDescription {
  std::string name;
  std::string id;       // of this instance
  std::string version;  // SemVer
  std::string description;
  std::string queue_group;
  std::string started;  // RFC 3339
  std::vector<ServiceEndpoint> endpoints;
};

/// The subjects to listen on: each verb for all services, for those of this name and for this
/// instance.
std::vector<std::string> discovery_subjects(const ServiceDescription& service);

/// The JSON to answer a request on `subject` with; empty for one that is not for this service.
std::string answer_discovery(const ServiceDescription& service, std::string_view subject);

}  // namespace feedvault::gateway
