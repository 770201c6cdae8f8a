// Every example, run as its first lines say, while it and the servers are killed.

#include <algorithm>
#include <csignal>
#include <functional>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "client/nats/connection.h"
#include "client/nats/jetstream.h"
#include "proto/execution.pb.h"
#include "tests/integration/gateway/gateway_process.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto kPatience = 120s;

class Examples : public ::testing::Test {
 protected:
  void SetUp() override {
    installation_.start_ready("controller");
    gateway_.emplace(installation_);
    ASSERT_TRUE(gateway_->wait_until_ready()) << gateway_->log();
  }

  static std::string example(const std::string& file) {
    return std::string(FEEDVAULT_SOURCE_DIR) + "/examples/" + file;
  }
  std::string file(const std::string& name) const { return folder_.file(name); }
  std::string live_url() const {
    return "http://127.0.0.1:" + std::to_string(gateway_->port()) + "/feeds/executions/live";
  }

  void start(std::vector<std::string> command, Environment environment = {}) {
    command_ = {.command = std::move(command),
                .environment = std::move(environment),
                .output_file = file("log"),
                .working_folder = {}};
    process_ = std::make_unique<Process>(command_);
  }
  void kill_and_start_again() {
    process_->kill_hard();
    process_ = std::make_unique<Process>(command_);
  }

  void publish(std::uint64_t count) {
    installation_.executions().producer.acknowledged(count);
    published_ += count;
    const auto all = [&] { return installation_.executions().wait_until_published(published_); };
    ASSERT_TRUE(eventually(all, kPatience));
  }

  /// Until the example has dealt with as many messages as there are.
  void expect_all(const std::function<std::uint64_t()>& done) {
    const auto enough = [&] { return done() >= published_; };
    ASSERT_TRUE(eventually(enough, kPatience)) << done() << " of " << published_ << "\n"
                                               << process_->output();
  }

  /// Kills the example in the middle, then what it reads from, one after the other.
  void follow_through_kills(const std::function<std::uint64_t()>& done) {
    ASSERT_TRUE(eventually([&] { return done() >= 30; }, kPatience)) << process_->output();
    kill_and_start_again();
    ASSERT_NO_FATAL_FAILURE(expect_all(done));

    gateway_->kill_hard();
    ASSERT_NO_FATAL_FAILURE(publish(50));
    gateway_->start();
    ASSERT_NO_FATAL_FAILURE(expect_all(done));

    installation_.broker().kill_hard();
    installation_.broker().start();
    ASSERT_NO_FATAL_FAILURE(publish(50));
    ASSERT_NO_FATAL_FAILURE(expect_all(done));

    kill_and_start_again();
    ASSERT_NO_FATAL_FAILURE(publish(20));
    ASSERT_NO_FATAL_FAILURE(expect_all(done));
    process_->send_signal(SIGINT);
    EXPECT_TRUE(process_->wait_for_exit(30s).has_value());
  }

  std::unique_ptr<nats::Connection> connect() {
    auto connection =
        nats::Connection::open(installation_.config().nats, {.name = "test", .on_state = nullptr});
    EXPECT_TRUE(connection.has_value());
    return std::move(connection).value();
  }

  /// seq of every whole line of a file of JSON.
  static std::vector<std::uint64_t> seqs_in(const std::string& path) {
    const auto text = read_file(path);
    std::istringstream lines(text.has_value() ? *text : "");
    std::vector<std::uint64_t> seqs;
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
      const json message = json::parse(line, nullptr, false);
      seqs.push_back(message.is_object() ? message.value("seq", 0U) : 0U);
    }
    return seqs;
  }
  void expect_each_once(const std::vector<std::uint64_t>& seqs) const {
    ASSERT_EQ(seqs.size(), published_);
    for (std::size_t i = 0; i < seqs.size(); ++i) {
      ASSERT_EQ(seqs[i], i + 1);
    }
  }

  TempDir folder_;
  Installation installation_;
  std::optional<GatewayProcess> gateway_;
  Process::Options command_;
  std::unique_ptr<Process> process_;
  std::uint64_t published_ = 0;
};

