#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "tests/support/mariadb_server.h"
#include "tests/support/nats_server.h"
#include "tests/support/process.h"

namespace feedvault::bench {

inline constexpr const char* kFeed = "executions";
inline constexpr std::uint8_t kFeedNumber = 2;
inline constexpr std::uint32_t kPayloadBytes = 128;

/// Of a database with the durability of production and buffers of a small server, as run.sh starts
/// it.
std::vector<std::string> database_options();

/// Throws std::runtime_error.
void require(bool condition, const std::string& what);

/// A broker, a database and its tables, with one feed; private and fresh. Throws std::runtime_error
/// when something does not come up.
class Instance {
 public:
  explicit Instance(bool json = true);

  /// Also another one, after the first has ended. Returns when it is ready.
  void start_controller();
  void start_gateway();

  testing::MariadbServer& database() { return database_; }
  testing::NatsServer& broker() { return broker_; }
  const MysqlConfig& mysql() const { return mysql_; }
  testing::Process& controller() { return *controller_; }
  int gateway_pid() const { return gateway_->pid(); }
  std::uint16_t http_port() const { return http_port_; }
  const testing::TempDir& folder() const { return folder_; }

 private:
  std::unique_ptr<testing::Process> start(const std::string& program, const std::string& answers);

  testing::TempDir folder_;
  testing::MariadbServer database_;
  MysqlConfig mysql_;
  testing::NatsServer broker_;
  std::uint16_t http_port_;
  std::uint16_t controller_port_;
  std::unique_ptr<testing::Process> controller_;
  std::unique_ptr<testing::Process> gateway_;
};

}  // namespace feedvault::bench
