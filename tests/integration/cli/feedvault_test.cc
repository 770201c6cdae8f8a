// `feedvault status` and `feedvault quarantine` against a whole system: broker, database,
// controller.

#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "client/nats/connection.h"
#include "proto/event.pb.h"
#include "tests/integration/cli/config_file.h"
#include "tests/support/mariadb_server.h"
#include "tests/support/nats_server.h"

namespace feedvault {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::eventually;
using testing::Finished;

class FeedvaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    mysql_ = database_.config();
    testing::write_config(config(), broker_.config(), mysql_, controller_port_);
    start_controller();
    connection_ = nats::Connection::open(broker_.config(), {}).value();
    ASSERT_TRUE(eventually([&] { return feedvault({"status"}).exit_code == 0; }, 30s))
        << feedvault({"status"}).output << controller_->output();
  }

  void start_controller() {
    testing::Process::Options options;
    options.command = {testing::built_program("feedvault-controller"), "--config", config()};
    options.output_file = folder_.file("controller.log");
    controller_ = std::make_unique<testing::Process>(options);
  }

  std::string config() const { return folder_.file("config.toml"); }

  Finished feedvault(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {testing::built_program("feedvault"), "--config", config()});
    return testing::run(arguments);
  }

  void publish(const std::string& payload) {
    ASSERT_TRUE(
        connection_
            ->publish({.subject = "sport_event", .reply = {}, .headers = {}, .payload = payload})
            .ok());
    ASSERT_TRUE(connection_->flush(5s).ok());
  }
  static std::string event_titled(const std::string& title) {
    event message;
    message.set_sport(event::GOLF);
    message.set_match_title(title);
    message.set_data_event("par");
    return message.SerializeAsString();
  }

  json events_status() const {
    const std::string text = feedvault({"status", "--json"}).output;
    return json::parse(text.substr(0, text.find('\n'))).at("feeds").at(0);
  }

  testing::TempDir folder_;
  testing::NatsServer broker_;
  testing::MariadbServer database_;
  MysqlConfig mysql_;
  std::uint16_t controller_port_ = testing::free_port();
  std::unique_ptr<testing::Process> controller_;
  std::unique_ptr<nats::Connection> connection_;
};

TEST_F(FeedvaultTest, StatusCountsAndQuarantineIsListedShownExportedAndRequeued) {
  publish(event_titled("A - B"));
  publish("not protobuf \x01");
  publish(event_titled("C - D"));
  publish("");
  ASSERT_TRUE(eventually([&] { return events_status().at("quarantined") == 2; }, 30s))
      << events_status();
  ASSERT_TRUE(eventually([&] { return events_status().at("lag_messages") == 0; }, 30s));
  const json status = events_status();
  EXPECT_EQ(status.at("name"), "events");
  EXPECT_EQ(status.at("captured"), 4);
  EXPECT_EQ(status.at("catalogued"), 2);
  EXPECT_EQ(status.at("published"), 2);
  EXPECT_EQ(status.at("duplicates"), 0);
  EXPECT_EQ(status.at("lag_seconds"), 0.0);
  EXPECT_EQ(status.at("state"), "active");

  const Finished list = feedvault({"quarantine", "list", "--json", "--feed", "events"});
  EXPECT_EQ(list.exit_code, 0) << list.output;
  const json newest = json::parse(list.output.substr(0, list.output.find('\n')));
  EXPECT_EQ(newest.at("size"), 0);
  const json oldest = json::parse(list.output.substr(list.output.find('\n') + 1));
  EXPECT_EQ(oldest.at("size"), 14);
  const std::string id = std::to_string(oldest.at("id").get<int>());

  const Finished shown = feedvault({"quarantine", "show", id});
  EXPECT_EQ(shown.exit_code, 0) << shown.output;
  EXPECT_NE(shown.output.find("not protobuf ."), std::string::npos) << shown.output;
  EXPECT_EQ(feedvault({"quarantine", "export", id}).output, "not protobuf \x01");
  EXPECT_NE(feedvault({"quarantine", "list"}).output.find("quarantined"), std::string::npos);
  EXPECT_EQ(feedvault({"quarantine", "show", "4711"}).exit_code, 1);
  EXPECT_EQ(feedvault({"quarantine", "list", "--feed", "none"}).exit_code, 2);

  const Finished requeued = feedvault({"quarantine", "requeue", id});
  EXPECT_EQ(requeued.exit_code, 0) << requeued.output;
  EXPECT_NE(requeued.output.find("1 requested"), std::string::npos) << requeued.output;
  EXPECT_EQ(feedvault({"quarantine", "requeue", "--all", "--feed", "events"}).exit_code, 0);
  EXPECT_EQ(feedvault({"quarantine", "requeue", "4711"}).exit_code, 1);
  // It is as undecodable as before: the controller says so again.
  EXPECT_TRUE(eventually(
      [&] {
        return feedvault({"quarantine", "list"}).output.find("failed") != std::string::npos;
      },
      30s))
      << feedvault({"quarantine", "list"}).output;
}

TEST_F(FeedvaultTest, StatusOfARunningFeedNeverShowsMorePublishedThanCataloguedThanCaptured) {
  const std::jthread producer([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      publish(event_titled("game " + std::to_string(i)));
    }
  });
  // The first may find a feed that has not begun.
  ASSERT_TRUE(eventually([&] { return events_status().at("published") > 0; }, 30s));
  for (int i = 0; i < 3; ++i) {
    const json status = events_status();
    EXPECT_LE(status.at("published"), status.at("catalogued")) << status;
    EXPECT_LE(status.at("catalogued"), status.at("captured")) << status;
  }
}

