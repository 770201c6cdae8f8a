// `feedvault doctor` on a whole installation, in which one thing after the other is broken.

#include <fstream>
#include <optional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/http_server.h"
#include "client/nats/jetstream.h"
#include "tests/integration/cli/config_file.h"
#include "tests/integration/gateway/gateway_process.h"
#include "tests/support/installation.h"

namespace feedvault {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::Environment;
using testing::eventually;
using testing::Finished;

class DoctorTest : public ::testing::Test {
 protected:
  void start_controller() {
    controller_port_ = std::to_string(installation_.start_ready("controller").http_port());
  }
  void start_gateway() {
    gateway_.emplace(installation_);
    ASSERT_TRUE(gateway_->wait_until_ready()) << gateway_->log();
  }

  Finished doctor(std::vector<std::string> arguments = {}) const {
    arguments.insert(
        arguments.begin(),
        {testing::built_program("feedvault"), "--config", installation_.config_file(), "doctor"});
    Environment environment = {
        {"FEEDVAULT_CONTROLLER_PORT", controller_port_},
        {"FEEDVAULT_MONITOR_PORT", std::to_string(installation_.broker().monitor_port())}};
    if (gateway_.has_value()) {
      environment["FEEDVAULT_HTTP_PORT"] = std::to_string(gateway_->port());
    }
    return testing::run(arguments, environment);
  }

  /// "warn: innodb... -> set it" of every finding of that check which is not ok; "ok" when none.
  std::string finding(const std::string& check) const {
    const Finished finished = doctor({"--json"});
    const json report = json::parse(finished.output, nullptr, false);
    if (!report.is_object()) {
      return finished.output;
    }
    EXPECT_EQ(finished.exit_code, report.at("ok").get<bool>() ? 0 : 1) << finished.output;
    std::string text;
    std::size_t looked_at = 0;
    for (const json& entry : report.at("checks")) {
      if (entry.at("check") != check) {
        continue;
      }
      ++looked_at;
      if (entry.at("result") != "ok") {
        text += entry.at("result").get<std::string>() + ": " + entry.at("text").get<std::string>() +
                " -> " + entry.at("remedy").get<std::string>() + "\n";
      }
    }
    return looked_at == 0 ? "not looked at" : text.empty() ? "ok" : text;
  }
  void expect_finding(const std::string& check, const std::string& part) const {
    const std::string found = finding(check);
    EXPECT_NE(found.find(part), std::string::npos) << check << ": " << found;
  }

  std::string service_account() {
    const auto& mysql = installation_.config().mysql;
    return installation_.value("SELECT CONCAT(QUOTE(user),'@',QUOTE(host)) FROM mysql.user WHERE " +
                               ("user='" + mysql.user + "'"));
  }

