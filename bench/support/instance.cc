#include "bench/support/instance.h"

#include <chrono>
#include <stdexcept>

#include <fmt/format.h>

#include "base/file.h"
#include "storage/catalogue_reader.h"

namespace feedvault::bench {

using testing::Process;

std::vector<std::string> database_options() {
  return {"--innodb-buffer-pool-size=256M", "--innodb-log-file-size=256M"};
}

void require(bool condition, const std::string& what) {
  if (!condition) {
    throw std::runtime_error(what);
  }
}

Instance::Instance(bool json)
    : database_(database_options()),
      mysql_(database_.config()),
      http_port_(testing::free_port()),
      controller_port_(testing::free_port()) {
  const Status migrated = storage::migrate(mysql_);
  require(migrated.ok(), migrated.to_string());
  const std::string text = fmt::format(R"([nats]
port = {}
[mysql]
port = {}
database = "{}"
[controller]
port = {}
[http]
port = {}
[catalogue]
json = {}
[[feed]]
name = "{}"
number = {}
subjects = ["execution"]
proto = "{}/proto/execution.proto"
message = "execution"
republish = "feed.executions"
)",
                                       broker_.port(),
                                       mysql_.port,
                                       mysql_.database,
                                       controller_port_,
                                       http_port_,
                                       json,
                                       kFeed,
                                       kFeedNumber,
                                       FEEDVAULT_SOURCE_DIR);
  require(replace_file(folder_.file("config.toml"), text).ok(), "cannot write the configuration");
}

void Instance::start_controller() {
  controller_ =
      start("feedvault-controller", fmt::format("http://127.0.0.1:{}/readyz", controller_port_));
}

void Instance::start_gateway() {
  gateway_ = start("feedvault-gateway", fmt::format("http://127.0.0.1:{}/livez", http_port_));
}

std::unique_ptr<Process> Instance::start(const std::string& program, const std::string& answers) {
  auto process = std::make_unique<Process>(Process::Options{
      .command = {testing::built_program(program), "--config", folder_.file("config.toml")},
      .environment = {{"FEEDVAULT_MYSQL_USER", mysql_.user},
                      {"FEEDVAULT_MYSQL_PASSWORD", mysql_.password},
                      {"FEEDVAULT_MYSQL_SCHEMA_USER", mysql_.schema_user},
                      {"FEEDVAULT_MYSQL_SCHEMA_PASSWORD", mysql_.schema_password}},
      .output_file = folder_.file(program + ".log"),
      .working_folder = {}});
  const bool settled = testing::eventually(
      [&] {
        return !process->running() ||
               testing::run({"curl", "-fs", "-o", "/dev/null", answers}).exit_code == 0;
      },
      std::chrono::seconds(30));
  require(settled && process->running(), program + " does not get ready: " + process->output());
  return process;
}

}  // namespace feedvault::bench
