#include <nlohmann/json.hpp>

#include "cli/controller_health.h"
#include "cli/doctor.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;

void examine_controller(const Config& config, Findings& findings) {
  const std::string place =
      place_of(reachable_host(config.controller.bind), config.controller.port);
  const auto health = ask_controller_health(config);
  if (!health.has_value()) {
    if (health.error().code() == StatusCode::kProtocol) {
      findings.fail("controller",
                    "what answers at " + place + " is no feedvault-controller",
                    "end that program, or set [controller] port (FEEDVAULT_CONTROLLER_PORT)");
    } else {
      findings.fail("controller",
                    health.error().message(),
                    "start feedvault-controller: nothing is catalogued without it");
    }
    return;
  }
  bool well = health->ready;
  if (!health->reason.empty()) {
    well = false;
    findings.fail("controller", health->reason, "see its log");
  }
  for (const ControllerHealth::Feed& feed : health->feeds) {
    if (!feed.ready) {
      well = false;
      findings.fail(
          "controller",
          "feed " + feed.name + " is " + feed.state +
              (feed.reason.empty() ? "" : ": " + feed.reason),
          "see its log; it goes on by itself once the cause is gone, unless it is stopped");
    }
  }
  if (well) {
    findings.ok("controller", "ready at " + place);
  }
}

void examine_gateway(const Config& config, const Place& gateway, Findings& findings) {
  const std::string place = place_of(gateway.host, gateway.port);
  const auto answer = http_get(gateway.host, gateway.port, "/readyz", 5s);
  if (!answer.has_value() && answer.error().code() != StatusCode::kProtocol) {
    findings.warn("gateway",
                  answer.error().message(),
                  "start feedvault-gateway: HTTP and the past of the feeds come from it");
    return;
  }
  if (!config.http.tls_cert_file.empty()) {
    // Whatever it says, it is not for clear text.
    findings.ok("gateway", "something listens at " + place + "; HTTPS is not looked into");
    return;
  }
  try {
    const auto body = nlohmann::json::parse(answer.has_value() ? answer->body : "");
    if (body.contains("feeds")) {
      findings.fail("gateway",
                    "what answers at " + place + " is a feedvault-controller",
                    "give [http] port and [controller] port different values");
    } else if (body.at("ready").get<bool>()) {
      findings.ok("gateway", "ready at " + place);
    } else {
      findings.fail("gateway",
                    body.value("reason", "not ready"),
                    "see its log; it goes on by itself once the cause is gone");
    }
  } catch (const nlohmann::json::exception&) {
    findings.fail("gateway",
                  "what answers at " + place + " is no feedvault-gateway",
                  "end that program, or set [http] port (FEEDVAULT_HTTP_PORT)");
  }
}

}  // namespace

void examine_services(const Config& config, const Place& gateway, Findings& findings) {
  examine_controller(config, findings);
  examine_gateway(config, gateway, findings);
}

}  // namespace feedvault::cli
