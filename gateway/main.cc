// feedvault-gateway: feeds, history and quarantine over HTTP.

#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/service_main.h"
#include "base/stop_token.h"
#include "gateway/gateway.h"
#include "gateway/limits.h"

namespace feedvault::gateway {
namespace {

// Ends the threads, or the process without them: a database that hangs may hold one for half a
// minute, and whoever stops us would have killed us by then.
void leave(std::unique_ptr<Gateway> gateway) {
  StopSource left;
  std::thread guard([&left] {
    if (!left.wait_for(kLeaveMax)) {
      logger("gateway")->warn("stopped without waiting for the database");
      std::_Exit(0);
    }
  });
  gateway.reset();
  left.request_stop();
  guard.join();
}

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
  leave(std::move(*gateway));
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
