#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/config.h"
#include "base/metrics.h"
#include "base/result.h"
#include "gateway/http/message.h"
#include "gateway/http/session.h"

namespace feedvault::gateway {

struct ServerOptions {
  std::string bind = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one
  std::string tls_cert_file;
  std::string tls_key_file;
  std::size_t connections_max = 10'000;
  SessionLimits limits;

  static ServerOptions from(const HttpConfig& config);
};

/// The HTTP/1.1 server: one thread, any number of connections up to connections_max. A further one
/// takes the place of the connection that has been idle longest; when none is idle it gets 503.
class Server {
 public:
  /// Called on the server's thread; must not block. What it throws is answered with 500.
  using Handler = std::function<void(const Request&, Respond)>;

  /// Listens; requests are handled from start() on. kUnavailable when the port is in use,
  /// kInvalidArgument for unreadable TLS files.
  static Result<std::unique_ptr<Server>> listen(const ServerOptions& options,
                                                Handler handler,
                                                Metrics& metrics);
  virtual ~Server() = default;  // closes everything, joins

  virtual void start() = 0;
  virtual std::uint16_t port() const = 0;
  /// Where connections live.
  virtual std::shared_ptr<Loop> loop() const = 0;

  /// Accepts nothing more, ends streams, waits up to `most` for answers that are under way.
  virtual void drain(std::chrono::milliseconds most) = 0;
};

}  // namespace feedvault::gateway
