#include "tests/support/installation.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace feedvault::testing {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kReadyTimeout{30};

// One of each a test process: starting them costs more than most tests.
MariadbServer& shared_database() {
  static MariadbServer server;
  return server;
}

NatsServer& shared_broker() {
  static NatsServer server;
  return server;
}

std::string toml_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    quoted += c;
  }
  return quoted + "\"";
}

// Letter after the last ')' of /proc/<pid>/stat; 'T' is stopped.
char process_state(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(in, text);
  const std::size_t bracket = text.rfind(')');
  return bracket == std::string::npos || bracket + 2 >= text.size() ? '?' : text[bracket + 2];
}

}  // namespace

Environment crash_at(const std::string& failpoint, int pass) {
  return {{"FEEDVAULT_FAILPOINT", fmt::format("{}=kill@{}", failpoint, pass)}};
}

Environment freeze_at(const std::string& failpoint, int pass) {
  return {{"FEEDVAULT_FAILPOINT", fmt::format("{}=stop@{}", failpoint, pass)}};
}

ControllerProcess::ControllerProcess(const std::string& config_file,
                                     Environment environment,
                                     std::string log_file)
    : http_port_(free_port()) {
  environment.emplace("FEEDVAULT_CONTROLLER_PORT", std::to_string(http_port_));
  process_ = std::make_unique<Process>(
      Process::Options{.command = {built_program("feedvault-controller"), "--config", config_file},
                       .environment = std::move(environment),
                       .output_file = std::move(log_file),
                       .working_folder = {}});
}

bool ControllerProcess::wait_until_killed(milliseconds timeout) {
  return process_->wait_for_exit(timeout) == 128 + SIGKILL;
}

bool ControllerProcess::wait_until_frozen(milliseconds timeout) {
  return eventually([this] { return process_state(process_->pid()) == 'T'; }, timeout);
}

std::optional<int> ControllerProcess::terminate(milliseconds timeout) {
  process_->send_signal(SIGTERM);
  return process_->wait_for_exit(timeout);
}

std::string ControllerProcess::state_of(const std::string& feed) const {
  const auto body = nlohmann::json::parse(get("/readyz").body, nullptr, false);
  if (!body.is_object() || !body.contains("feeds")) {
    return {};
  }
  for (const auto& view : body["feeds"]) {
    if (view.value("name", "") == feed) {
      return view.value("state", "");
    }
  }
  return {};
}

bool FeedUnderTest::wait_until_catalogued(std::uint64_t count) {
  return eventually([&] { return checker.summary().state.last_seq >= count; },
                    std::chrono::seconds(20));
}

bool FeedUnderTest::wait_until_published(std::uint64_t count) {
  const std::string stream = checker.places().feed.feed_stream();
  return eventually([&] { return checker.stream_tail(stream) >= count; }, std::chrono::seconds(20));
}

bool FeedUnderTest::wait_until_captured(std::uint64_t stream_seq) {
  return eventually([&] { return checker.stream_tail(ingest_name_) >= stream_seq; },
                    std::chrono::seconds(20));
}

Installation::Installation(Options options)
    : database_(shared_database()),
      broker_(shared_broker()),
      config_file_(folder_.file("config.toml")) {
  // Whatever the test before left, running or not.
  broker_.kill_hard();
  broker_.delete_streams();
  broker_.start();
  if (!database_.running()) {
    database_.start();
  }
  config_.mysql = database_.config();
  write_config(options);
  const Places places{.broker = config_.nats, .mysql = config_.mysql, .feed = {}};
  const auto feed = [&](const std::string& name) {
    Places of_feed = places;
    of_feed.feed = *config_.find_feed(name);
    return std::make_unique<FeedUnderTest>(of_feed);
  };
  events_ = feed("events");
  executions_ = feed("executions");
}

Installation::~Installation() = default;

void Installation::write_config(const Options& options) {
  fs::copy(
      fs::path(FEEDVAULT_SOURCE_DIR) / "proto", folder_.file("proto"), fs::copy_options::recursive);
  const MysqlConfig mysql = config_.mysql;
  if (options.gate_broker) {
    broker_gate_ = std::make_unique<TcpGate>(broker_.port());
  }
  if (options.gate_database) {
    database_gate_ = std::make_unique<TcpGate>(database_.port());
  }
  const auto text = [&](std::uint16_t broker_port, std::uint16_t database_port) {
    return fmt::format(
        "[nats]\nhost = \"127.0.0.1\"\nport = {}\n"
        "[mysql]\nhost = \"127.0.0.1\"\nport = {}\nuser = {}\npassword = {}\ndatabase = {}\n"
        "schema_user = {}\nschema_password = {}\ntls = \"off\"\n"
        "[[feed]]\nname = \"events\"\nnumber = 1\nsubjects = [\"sport_event\", \"event\"]\n"
        "proto = \"proto/event.proto\"\nmessage = \"event\"\nrepublish = \"feed.events\"\n"
        "[[feed]]\nname = \"executions\"\nnumber = 2\nsubjects = [\"execution\"]\n"
        "proto = \"proto/execution.proto\"\nmessage = \"execution\"\n"
        "republish = \"feed.executions\"\n",
        broker_port,
        database_port,
        toml_text(mysql.user),
        toml_text(mysql.password),
        toml_text(mysql.database),
        toml_text(mysql.schema_user),
        toml_text(mysql.schema_password));
  };
  const char* const no_environment[] = {nullptr};
  auto config = parse_config(text(broker_.port(), database_.port()), config_file_, no_environment);
  if (!config.has_value()) {
    throw std::runtime_error("the tests' configuration: " + config.error().to_string());
  }
  config_ = std::move(config).value();
  const Status written =
      replace_file(config_file_,
                   text(broker_gate_ != nullptr ? broker_gate_->port() : broker_.port(),
                        database_gate_ != nullptr ? database_gate_->port() : database_.port()));
  if (!written.ok()) {
    throw std::runtime_error(written.to_string());
  }
}

ControllerProcess& Installation::start_controller(const std::string& name,
                                                  const Environment& environment) {
  auto& slot = controllers_[name];
  slot.reset();
  slot =
      std::make_unique<ControllerProcess>(config_file_, environment, folder_.file(name + ".log"));
  return *slot;
}

ControllerProcess& Installation::start_ready(const std::string& name,
                                             const Environment& environment) {
  ControllerProcess& controller = start_controller(name, environment);
  eventually([&] { return controller.ready() || !controller.running(); }, kReadyTimeout);
  if (!controller.ready()) {
    throw std::runtime_error("controller " + name + " does not get ready:\n" + controller.log());
  }
  return controller;
}

::testing::AssertionResult Installation::verify(const VerifyOptions& options) {
  const auto events = events_->verify(options);
  const auto executions = executions_->verify(options);
  if (events && executions) {
    return ::testing::AssertionSuccess();
  }
  auto failure = ::testing::AssertionFailure();
  for (const auto* side : {&events, &executions}) {
    if (!*side) {
      failure << side->message() << "\n";
    }
  }
  for (const auto& [name, controller] : controllers_) {
    failure << "--- log of controller " << name << "\n" << controller->log();
  }
  return failure;
}

}  // namespace feedvault::testing