  mutable testing::Installation installation_;
  std::string controller_port_;
  std::optional<testing::GatewayProcess> gateway_;
};

TEST_F(DoctorTest, FindsAWholeInstallationWellAndNamesWhatIsAway) {
  start_controller();
  start_gateway();
  const Finished well = doctor();
  EXPECT_EQ(well.exit_code, 0) << well.output;
  EXPECT_NE(well.output.find(" 0 fail"), std::string::npos) << well.output;
  for (const char* check : {"feed events",
                            "feed executions",
                            "ports",
                            "database",
                            "database schema",
                            "database rights",
                            "database settings",
                            "monitoring",
                            "clock",
                            "controller",
                            "gateway"}) {
    EXPECT_EQ(finding(check), "ok") << check;
  }
  // Only our broker has on disk what it acknowledges.
  const char* const broker = std::getenv("FEEDVAULT_TEST_BROKER");
  if (broker != nullptr && std::string(broker) == "nats-server") {
    expect_finding("broker", "acknowledges messages that are not on disk");
  } else {
    EXPECT_EQ(finding("broker"), "ok");
  }

  // Where the configuration does not say, one does.
  const std::string gateway = "127.0.0.1:" + std::to_string(gateway_->port());
  const Finished elsewhere = testing::run({testing::built_program("feedvault"),
                                           "--config",
                                           installation_.config_file(),
                                           "doctor",
                                           "--gateway",
                                           gateway});
  EXPECT_NE(elsewhere.output.find("ready at " + gateway), std::string::npos) << elsewhere.output;

  gateway_->kill_hard();
  expect_finding("gateway", "warn: nobody answers");
  installation_.controller("controller").kill_hard();
  expect_finding("controller", "fail: nobody answers");
  const auto stranger = HttpServer::start(
      "127.0.0.1", 0, [](std::string_view) { return HttpResponse{.body = "hello"}; });
  ASSERT_TRUE(stranger.has_value()) << stranger.error().to_string();
  controller_port_ = std::to_string((*stranger)->port());
  expect_finding("controller", "is no feedvault-controller");

  installation_.database().kill_hard();
  expect_finding("database", "start the database server");
  installation_.broker().kill_hard();
  expect_finding("broker", "start feedvault-broker");
  const Finished ill = doctor();
  EXPECT_EQ(ill.exit_code, 1) << ill.output;
  EXPECT_NE(ill.output.find("-> start feedvault-broker"), std::string::npos) << ill.output;
}

TEST_F(DoctorTest, TriesTheRightsOfTheServiceUserAndLooksAtTheServersSettings) {
  start_controller();
  const std::string account = service_account();
  const std::string messages = installation_.schema() + ".Messages";
  installation_.sql("REVOKE INSERT ON " + messages + " FROM " + account);
  expect_finding("database rights", "has no INSERT on Messages");
  installation_.sql("GRANT INSERT ON " + messages + " TO " + account);
  EXPECT_EQ(finding("database rights"), "ok");
  EXPECT_EQ(installation_.value("SELECT COUNT(*) FROM Messages"), "0");

  installation_.sql("SET GLOBAL read_only=1");
  expect_finding("database rights", "read-only");
  installation_.sql("SET GLOBAL read_only=0");

  installation_.sql("SET GLOBAL innodb_flush_log_at_trx_commit=2");
  expect_finding("database settings", "warn: innodb_flush_log_at_trx_commit = 2");
  EXPECT_EQ(doctor().exit_code, 0);
  installation_.sql("SET GLOBAL innodb_flush_log_at_trx_commit=1");
  EXPECT_EQ(finding("database settings"), "ok");

  installation_.sql("INSERT INTO schema_migrations VALUES (99,'0099_future','1',NOW(6))");
  expect_finding("database schema", "fail: the schema of database");
  EXPECT_EQ(finding("database rights"), "not looked at");
}

TEST_F(DoctorTest, ComparesTheStreamsWithTheConfigurationAndTheTable) {
  start_controller();
  installation_.executions().producer.acknowledged(3);
  ASSERT_TRUE(installation_.executions().wait_until_published(3));
  EXPECT_EQ(finding("feed executions"), "ok");
  ASSERT_EQ(installation_.controller("controller").terminate(30s), 0);

  const auto connection = nats::Connection::open(installation_.config().nats, {}).value();
  nats::JetStream jetstream(*connection, 20s);
  nats::StreamConfig changed = jetstream.stream_info("INGEST_events")->config;
  changed.max_msgs = 10;
  ASSERT_TRUE(jetstream.update_stream(changed).has_value());
  expect_finding("feed events", "fail: stream INGEST_events has not the max_msgs");

  // The database lost its newest row; the ingest stream is another one.
  installation_.sql(
      "DELETE FROM Messages WHERE feed=2 AND seq=3;"
      "UPDATE Feeds SET last_seq=2 WHERE feed=2");
  expect_finding("feed executions", "the database lost rows");
  ASSERT_TRUE(jetstream.delete_stream("INGEST_executions").ok());
  expect_finding("feed executions", "stream INGEST_executions is not there");
  const nats::StreamConfig again{.name = "INGEST_executions",
                                 .description = {},
                                 .subjects = {"execution"},
                                 .duplicate_window_ns = 100'000'000};
  ASSERT_TRUE(jetstream.create_stream(again).has_value());
  expect_finding("feed executions", "is not the stream that was read until sequence 3");

  installation_.sql("DELETE FROM Feeds WHERE feed=2");
  expect_finding("feed executions", "warn: the table does not know this feed");
}

/// The finding of that check in the output of `doctor --json`; null when there is none.
json find_check(const std::string& output, const std::string& check) {
  const json report = json::parse(output, nullptr, false);
  for (const json& entry : report.is_object() ? report.at("checks") : json::array()) {
    if (entry.at("check") == check) {
      return entry;
    }
  }
  return nullptr;
}

// To who asks in HTTP/1.1 nats-server sends what is longer than 2 KiB in chunks.
TEST(DoctorMonitoring, IsReadHoweverLongItsAnswer) {
  const testing::NatsServer broker("server_tags: [\"" + std::string(10'000, 'x') + "\"]");
  const testing::TempDir folder;
  testing::write_config(folder.file("config.toml"), broker.config(), MysqlConfig(), 8081);
  const Finished finished =
      testing::run({testing::built_program("feedvault"),
                    "--config",
                    folder.file("config.toml"),
                    "doctor",
                    "--json"},
                   {{"FEEDVAULT_MONITOR_PORT", std::to_string(broker.monitor_port())}});
  const json monitoring = find_check(finished.output, "monitoring");
  ASSERT_TRUE(monitoring.is_object()) << finished.output;
  EXPECT_EQ(monitoring.at("result"), "ok") << finished.output;
}

TEST(DoctorConfiguration, IsItsFirstFinding) {
  testing::TempDir folder;
  std::ofstream(folder.file("config.toml")) << "[nats]\nprot = 4222\n";
  const auto run = [&](const std::string& argument) {
    return testing::run({testing::built_program("feedvault"),
                         "--config",
                         folder.file("config.toml"),
                         "doctor",
                         argument});
  };
  const Finished broken = run("--json");
  EXPECT_EQ(broken.exit_code, 1) << broken.output;
  const json report = json::parse(broken.output);
  ASSERT_EQ(report.at("checks").size(), 1U);
  EXPECT_NE(report.at("checks")[0].at("text").get<std::string>().find("did you mean 'port'"),
            std::string::npos)
      << broken.output;
  EXPECT_EQ(run("--jsn").exit_code, 2);
  const Finished nowhere = run("--gateway=nowhere");
  EXPECT_EQ(nowhere.exit_code, 2) << nowhere.output;
  EXPECT_NE(nowhere.output.find("'nowhere' is not HOST:PORT"), std::string::npos) << nowhere.output;
}

}  // namespace
}  // namespace feedvault
