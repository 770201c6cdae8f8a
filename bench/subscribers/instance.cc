#include "bench/subscribers/instance.h"

#include <stdexcept>

#include <fmt/format.h>

#include "base/file.h"
#include "storage/catalogue_reader.h"

namespace feedvault::bench {

using testing::Process;

void require(bool condition, const std::string& what) {
  if (!condition) {
    throw std::runtime_error(what);
  }
}

Instance::Instance()
    : database_({"--innodb-buffer-pool-size=256M", "--innodb-log-file-size=256M"}),
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
  testing::eventually([&] {
    return !process->running() ||
           testing::run({"curl", "-fs", "-o", "/dev/null", answers}).exit_code == 0;
  });
  require(process->running(), program + " does not start: " + process->output());
  return process;
}

}  // namespace feedvault::bench
