// feedvault-gateway: feeds, history and quarantine over HTTP.

#include "base/log.h"
#include "base/service_main.h"
#include "gateway/gateway.h"

namespace feedvault::gateway {
namespace {

Status serve(const Config& config, const sigset_t& signals) {
  auto gateway = Gateway::create(config);
  if (!gateway.has_value()) {
    return gateway.error();
  }
  (*gateway)->start();
  int received = 0;
  sigwait(&signals, &received);
  logger("gateway")->info("stopping signal={}", received);
  (*gateway)->stop();
  gateway->reset();
  logger("gateway")->info("stopped");
  return {};
}

}  // namespace
}  // namespace feedvault::gateway

int main(int argc, char** argv) {
  return feedvault::service_main(
      argc,
      argv,
      "feedvault-gateway",
      "Serves protobuf feeds over HTTP: live as server-sent events, history as JSON, NDJSON or CSV",
      feedvault::gateway::serve);
}
