#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/nats/connection.h"
#include "client/nats/jetstream.h"
#include "client/nats/stream_reader.h"
#include "feeds/generator.h"
#include "tests/support/nats_server.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

using std::chrono::seconds;
using testing::eventually;
using ::testing::HasSubstr;

struct Stored {
  std::string id;
  std::string payload;
};

/// The program, a broker, and the streams that capture both feeds.
class FeedsProgram : public ::testing::Test {
 protected:
  FeedsProgram() { connect(); }

  void connect() {
    auto opened = nats::Connection::open(server_.config(), {.name = "test", .on_state = {}});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    connection_ = std::move(*opened);
  }

  void create_stream(const std::string& name, const std::string& subject) {
    nats::StreamConfig config;
    config.name = name;
    config.subjects = {subject};
    config.duplicate_window_ns = 120'000'000'000;
    const auto created = nats::JetStream(*connection_, seconds(5)).create_stream(config);
    ASSERT_TRUE(created.has_value()) << created.error().to_string();
  }
  void create_streams() {
    create_stream("EVENTS", "sport_event");
    create_stream("EXECUTIONS", "execution");
  }

  std::uint64_t stored_count(const std::string& stream) {
    const auto info = nats::JetStream(*connection_, seconds(1)).stream_info(stream);
    return info.has_value() ? info->messages : 0;
  }

  std::vector<Stored> stored(const std::string& stream) {
    std::vector<Stored> all;
    const std::uint64_t count = stored_count(stream);
    auto reader = nats::StreamReader::open(*connection_, stream, 1, {});
    EXPECT_TRUE(reader.has_value()) << reader.status().to_string();
    while (reader.has_value() && all.size() < count) {
      const auto next = (*reader)->next(std::chrono::steady_clock::now() + seconds(5));
      if (!next.has_value()) {
        ADD_FAILURE() << next.error().to_string();
        break;
      }
      all.push_back({std::string(next->message.header("Nats-Msg-Id").value_or("")),
                     std::string(next->message.payload())});
    }
    return all;
  }

  // The stream holds what the generator makes, message for message.
  void expect_stored(const std::string& stream,
                     const std::string& feed,
                     std::uint64_t seed,
                     std::size_t count,
                     bool with_ids) {
    const auto all = stored(stream);
    EXPECT_EQ(all.size(), count);
    const auto generator = new_generator(feed, seed);
    for (std::size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].payload, generator->next()) << stream << " message " << i + 1;
      ASSERT_EQ(all[i].id,
                with_ids ? feed + "-" + std::to_string(seed) + "-" + std::to_string(i + 1) : "");
    }
  }

  std::vector<std::string> command(const std::vector<std::string>& arguments) const {
    const std::string config = FEEDVAULT_SOURCE_DIR "/config.toml";
    std::vector<std::string> all{
        testing::built_program("feedvault-feeds"), "--config", config, "--url", server_.url()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }

  testing::Finished run(const std::vector<std::string>& arguments) const {
    return testing::run(command(arguments));
  }

  std::unique_ptr<testing::Process> start(const std::vector<std::string>& arguments) {
    return std::make_unique<testing::Process>(testing::Process::Options{
        .command = command(arguments),
        .environment = {},
        .output_file = folder_.file("output" + std::to_string(++started_)),
        .working_folder = {}});
  }

  testing::NatsServer server_;
  testing::TempDir folder_;
  int started_ = 0;
  std::unique_ptr<nats::Connection> connection_;
};

TEST_F(FeedsProgram, PublishesBothFeedsPlainly) {
  create_streams();
  const auto finished = run({"--count", "500", "--seed", "9"});
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("sent=1000 acknowledged=0"));
  ASSERT_TRUE(eventually(
      [&] { return stored_count("EVENTS") == 500 && stored_count("EXECUTIONS") == 500; }));
  expect_stored("EVENTS", "events", 9, 500, /*with_ids=*/false);
  expect_stored("EXECUTIONS", "executions", 9, 500, /*with_ids=*/false);
}

TEST_F(FeedsProgram, KeepsItsRate) {
  const auto finished = run({"--feed", "events", "--count", "100", "--rate", "200"});
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  const std::size_t at = finished.output.find("seconds=");
  ASSERT_NE(at, std::string::npos) << finished.output;
  EXPECT_GE(std::stod(finished.output.substr(at + 8)), 0.49);
}

TEST_F(FeedsProgram, PublishesWithIdsAndWaitsForTheAcknowledgement) {
  create_streams();
  const std::vector<std::string> arguments{
      "--feed", "executions", "--count", "3000", "--seed", "4", "--publish", "acknowledged"};
  const auto finished = run(arguments);
  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("sent=3000 acknowledged=3000 duplicates=0"));
  expect_stored("EXECUTIONS", "executions", 4, 3000, /*with_ids=*/true);

  // The same seed makes the same ids, which the stream knows.
  const auto again = run(arguments);
  EXPECT_THAT(again.output, HasSubstr("sent=3000 acknowledged=3000 duplicates=3000"));
  EXPECT_EQ(stored_count("EXECUTIONS"), 3000U);
}

