// feedvault: the user's tool.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <CLI/CLI.hpp>

#include "base/config.h"
#include "base/log.h"
#include "cli/command_line.h"
#include "cli/commands.h"

namespace feedvault::cli {
namespace {

int run(int argc, char** argv) {
  CLI::App app("Reads Feedvault's feeds and looks after them.", "feedvault");
  const char* from_environment = std::getenv("FEEDVAULT_CONFIG");
  Invocation chosen;
  chosen.config_path = from_environment == nullptr ? "./config.toml" : from_environment;
  build_command_line(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }

  // Before any thread starts, so that all inherit it.
  if (chosen.waits_for_signals) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);  // a reader that has seen enough is no error
  if (const Status level = set_log_level(chosen.logs_warnings ? "warn" : "error"); !level.ok()) {
    return report("log", level);
  }
  return chosen.run([&] { return load_config(chosen.config_path, environ); });
}

}  // namespace
}  // namespace feedvault::cli

int main(int argc, char** argv) {
  try {
    return feedvault::cli::run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "feedvault: %s\n", problem.what());
    return 1;
  }
}
