#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace feedvault::broker::testing {

/// Whose server: the broker that this build made, or Debian's nats-server, which shows what is
/// right.
enum class ServerKind : std::uint8_t { kOurs, kReference };

inline const char* name_of(ServerKind kind) {
  return kind == ServerKind::kOurs ? "feedvault_broker" : "nats_server";
}
inline void PrintTo(ServerKind kind, std::ostream* out) {
  *out << name_of(kind);
}

/// A server as a program of its own, started with nats-server's flags on free ports of loopback.
/// Constructor and start() return when it accepts clients; they throw std::runtime_error, with its
/// output, when it does not.
class ServerProgram {
 public:
  /// `config` is in nats-server's grammar.
  explicit ServerProgram(ServerKind kind, const std::string& config = "");
  ~ServerProgram() = default;
  ServerProgram(const ServerProgram&) = delete;
  ServerProgram& operator=(const ServerProgram&) = delete;

  std::uint16_t port() const { return port_; }
  std::uint16_t monitor_port() const { return monitor_port_; }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  feedvault::testing::Process& process() { return *process_; }
  std::string output() const { return process_->output(); }

  /// SIGKILL.
  void kill_hard() { process_->kill_hard(); }
  /// Again, on the same ports.
  void start();
  /// Another configuration, for the next start() or a reload.
  void reconfigure(const std::string& config);

 private:
  ServerKind kind_;
  feedvault::testing::TempDir folder_;
  std::uint16_t port_ = feedvault::testing::free_port();
  std::uint16_t monitor_port_ = feedvault::testing::free_port();
  std::unique_ptr<feedvault::testing::Process> process_;
};

}  // namespace feedvault::broker::testing
