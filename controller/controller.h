#pragma once

#include <memory>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::controller {

/// The process between ingest and feed: one pipeline a feed, health and metrics over HTTP.
/// Everything that may be away (broker, database) is waited for; what can only be wrong is an
/// error. One thread.
class Controller {
 public:
  /// Loads the feeds' schemas. kInvalidArgument with file, key and remedy.
  static Result<std::unique_ptr<Controller>> create(const Config& config);
  virtual ~Controller() = default;  // stop()

  /// Opens the HTTP port and returns; connecting, migrating and the feeds follow in the background.
  virtual Status start() = 0;

  /// Not ok once it turned out that the configuration cannot work: refused credentials, a schema of
  /// a newer version. The process should print it and exit with 2.
  virtual Status fatal_error() const = 0;

  /// Commits and publishes what is in memory, at most for some seconds. Idempotent.
  virtual void stop() = 0;

  virtual std::uint16_t http_port() const = 0;
};

}  // namespace feedvault::controller
