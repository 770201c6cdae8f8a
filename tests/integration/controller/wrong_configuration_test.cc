// What a configuration that cannot work gets: exit code 2 and one line that says file or key, and
// what to do. Never a stack trace, never a service that hangs.

#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

class WrongConfiguration : public ::testing::Test {
 protected:
  void replace(const std::string& what, const std::string& with) {
    std::string text = read_file(installation_.config_file()).value();
    ASSERT_NE(text.find(what), std::string::npos) << what;
    text.replace(text.find(what), what.size(), with);
    ASSERT_TRUE(replace_file(installation_.config_file(), text).ok());
  }

  // Above its life cycle lines, so that what is left is the error.
  void expect_refused(const std::vector<std::string>& words, Environment environment = {}) {
    environment.emplace("FEEDVAULT_LOG_LEVEL", "error");
    ControllerProcess& controller = installation_.start_controller("refused", environment);
    EXPECT_EQ(controller.wait_for_exit(std::chrono::seconds(20)), 2);
    const std::string output = controller.log();
    EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 1) << output;
    EXPECT_EQ(output.rfind("feedvault-controller: ", 0), 0U) << output;
    for (const std::string& word : words) {
      EXPECT_NE(output.find(word), std::string::npos) << word << " is not in\n" << output;
    }
  }

  Installation installation_;
};

TEST_F(WrongConfiguration, UnknownKey) {
  replace("host = \"127.0.0.1\"", "hots = \"127.0.0.1\"");
  expect_refused({"config.toml:2", "[nats]", "hots", "host"});
}

TEST_F(WrongConfiguration, ValueOfTheWrongType) {
  replace("tls = \"off\"", "tls = 7");
  expect_refused({"config.toml", "[mysql]", "tls"});
}

TEST_F(WrongConfiguration, MissingFile) {
  std::filesystem::remove(installation_.config_file());
  expect_refused({"config.toml"});
}

TEST_F(WrongConfiguration, MissingProto) {
  replace("proto/event.proto", "proto/absent.proto");
  expect_refused({"absent.proto"});
}

TEST_F(WrongConfiguration, UnknownMessageType) {
  replace("message = \"event\"", "message = \"evnt\"");
  expect_refused(
      {"config.toml", "[[feed]]", "message", "event.proto", "evnt", "the file has: event"});
}

TEST_F(WrongConfiguration, ProtoWithASyntaxError) {
  ASSERT_TRUE(replace_file(installation_.folder() + "/proto/event.proto", "message event {").ok());
  expect_refused({"config.toml", "[[feed]] proto", "event.proto"});
}

TEST_F(WrongConfiguration, WrongDatabasePassword) {
  expect_refused({"config.toml", "[mysql]", "schema_password"},
                 {{"FEEDVAULT_MYSQL_SCHEMA_PASSWORD", "wrong"}});
}

TEST_F(WrongConfiguration, WrongPasswordOfTheServiceUser) {
  installation_.start_ready("a");  // makes the schema
  expect_refused({"config.toml", "[mysql]", "password"}, {{"FEEDVAULT_MYSQL_PASSWORD", "wrong"}});
}

TEST_F(WrongConfiguration, PortInUse) {
  const std::string port = std::to_string(installation_.broker().monitor_port());
  expect_refused({"config.toml", "[controller]", port, "in use", "FEEDVAULT_CONTROLLER_PORT"},
                 {{"FEEDVAULT_CONTROLLER_PORT", port}});
}

TEST_F(WrongConfiguration, SchemaOfANewerVersion) {
  installation_.start_ready("a").kill_hard();
  installation_.sql(
      "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'future', 'x')");
  expect_refused({"9999"});
}

TEST_F(WrongConfiguration, FeedNumberThatBelongsToAnotherFeed) {
  installation_.start_ready("a").kill_hard();
  replace("name = \"events\"", "name = \"happenings\"");
  ControllerProcess& controller = installation_.start_controller("a");
  // The other feed goes on; this one says what is wrong and is not ready.
  EXPECT_TRUE(eventually([&] { return controller.state_of("executions") == "active"; }));
  EXPECT_TRUE(eventually([&] {
    return controller.get("/readyz").body.find("give each feed a number of its own") !=
           std::string::npos;
  })) << controller.get("/readyz").body;
  EXPECT_EQ(controller.get("/readyz").status, 503);
}

}  // namespace
}  // namespace feedvault::testing
