// feedvault-broker --check: what it says of a store, and that it only looks.

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

namespace fs = std::filesystem;
using feedvault::testing::accepts_connections;
using feedvault::testing::built_program;
using feedvault::testing::eventually;
using feedvault::testing::Finished;
using feedvault::testing::free_port;
using feedvault::testing::Process;
using feedvault::testing::TempDir;

constexpr int kMessages = 100;

std::string contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Check : public ::testing::Test {
 protected:
  /// A stream ORDERS of kMessages messages "payload-<n>;", with a consumer that acknowledged one.
  Check() {
    start();
    RawClient client(port_);
    client.send("CONNECT {\"verbose\":false}\r\nSUB in 1\r\nPING\r\n");
    client.receive_until("PONG\r\n");
    ask(client, "$JS.API.STREAM.CREATE.ORDERS", R"({"name":"ORDERS","subjects":["orders"]})");
    std::string messages;
    for (int i = 1; i <= kMessages; ++i) {
      messages += publish("orders", "payload-" + std::to_string(i) + ";");
    }
    client.send(messages);
    for (int i = 1; i <= kMessages; ++i) {
      receive(client);
    }
    ask(client,
        "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.work",
        R"({"stream_name":"ORDERS","config":{"durable_name":"work","ack_policy":"explicit"}})");
    const std::string message = ask(client, "$JS.API.CONSUMER.MSG.NEXT.ORDERS.work", "1");
    const std::size_t reply = message.find("$JS.ACK.");
    ask(client, message.substr(reply, message.find(' ', reply) - reply), "+ACK");
  }

  void start() {
    broker_ = std::make_unique<Process>(Process::Options{{built_program("feedvault-broker"),
                                                          "-a",
                                                          "127.0.0.1",
                                                          "-p",
                                                          std::to_string(port_),
                                                          "-js",
                                                          "-sd",
                                                          store()},
                                                         {},
                                                         folder_.file("output"),
                                                         folder_.path()});
    ASSERT_TRUE(eventually([&] { return accepts_connections(port_); })) << broker_->output();
  }
  void stop() {
    broker_->send_signal(SIGTERM);
    ASSERT_EQ(broker_->wait_for_exit(std::chrono::seconds(30)), 0);
  }

  static std::string publish(const std::string& subject, const std::string& text) {
    return "PUB " + subject + " in " + std::to_string(text.size()) + "\r\n" + text + "\r\n";
  }
  /// The next message, with its line.
  static std::string receive(RawClient& client) {
    std::string line;
    do {
      line.clear();
      while (!line.ends_with("\r\n")) {
        const std::string more = client.receive(1);
        if (more.empty()) {
          throw std::runtime_error("no answer; it ended with: " + line);
        }
        line += more;
      }
    } while (line == "PING\r\n");  // a slow machine's
    return line + client.receive(std::stoul(line.substr(line.rfind(' ') + 1)) + 2);
  }
  static std::string ask(RawClient& client, const std::string& subject, const std::string& text) {
    client.send(publish(subject, text));
    return receive(client);
  }

  static Finished check(const std::string& dir) {
    return feedvault::testing::run({built_program("feedvault-broker"), "--check", dir});
  }

  std::string store() const { return folder_.file("store"); }
  fs::path stream() const { return fs::path(store()) / "jetstream" / "streams" / "ORDERS"; }
  fs::path only_segment() const {
    for (const auto& entry : fs::directory_iterator(stream() / "messages")) {
      if (entry.path().filename().string().starts_with("segment-")) {
        return entry.path();
      }
    }
    return {};
  }
  std::map<std::string, std::string> all_files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(store())) {
      if (entry.is_regular_file()) {
        files[entry.path().string()] = contents_of(entry.path());
      }
    }
    return files;
  }

  TempDir folder_;
  std::uint16_t port_ = free_port();
  std::unique_ptr<Process> broker_;
};

