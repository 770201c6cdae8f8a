#pragma once

#include <functional>
#include <string>

#include "base/config.h"
#include "base/result.h"

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11 names it so
class App;
}

namespace feedvault::cli {

/// Reads the configuration that the command line names. Called at most once.
using ConfigLoader = std::function<Result<Config>()>;

/// What the command line asks for.
struct Invocation {
  std::string config_path;
  std::function<int(const ConfigLoader&)> run;  // returns the exit code
  /// It waits for SIGINT and SIGTERM itself: they must be blocked before any thread starts.
  bool waits_for_signals = false;
  /// Says what keeps it waiting, and gaps, through the log; other commands have their own words.
  bool logs_warnings = false;
};

/// Adds every command to `app`; after app.parse() `chosen` holds what was asked for. `chosen` must
/// outlive the parsing.
void build_command_line(CLI::App& app, Invocation& chosen);

}  // namespace feedvault::cli
