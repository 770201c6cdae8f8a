// feedvault-broker as a program: its life cycle.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::accepts_connections;
using feedvault::testing::built_program;
using feedvault::testing::eventually;
using feedvault::testing::free_port;
using feedvault::testing::Process;
using feedvault::testing::TempDir;

class Program : public ::testing::Test {
 protected:
  std::unique_ptr<Process> start(std::vector<std::string> more = {}) {
    std::vector<std::string> command = {
        built_program("feedvault-broker"), "-a", "127.0.0.1", "-p", std::to_string(port_)};
    command.insert(command.end(), more.begin(), more.end());
    auto process = std::make_unique<Process>(
        Process::Options{command, {}, folder_.file("output"), folder_.path()});
    EXPECT_TRUE(eventually([&] { return accepts_connections(port_); })) << process->output();
    return process;
  }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }

  TempDir folder_;
  std::uint16_t port_ = free_port();
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Program, SigtermDeliversWhatIsPendingAndExitsWithZero) {
  auto broker = start();
  RawClient client(port_);
  client.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n");
  ASSERT_EQ(client.receive_until("PONG\r\n"), "PONG\r\n");
  client.send("PUB a 1\r\nx\r\nPING\r\n");
  ASSERT_EQ(client.receive_until("PONG\r\n"), "MSG a 1 1\r\nx\r\nPONG\r\n");
  broker->send_signal(SIGTERM);
  bool closed = false;
  EXPECT_EQ(client.receive_to_end(closed), "");
  EXPECT_TRUE(closed);
  EXPECT_EQ(broker->wait_for_exit(std::chrono::seconds(10)), 0);
}

TEST_F(Program, LameDuckModeSendsClientsElsewhereAndEnds) {
  {
    std::ofstream(folder_.file("nats.conf"))
        << "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"\n";
  }
  auto broker = start({"-c", folder_.file("nats.conf")});
  {
    RawClient client(port_);
    client.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    ASSERT_EQ(client.receive_until("PONG\r\n"), "PONG\r\n");
    broker->send_signal(SIGUSR2);
    EXPECT_NE(client.receive_until("} \r\n").find("\"ldm\":true"), std::string::npos);
    EXPECT_TRUE(eventually([&] { return !accepts_connections(port_); }));
  }  // the client follows the advice
  EXPECT_EQ(broker->wait_for_exit(std::chrono::seconds(20)), 0);
}

TEST_F(Program, ReopensItsLogAndReloadsItsConfiguration) {
  const std::string log = folder_.file("broker.log");
  { std::ofstream(folder_.file("nats.conf")) << "logfile: \"" << log << "\"\n"; }
  auto broker = start({"-c", folder_.file("nats.conf")});
  std::filesystem::rename(log, log + ".old");
  broker->send_signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return text_of(log).find("reopened") != std::string::npos; }));
  { std::ofstream(folder_.file("nats.conf")) << "logfile: \"" << log << "\"\nmax_payload: 100\n"; }
  broker->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return text_of(log).find("reloaded") != std::string::npos; }));
  RawClient client(port_);
  EXPECT_NE(client.info().find("\"max_payload\":100,"), std::string::npos) << client.info();
}

TEST_F(Program, WritesItsPortsAndRemovesThem) {
  const std::uint16_t monitor = free_port();
  auto broker = start({"--ports_file_dir",
                       folder_.path(),
                       "-P",
                       folder_.file("pid"),
                       "-m",
                       std::to_string(monitor)});
  const std::string ports =
      folder_.file("feedvault-broker_" + std::to_string(broker->pid()) + ".ports");
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(ports); }));
  const std::string monitoring = "http://127.0.0.1:" + std::to_string(monitor);
  EXPECT_EQ(text_of(ports),
            "{\"nats\":[\"" + url() + "\"],\"monitoring\":[\"" + monitoring + "\"]}");
  EXPECT_EQ(text_of(folder_.file("pid")), std::to_string(broker->pid()));
  broker->send_signal(SIGINT);
  EXPECT_EQ(broker->wait_for_exit(std::chrono::seconds(10)), 0);
  EXPECT_FALSE(std::filesystem::exists(ports));
}

TEST_F(Program, TracesWhatGoesOverTheWireAndNoCredential) {
  auto broker = start({"-V", "--max_traced_msg_len", "4", "--user", "alice", "--pass", "s3cret"});
  RawClient client(port_);
  client.send(
      "CONNECT {\"verbose\":false,\"headers\":true,\"user\":\"alice\",\"pass\":\"s3cret\","
      "\"auth_token\":\"s3cret\",\"sig\":\"s3cret\",\"jwt\":\"s3cret\",\"name\":\"desk\"}\r\n"
      "SUB a.> workers 1\r\nUNSUB 1 5\r\nPUB a.b r 2\r\n\x1b\n\r\n"
      "HPUB a.c 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPING\r\n");
  ASSERT_EQ(client.receive_until("PONG\r\n").substr(0, 14), "MSG a.b 1 r 2\r");
  const auto traced = [&](const std::string& line) {
    return broker->output().find(" ip=127.0.0.1 " + line + "\n") != std::string::npos;
  };
  EXPECT_TRUE(eventually([&] { return traced("->> [PONG]"); })) << broker->output();
  for (const char* line : {"<<- [SUB a.> workers 1]",
                           "<<- [UNSUB 1 5]",
                           "<<- [PUB a.b r 2]",
                           R"(<<- MSG_PAYLOAD: ["\x1b\x0a"])",
                           "->> [MSG a.b 1 r 2]",
                           "<<- [HPUB a.c 12 17]",
                           R"(<<- MSG_PAYLOAD: ["NATS..."])",
                           "->> [HMSG a.c 1 12 17]",
                           "<<- [PING]"}) {
    EXPECT_TRUE(traced(line)) << line << "\n" << broker->output();
  }
  EXPECT_NE(broker->output().find("desk"), std::string::npos);
  EXPECT_EQ(broker->output().find("s3cret"), std::string::npos) << broker->output();
}

