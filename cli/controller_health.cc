#include "cli/controller_health.h"

#include <nlohmann/json.hpp>

#include "cli/http_get.h"

namespace feedvault::cli {

std::string reachable_host(const std::string& bind) {
  return bind == "0.0.0.0" || bind == "::" ? "127.0.0.1" : bind;
}

Result<ControllerHealth> ask_controller_health(const Config& config) {
  ASSIGN_OR_RETURN(const HttpAnswer answer,
                   http_get(reachable_host(config.controller.bind),
                            config.controller.port,
                            "/readyz",
                            std::chrono::seconds(5)));
  try {
    const auto body = nlohmann::json::parse(answer.body);
    ControllerHealth health;
    health.ready = body.value("ready", false);
    health.reason = body.value("reason", "");
    for (const auto& entry : body.at("feeds")) {
      health.feeds.push_back({.name = entry.at("name").get<std::string>(),
                              .state = entry.value("state", "unknown"),
                              .reason = entry.value("reason", ""),
                              .ready = entry.value("ready", false)});
    }
    return health;
  } catch (const nlohmann::json::exception& e) {
    return protocol_error("cannot read its answer: " + std::string(e.what()));
  }
}

}  // namespace feedvault::cli
