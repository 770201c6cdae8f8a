#include "tests/support/mariadb_server.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "base/file.h"
#include "base/unique_fd.h"

namespace feedvault::testing {
namespace {

namespace fs = std::filesystem;

std::string server_program() {
  const char* chosen = std::getenv("FEEDVAULT_TEST_MYSQLD");
  return chosen != nullptr && *chosen != '\0' ? chosen : "mariadbd";
}

// Version text of the server; says which of the two it is, and names the template folder.
std::string server_version() {
  static const std::string version = [] {
    const Finished finished = run({server_program(), "--no-defaults", "--version"});
    if (finished.exit_code != 0) {
      throw std::runtime_error(server_program() + " --version: " + finished.output);
    }
    return finished.output;
  }();
  return version;
}

void must_run(const std::vector<std::string>& command) {
  const Finished finished = run(command, {}, std::chrono::seconds(180));
  if (finished.exit_code != 0) {
    throw std::runtime_error(command.front() + " failed:\n" + finished.output);
  }
}

std::vector<std::string> user_options() {
  if (::geteuid() == 0) {
    return {"--user=root"};
  }
  return {};
}

// A server that starts removes what it takes for the temporary tables of its predecessor, so two
// must never share the folder of those.
std::string tmpdir_option(const std::string& folder) {
  fs::create_directories(folder);
  return "--tmpdir=" + folder;
}

void initialise(const std::string& folder, bool is_mysql) {
  std::vector<std::string> command;
  if (is_mysql) {
    fs::create_directories(folder);
    command = {server_program(),
               "--no-defaults",
               "--initialize-insecure",
               "--innodb-redo-log-capacity=16M",
               "--secure-file-priv=NULL",
               "--datadir=" + folder};
  } else {
    command = {"mariadb-install-db",
               "--no-defaults",
               "--auth-root-authentication-method=normal",
               "--skip-test-db",
               "--innodb-log-file-size=16M",
               "--datadir=" + folder};
  }
  for (const std::string& option : user_options()) {
    command.push_back(option);
  }
  command.push_back(tmpdir_option(folder + ".tmp"));
  must_run(command);
}

// Setting a data folder up takes seconds, copying one does not: it is made once per build folder
// and server version, by whichever test process comes first.
std::string template_folder(bool is_mysql) {
  std::string base = std::string(FEEDVAULT_TEST_DATA_DIR) + "/database-" +
                     std::to_string(std::hash<std::string>{}(server_version()));
  fs::create_directories(FEEDVAULT_TEST_DATA_DIR);
  const UniqueFd lock(::open((base + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.valid() || ::flock(lock.get(), LOCK_EX) != 0) {
    throw std::runtime_error("cannot lock " + base + ".lock");
  }
  if (!fs::exists(base)) {
    fs::remove_all(base + ".new");
    initialise(base + ".new", is_mysql);
    fs::rename(base + ".new", base);
  }
  return base;
}

}  // namespace

MariadbServer::MariadbServer(std::vector<std::string> options)
    : port_(free_port()),
      is_mysql_(server_version().find("MariaDB") == std::string::npos),
      options_(std::move(options)) {
  must_run({"cp",
            "-r",
            "--reflink=auto",
            "--sparse=always",
            template_folder(is_mysql_),
            folder_.file("data")});
  start();
}

MariadbServer::~MariadbServer() = default;  // the Process kills it; nobody needs the data any more

void MariadbServer::start() {
  std::vector<std::string> command = {
      server_program(),
      "--no-defaults",
      "--datadir=" + folder_.file("data"),
      tmpdir_option(folder_.file("tmp")),
      "--socket=" + socket(),
      "--pid-file=" + folder_.file("pid"),
      "--port=" + std::to_string(port_),
      "--bind-address=127.0.0.1",
      "--skip-name-resolve",
      "--innodb-buffer-pool-size=64M",
      "--innodb-flush-log-at-trx-commit=1",
      "--max-connections=64",
      "--performance-schema=OFF",
  };
  if (is_mysql_) {
    command.insert(command.end(),
                   {"--innodb-redo-log-capacity=64M", "--mysqlx=OFF", "--secure-file-priv=NULL"});
  } else {
    command.push_back("--innodb-log-file-size=64M");
  }
  for (const std::string& option : user_options()) {
    command.push_back(option);
  }
  command.insert(command.end(), options_.begin(), options_.end());
  process_ = std::make_unique<Process>(Process::Options{.command = command,
                                                        .environment = {},
                                                        .output_file = folder_.file("log"),
                                                        .working_folder = ""});
  const bool up = eventually(
      [this] {
        return !process_->running() || run({"mariadb",
                                            "--no-defaults",
                                            "--socket=" + socket(),
                                            "--user=root",
                                            "--execute=SELECT 1"})
                                               .exit_code == 0;
      },
      std::chrono::seconds(60));
  if (!up || !process_->running()) {
    throw std::runtime_error("the database server does not start:\n" + log());
  }
}

void MariadbServer::stop() {
  process_->send_signal(SIGTERM);
  if (!process_->wait_for_exit(std::chrono::seconds(60)).has_value()) {
    throw std::runtime_error("the database server does not stop:\n" + log());
  }
}

void MariadbServer::kill_hard() {
  process_->kill_hard();
}

std::string MariadbServer::sql(const std::string& statements, const std::string& database) {
  std::vector<std::string> command = {"mariadb",
                                      "--no-defaults",
                                      "--socket=" + socket(),
                                      "--user=root",
                                      "--batch",
                                      "--skip-column-names",
                                      "--default-character-set=utf8mb4",
                                      "--execute=" + statements};
  if (!database.empty()) {
    command.push_back(database);
  }
  Finished finished = run(command);
  if (finished.exit_code != 0) {
    const std::string more = process_->running() ? "" : "the server has ended:\n" + log();
    throw std::runtime_error("SQL failed: " + statements + "\n" + finished.output + more);
  }
  return std::move(finished.output);
}

std::string MariadbServer::value(const std::string& statement, const std::string& database) {
  std::string text = sql(statement, database);
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

MysqlConfig MariadbServer::config() {
  const std::string number = std::to_string(++databases_);
  MysqlConfig config;
  config.host = "127.0.0.1";
  config.port = port_;
  config.database = "feed_vault_" + number;
  config.user = "service_" + number;
  config.password = "service's \"password\"";
  config.schema_user = "schema_" + number;
  config.schema_password = "schema password";
  const std::string pattern = "`feed\\_vault\\_" + number + "`";
  sql("CREATE USER '" + config.schema_user +
      "'@'%' IDENTIFIED BY 'schema password';"
      "CREATE USER '" +
      config.user +
      "'@'%' IDENTIFIED BY 'service\\'s \"password\"';"
      "GRANT ALL ON " +
      pattern + ".* TO '" + config.schema_user + "'@'%' WITH GRANT OPTION");
  return config;
}

std::string MariadbServer::log() const {
  const Result<std::string> text = read_file(folder_.file("log"));
  return text.has_value() ? *text : text.error().to_string();
}

}  // namespace feedvault::testing
