// feedvault-gateway: feeds, history and quarantine over HTTP.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "base/config.h"
#include "base/log.h"
#include "base/version.h"
#include "gateway/gateway.h"

namespace feedvault::gateway {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int usage_error(const Status& status) {
  std::fprintf(stderr, "feedvault-gateway: %s\n", status.message().c_str());
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
  auto gateway = Gateway::create(*config);
  if (!gateway.has_value()) {
    return usage_error(gateway.error());
  }
  (*gateway)->start();
  int received = 0;
  sigwait(&signals, &received);
  logger("gateway")->info("stopping signal={}", received);
  (*gateway)->stop();
  gateway->reset();
  logger("gateway")->info("stopped");
  return 0;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app(
      "Serves protobuf feeds over HTTP: live as server-sent events, history as JSON, NDJSON or "
      "CSV");
  std::string config_path = "config.toml";
  app.add_option("-c,--config", config_path, "Configuration file")
      ->envname("FEEDVAULT_CONFIG")
      ->capture_default_str();
  app.set_version_flag("-v,--version", std::string("feedvault-gateway ") + kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return run(config_path);
}

}  // namespace
}  // namespace feedvault::gateway

int main(int argc, char** argv) {
  try {
    return feedvault::gateway::parse_and_run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "feedvault-gateway: %s\n", problem.what());
    return feedvault::gateway::kExitFailed;
  }
}