TEST_F(FeedvaultTest, StatusNamesWhatIsAwayAndExitsWithOne) {
  controller_->kill_hard();
  const Finished without_controller = feedvault({"status"});
  EXPECT_EQ(without_controller.exit_code, 1);
  EXPECT_NE(without_controller.output.find("controller: nobody answers"), std::string::npos)
      << without_controller.output;

  // What nobody reads piles up, and shows as lag.
  publish(event_titled("A - B"));
  const json waiting = events_status();
  EXPECT_EQ(waiting.at("captured"), 1);
  EXPECT_EQ(waiting.at("lag_messages"), 1);
  EXPECT_GT(waiting.at("lag_seconds").get<double>(), 0);

  broker_.kill_hard();
  const Finished without_broker = feedvault({"status"});
  EXPECT_EQ(without_broker.exit_code, 1);
  EXPECT_NE(without_broker.output.find("broker: "), std::string::npos) << without_broker.output;

  database_.kill_hard();
  const Finished without_database = feedvault({"status"});
  EXPECT_EQ(without_database.exit_code, 1);
  EXPECT_NE(without_database.output.find("database: "), std::string::npos)
      << without_database.output;
  EXPECT_EQ(feedvault({"quarantine", "list"}).exit_code, 1);
}

/// `feedvault status --watch` with its output in a file, or on a terminal of its own.
class StatusWatchTest : public FeedvaultTest {
 protected:
  std::string out() const { return folder_.file("watch"); }
  std::string output() const {
    const auto text = read_file(out());
    return text ? *text : std::string();
  }
  static std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++found;
    }
    return found;
  }
  testing::Process::Options watch(const std::vector<std::string>& arguments) const {
    testing::Process::Options options;
    options.command = {testing::built_program("feedvault"),
                       "--config",
                       config(),
                       "status",
                       "--watch",
                       "--interval",
                       "1"};
    options.command.insert(options.command.end(), arguments.begin(), arguments.end());
    options.output_file = out();
    return options;
  }
};

TEST_F(StatusWatchTest, ShowsABlockAnIntervalAndEndsWithASignal) {
  testing::Process watched(watch({}));
  ASSERT_TRUE(eventually([&] { return count(output(), "FEED ") >= 2; })) << output();
  // It goes on while something is away, and says what.
  controller_->kill_hard();
  ASSERT_TRUE(eventually([&] {
    return output().find("controller: nobody answers") != std::string::npos;
  })) << output();
  watched.send_signal(SIGINT);
  EXPECT_EQ(watched.wait_for_exit(30s), 0) << output();
  EXPECT_EQ(output().find('\033'), std::string::npos) << output();
  EXPECT_TRUE(output().ends_with("\n\n")) << output();
}

TEST_F(StatusWatchTest, JsonIsAnObjectALineWithTheRateSinceTheOneBefore) {
  testing::Process watched(watch({"--json"}));
  ASSERT_TRUE(eventually([&] { return count(output(), "\n") >= 2; })) << output();
  watched.send_signal(SIGTERM);
  EXPECT_EQ(watched.wait_for_exit(30s), 0) << output();
  const std::string text = output();
  const json first = json::parse(text.substr(0, text.find('\n')));
  const json second = json::parse(
      text.substr(text.find('\n') + 1, text.find('\n', text.find('\n') + 1) - text.find('\n')));
  EXPECT_TRUE(first.at("feeds")[0].at("rate").is_null());
  EXPECT_EQ(second.at("feeds")[0].at("rate"), 0.0);
  EXPECT_LT(first.at("time").get<std::string>(), second.at("time").get<std::string>());
}

TEST_F(StatusWatchTest, EndsWhenNobodyReadsAndSaysWhatElseEndsIt) {
  const auto in_shell = [&](const std::string& end) {
    return testing::run({"bash",
                         "-c",
                         "set -o pipefail; '" + testing::built_program("feedvault") +
                             "' --config '" + config() + "' status --watch --interval 1 --json " +
                             end});
  };
  const Finished read = in_shell("| head -n 1");
  EXPECT_EQ(read.exit_code, 0) << read.output;
  EXPECT_EQ(count(read.output, "\n"), 1U) << read.output;
  const Finished full = in_shell("> /dev/full");
  EXPECT_EQ(full.exit_code, 1) << full.output;
  EXPECT_NE(full.output.find("feedvault: write: No space left"), std::string::npos) << full.output;
}

TEST_F(StatusWatchTest, RedrawsOnATerminalAndEndsWithCtrlC) {
  testing::Process::Options options = watch({});
  // Ctrl-C typed at a terminal, which python has in its library; it leaves our exit code as its
  // own.
  const std::string script =
      "import os, pty, sys\n"
      "pid, fd = pty.fork()\n"
      "if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n"
      "seen = b''\n"
      "while seen.count(b'\\033[H') < 2: seen += os.read(fd, 4096)\n"
      "os.write(fd, b'\\003')\n"
      "code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
      "sys.stdout.write(repr(seen)); sys.exit(code)\n";
  options.command.insert(options.command.begin(), {"python3", "-c", script});
  testing::Process watched(options);
  EXPECT_EQ(watched.wait_for_exit(60s), 0) << output();
  EXPECT_EQ(count(output(), "\\x1b[2J"), 1U) << output();
  EXPECT_NE(output().find("\\x1b[K"), std::string::npos) << output();
}

}  // namespace
}  // namespace feedvault
