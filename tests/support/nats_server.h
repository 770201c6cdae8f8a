#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/config.h"
#include "tests/support/process.h"

namespace feedvault::testing {

/// A broker with streams of the test's own: on free ports of loopback, its streams in a temporary
/// folder that survives restarts and goes with this object. FEEDVAULT_TEST_BROKER chooses the
/// program: "feedvault-broker", the one of this build (the default), "nats-server" of PATH, or a
/// path. FEEDVAULT_TEST_BROKER_SYNC is its sync_interval: "always", or a time ("2m"); the program's
/// default otherwise. Constructor and start() return when it answers; they throw
/// std::runtime_error, with its log, when it does not.
class NatsServer {
 public:
  /// `extra` is appended to the configuration ("max_payload: 8MB").
  explicit NatsServer(std::string extra = "");
  ~NatsServer() = default;
  NatsServer(const NatsServer&) = delete;
  NatsServer& operator=(const NatsServer&) = delete;

  std::uint16_t port() const { return port_; }
  std::uint16_t monitor_port() const { return monitor_port_; }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  NatsConfig config() const;

  /// SIGKILL.
  void kill_hard();
  /// SIGTERM, and waits for the end.
  void stop();
  void start();  // again, on the same port and streams
  void restart() {
    stop();
    start();
  }
  /// Loses the streams; only while it is stopped.
  void delete_streams();

  /// Where a stream is, to be copied or put back while the server is stopped. Throws
  /// std::runtime_error when there is none of that name.
  std::string stream_folder(const std::string& stream) const;

  Process& process() { return *process_; }
  std::string log() const;
  /// Replaces `extra`; effective at the next start().
  void set_extra(std::string extra) { extra_ = std::move(extra); }

 private:
  TempDir folder_;
  std::uint16_t port_;
  std::uint16_t monitor_port_;
  std::string extra_;
  std::unique_ptr<Process> process_;
};

}  // namespace feedvault::testing