TEST_F(Program, AReloadMovesWhatTellsOthersAboutIt) {
  const std::string conf = folder_.file("nats.conf");
  for (const char* name : {"before", "after"}) {
    std::filesystem::create_directory(folder_.file(name));
  }
  const auto configure = [&](const std::string& name) {
    std::ofstream(conf) << "ports_file_dir: \"" << folder_.file(name) << "\"\npid_file: \""
                        << folder_.file(name) << "/pid\"\n";
  };
  const auto files_of = [&](const std::string& name) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.file(name))) {
      files.push_back(entry.path().filename().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  };
  configure("before");
  auto broker = start({"-c", conf});
  const std::vector<std::string> both = {
      "feedvault-broker_" + std::to_string(broker->pid()) + ".ports", "pid"};
  EXPECT_TRUE(eventually([&] { return files_of("before") == both; }));
  configure("after");
  broker->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return files_of("after") == both && files_of("before").empty(); }))
      << broker->output();
  broker->send_signal(SIGINT);
  EXPECT_EQ(broker->wait_for_exit(std::chrono::seconds(10)), 0);
  EXPECT_TRUE(files_of("after").empty());
}

// A launcher that was written for nats-server: by that name, on any free port, which it reads in
// the ports file, and not before the words that it waits for.
TEST_F(Program, ALauncherOfNatsServerStartsItUnderThatName) {
  const std::string program = folder_.file("nats-server");
  std::filesystem::create_symlink(built_program("feedvault-broker"), program);
  Process server(Process::Options{
      {program, "-a", "localhost", "-p", "-1", "-m", "-1", "--ports_file_dir", folder_.path()},
      {},
      folder_.file("output"),
      folder_.path()});
  EXPECT_TRUE(eventually([&] {
    return server.output().find("Server is ready") != std::string::npos;
  })) << server.output();
  const std::string ports =
      text_of(folder_.file("nats-server_" + std::to_string(server.pid()) + ".ports"));
  std::smatch port;
  ASSERT_TRUE(std::regex_search(ports, port, std::regex(R"re("nats://127.0.0.1:(\d+)")re")))
      << ports;
  EXPECT_NE(server.output().find("Listening for client connections on localhost:" + port[1].str()),
            std::string::npos)
      << server.output();
  RawClient client(static_cast<std::uint16_t>(std::stoi(port[1])));
  client.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
  EXPECT_EQ(client.receive_until("PONG\r\n"), "PONG\r\n");
  const auto signal =
      feedvault::testing::run({program, "--signal", "quit=" + std::to_string(server.pid())});
  EXPECT_EQ(signal.exit_code, 0) << signal.output;
  EXPECT_EQ(server.wait_for_exit(std::chrono::seconds(10)), 0);
  const auto version = feedvault::testing::run({program, "-v"});
  EXPECT_EQ(version.output.substr(0, 14), "nats-server: v");
}

TEST_F(Program, SaysInOneLineWhyItCannotStart) {
  auto first = start();
  const auto second = feedvault::testing::run(
      {built_program("feedvault-broker"), "-a", "127.0.0.1", "-p", std::to_string(port_)});
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_NE(second.output.find("choose another port"), std::string::npos) << second.output;
}

// Each of its listeners, also when others listen already.
TEST_F(Program, EndsWhereverAPortIsTaken) {
  auto first = start();
  const std::string taken = std::to_string(port_);
  for (const std::string& more :
       {"http: \"127.0.0.1:" + taken + "\"\n",
        "websocket { host: \"127.0.0.1\", port: " + taken + ", no_tls: true }\n"}) {
    { std::ofstream(folder_.file("taken.conf")) << "listen: \"127.0.0.1:-1\"\n" << more; }
    Process second(
        Process::Options{{built_program("feedvault-broker"), "-c", folder_.file("taken.conf")},
                         {},
                         folder_.file("second"),
                         folder_.path()});
    EXPECT_EQ(second.wait_for_exit(std::chrono::seconds(30)), 2) << more << second.output();
    EXPECT_NE(second.output().find("cannot listen on 127.0.0.1:" + taken), std::string::npos)
        << second.output();
  }
}

TEST_F(Program, DoesNotServeBesideStreamsOfNatsServer) {
  const std::filesystem::path store = folder_.file("store");
  std::filesystem::create_directories(store / "jetstream" / "$G" / "streams" / "ORDERS");
  const auto refused = feedvault::testing::run({built_program("feedvault-broker"),
                                                "-a",
                                                "127.0.0.1",
                                                "-p",
                                                std::to_string(port_),
                                                "-js",
                                                "-sd",
                                                store.string()});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.output.find("holds streams of nats-server (in $G)"), std::string::npos)
      << refused.output;
  std::filesystem::remove_all(store / "jetstream" / "$G" / "streams" / "ORDERS");
  start({"-js", "-sd", store.string()});
}

}  // namespace
}  // namespace feedvault::broker::testing
