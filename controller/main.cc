// feedvault-controller: reads the ingest streams, catalogues, republishes.

#include "base/log.h"
#include "base/service_main.h"
#include "controller/controller.h"

namespace feedvault::controller {
namespace {

Status serve(const Config& config, const sigset_t& signals) {
  auto controller = Controller::create(config);
  if (!controller.has_value()) {
    return controller.error();
  }
  RETURN_IF_ERROR((*controller)->start());
  int received = 0;
  for (;;) {
    // Wakes also when the controller found that its configuration cannot work.
    const timespec interval{.tv_sec = 0, .tv_nsec = 100'000'000};
    received = sigtimedwait(&signals, nullptr, &interval);
    if (received > 0) {
      break;
    }
    RETURN_IF_ERROR((*controller)->fatal_error());
  }
  logger("controller")->info("stopping signal={}", received);
  (*controller)->stop();
  logger("controller")->info("stopped");
  return {};
}

}  // namespace
}  // namespace feedvault::controller

int main(int argc, char** argv) {
  return feedvault::service_main(
      argc,
      argv,
      "feedvault-controller",
      "Reads protobuf feeds from NATS streams, catalogues every message exactly once in MySQL, and "
      "republishes it",
      feedvault::controller::serve);
}
