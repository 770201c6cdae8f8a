#pragma once

#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::cli {

/// What a controller says of itself at /readyz.
struct ControllerHealth {
  struct Feed {
    std::string name;
    std::string state;  // "active", "standby", "stopped" ...
    std::string reason;
    bool ready = false;
  };
  bool ready = false;
  std::string reason;
  std::vector<Feed> feeds;
};

/// Asks the configured controller. kUnavailable when nobody answers, kProtocol when it is something
/// else that does.
Result<ControllerHealth> ask_controller_health(const Config& config);

/// Where a listener that binds to `bind` can be reached from its own machine.
std::string reachable_host(const std::string& bind);

}  // namespace feedvault::cli
