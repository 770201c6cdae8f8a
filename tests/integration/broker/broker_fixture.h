#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>

#include "base/clock.h"
#include "broker/server.h"

namespace feedvault::broker::testing {

/// A broker of the test's own, in this process, so that the sanitizers see it; on a free port of
/// loopback.
class BrokerFixture {
 public:
  explicit BrokerFixture(
      std::size_t loops = 1,
      const std::function<void(Options&)>& configure = [](Options&) {},
      const Server::MakeStreams& make_streams = {}) {
    Options options;
    options.host = "127.0.0.1";
    options.port = -1;
    options.loops = static_cast<int>(loops);
    // On a slow machine it would come in the middle of what a test reads.
    options.timeouts.first_ping = std::chrono::hours(1);
    configure(options);
    auto started = Server::start(options, Clock::system(), make_streams);
    if (!started) {
      throw std::runtime_error(started.error().to_string());
    }
    server_ = std::move(*started);
  }

  std::uint16_t port() const { return static_cast<std::uint16_t>(server_->port()); }
  Server& server() { return *server_; }

 private:
  std::unique_ptr<Server> server_;
};

}  // namespace feedvault::broker::testing