TEST_F(Examples, Cpp) {
  publish(300);
  const std::string database = installation_.schema() + "_totals";
  installation_.sql("CREATE DATABASE " + database + "; CREATE OR REPLACE USER totals@'%' " +
                    "IDENTIFIED BY 'secret'; GRANT ALL ON " + database + ".* TO totals@'%'");
  start({built_program("example_exactly_once"), installation_.config_file()},
        {{"TOTALS_PORT", std::to_string(installation_.database().port())},
         {"TOTALS_USER", "totals"},
         {"TOTALS_PASSWORD", "secret"},
         {"TOTALS_DATABASE", database}});
  const auto value = [&](const std::string& query) -> std::string {
    try {
      return installation_.database().value(query, database);
    } catch (const std::runtime_error&) {
      return "";  // no tables yet, or no server
    }
  };
  const auto done = [&]() -> std::uint64_t {
    const std::string seq = value("SELECT MAX(seq) FROM positions");
    return seq.empty() || seq == "NULL" ? 0 : std::stoull(seq);
  };
  ASSERT_NO_FATAL_FAILURE(follow_through_kills(done));

  process_ = std::make_unique<Process>(command_);
  installation_.database().kill_hard();
  installation_.database().start();
  publish(50);
  execution least;
  ASSERT_TRUE(least.ParseFromString(installation_.executions().producer.fresh_payload()));
  least.set_symbol("LEAST");
  least.set_quantity(1e-7F);
  installation_.executions().producer.publish(least.SerializeAsString(), "least");
  ++published_;
  publish(1);
  expect_all(done);
  EXPECT_EQ(value("SELECT volume BETWEEN 0.99e-7 AND 1.01e-7 FROM totals WHERE symbol='LEAST'"),
            "1");
  EXPECT_EQ(value("SELECT SUM(trades) FROM totals"), std::to_string(published_));
  EXPECT_EQ(value("SELECT GROUP_CONCAT(symbol,trades,ROUND(volume) ORDER BY symbol) FROM totals"),
            installation_.value("SELECT GROUP_CONCAT(symbol,trades,volume ORDER BY symbol) FROM "
                                "(SELECT symbol,COUNT(*) AS trades,ROUND(SUM(quantity)) AS volume "
                                "FROM Executions GROUP BY symbol) AS t"));
  process_->send_signal(SIGTERM);
  EXPECT_EQ(process_->wait_for_exit(30s), 0) << process_->output();

  // It ends at what it cannot deal with. A controller would not have let that pass.
  process_ = std::make_unique<Process>(command_);
  installation_.controller("controller").kill_hard();
  const auto broker = connect();
  nats::JetStream jetstream(*broker, 30s);
  ASSERT_TRUE(
      jetstream
          .publish(
              {.subject = "feed.executions", .reply = {}, .headers = {}, .payload = "no protobuf"})
          .has_value());
  EXPECT_EQ(process_->wait_for_exit(kPatience), 1) << process_->output();
}

TEST_F(Examples, Python) {
  publish(300);
  start({"python3", example("python/follow_feed.py"), live_url(), file("totals.db")});
  const auto query = [&](const std::string& sql) {
    const std::string script =
        "import sqlite3,sys\n"
        "print(sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2]).fetchone()[0])";
    return run({"python3", "-c", script, file("totals.db"), sql}).output;
  };
  const auto done = [&]() -> std::uint64_t {
    const std::string id = query("SELECT id FROM position");
    return id.starts_with("executions:") ? std::stoull(id.substr(11)) : 0;
  };
  ASSERT_NO_FATAL_FAILURE(follow_through_kills(done));
  EXPECT_EQ(query("SELECT SUM(trades) FROM totals"), std::to_string(published_) + "\n");
}

