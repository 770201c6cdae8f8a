#include "broker/options.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "broker/options_map.h"
#include "broker/options_reader.h"
#include "tests/support/process.h"

namespace feedvault::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Arguments = std::vector<const char*>;

CommandLine command_line(Arguments arguments) {
  auto parsed = parse_command_line(static_cast<int>(arguments.size()), arguments.data());
  EXPECT_TRUE(parsed.has_value()) << parsed.status().message();
  return parsed.has_value() ? *parsed : CommandLine{};
}

std::string command_line_problem(Arguments arguments) {
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data())
      .status()
      .message();
}

/// Configurations in a folder of their own.
class OptionsFile : public ::testing::Test {
 protected:
  Result<LoadedOptions> load(const std::string& name,
                             const std::string& text,
                             Arguments flags = {},
                             const char* const* environment = nullptr) {
    std::ofstream(folder_.file(name)) << text;
    path_ = folder_.file(name);
    Arguments arguments = {"feedvault-broker", "-c", path_.c_str()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return load_options(command_line(arguments), environment);
  }

  LoadedOptions conf(const std::string& text, const Arguments& flags = {}) {
    return expect(load("b.conf", text, flags));
  }
  LoadedOptions toml(const std::string& text,
                     const char* const* environment = nullptr,
                     const Arguments& flags = {}) {
    return expect(load("b.toml", text, flags, environment));
  }
  // What is wrong, without the folder.
  std::string problem(const std::string& name,
                      const std::string& text,
                      const char* const* environment = nullptr) {
    std::string message = load(name, text, {}, environment).status().message();
    const std::string folder = folder_.path() + "/";
    for (std::size_t at = message.find(folder); at != std::string::npos;
         at = message.find(folder)) {
      message.erase(at, folder.size());
    }
    return message;
  }

  testing::TempDir folder_;
  std::string path_;

 private:
  static LoadedOptions expect(Result<LoadedOptions> loaded) {
    EXPECT_TRUE(loaded.has_value()) << loaded.status().message();
    return loaded.has_value() ? *loaded : LoadedOptions{};
  }
};

TEST(Durations, AreGos) {
  std::chrono::nanoseconds d{};
  ASSERT_TRUE(parse_go_duration("1h2m3.5s", d));
  EXPECT_EQ(d, std::chrono::hours(1) + std::chrono::minutes(2) + milliseconds(3500));
  ASSERT_TRUE(parse_go_duration("1m5ms2\xc2\xb5s3ns", d));
  EXPECT_EQ(d.count(), 60'005'002'003);
  for (const char* bad : {"", "s", "5", "1x", "-1s", "1.2.3s", "1e3s", "99999999999h", "1s "}) {
    EXPECT_FALSE(parse_go_duration(bad, d)) << bad;
  }
}

TEST_F(OptionsFile, AnEmptyNatsConfigurationIsNatsServersDefaults) {
  LoadedOptions loaded = conf("");
  loaded.options.config_file.clear();
  EXPECT_EQ(loaded.options, Options());
  EXPECT_EQ(loaded.options.host, "0.0.0.0");
  EXPECT_EQ(loaded.options.monitoring.port, 0);
  EXPECT_EQ(loaded.options.auth_timeout(), seconds(2));
}

TEST_F(OptionsFile, ReadsNatsServersKeys) {
  const Options o = conf(R"(
    listen: "127.0.0.1:-1"
    server_name: here
    http: localhost:8222
    debug: true, logtime: off
    logfile: "x.log"
    max_payload: 2mb
    max_pending: 128MB
    max_connections: 100
    max_subscriptions: 7
    ping_interval: "30s"
    ping_max: 5
    write_deadline: 3
    lame_duck_duration: "60s"
    authorization { timeout: 0.5 }
    jetstream { store_dir: /data, max_mem: 1G, sync_interval: "10s" }
    websocket { port: 9222, no_tls: true, compression: true }
    tls { cert_file: c.pem, key_file: k.pem, verify: true, timeout: 5, handshake_first: auto }
  )")
                        .options;
  EXPECT_EQ(o.host, "127.0.0.1");
  EXPECT_EQ(o.port, -1);
  EXPECT_EQ(o.server_name, "here");
  EXPECT_EQ(o.monitoring.host, "localhost");
  EXPECT_EQ(o.monitoring.port, 8222);
  EXPECT_TRUE(o.logging.debug);
  EXPECT_FALSE(o.logging.timestamps);
  EXPECT_EQ(o.logging.file, "x.log");
  EXPECT_EQ(o.limits.max_payload, 2 << 20);
  EXPECT_EQ(o.limits.max_pending, 128 << 20);
  EXPECT_EQ(o.limits.max_connections, 100);
  EXPECT_EQ(o.limits.max_subscriptions, 7);
  EXPECT_EQ(o.timeouts.ping_interval, seconds(30));
  EXPECT_EQ(o.timeouts.ping_max, 5);
  EXPECT_EQ(o.timeouts.write_deadline, seconds(3));
  EXPECT_EQ(o.timeouts.lame_duck_duration, seconds(60));
  EXPECT_EQ(o.auth_timeout(), milliseconds(500));
  EXPECT_TRUE(o.jetstream.enabled);
  EXPECT_EQ(o.jetstream.store_dir, "/data");
  EXPECT_EQ(o.jetstream.max_memory, 1'000'000'000);
  EXPECT_EQ(o.jetstream.sync_interval, std::optional<std::chrono::nanoseconds>(seconds(10)));
  EXPECT_TRUE(o.websocket.enabled);
  EXPECT_TRUE(o.websocket.compression);
  EXPECT_TRUE(o.tls.enabled);
  EXPECT_TRUE(o.tls.handshake_first);
  EXPECT_EQ(o.tls.handshake_first_fallback, milliseconds(50));
}

TEST_F(OptionsFile, JetStreamSaysWhenToSync) {
  using Interval = std::optional<std::chrono::nanoseconds>;
  const auto interval = [&](const std::string& text) {
    return conf(text).options.jetstream.sync_interval;
  };
  EXPECT_EQ(interval("jetstream { store_dir: /d }"), Interval());
  EXPECT_EQ(interval("jetstream { sync: interval }"), Interval(std::chrono::seconds(2)));
  EXPECT_EQ(interval("jetstream { sync: interval, sync_interval: 5s }"),
            Interval(std::chrono::seconds(5)));
  EXPECT_EQ(interval("jetstream { sync_interval: 5s }"), Interval(std::chrono::seconds(5)));
  EXPECT_EQ(interval("jetstream { sync_interval: always }"), Interval());
  EXPECT_EQ(interval("jetstream { sync_interval: 5s, sync: always }"), Interval());
}

TEST_F(OptionsFile, ReadsUsersAndPermissions) {
  const AuthorizationOptions a = conf(R"(
    ADMIN = { publish = ">", subscribe = ">" }
    authorization {
      default_permissions = { publish = "SANDBOX.*", subscribe = ["PUBLIC.>", "_INBOX.>"] }
      users = [
        {user: joe, password: 1234, permissions: $ADMIN}
        {user: bob, password: $2a$05$abcdefghijklmnopqrstuu1qdcFaS0PtqFUPzaCxLQ8/0lspH0ZEW}
        {user: svc, password: x, permissions: {publish: {deny: a}, allow_responses: {max: 5, expires: "1m"}}}
        {nkey: UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE,
         allowed_connection_types: ["WEBSOCKET"], permissions: {allow_responses: true}}
      ]
    }
    accounts { $SYS { users: [ {user: sys, password: s} ] } }
    no_auth_user: joe
  )")
                                     .options.authorization;
  ASSERT_EQ(a.users.size(), 5U);
  EXPECT_EQ(a.users[0].password, "1234");
  EXPECT_EQ(a.users[0].permissions->publish.allow, std::vector<std::string>{">"});
  EXPECT_FALSE(a.users[1].permissions.has_value());
  EXPECT_EQ(a.default_permissions->subscribe.allow->size(), 2U);
  EXPECT_EQ(a.users[2].permissions->publish.deny, std::vector<std::string>{"a"});
  EXPECT_EQ(a.users[2].permissions->responses->max, 5);
  EXPECT_EQ(a.users[2].permissions->responses->expires, std::chrono::minutes(1));
  EXPECT_EQ(a.users[3].connection_kinds, kWebsocket);
  EXPECT_EQ(a.users[3].permissions->responses->max, 1);
  EXPECT_TRUE(a.users[4].system);
  EXPECT_EQ(a.no_auth_user, "joe");
}

TEST_F(OptionsFile, OneAccountBesideTheSystemsIsEnough) {
  const AuthorizationOptions a = conf(R"(
    accounts {
      SYS { users: [ {user: admin, password: a} ] }
      APP { users: [ {user: u, password: p} ], jetstream: enabled }
    }
    system_account: SYS
  )")
                                     .options.authorization;
  ASSERT_EQ(a.users.size(), 2U);
  EXPECT_TRUE(a.users[0].system);
  EXPECT_FALSE(a.users[1].system);
  EXPECT_EQ(a.account, "APP");
  EXPECT_EQ(a.system_account, "SYS");
}

TEST_F(OptionsFile, WarnsAboutWhatIsLeftOut) {
  const LoadedOptions loaded = conf("prof_port: 6060\nremote_syslog: \"udp://x\"\n");
  ASSERT_EQ(loaded.warnings.size(), 2U);
  EXPECT_EQ(loaded.warnings[0].substr(folder_.path().size()),
            "/b.conf:1: prof_port: is not supported by this broker; there is no profiling port");
}

struct Wrong {
  const char* text;
  const char* begins;
};

TEST_F(OptionsFile, RefusesWhatIsWrongOrUnsafe) {
  const Wrong cases[] = {
      {"foo: 1", "b.conf:1: foo: unknown key; remove it"},
      {"\nmax_paylod: 1", "b.conf:2: max_paylod: unknown key; did you mean 'max_payload'?"},
      {"tls { cert: x }", "b.conf:1: cert: unknown key"},
      {"cluster { port: 1 }", "b.conf:1: cluster: is not supported"},
      {"leafnodes { }", "b.conf:1: leafnodes: is not supported"},
      {"gateway { }", "b.conf:1: gateway: is not supported"},
      {"mqtt { port: 1 }", "b.conf:1: mqtt: is not supported"},
      {"operator: x.jwt", "b.conf:1: operator: is not supported"},
      {"resolver: MEMORY", "b.conf:1: resolver: is not supported"},
      {"mappings { a: b }", "b.conf:1: mappings: is not supported"},
      {"https: 8443", "b.conf:1: https: is not supported"},
      {"authorization { auth_callout {} }", "b.conf:1: auth_callout: is not supported"},
      {"jetstream { key: x }", "b.conf:1: key: is not supported"},
      {"tls { pinned_certs: [x] }", "b.conf:1: pinned_certs: is not supported"},
      {"tls { cert_file: a, key_file: b, verify_and_map: true }", "b.conf:1: tls: verify_and_map"},
      {"accounts { A {users: [{user:a,password:a}]}, B {users: [{user:b,password:b}]} }",
       "b.conf:1: B: a second account"},
      {"authorization { user: a, password: b }\naccounts { A {users: [{user:a,password:a}]} }",
       "b.conf:2: A: a second account"},
      {"accounts { A { exports: [ {stream: x} ] } }", "b.conf:1: exports: is not supported"},
      {"debug: 3", "b.conf:1: debug: is a number; write true or false"},
      {"port: abc", "b.conf:1: port: is not a number"},
      {"port: 70000", "b.conf:1: port: is 70000, out of range; write a number from -1 to 65535"},
      {"max_payload: 10G", "b.conf:1: max_payload: is 10000000000, out of range"},
      {"max_payload: -1", "b.conf:1: max_payload: is -1, out of range"},
      {"max_payload: 100mb", "b.conf:1: max_payload: 104857600 is more than max_pending"},
      {"max_connections: 0", "b.conf:1: max_connections: is 0; write -1"},
      {"ping_interval: 2m", "b.conf:1: ping_interval: 2m without quotes is the number 2000000"},
      {"ping_interval: soon", "b.conf:1: ping_interval: is no duration"},
      {"write_deadline: -1", "b.conf:1: write_deadline: is out of range"},
      {"listen: \"a:b:c\"", "b.conf:1: listen: 'a:b:c' is no address"},
      {"listen: \"host\"", "b.conf:1: listen: 'host' has no valid port"},
      {"lame_duck_duration: \"5s\"", "b.conf:1: lame_duck_duration: the least is"},
      {"tls { cert_file: x }", "b.conf:1: tls: needs a certificate and its key; give key_file"},
      {"websocket { port: 1 }", "b.conf:1: websocket: needs a tls block"},
      {"authorization { users: {user: a} }", "b.conf:1: users: is no list"},
      {"authorization {\n users: [\n {user: a}\n]}", "b.conf:3: a user has a user name and"},
      {"authorization { user: a, password: b, token: c }", "b.conf:1: authorization: a token and"},
      {"authorization { users: [{user: a, password: b, permissions: {publish: []}}] }",
       "b.conf:1: publish: is empty"},
      {"authorization { users: [{user: a, password: b, permissions: {publish: a..b}}] }",
       "b.conf:1: authorization: permissions of user 'a': 'a..b'"},
      {"no_auth_user: x\nauthorization { users: [{user: a, password: b}] }",
       "b.conf:2: authorization: no_auth_user 'x'"},
      {"debug: true\n# Not max_payload's own line: it has none.\nMAX_PENDING: 1kb",
       "b.conf:3: max_payload: 1048576 is more than max_pending"},
      {"port: 1\n}", "b.conf:2: '}' without"},
  };
  for (const Wrong& c : cases) {
    const std::string message = problem("b.conf", c.text);
    EXPECT_EQ(message.substr(0, std::string(c.begins).size()), c.begins) << c.text;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST_F(OptionsFile, NoSecretIsInAnError) {
  for (const char* text : {"authorization { user: a, password: [s3cret] }",
                           "authorization { token: {s3cret: 1} , x",
                           "authorization { users: [{user: a, password: s3cret, nkey: s3cret}] }",
                           "authorization { users: [{nkey: SUs3cret}] }",
                           "authorization { token: $2a$05$s3cret }"}) {
    const std::string message = problem("b.conf", text);
    EXPECT_FALSE(message.empty()) << text;
    EXPECT_EQ(message.find("s3cret"), std::string::npos) << message;
  }
}

TEST_F(OptionsFile, OneLineOfTomlIsEnough) {
  const Options o = toml("listener = \"127.0.0.1:4333\"\n").options;
  EXPECT_EQ(o.host, "127.0.0.1");
  EXPECT_EQ(o.port, 4333);
  EXPECT_EQ(o.monitoring.port, 8222);
}

TEST_F(OptionsFile, ReadsTheProjectsConfiguration) {
  const std::string text = R"(
[nats]
host = "127.0.0.2"
port = 4300
[monitor]
port = 8300
[mysql]
anything = "of the others"
[log]
level = "debug"
[[feed]]
name = "events"
)";
  const Options o = toml(text).options;
  EXPECT_EQ(o.host, "127.0.0.2");
  EXPECT_EQ(o.port, 4300);
  EXPECT_EQ(o.monitoring.port, 8300);
  EXPECT_TRUE(o.logging.debug);
  const char* const environment[] = {"FEEDVAULT_NATS_PORT=4400",
                                     "FEEDVAULT_MONITOR_PORT=8400",
                                     "FEEDVAULT_BROKER_MAX_PAYLOAD=2mb",
                                     "FEEDVAULT_BROKER_IMAGE=x/y",
                                     "FEEDVAULT_BROKER_DEBUG=",
                                     nullptr};
  const LoadedOptions over = toml(text, environment, {"-m", "-1"});
  EXPECT_EQ(over.options.port, 4400);
  EXPECT_EQ(over.options.monitoring.port, -1);
  EXPECT_EQ(over.options.limits.max_payload, 2 << 20);
  ASSERT_EQ(over.warnings.size(), 1U);
  EXPECT_NE(over.warnings[0].find("FEEDVAULT_BROKER_IMAGE"), std::string::npos);
}

TEST_F(OptionsFile, TheBrokersOwnSectionIsSpelledLikeNatsServersKeys) {
  const Options o = toml(R"(
[nats]
port = 1
[broker]
listen = "0.0.0.0:4222"
max_payload = "8mb"
ping_interval = "20s"
write_deadline = 2.5
[broker.authorization]
users = [ { user = "a", password = "b", permissions = { publish = ["x.>"] } } ]
[broker.tls]
cert_file = "c"
key_file = "k"
)")
                        .options;
  EXPECT_EQ(o.host, "0.0.0.0");
  EXPECT_EQ(o.port, 4222);
  EXPECT_EQ(o.limits.max_payload, 8 << 20);
  EXPECT_EQ(o.timeouts.ping_interval, seconds(20));
  EXPECT_EQ(o.timeouts.write_deadline, milliseconds(2500));
  EXPECT_EQ(o.authorization.users.size(), 1U);
  EXPECT_EQ(o.auth_timeout(), seconds(3));
}

TEST_F(OptionsFile, TomlErrorsNameLineAndKey) {
  const Wrong cases[] = {
      {"[broker]\nmax_paylod = 1\n", "b.toml:2: max_paylod: unknown key; did you mean"},
      {"[broker]\nport = \"x\"\n", "b.toml:2: port: is not a number"},
      {"[broker]\nport = 2026-01-01\n", "b.toml:2: port: is a date or time"},
      {"[broker\n", "b.toml:1: "},
      {"broker = 1\n", "b.toml:1: broker: is a section"},
      {"port = 1\n", "b.toml:1: port: unknown key; settings of the broker belong under [broker]"},
      {"[nats]\nport = 99999\n", "b.toml:2: port: is 99999"},
      {"[broker]\nlame_duck_duration = \"1s\"\n", "b.toml:2: lame_duck_duration: the least"},
  };
  for (const Wrong& c : cases) {
    EXPECT_EQ(problem("b.toml", c.text).substr(0, std::string(c.begins).size()), c.begins)
        << c.text;
  }
  const char* const environment[] = {"FEEDVAULT_BROKER_MAX_PAYLOAD=much", nullptr};
  EXPECT_EQ(problem("b.toml", "", environment),
            "environment FEEDVAULT_BROKER_MAX_PAYLOAD: max_payload: is not a number; write one "
            "such as 4096 or 64mb");
}

TEST_F(OptionsFile, FlagsWinOverTheFile) {
  const std::string file =
      "port: 1\nhttp_port: 2\ndebug: true\nauthorization { token: t }\nserver_name: f\n";
  const Options o = conf(file,
                         {"-p",
                          "4333",
                          "--http_port=5",
                          "-D=false",
                          "-a",
                          "127.0.0.1",
                          "--user",
                          "u",
                          "--pass",
                          "p",
                          "-js",
                          "-sd",
                          "/d",
                          "-n",
                          "flag"})
                        .options;
  EXPECT_EQ(o.port, 4333);
  EXPECT_EQ(o.monitoring.port, 5);
  EXPECT_FALSE(o.logging.debug);
  EXPECT_EQ(o.host, "127.0.0.1");
  EXPECT_EQ(o.authorization.user, "u");
  EXPECT_EQ(o.authorization.token, "");
  EXPECT_TRUE(o.jetstream.enabled);
  EXPECT_EQ(o.jetstream.store_dir, "/d");
  EXPECT_EQ(o.server_name, "flag");
}

TEST_F(OptionsFile, TraceAndTlsFlags) {
  EXPECT_TRUE(conf("", {"-DV"}).options.logging.debug);
  EXPECT_TRUE(conf("", {"-V"}).options.logging.trace);
  EXPECT_FALSE(conf("", {"-V"}).options.logging.debug);
  EXPECT_TRUE(conf("", {"-DVV"}).options.logging.trace_verbose);
  EXPECT_FALSE(conf("", {"-VV"}).options.logging.debug);
  const Options o =
      conf("", {"--tlsverify", "--tlscert=c", "--tlskey", "k", "--tlscacert", "a"}).options;
  EXPECT_TRUE(o.tls.enabled);
  EXPECT_TRUE(o.tls.verify);
  EXPECT_EQ(o.tls.ca_file, "a");
  EXPECT_EQ(conf("", {"--cluster_name", "x"}).warnings.size(), 1U);
  EXPECT_NE(load("b.conf", "", {"-ms", "1"}).status().message().find("no TLS"), std::string::npos);
  EXPECT_NE(load("b.conf", "", {"-p", "x"}).status().message().find("--port"), std::string::npos);
}

TEST(CommandLine, DefaultsDependOnTheName) {
  const testing::TempDir folder;
  ASSERT_EQ(::chdir(folder.path().c_str()), 0);
  const Options reference = load_options(command_line({"nats-server"}), nullptr)->options;
  EXPECT_EQ(reference, Options());
  const Options ours = load_options(command_line({"/x/feedvault-broker"}), nullptr)->options;
  EXPECT_EQ(ours.host, "127.0.0.1");
  EXPECT_EQ(ours.monitoring.port, 8222);
  const Options flags =
      load_options(command_line({"feedvault-broker", "-p", "-1"}), nullptr)->options;
  EXPECT_EQ(flags.monitoring.port, 0);
  std::ofstream("config.toml") << "listener = \"127.0.0.1:5\"\n";
  EXPECT_EQ(load_options(command_line({"feedvault-broker"}), nullptr)->options.port, 5);
  EXPECT_EQ(load_options(command_line({"nats-server"}), nullptr)->options.port, 4222);
  const auto missing = load_options(command_line({"feedvault-broker", "no.toml"}), nullptr);
  EXPECT_EQ(missing.status().code(), StatusCode::kInvalidArgument);
  ASSERT_EQ(::chdir("/"), 0);
}

TEST(CommandLine, PrintsHelpAndVersion) {
  using Action = CommandLine::Action;
  const CommandLine reference = command_line({"/usr/sbin/nats-server", "-v"});
  EXPECT_EQ(reference.action, Action::kPrint);
  EXPECT_EQ(reference.text, "nats-server: v" + std::string(kNatsVersion) + "\n");
  EXPECT_EQ(command_line({"nats-server", "version"}).text, reference.text);
  EXPECT_EQ(command_line({"feedvault-broker", "--version"}).text.rfind("feedvault-broker ", 0), 0U);
  EXPECT_NE(command_line({"feedvault-broker", "-h"}).text.find("Usage: feedvault-broker"),
            std::string::npos);
  EXPECT_EQ(command_line({"feedvault-broker", "-t", "-c", "x"}).action, Action::kTestConfig);
}

TEST(CommandLine, Problems) {
  EXPECT_NE(command_line_problem({"b", "--nope=secret"}).find("-nope: unknown flag"),
            std::string::npos);
  EXPECT_EQ(command_line_problem({"b", "--nope=secret"}).find("secret"), std::string::npos);
  EXPECT_NE(command_line_problem({"b", "-p"}).find("needs a value"), std::string::npos);
  EXPECT_NE(command_line_problem({"b", "x", "y"}).find("argument 2"), std::string::npos);
  EXPECT_NE(command_line_problem({"nats-server", "bogus"}).find("argument 1"), std::string::npos);
  EXPECT_NE(command_line_problem({"b", "--signal", "bogus"}).find("'bogus'"), std::string::npos);
}

TEST(CommandLine, SignalsReachAProcessByItsPidFile) {
  testing::Process child(
      {.command = {"sleep", "60"}, .environment = {}, .output_file = {}, .working_folder = {}});
  const testing::TempDir folder;
  std::ofstream(folder.file("pid")) << child.pid() << "\n";
  const std::string argument = "term=" + folder.file("pid");
  ASSERT_TRUE(send_signal(command_line({"b", "-sl", argument.c_str()})).ok());
  EXPECT_EQ(child.wait_for_exit(seconds(10)), 128 + SIGTERM);
  EXPECT_FALSE(send_signal(command_line({"b", "--signal=stop=/no/such/file"})).ok());
  EXPECT_FALSE(send_signal(command_line({"no-such-program", "--signal", "ldm"})).ok());
}

TEST(Reload, SaysWhatCanChange) {
  const Options running;
  Options wanted = running;
  wanted.limits.max_payload = 5;
  wanted.logging.debug = true;
  wanted.authorization.token = "t";
  OptionsChange change = compare_options(running, wanted);
  EXPECT_EQ(change.applied, (std::vector<std::string>{"max_payload", "authorization", "logging"}));
  EXPECT_TRUE(change.refused.empty());
  EXPECT_TRUE(change.authorization);
  EXPECT_TRUE(change.logging);
  EXPECT_FALSE(change.tls);
  wanted.port = 5;
  wanted.jetstream.store_dir = "x";
  wanted.tls.enabled = true;
  change = compare_options(running, wanted);
  EXPECT_EQ(change.refused, (std::vector<std::string>{"port", "jetstream"}));
  EXPECT_TRUE(change.tls);
  EXPECT_TRUE(compare_options(wanted, wanted).applied.empty());
  EXPECT_TRUE(compare_options(wanted, wanted).tls);  // the files may be others
}

TEST(PortsFile, IsNatsServers) {
  const testing::TempDir folder;
  BoundPorts ports;
  ports.nats = listener_urls("nats", "127.0.0.1", 4222);
  ports.monitoring = listener_urls("http", "::1", 8222);
  const auto path = write_ports_file(folder.path(), "nats-server", ports);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(*path, folder.path() + "/nats-server_" + std::to_string(::getpid()) + ".ports");
  EXPECT_EQ(*read_file(*path),
            R"({"nats":["nats://127.0.0.1:4222"],"monitoring":["http://[::1]:8222"]})");
  EXPECT_FALSE(write_ports_file(folder.file("no"), "x", ports).has_value());
  const std::vector<std::string> all = listener_urls("nats", "0.0.0.0", 1);
  EXPECT_NE(std::find(all.begin(), all.end(), "nats://127.0.0.1:1"), all.end());
}

TEST(ListeningAddress, IsWhereNatsServerWouldListen) {
  // Of a name that has both, IPv4's.
  EXPECT_EQ(listening_address("localhost").value(), "127.0.0.1");
  EXPECT_EQ(listening_address("127.0.0.1").value(), "127.0.0.1");
  EXPECT_EQ(listening_address("::1").value(), "::1");
  // All of the machine's are IPv6's, too.
  EXPECT_EQ(listening_address("").value(), listening_address("::").value());
  EXPECT_EQ(listening_address("0.0.0.0").value(), listening_address("::").value());
  const Status unknown = listening_address("no such host").status();
  EXPECT_EQ(unknown.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.message().find("check the host"), std::string::npos) << unknown.message();
}

TEST(PidFile, HoldsTheProcessId) {
  const testing::TempDir folder;
  ASSERT_TRUE(write_pid_file(folder.file("pid")).ok());
  EXPECT_EQ(*read_file(folder.file("pid")), std::to_string(::getpid()));
  EXPECT_FALSE(write_pid_file(folder.file("no/pid")).ok());
}

}  // namespace
}  // namespace feedvault::broker
