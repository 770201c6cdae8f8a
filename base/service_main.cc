#include "base/service_main.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "base/version.h"

namespace feedvault {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// Every thread that starts later inherits this.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a closed connection is an error code, not a death
  return signals;
}

Status configure_and_serve(
    const std::string& config_path,
    const std::function<Status(const Config& config, const sigset_t& signals)>& serve) {
  const sigset_t signals = block_signals();
  const auto config = load_config(config_path, environ);
  if (!config.has_value()) {
    return config.error();
  }
  RETURN_IF_ERROR(set_log_level(config->log.level));
  return serve(*config, signals);
}

}  // namespace

int service_main(
    int argc,
    char** argv,
    const char* program,
    const char* description,
    const std::function<Status(const Config& config, const sigset_t& signals)>& serve) {
  try {
    CLI::App app(description);
    std::string config_path = "config.toml";
    app.add_option("-c,--config", config_path, "Configuration file")
        ->envname("FEEDVAULT_CONFIG")
        ->capture_default_str();
    app.set_version_flag("-v,--version", std::string(program) + " " + kVersion);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app.exit(error) == 0 ? 0 : kExitUsage;
    }
    if (const Status served = configure_and_serve(config_path, serve); !served.ok()) {
      std::fprintf(stderr, "%s: %s\n", program, served.message().c_str());
      return kExitUsage;
    }
    return 0;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "%s: %s\n", program, problem.what());
    return kExitFailed;
  }
}

}  // namespace feedvault
