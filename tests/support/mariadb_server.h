#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "tests/support/process.h"

namespace feedvault::testing {

/// A private database server on a free port of loopback and a Unix socket, its files in a TempDir;
/// killed with this object. MariaDB's, or the one that FEEDVAULT_TEST_MYSQLD names (MySQL's is
/// recognised), so that the same suite runs on both. Commits are durable as in production; buffers
/// are small. Throws std::runtime_error with the server's log when it does not come up.
class MariadbServer {
 public:
  /// `options`: further ones for the server's command line ("--sync-binlog=0").
  explicit MariadbServer(std::vector<std::string> options = {});
  ~MariadbServer();
  MariadbServer(const MariadbServer&) = delete;
  MariadbServer& operator=(const MariadbServer&) = delete;

  /// A database of its own that does not exist yet, a schema user that may make it and everything
  /// in it, and a service user without any right: what migrate() starts from. By TCP.
  MysqlConfig config();

  /// SIGTERM and its end; SIGKILL. start() brings the same data up on the same port.
  void stop();
  void kill_hard();
  void start();
  void restart() {
    stop();
    start();
  }

  /// Runs SQL as the administrator through the socket, in `database` when given. Rows are lines,
  /// columns separated by tabs, no headings. Throws on an error.
  std::string sql(const std::string& statements, const std::string& database = "");
  /// The same, without the last line's end: for one value.
  std::string value(const std::string& statement, const std::string& database = "");

  bool running() { return process_->running(); }
  /// Where the data is, to be copied or put back while it is stopped.
  std::string data_folder() const { return folder_.file("data"); }

  pid_t pid() const { return process_->pid(); }
  std::uint16_t port() const { return port_; }
  std::string socket() const { return folder_.file("sock"); }
  bool is_mysql() const { return is_mysql_; }
  std::string log() const;

 private:
  TempDir folder_;
  std::uint16_t port_;
  bool is_mysql_;
  std::vector<std::string> options_;
  std::unique_ptr<Process> process_;
  int databases_ = 0;
};

}  // namespace feedvault::testing
