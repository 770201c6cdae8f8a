#include "tests/integration/broker/server_program.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace feedvault::broker::testing {

using feedvault::testing::built_program;
using feedvault::testing::eventually;
using feedvault::testing::Process;

ServerProgram::ServerProgram(ServerKind kind, const std::string& config) : kind_(kind) {
  reconfigure(config);
  start();
}

void ServerProgram::reconfigure(const std::string& config) {
  std::ofstream(folder_.file("nats.conf")) << config << "\n";
}

void ServerProgram::start() {
  Process::Options options;
  options.command = {kind_ == ServerKind::kOurs ? built_program("feedvault-broker") : "nats-server",
                     "-c",
                     folder_.file("nats.conf"),
                     "-a",
                     "127.0.0.1",
                     "-p",
                     std::to_string(port_),
                     "-m",
                     std::to_string(monitor_port_),
                     "--ports_file_dir",
                     folder_.path()};
  options.output_file = folder_.file("output");
  options.working_folder = folder_.path();
  process_ = std::make_unique<Process>(options);
  // Written when all listen; a connection to try it would be seen by monitoring.
  const std::string ports =
      folder_.file((kind_ == ServerKind::kOurs ? "feedvault-broker_" : "nats-server_") +
                   std::to_string(process_->pid()) + ".ports");
  const bool up =
      eventually([&] { return !process_->running() || std::filesystem::exists(ports); });
  if (!up || !process_->running()) {
    throw std::runtime_error(std::string(name_of(kind_)) + " did not come up:\n" + output());
  }
}

}  // namespace feedvault::broker::testing
