// feedvault-controller: reads the ingest streams, catalogues, republishes.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "base/config.h"
#include "base/log.h"
#include "base/version.h"
#include "controller/controller.h"

namespace feedvault::controller {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int usage_error(const Status& status) {
  std::fprintf(stderr, "feedvault-controller: %s\n", status.message().c_str());
  return kExitUsage;
}

// Blocks the signals that end us in every thread; this one then waits for them.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a closed connection is an error code, not a death
  return signals;
}

int run(const std::string& config_path) {
  const sigset_t signals = block_signals();
  const auto config = load_config(config_path, environ);
  if (!config.has_value()) {
    return usage_error(config.error());
  }
  if (const Status level = set_log_level(config->log.level); !level.ok()) {
    return usage_error(level);
  }
  auto controller = Controller::create(*config);
  if (!controller.has_value()) {
    return usage_error(controller.error());
  }
  if (const Status started = (*controller)->start(); !started.ok()) {
    return usage_error(started);
  }
  int received = 0;
  for (;;) {
    // Wakes also when the controller found that its configuration cannot work.
    const timespec interval{.tv_sec = 0, .tv_nsec = 100'000'000};
    received = sigtimedwait(&signals, nullptr, &interval);
    if (received > 0) {
      break;
    }
    if (const Status fatal = (*controller)->fatal_error(); !fatal.ok()) {
      return usage_error(fatal);
    }
  }
  logger("controller")->info("stopping signal={}", received);
  (*controller)->stop();
  logger("controller")->info("stopped");
  return 0;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app(
      "Reads protobuf feeds from NATS streams, catalogues every message exactly once in MySQL, and "
      "republishes it");
  std::string config_path = "config.toml";
  app.add_option("-c,--config", config_path, "Configuration file")
      ->envname("FEEDVAULT_CONFIG")
      ->capture_default_str();
  app.set_version_flag("-v,--version", std::string("feedvault-controller ") + kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return run(config_path);
}

}  // namespace
}  // namespace feedvault::controller

int main(int argc, char** argv) {
  try {
    return feedvault::controller::parse_and_run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "feedvault-controller: %s\n", problem.what());
    return feedvault::controller::kExitFailed;
  }
}
