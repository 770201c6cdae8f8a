#pragma once

#include <csignal>
#include <functional>

#include "base/config.h"
#include "base/status.h"

namespace feedvault {

/// What the main() of our services have in common: --config and --version, the configuration, the
/// log's level, SIGTERM and SIGINT blocked in every thread for `serve` to wait for, SIGPIPE
/// ignored. Problems go to stderr as one line. Returns the exit code: 0, 1 for what was thrown, 2
/// for arguments, configuration and what `serve` says cannot work.
int service_main(int argc,
                 char** argv,
                 const char* program,
                 const char* description,
                 const std::function<Status(const Config& config, const sigset_t& signals)>& serve);

}  // namespace feedvault