TEST_F(Check, ACleanStoreIsSaidToBeOneByItsFolderAndByTheStreams) {
  stop();
  const auto before = all_files();
  for (const std::string& dir : {store(), store() + "/jetstream", stream().string()}) {
    const Finished clean = check(dir);
    EXPECT_EQ(clean.exit_code, 0) << clean.output;
    EXPECT_NE(clean.output.find("stream ORDERS: 100 messages, 1 to 100, 1 segments"),
              std::string::npos)
        << clean.output;
    EXPECT_NE(
        clean.output.find("consumer work: delivered up to 1, acknowledged up to 1, 0 pending"),
        std::string::npos)
        << clean.output;
    EXPECT_NE(clean.output.find("1 streams: no damage\n"), std::string::npos) << clean.output;
  }
  EXPECT_EQ(all_files(), before);
}

TEST_F(Check, ARunningBrokersStoreIsLeftAlone) {
  const Finished refused = check(store());
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.output.find("is in use by process " + std::to_string(broker_->pid())),
            std::string::npos)
      << refused.output;
}

TEST_F(Check, WhereThereIsNothingItSaysSo) {
  for (const std::string& dir : {folder_.file("nowhere"), folder_.path()}) {
    const Finished refused = check(dir);
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    EXPECT_NE(refused.output.find("--check: "), std::string::npos) << refused.output;
  }
}

TEST_F(Check, AFlippedBitIsReportedWithItsMessageAndNothingElseIsLost) {
  stop();
  const fs::path file = only_segment();
  const std::size_t at = contents_of(file).find("payload-42;");
  ASSERT_NE(at, std::string::npos);
  {
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(at));
    out.put('q');  // 'p', and one bit
  }
  const auto before = all_files();
  const Finished damaged = check(store());
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_NE(damaged.output.find("stream ORDERS: 99 messages, 1 to 100"), std::string::npos)
      << damaged.output;
  EXPECT_NE(damaged.output.find("  damage: " + file.filename().string() + ", message 42, at byte"),
            std::string::npos)
      << damaged.output;
  EXPECT_NE(damaged.output.find("1 streams: DAMAGED\n"), std::string::npos) << damaged.output;
  EXPECT_EQ(all_files(), before);
}

TEST_F(Check, AFileThatEndsEarlyIsDamageAndAnUnfinishedWriteIsNone) {
  broker_->kill_hard();
  const fs::path file = only_segment();
  // Behind the records is reserved room, zeros; a record has a multiple of 8 bytes.
  const std::size_t records_end = contents_of(file).find_last_not_of('\0') / 8 * 8 + 8;
  // A record that was being written when the process died: nobody was told of it.
  {
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(records_end));
    out << std::string(20, '\1');
  }
  const Finished unfinished = check(store());
  EXPECT_EQ(unfinished.exit_code, 0) << unfinished.output;
  EXPECT_NE(unfinished.output.find("100 messages, 1 to 100"), std::string::npos)
      << unfinished.output;
  EXPECT_NE(unfinished.output.find("an unfinished write of 20 bytes"), std::string::npos)
      << unfinished.output;
  // Messages that somebody was told of.
  fs::resize_file(file, records_end - 100);
  const Finished shortened = check(store());
  EXPECT_EQ(shortened.exit_code, 1) << shortened.output;
  EXPECT_NE(shortened.output.find("messages 99 to 100"), std::string::npos) << shortened.output;
}

TEST_F(Check, DamagedSmallFilesAreReportedByName) {
  stop();
  const fs::path consumer = stream() / "consumers" / "1.state";
  ASSERT_TRUE(fs::exists(consumer));
  for (const fs::path& file : {stream() / "stream.state", consumer}) {
    const std::string whole = contents_of(file);
    {
      std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
      out.seekp(60);
      out.put(static_cast<char>(whole[60] ^ 1));
    }
    const Finished damaged = check(store());
    EXPECT_EQ(damaged.exit_code, 1) << damaged.output;
    EXPECT_NE(damaged.output.find(file.filename().string() + ": "), std::string::npos)
        << damaged.output;
    std::ofstream(file, std::ios::binary) << whole;
  }
}

}  // namespace
}  // namespace feedvault::broker::testing
