
#include <csignal>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/file.h"
#include "proto/event.pb.h"
#include "tests/integration/cli/config_file.h"
#include "tests/support/feed_stream.h"
#include "tests/support/nats_server.h"

namespace feedvault {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::FeedStream;
using testing::NatsServer;
using testing::Process;

std::string payload(const std::string& title) {
  event message;
  message.set_sport(event::GOLF);
  message.set_match_title(title);
  message.set_data_event("par");
  return message.SerializeAsString();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

class TailTest : public ::testing::Test {
 protected:
  void SetUp() override { testing::write_config(config(), server_.config(), MysqlConfig(), 8081); }
  std::string config() const { return folder_.file("config.toml"); }

  /// stdout goes to a file of its own; the rest to Process::output().
  Process::Options tail(const std::string& arguments) {
    Process::Options options;
    options.command = {"sh",
                       "-c",
                       "exec '" + testing::built_program("feedvault") + "' --config '" + config() +
                           "' tail " + arguments + " > '" + out() + "'"};
    options.output_file = folder_.file("stderr");
    return options;
  }
  std::string out() const { return folder_.file("stdout"); }
  std::vector<std::string> lines() const {
    const auto text = read_file(out());
    return text ? lines_of(*text) : std::vector<std::string>();
  }

  testing::TempDir folder_;
  NatsServer server_;
  FeedStream feed_{server_.config(), "events"};
};

TEST_F(TailTest, PrintsPositionTimeIdAndTheDecodedMessage) {
  feed_.create();
  feed_.publish_payload(1, payload("A - B"));
  feed_.publish_payload(2, "\xff");
  Process process(tail("events --from first --count 2"));
  EXPECT_EQ(process.wait_for_exit(20s), 0) << process.output();
  ASSERT_EQ(lines().size(), 2U);
  EXPECT_TRUE(lines()[0].starts_with("events:1 20")) << lines()[0];
  EXPECT_TRUE(lines()[0].ends_with(R"({"sport":"GOLF","matchTitle":"A - B","dataEvent":"par"})") ||
              lines()[0].ends_with(R"({"sport":"GOLF","match_title":"A - B","data_event":"par"})"))
      << lines()[0];
  EXPECT_NE(lines()[1].find("not decodable"), std::string::npos) << lines()[1];
}

TEST_F(TailTest, JsonIsOneObjectALine) {
  feed_.create();
  feed_.publish(1, 3);  // not protobuf, but with all headers
  feed_.publish_payload(4, payload("\"quoted\" \xc3\xa4"));
  Process process(tail("events --json --from 2 --count 3"));
  EXPECT_EQ(process.wait_for_exit(20s), 0) << process.output();
  ASSERT_EQ(lines().size(), 3U);
  const auto first = nlohmann::json::parse(lines()[0]);
  EXPECT_EQ(first.at("seq"), 2);
  EXPECT_EQ(first.at("id"), FeedStream::id_of(2));
  EXPECT_EQ(first.at("timestamp"), format_rfc3339_us(FeedStream::timestamp_us_of(2)));
  EXPECT_TRUE(first.at("body").is_null());
  const auto last = nlohmann::json::parse(lines()[2]);
  EXPECT_EQ(last.at("seq"), 4);
  EXPECT_EQ(last.at("body").at("sport"), "GOLF");
}

TEST_F(TailTest, StartsAtATime) {
  feed_.create();
  feed_.publish(1, 10);
  Process process(
      tail("events --json --count 1 --from " + format_rfc3339_us(FeedStream::timestamp_us_of(7))));
  EXPECT_EQ(process.wait_for_exit(20s), 0) << process.output();
  ASSERT_EQ(lines().size(), 1U);
  EXPECT_EQ(nlohmann::json::parse(lines()[0]).at("seq"), 7);
}

TEST_F(TailTest, PrintsEachLineWhenItComesAndEndsWithASignal) {
  feed_.create();
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::uint64_t last = feed_.jetstream().stream_info(feed_.name())->last_seq;
    Process process(tail("events --from " + std::to_string(last + 1)));
    feed_.publish(last + 1, last + 1);
    EXPECT_TRUE(eventually([&] { return lines().size() == 1; })) << process.output();
    feed_.publish(last + 2, last + 2);
    EXPECT_TRUE(eventually([&] { return lines().size() == 2; })) << process.output();
    process.send_signal(signal);
    EXPECT_EQ(process.wait_for_exit(10s), 0) << process.output();
  }
}

TEST_F(TailTest, WaitsForTheFeedAndSurvivesTheBroker) {
  Process process(tail("events --json --from first --count 4"));
  EXPECT_TRUE(eventually([&] {
    return process.output().find("cannot read the feed yet") != std::string::npos;
  })) << process.output();
  feed_.create();
  feed_.publish(1, 2);
  EXPECT_TRUE(eventually([&] { return lines().size() == 2; })) << process.output();
  server_.kill_hard();
  server_.start();
  FeedStream again(server_.config(), "events");
  again.publish(3, 4);
  EXPECT_EQ(process.wait_for_exit(20s), 0) << process.output();
  EXPECT_EQ(lines().size(), 4U);
}

TEST_F(TailTest, AClosedPipeEndsItQuietly) {
  feed_.create();
  feed_.publish(1, 10'000);
  const auto finished =
      testing::run({"bash",
                    "-c",
                    "set -o pipefail; '" + testing::built_program("feedvault") + "' --config '" +
                        config() + "' tail events --from first | head -n 3"});
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_EQ(lines_of(finished.output).size(), 3U) << finished.output;
}

TEST_F(TailTest, WhatCannotBeWrittenEndsItWithOne) {
  feed_.create();
  feed_.publish(1, 3);
  const auto finished =
      testing::run({"sh",
                    "-c",
                    "exec '" + testing::built_program("feedvault") + "' --config '" + config() +
                        "' tail events --from first > /dev/full"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE(finished.output.find("feedvault: write: No space left"), std::string::npos)
      << finished.output;
}

TEST_F(TailTest, WrongUsageExitsWithTwoAndSaysWhatIsRight) {
  struct Case {
    std::vector<std::string> arguments;
    std::string expected;
  };
  for (const Case& wrong : {Case{{"tail", "sports"}, "events, executions"},
                            Case{{"tail", "events", "--from", "yesterday"}, "new, first"},
                            Case{{"tail"}, "feed"},
                            Case{{"tail", "events", "--count", "0"}, "count"},
                            Case{{"frobnicate"}, "subcommand"},
                            Case{{"quarantine", "requeue"}, "--all"},
                            Case{{}, "subcommand"}}) {
    std::vector<std::string> command = {testing::built_program("feedvault"), "--config", config()};
    command.insert(command.end(), wrong.arguments.begin(), wrong.arguments.end());
    const auto finished = testing::run(command);
    EXPECT_EQ(finished.exit_code, 2) << finished.output;
    EXPECT_NE(finished.output.find(wrong.expected), std::string::npos) << finished.output;
  }
  const auto missing = testing::run({testing::built_program("feedvault"), "tail", "events"},
                                    {{"FEEDVAULT_CONFIG", folder_.file("none.toml")}});
  EXPECT_EQ(missing.exit_code, 2) << missing.output;
  EXPECT_NE(missing.output.find("none.toml"), std::string::npos) << missing.output;
}

TEST(TailCredentials, RefusedOnesExitWithTwo) {
  NatsServer server("authorization { user: alice, password: secret }");
  testing::TempDir folder;
  NatsConfig nats = server.config();
  nats.user = "alice";
  nats.password = "wrong";
  testing::write_config(folder.file("config.toml"), nats, MysqlConfig(), 8081);
  const auto finished = testing::run({testing::built_program("feedvault"),
                                      "--config",
                                      folder.file("config.toml"),
                                      "tail",
                                      "events"});
  EXPECT_EQ(finished.exit_code, 2) << finished.output;
  EXPECT_NE(finished.output.find("Authorization"), std::string::npos) << finished.output;
}

}  // namespace
}  // namespace feedvault
