#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/config.h"
#include "tests/support/checker.h"
#include "tests/support/http_get.h"
#include "tests/support/mariadb_server.h"
#include "tests/support/nats_server.h"
#include "tests/support/process.h"
#include "tests/support/producer.h"
#include "tests/support/tcp_gate.h"

namespace feedvault::testing {

using Environment = std::map<std::string, std::string>;

/// Arms a failpoint of the controller: SIGKILL, or SIGSTOP, at the nth pass.
Environment crash_at(const std::string& failpoint, int pass = 1);
Environment freeze_at(const std::string& failpoint, int pass = 1);

/// A feedvault-controller as a process of its own.
class ControllerProcess {
 public:
  ControllerProcess(const std::string& config_file, Environment environment, std::string log_file);

  Process& process() { return *process_; }
  bool running() { return process_->running(); }
  /// Waits for its end; nullopt when it still runs.
  std::optional<int> wait_for_exit(std::chrono::milliseconds timeout) {
    return process_->wait_for_exit(timeout);
  }
  /// True once a failpoint has killed it.
  bool wait_until_killed(std::chrono::milliseconds timeout = std::chrono::seconds(20));
  /// True once the kernel has stopped it (SIGSTOP by us or by a failpoint).
  bool wait_until_frozen(std::chrono::milliseconds timeout = std::chrono::seconds(20));
  void freeze() { process_->send_signal(SIGSTOP); }
  void thaw() { process_->send_signal(SIGCONT); }
  void kill_hard() { process_->kill_hard(); }
  /// SIGTERM; the exit code, or nullopt when it takes longer.
  std::optional<int> terminate(std::chrono::milliseconds timeout = std::chrono::seconds(30));

  HttpAnswer get(const std::string& path) const {
    return http_get(http_port_, path, std::chrono::seconds(2));
  }
  std::uint16_t http_port() const { return http_port_; }
  /// Every feed is active here, or is another controller's.
  bool ready() const { return get("/readyz").status == 200; }
  /// "active", "standby", "stopped" ... of one feed; empty when nobody answers.
  std::string state_of(const std::string& feed) const;
  /// What it printed.
  std::string log() const { return process_->output(); }

 private:
  std::uint16_t http_port_;
  std::unique_ptr<Process> process_;
};

/// One feed of an installation with all that watches it.
struct FeedUnderTest {
  explicit FeedUnderTest(const Places& places)
      : producer(places.broker, places.feed),
        subscriber(places.broker, places.feed.name),
        checker(places) {
    subscriber.start();
  }

  /// All four lists agree; see Checker::verify().
  ::testing::AssertionResult verify(const VerifyOptions& options = {}) {
    return checker.verify(producer.sent(), &subscriber, options);
  }
  /// Until the table holds at least so many messages.
  bool wait_until_catalogued(std::uint64_t count);
  /// Until the feed stream holds at least so many messages.
  bool wait_until_published(std::uint64_t count);
  /// Until the ingest stream ends at or behind this sequence.
  bool wait_until_captured(std::uint64_t stream_seq);

  const std::string& ingest_stream_name() const { return ingest_name_; }

  Producer producer;
  Subscriber subscriber;
  Checker checker;

 private:
  const std::string ingest_name_ = checker.places().feed.ingest_stream();
};

/// A whole private installation: broker, database, configuration, controllers, and for both feeds a
/// producer, a subscriber and a checker. The servers are started once a test process; every
/// installation gets an empty broker and a database of its own. One thread.
class Installation {
 public:
  struct Options {
    /// Controllers reach the server through a gate; producers, subscribers and checkers do not.
    bool gate_broker = false;
    bool gate_database = false;
  };
  Installation() : Installation(Options{}) {}
  explicit Installation(Options options);
  ~Installation();
  Installation(const Installation&) = delete;
  Installation& operator=(const Installation&) = delete;

  /// Starts one, or starts it again. Every configuration key can be set through the environment
  /// (FEEDVAULT_INGEST_MESSAGE_BYTES_MAX ...).
  ControllerProcess& start_controller(const std::string& name, const Environment& environment = {});
  /// The same, and waits until it is ready. Throws when it does not get there.
  ControllerProcess& start_ready(const std::string& name, const Environment& environment = {});
  ControllerProcess& controller(const std::string& name) { return *controllers_.at(name); }

  MariadbServer& database() { return database_; }
  NatsServer& broker() { return broker_; }
  TcpGate& broker_gate() { return *broker_gate_; }
  TcpGate& database_gate() { return *database_gate_; }

  FeedUnderTest& events() { return *events_; }
  FeedUnderTest& executions() { return *executions_; }
  /// Both feeds; names both in the failure.
  ::testing::AssertionResult verify(const VerifyOptions& options = {});

  /// SQL in the installation's database, as administrator.
  std::string sql(const std::string& statements) { return database_.sql(statements, schema()); }
  std::string value(const std::string& statement) { return database_.value(statement, schema()); }
  std::string schema() const { return config_.mysql.database; }

  const Config& config() const { return config_; }  // as the tests see it: past the gates
  const std::string& config_file() const { return config_file_; }
  const std::string& folder() const { return folder_.path(); }

 private:
  void write_config(const Options& options);

  MariadbServer& database_;
  NatsServer& broker_;
  TempDir folder_;
  std::string config_file_;
  Config config_;
  std::unique_ptr<TcpGate> broker_gate_;
  std::unique_ptr<TcpGate> database_gate_;
  std::unique_ptr<FeedUnderTest> events_;
  std::unique_ptr<FeedUnderTest> executions_;
  std::map<std::string, std::unique_ptr<ControllerProcess>> controllers_;
};

}  // namespace feedvault::testing
