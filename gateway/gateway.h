#pragma once

#include <cstdint>
#include <memory>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::gateway {

/// The whole gateway: its server, its database connections, what it knows of the feeds. Works
/// without broker and database as well as it can, and says so in /readyz. One thread.
class Gateway {
 public:
  /// Listens, and answers from start() on. kInvalidArgument for what somebody must change in the
  /// configuration; kUnavailable when the port is in use.
  static Result<std::unique_ptr<Gateway>> create(const Config& config);
  virtual ~Gateway() = default;

  virtual void start() = 0;
  /// Accepts nothing more, ends live streams so that their readers come back elsewhere, waits up to
  /// kDrainMax for answers under way.
  virtual void stop() = 0;
  virtual std::uint16_t port() const = 0;
};

}  // namespace feedvault::gateway
