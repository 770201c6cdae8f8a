#pragma once

#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/support/http_client.h"
#include "tests/support/installation.h"

namespace feedvault::testing {

/// A feedvault-gateway as a process of its own, on a port that stays the same when it is started
/// again.
class GatewayProcess {
 public:
  explicit GatewayProcess(const Installation& installation, Environment environment = {})
      : config_file_(installation.config_file()),
        log_file_(installation.folder() + "/gateway.log"),
        environment_(std::move(environment)),
        port_(free_port()) {
    start();
  }

  /// Until it answers. Throws when it does not.
  void start() {
    Environment environment = environment_;
    environment.emplace("FEEDVAULT_HTTP_PORT", std::to_string(port_));
    process_ = std::make_unique<Process>(
        Process::Options{.command = {built_program("feedvault-gateway"), "--config", config_file_},
                         .environment = std::move(environment),
                         .output_file = log_file_,
                         .working_folder = {}});
    const bool answers =
        eventually([this] { return !process_->running() || get("/livez").status == 200; });
    if (!answers || !process_->running()) {
      throw std::runtime_error("the gateway does not start:\n" + process_->output());
    }
  }
  bool wait_until_ready() {
    return eventually([this] { return get("/readyz").status == 200; });
  }
  void kill_hard() { process_->kill_hard(); }
  /// SIGTERM; the exit code.
  std::optional<int> terminate() {
    process_->send_signal(SIGTERM);
    return process_->wait_for_exit(std::chrono::seconds(30));
  }

  HttpExchange get(const std::string& target, const std::vector<std::string>& headers = {}) const {
    return http_request(port_, "GET", target, headers);
  }
  HttpExchange post(const std::string& target, const std::vector<std::string>& headers = {}) const {
    return http_request(port_, "POST", target, headers);
  }
  std::uint16_t port() const { return port_; }
  std::string log() const { return process_->output(); }

 private:
  const std::string config_file_;
  const std::string log_file_;
  const Environment environment_;
  const std::uint16_t port_;
  std::unique_ptr<Process> process_;
};

}  // namespace feedvault::testing