TEST_F(Examples, Node) {
  publish(300);
  const std::string out = file("executions.ndjson");
  start({"node", example("node/follow_feed.mjs"), live_url(), out});
  ASSERT_NO_FATAL_FAILURE(follow_through_kills([&] { return seqs_in(out).size(); }));
  ASSERT_NO_FATAL_FAILURE(expect_each_once(seqs_in(out)));

  // What a crash in the middle of a write leaves is removed, however much it is.
  const std::string whole = *read_file(out);
  for (const std::string& torn :
       {whole.substr(0, whole.size() - 5), whole + std::string(200'000, 'x')}) {
    ASSERT_TRUE(replace_file(out, torn).ok());
    process_ = std::make_unique<Process>(command_);
    ASSERT_TRUE(eventually([&] { return *read_file(out) == whole; }, kPatience))
        << process_->output();
    process_->kill_hard();
  }
}

TEST_F(Examples, NatsJs) {
  publish(300);
  const std::string out = file("executions.ndjson");
  start({"node",
         std::string(FEEDVAULT_NATS_JS) + "/follow_feed.mjs",
         installation_.broker().url(),
         "executions",
         out});
  ASSERT_NO_FATAL_FAILURE(follow_through_kills([&] { return seqs_in(out).size(); }));
  ASSERT_NO_FATAL_FAILURE(expect_each_once(seqs_in(out)));

  // A file that was put back from a backup is continued, not mixed up.
  const std::string whole = *read_file(out);
  ASSERT_TRUE(replace_file(out, whole.substr(0, whole.find("{\"seq\":200,"))).ok());
  process_ = std::make_unique<Process>(command_);
  ASSERT_TRUE(eventually([&] { return seqs_in(out).size() == published_; }, kPatience))
      << process_->output();
  EXPECT_EQ(*read_file(out), whole);

  // Somebody deletes its consumer.
  const auto broker = connect();
  nats::JetStream jetstream(*broker, 30s);
  const auto deleted =
      broker->request({.subject = "$JS.API.CONSUMER.DELETE.FEED_executions.follow_feed",
                       .reply = {},
                       .headers = {},
                       .payload = {}},
                      30s);
  ASSERT_TRUE(deleted.has_value());
  ASSERT_NE(deleted->payload().find("\"success\":true"), std::string_view::npos);
  ASSERT_NO_FATAL_FAILURE(publish(20));
  ASSERT_NO_FATAL_FAILURE(expect_all([&] { return seqs_in(out).size(); }));

  // While it is connected the stream forgets what it has not been given: more than may be under
  // way.
  const std::uint64_t before = published_;
  process_->send_signal(SIGSTOP);
  ASSERT_NO_FATAL_FAILURE(publish(150));
  auto stream = jetstream.stream_info("FEED_executions");
  ASSERT_TRUE(stream.has_value());
  stream->config.max_msgs = 10;
  ASSERT_TRUE(jetstream.update_stream(stream->config).has_value());
  process_->send_signal(SIGCONT);
  const auto at_end = [&] {
    const auto seqs = seqs_in(out);
    return !seqs.empty() && seqs.back() == published_;
  };
  ASSERT_TRUE(eventually(at_end, kPatience)) << process_->output();
  const auto seqs = seqs_in(out);
  EXPECT_GE(seqs.size(), before + 10);
  EXPECT_LT(seqs.size(), published_) << "it was to miss some";
  EXPECT_EQ(std::adjacent_find(seqs.begin(), seqs.end(), std::greater_equal<>()), seqs.end());
}

TEST_F(Examples, Browser) {
  // One for the page, one to see whether the gateway answers.
  gateway_.emplace(installation_, Environment{{"FEEDVAULT_HTTP_CONNECTIONS_MAX", "2"}});
  const std::string out = file("rows");
  const std::string page =
      std::string(FEEDVAULT_SOURCE_DIR) + "/tests/integration/examples/browser_page.mjs";
  const auto shown = [&] {
    const auto text = read_file(out);
    std::istringstream lines(text.has_value() ? *text : "");
    std::vector<std::string> positions;
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
      positions.push_back(json::parse(line).at(0));
    }
    return positions;
  };
  const auto expect_all_shown = [&] { expect_all([&] { return shown().size(); }); };
  const auto says = [&](const std::string& text, std::size_t times = 1) {
    return eventually(
        [&] {
          std::size_t count = 0;
          const std::string said = process_->output();
          for (std::size_t at = 0; (at = said.find(text, at)) != std::string::npos; ++at) {
            ++count;
          }
          return count >= times;
        },
        kPatience);
  };

  // A first visit while there is no gateway.
  gateway_->kill_hard();
  start({"node",
         page,
         example("browser/index.html"),
         "http://127.0.0.1:" + std::to_string(gateway_->port()),
         file("storage"),
         out});
  ASSERT_TRUE(says("refused; trying again")) << process_->output();
  gateway_->start();
  ASSERT_TRUE(says("\nconnected\n")) << process_->output();
  // Cut off before its first message.
  gateway_->kill_hard();
  ASSERT_NO_FATAL_FAILURE(publish(300));
  gateway_->start();
  ASSERT_NO_FATAL_FAILURE(expect_all_shown());
  gateway_->kill_hard();
  ASSERT_NO_FATAL_FAILURE(publish(20));
  gateway_->start();
  ASSERT_NO_FATAL_FAILURE(expect_all_shown());

  // Another visit, while others have all connections. A page shows and remembers in one go, but a
  // process can be killed in between.
  const auto all_remembered = [&] {
    return read_file(file("storage"))->ends_with(":\"" + std::to_string(published_) + "\"}");
  };
  ASSERT_TRUE(eventually(all_remembered, kPatience));
  process_->kill_hard();
  ASSERT_NO_FATAL_FAILURE(publish(20));
  std::vector<std::unique_ptr<EventReader>> others;
  const auto all_taken = [&] {
    others.push_back(std::make_unique<EventReader>(gateway_->port(), "/feeds/executions/live"));
    if (others.back()->head().status != 200) {
      others.pop_back();  // the page's connection is not gone yet
    }
    return others.size() == 2;
  };
  ASSERT_TRUE(eventually(all_taken, kPatience));
  command_.output_file = file("second_log");
  process_ = std::make_unique<Process>(command_);
  ASSERT_TRUE(says("refused; trying again", 2)) << process_->output();
  others.clear();
  ASSERT_NO_FATAL_FAILURE(expect_all_shown());

  const auto positions = shown();
  ASSERT_EQ(positions.size(), published_);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    ASSERT_EQ(positions[i], "executions:" + std::to_string(i + 1));
  }
}

/// Every query finds something, once there is something to find.
TEST_F(Examples, Sql) {
  publish(20);
  Producer& producer = installation_.executions().producer;
  const std::string twice = producer.fresh_payload();
  producer.publish(twice, "one");
  producer.publish(twice, "other");
  producer.publish("no protobuf", "bad");
  installation_.events().producer.acknowledged(3);
  published_ += 2;
  ASSERT_NO_FATAL_FAILURE(publish(1));
  ASSERT_TRUE(installation_.events().wait_until_published(3));
  ASSERT_TRUE(
      eventually([&] { return installation_.value("SELECT COUNT(*) FROM Quarantine") == "1"; }));
  installation_.sql("INSERT INTO Gaps VALUES (1,1,1,2,'gone',NOW(6))");

  const std::string text = *read_file(example("sql/queries.sql"));
  std::size_t queries = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find(";\n", at);
    ASSERT_NE(end, std::string::npos);
    const std::string query = text.substr(at, end - at);
    EXPECT_NE(installation_.sql(query), "") << query;
    at = end + 2;
    ++queries;
  }
  EXPECT_EQ(queries, 11U);
}

}  // namespace
}  // namespace feedvault::testing