TEST_F(FeedsProgram, LosesAndDoublesNothingWhenTheBrokerIsKilled) {
  create_streams();
  auto program = start({"--feed",
                        "executions",
                        "--count",
                        "6000",
                        "--rate",
                        "6000",
                        "--seed",
                        "5",
                        "--publish",
                        "acknowledged"});
  ASSERT_TRUE(eventually([&] { return stored_count("EXECUTIONS") > 1000; }));
  server_.kill_hard();
  server_.start();
  EXPECT_EQ(program->wait_for_exit(seconds(60)), 0) << program->output();
  EXPECT_THAT(program->output(), HasSubstr("sent=6000 acknowledged=6000"));
  connect();
  expect_stored("EXECUTIONS", "executions", 5, 6000, /*with_ids=*/true);
}

TEST_F(FeedsProgram, WaitsForABrokerThatIsAway) {
  create_streams();
  server_.stop();
  auto program = start({"--feed", "events", "--count", "50", "--seed", "6"});
  ASSERT_TRUE(eventually([&] { return program->output().find("retrying") != std::string::npos; }));
  server_.start();
  EXPECT_EQ(program->wait_for_exit(seconds(30)), 0) << program->output();
  connect();
  ASSERT_TRUE(eventually([&] { return stored_count("EVENTS") == 50; }));
  expect_stored("EVENTS", "events", 6, 50, /*with_ids=*/false);
}

TEST_F(FeedsProgram, RepeatsUntilAStreamCapturesTheSubject) {
  auto program =
      start({"--feed", "events", "--count", "50", "--seed", "6", "--publish", "acknowledged"});
  ASSERT_TRUE(eventually(
      [&] { return program->output().find("no stream captures") != std::string::npos; }));
  create_streams();
  EXPECT_EQ(program->wait_for_exit(seconds(30)), 0) << program->output();
  expect_stored("EVENTS", "events", 6, 50, /*with_ids=*/true);
}

TEST_F(FeedsProgram, StopsOnSignals) {
  create_streams();
  for (const int signal : {SIGTERM, SIGINT}) {
    for (const char* publish : {"plain", "acknowledged"}) {
      const std::uint64_t before = stored_count("EVENTS");
      auto program = start({"--rate", "500", "--publish", publish});
      // The count alone may still grow by what the program before has sent.
      ASSERT_TRUE(eventually([&] {
        return program->output().find("connected to the broker") != std::string::npos &&
               stored_count("EVENTS") > before;
      }));
      program->send_signal(signal);
      EXPECT_EQ(program->wait_for_exit(seconds(10)), 0) << program->output();
      EXPECT_THAT(program->output(), HasSubstr("sent="));
      EXPECT_THAT(program->output(), ::testing::Not(HasSubstr("unacknowledged")));
    }
  }
}

TEST_F(FeedsProgram, StopsAlsoWhileTheBrokerIsAway) {
  server_.stop();
  for (const char* publish : {"plain", "acknowledged"}) {
    auto program = start({"--publish", publish});
    ASSERT_TRUE(
        eventually([&] { return program->output().find("retrying") != std::string::npos; }));
    program->send_signal(SIGTERM);
    EXPECT_EQ(program->wait_for_exit(seconds(10)), 0) << program->output();
  }
}

TEST(FeedsArguments, WrongOnesExitWithTwo) {
  const std::string program = testing::built_program("feedvault-feeds");
  EXPECT_EQ(testing::run({program, "--help"}).exit_code, 0);
  EXPECT_EQ(testing::run({program, "--feed", "weather"}).exit_code, 2);
  EXPECT_EQ(testing::run({program, "--rate", "-1"}).exit_code, 2);
  EXPECT_EQ(testing::run({program, "--publish", "twice"}).exit_code, 2);
  const auto missing = testing::run({program, "--config", "/no/such/config.toml"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_EQ(missing.output,
            "feedvault-feeds: /no/such/config.toml: no such file; name one with --config\n");
}

TEST(FeedsArguments, AConfigurationWithoutTheFeedIsNamed) {
  const testing::TempDir folder;
  ASSERT_EQ(
      testing::run(
          {"sh",
           "-c",
           "sed -e 's/name = \"events\"/name = \"other\"/' -e 's#proto/event#" FEEDVAULT_SOURCE_DIR
           "/proto/event#' -e 's#proto/execution#" FEEDVAULT_SOURCE_DIR
           "/proto/execution#' " FEEDVAULT_SOURCE_DIR "/config.toml > " +
               folder.file("config.toml")})
          .exit_code,
      0);
  const auto finished = testing::run(
      {testing::built_program("feedvault-feeds"), "--config", folder.file("config.toml")});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.output, HasSubstr("feed 'events' is not configured"));
}

}  // namespace
}  // namespace feedvault
