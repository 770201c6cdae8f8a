#include "tests/support/nats_server.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "base/file.h"
#include "tests/support/http_get.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;

std::string program() {
  const char* const chosen = std::getenv("FEEDVAULT_TEST_BROKER");
  const std::string name = chosen == nullptr || *chosen == '\0' ? "feedvault-broker" : chosen;
  return name == "feedvault-broker" ? built_program(name) : name;
}

std::string sync_setting() {
  const char* chosen = std::getenv("FEEDVAULT_TEST_BROKER_SYNC");
  return chosen != nullptr && *chosen != '\0' ? ", sync_interval: \"" + std::string(chosen) + "\""
                                              : "";
}

bool healthy(std::uint16_t port) {
  return http_get(port, "/healthz", std::chrono::seconds(2)).status == 200;
}

}  // namespace

NatsServer::NatsServer(std::string extra)
    : port_(free_port()), monitor_port_(free_port()), extra_(std::move(extra)) {
  start();
}

NatsConfig NatsServer::config() const {
  NatsConfig config;
  config.host = "127.0.0.1";
  config.port = port_;
  return config;
}

void NatsServer::start() {
  const std::string config_file = folder_.file("nats.conf");
  {
    std::ofstream out(config_file);
    out << "listen: \"127.0.0.1:" << port_ << "\"\n"
        << "http: \"127.0.0.1:" << monitor_port_ << "\"\n"
        << extra_ << "\n"
        << "jetstream { store_dir: \"" << folder_.file("store") << "\"" << sync_setting() << " }\n";
  }
  Process::Options options;
  options.command = {program(), "-c", config_file};
  options.output_file = folder_.file("log");
  process_ = std::make_unique<Process>(options);
  const bool up = eventually([this] { return !process_->running() || healthy(monitor_port_); },
                             milliseconds(20'000));
  if (!up || !process_->running()) {
    throw std::runtime_error("the broker did not come up:\n" + log());
  }
}

void NatsServer::kill_hard() {
  process_->kill_hard();
}

void NatsServer::stop() {
  process_->send_signal(SIGTERM);
  if (!process_->wait_for_exit(milliseconds(10'000))) {
    process_->kill_hard();
  }
}

void NatsServer::delete_streams() {
  std::filesystem::remove_all(folder_.file("store"));
}

std::string NatsServer::stream_folder(const std::string& stream) const {
  // nats-server has a folder for each account, feedvault-broker has not.
  for (const char* streams : {"/jetstream/$G/streams/", "/jetstream/streams/"}) {
    std::string path = folder_.file("store") + streams + stream;
    if (std::filesystem::is_directory(path)) {
      return path;
    }
  }
  throw std::runtime_error("no folder of stream " + stream + " in " + folder_.file("store"));
}

std::string NatsServer::log() const {
  return read_file(folder_.file("log")).value();
}

}  // namespace feedvault::testing
