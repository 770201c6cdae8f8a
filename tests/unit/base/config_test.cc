#include "base/config.h"

#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_keys.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A folder with config.toml and the files that it names.
class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    write("a.proto", "");
    write("b.proto", "");
  }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.file(name)) << text;
  }

  // One feed, as good as any.
  static std::string feed(const std::string& name = "a",
                          const std::string& number = "1",
                          const std::string& subjects = R"(["sa"])",
                          const std::string& republish = "feed.a") {
    return "[[feed]]\nname = \"" + name + "\"\nnumber = " + number + "\nsubjects = " + subjects +
           "\nproto = \"a.proto\"\nmessage = \"m\"\nrepublish = \"" + republish + "\"\n";
  }

  Result<Config> parse(const std::string& text, const std::vector<const char*>& environment = {}) {
    std::vector<const char*> all = environment;
    all.push_back(nullptr);
    return parse_config(text, folder_.file("config.toml"), all.data());
  }

  // The error's text, without the folder.
  std::string error(const std::string& text, const std::vector<const char*>& environment = {}) {
    const auto config = parse(text, environment);
    if (config.has_value()) {
      return "no error";
    }
    EXPECT_EQ(config.error().code(), StatusCode::kInvalidArgument);
    std::string message = config.error().message();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (std::size_t at = 0; (at = message.find(folder_.path() + "/")) != std::string::npos;) {
      message.erase(at, folder_.path().size() + 1);
    }
    return message;
  }

  testing::TempDir folder_;
};

TEST_F(ConfigTest, TheCommittedFileHoldsTheDefaults) {
  const auto config = load_config(FEEDVAULT_SOURCE_DIR "/config.toml", nullptr);
  ASSERT_TRUE(config.has_value()) << config.error().to_string();
  const Config defaults;
  EXPECT_EQ(config->nats.port, defaults.nats.port);
  EXPECT_EQ(config->nats.host, defaults.nats.host);
  EXPECT_EQ(config->monitor.port, defaults.monitor.port);
  EXPECT_EQ(config->mysql.port, defaults.mysql.port);
  EXPECT_EQ(config->mysql.user, defaults.mysql.user);
  EXPECT_EQ(config->mysql.database, defaults.mysql.database);
  EXPECT_EQ(config->mysql.tls, defaults.mysql.tls);
  EXPECT_EQ(config->controller.port, defaults.controller.port);
  EXPECT_EQ(config->controller.bind, defaults.controller.bind);
  EXPECT_EQ(config->controller.stop_after_bad_messages,
            defaults.controller.stop_after_bad_messages);
  EXPECT_EQ(config->controller.stuck_after_s, defaults.controller.stuck_after_s);
  EXPECT_EQ(config->http.port, defaults.http.port);
  EXPECT_EQ(config->catalogue.json, defaults.catalogue.json);
  EXPECT_EQ(config->ingest.keep_s, defaults.ingest.keep_s);
  EXPECT_EQ(config->ingest.message_bytes_max, defaults.ingest.message_bytes_max);
  EXPECT_EQ(config->published.keep_s, defaults.published.keep_s);
  EXPECT_EQ(config->published.bytes_max, defaults.published.bytes_max);
  EXPECT_EQ(config->log.level, defaults.log.level);

  ASSERT_EQ(config->feeds.size(), 2U);
  const FeedConfig& events = config->feeds[0];
  EXPECT_EQ(events.name, "events");
  EXPECT_EQ(events.number, 1);
  EXPECT_THAT(events.subjects, ElementsAre("sport_event", "event"));
  EXPECT_EQ(events.proto, FEEDVAULT_SOURCE_DIR "/proto/event.proto");
  EXPECT_EQ(events.message, "event");
  EXPECT_EQ(events.republish, "feed.events");
  EXPECT_EQ(events.ingest_stream(), "INGEST_events");
  EXPECT_EQ(config->find_feed("executions"), &config->feeds[1]);
  EXPECT_EQ(config->find_feed("none"), nullptr);
}

TEST_F(ConfigTest, EveryKeyIsRead) {
  write("ca.pem", "");
  write("cert.pem", "");
  write("key.pem", "");
  write("user.creds", "");
  const auto config = parse(R"(
[nats]
host = "h"
port = 1
servers = ["n1:4222", "tls://n2:4222"]
user = "u"
password = "p"
token = "t"
credentials_file = "user.creds"
tls_ca_file = "ca.pem"
tls_cert_file = "cert.pem"
tls_key_file = "key.pem"
[monitor]
port = 2
[mysql]
host = "mh"
port = 3
socket = "/s"
user = "mu"
password = "mp"
database = "db"
schema_user = "su"
schema_password = "sp"
tls = "required"
tls_ca_file = "ca.pem"
[controller]
bind = "0.0.0.0"
port = 4
batch_rows_max = 5
batch_bytes_max = 6000
queue_rows_max = 7
queue_bytes_max = 8000
publish_window = 9
stop_after_bad_messages = 10
stuck_after_s = 11
[http]
bind = "::1"
port = 12
[catalogue]
json = false
[ingest]
keep_s = 13
message_bytes_max = 14
replicas = 3
[published]
keep_s = 15
bytes_max = 16
replicas = 5
[log]
level = "debug"
)" + feed());
  ASSERT_TRUE(config.has_value()) << config.error().to_string();
  EXPECT_THAT(config->nats.urls(), ElementsAre("nats://n1:4222", "tls://n2:4222"));
  EXPECT_EQ(config->nats.user + config->nats.password + config->nats.token, "upt");
  EXPECT_EQ(config->nats.credentials_file, folder_.file("user.creds"));
  EXPECT_EQ(config->nats.tls_key_file, folder_.file("key.pem"));
  EXPECT_EQ(config->monitor.port, 2);
  EXPECT_EQ(config->mysql.host + config->mysql.socket, "mh/s");
  EXPECT_EQ(config->mysql.schema_user + config->mysql.schema_password, "susp");
  EXPECT_EQ(config->mysql.tls, "required");
  EXPECT_EQ(config->controller.batch_rows_max, 5U);
  EXPECT_EQ(config->controller.batch_bytes_max, 6000U);
  EXPECT_EQ(config->controller.queue_rows_max, 7U);
  EXPECT_EQ(config->controller.queue_bytes_max, 8000U);
  EXPECT_EQ(config->controller.publish_window, 9U);
  EXPECT_EQ(config->controller.stop_after_bad_messages, 10U);
  EXPECT_EQ(config->controller.stuck_after_s.count(), 11);
  EXPECT_EQ(config->http.bind, "::1");
  EXPECT_FALSE(config->catalogue.json);
  EXPECT_EQ(config->ingest.keep_s.count(), 13);
  EXPECT_EQ(config->ingest.message_bytes_max, 14U);
  EXPECT_EQ(config->ingest.replicas, 3U);
  EXPECT_EQ(config->published.bytes_max, 16);
  EXPECT_EQ(config->log.level, "debug");
}

TEST_F(ConfigTest, TheGatewaysKeys) {
  const auto config = parse(R"([http]
auth = "required"
tokens = ["a:0123456789abcdef", "*:0123456789ABCDEF", "write:0123456789-._~+/"]
cors_origins = ["https://desk.example.org", "http://localhost:3000"]
hosts = ["feeds.example.org"]
connections_max = 1
header_timeout_s = 2
idle_timeout_s = 3
write_timeout_s = 4
database_connections = 5
)" + feed());
  ASSERT_TRUE(config.has_value()) << config.error().to_string();
  EXPECT_EQ(config->http.auth, "required");
  EXPECT_EQ(config->http.tokens.size(), 3U);
  EXPECT_EQ(config->http.cors_origins.back(), "http://localhost:3000");
  EXPECT_THAT(config->http.hosts, ::testing::ElementsAre("feeds.example.org"));
  EXPECT_EQ(config->http.connections_max, 1U);
  EXPECT_EQ(config->http.header_timeout_s.count(), 2);
  EXPECT_EQ(config->http.idle_timeout_s.count(), 3);
  EXPECT_EQ(config->http.write_timeout_s.count(), 4);
  EXPECT_EQ(config->http.database_connections, 5U);
}

TEST_F(ConfigTest, WhatTheGatewayRefuses) {
  EXPECT_THAT(error("[http]\nauth = \"maybe\"\n" + feed()), HasSubstr("'maybe' is unknown"));
  EXPECT_THAT(error("[http]\nauth = \"required\"\n" + feed()),
              HasSubstr("there are no tokens; give some"));
  EXPECT_THAT(error("[http]\ntls_key_file = \"k\"\n" + feed()), HasSubstr("needs tls_cert_file"));
  EXPECT_THAT(error("[http]\ntokens = [\"nosuch:0123456789abcdef\"]\n" + feed()),
              HasSubstr("'nosuch' is no scope"));
  EXPECT_THAT(error("[http]\ntokens = [\"*:hunter2\"]\n" + feed()),
              ::testing::AllOf(HasSubstr("openssl rand"), ::testing::Not(HasSubstr("hunter2"))));
  EXPECT_THAT(error("[http]\ncors_origins = [\"https://a/b\"]\n" + feed()),
              HasSubstr("'https://a/b' is not an origin"));
  EXPECT_THAT(error("[http]\nhosts = [\"a:8080\"]\n" + feed()),
              HasSubstr("'a:8080' is not a host's name"));
}

TEST_F(ConfigTest, HostAndPortMakeAnUrl) {
  EXPECT_THAT(parse("[nats]\nhost = \"broker\"\nport = 5\n" + feed())->nats.urls(),
              ElementsAre("nats://broker:5"));
  EXPECT_THAT(parse("[nats]\nhost = \"::1\"\n" + feed())->nats.urls(),
              ElementsAre("nats://[::1]:4222"));
}

TEST_F(ConfigTest, TheEnvironmentOverrides) {
  const auto config = parse("[mysql]\nport = 1\n[catalogue]\njson = true\n" + feed(),
                            {"FEEDVAULT_MYSQL_PORT=3307",
                             "FEEDVAULT_MYSQL_PASSWORD=a=b",
                             "FEEDVAULT_NATS_SERVERS=n1:1,n2:2",
                             "FEEDVAULT_CATALOGUE_JSON=false",
                             "FEEDVAULT_PUBLISHED_KEEP_S=5",
                             "FEEDVAULT_LOG_LEVEL=",
                             "FEEDVAULT_FAILPOINT=x=kill",
                             "HOME=/"});
  ASSERT_TRUE(config.has_value()) << config.error().to_string();
  EXPECT_EQ(config->mysql.port, 3307);
  EXPECT_EQ(config->mysql.password, "a=b");
  EXPECT_THAT(config->nats.servers, ElementsAre("n1:1", "n2:2"));
  EXPECT_FALSE(config->catalogue.json);
  EXPECT_EQ(config->published.keep_s.count(), 5);
  EXPECT_EQ(config->log.level, "info") << "an empty variable counts as not set";
}

TEST_F(ConfigTest, KnowsWhichSecretsAreTheFiles) {
  const std::string text =
      "[nats]\nuser = \"u\"\npassword = \"p\"\ntoken = \"\"\n[mysql]\npassword = \"p\"\n"
      "schema_user = \"s\"\nschema_password = \"q\"\n[http]\ntokens = [\"a:0123456789abcdef\"]\n" +
      feed();
  const auto secrets = [&](const std::vector<const char*>& environment) {
    const auto config = parse(text, environment);
    EXPECT_TRUE(config.has_value()) << config.status().to_string();
    return config.has_value() ? config->secrets_in_file : std::vector<std::string>();
  };
  EXPECT_THAT(
      secrets({}),
      ElementsAre(
          "[nats] password", "[mysql] password", "[mysql] schema_password", "[http] tokens"));
  EXPECT_THAT(secrets({"FEEDVAULT_MYSQL_PASSWORD=other",
                       "FEEDVAULT_NATS_TOKEN=t",
                       "FEEDVAULT_MYSQL_SCHEMA_PASSWORD=",
                       "FEEDVAULT_HTTP_TOKENS=*:0123456789abcdef"}),
              ElementsAre("[nats] password", "[mysql] schema_password"));
}

TEST_F(ConfigTest, TheEnvironmentIsCheckedToo) {
  EXPECT_EQ(error(feed(), {"FEEDVAULT_MYSQL_PORT=80a"}),
            "environment FEEDVAULT_MYSQL_PORT: [mysql] port: '80a' is not a whole number; write "
            "one from 1 to 65535");
  EXPECT_EQ(error(feed(), {"FEEDVAULT_MYSQL_PORT=99999999999999999999"}),
            "environment FEEDVAULT_MYSQL_PORT: [mysql] port: '99999999999999999999' is not a whole "
            "number; write one from 1 to 65535");
  EXPECT_EQ(error(feed(), {"FEEDVAULT_MYSQL_PROT=1"}),
            "environment FEEDVAULT_MYSQL_PROT: [mysql] prot: unknown key; did you mean 'port'?");
  EXPECT_EQ(error(feed(), {"FEEDVAULT_CATALOGUE_JSON=maybe"}),
            "environment FEEDVAULT_CATALOGUE_JSON: [catalogue] json: 'maybe' is not a boolean; "
            "write true or false");
  EXPECT_EQ(error(feed(), {"FEEDVAULT_NATS_PASSWORD=x"}),
            "environment FEEDVAULT_NATS_PASSWORD: [nats] password: is given without user; set both "
            "or neither");
}

TEST_F(ConfigTest, SyntaxErrorsNameTheLine) {
  EXPECT_THAT(error("[nats]\nport = = 1\n"), StartsWith("config.toml:2: "));
  EXPECT_THAT(error("[nats]\nport = 1\nport = 2\n"), StartsWith("config.toml:3: "));
}

TEST_F(ConfigTest, UnknownNamesGetASuggestion) {
  EXPECT_EQ(error("\n[mysq]\nport = 1\n" + feed()),
            "config.toml:2: [mysq]: unknown section; did you mean 'mysql'?");
  EXPECT_EQ(error("[mysql]\nprot = 1\n" + feed()),
            "config.toml:2: [mysql] prot: unknown key; did you mean 'port'?");
  EXPECT_EQ(error("[monitor]\nfrobnicate = 1\n" + feed()),
            "config.toml:2: [monitor] frobnicate: unknown key; known: port");
  EXPECT_EQ(error("[[feed]]\nnam = \"x\"\n"),
            "config.toml:1: [[feed]] name: is missing; every feed needs it");
  EXPECT_EQ(error(feed() + "subject = \"x\"\n"),
            "config.toml:8: [[feed]] subject: unknown key; did you mean 'subjects'?");
  EXPECT_EQ(error("nats = 1\n" + feed()),
            "config.toml:1: nats: is a section; write [nats] on a line of its own");
  EXPECT_EQ(error("feed = 1\n"),
            "config.toml:1: feed: is not a list of tables; write [[feed]] before each feed");
}

TEST_F(ConfigTest, TheFirstErrorOfTheFileIsReported) {
  EXPECT_THAT(error("[published]\nx = 1\n[catalogue]\ny = 1\n" + feed()),
              StartsWith("config.toml:2: [published] x"));
}

TEST_F(ConfigTest, WrongTypes) {
  const std::string integer = " is not a whole number; write one from 1 to 65535";
  EXPECT_EQ(error("[nats]\nport = \"x\"\n" + feed()), "config.toml:2: [nats] port: 'x'" + integer);
  EXPECT_EQ(error("[nats]\nport = 1.5\n" + feed()), "config.toml:2: [nats] port: 1.5" + integer);
  EXPECT_EQ(error("[nats]\nport = true\n" + feed()), "config.toml:2: [nats] port: true" + integer);
  EXPECT_EQ(error("[nats]\nport = 2026-01-01\n" + feed()),
            "config.toml:2: [nats] port: a date or time" + integer);
  EXPECT_EQ(error("[nats]\nhost = 1\n" + feed()),
            "config.toml:2: [nats] host: 1 is not a text; write it in quotes");
  EXPECT_EQ(error("[catalogue]\njson = \"true\"\n" + feed()),
            "config.toml:2: [catalogue] json: 'true' is not a boolean; write true or false");
  EXPECT_EQ(error("[nats]\nservers = \"n1\"\n" + feed()),
            "config.toml:2: [nats] servers: 'n1' is not a list of texts; write it like [\"a\", "
            "\"b\"]");
  EXPECT_EQ(error("[nats]\nservers = [1]\n" + feed()),
            "config.toml:2: [nats] servers: a list of other things than texts is not a list of "
            "texts; write it like [\"a\", \"b\"]");
  EXPECT_EQ(error("[nats.host]\nx = 1\n" + feed()),
            "config.toml:1: [nats] host: a table is not a text; write it in quotes");
}

TEST_F(ConfigTest, OutOfRange) {
  EXPECT_EQ(error("[mysql]\nport = 0\n" + feed()),
            "config.toml:2: [mysql] port: 0 is out of range; write a number from 1 to 65535");
  EXPECT_THAT(error("[mysql]\nport = 65536\n" + feed()), HasSubstr("65536 is out of range"));
  EXPECT_THAT(error("[controller]\nbatch_rows_max = 0\n" + feed()), HasSubstr("from 1 to 65536"));
  EXPECT_THAT(error("[ingest]\nkeep_s = -1\n" + feed()), HasSubstr("-1 is out of range"));
  EXPECT_THAT(error("[published]\nkeep_s = 9223372036\n" + feed()), HasSubstr("is out of range"));
  EXPECT_THAT(error("[ingest]\nreplicas = 6\n" + feed()), HasSubstr("from 1 to 5"));
}

TEST_F(ConfigTest, TextsThatCannotBe) {
  EXPECT_EQ(error("[nats]\nhost = \"\"\n" + feed()),
            "config.toml:2: [nats] host: is empty; give it a value or leave the key out");
  EXPECT_EQ(error("[http]\nbind = \"localhost\"\n" + feed()),
            "config.toml:2: [http] bind: 'localhost' is not an IP address; write one like "
            "127.0.0.1 or 0.0.0.0");
  EXPECT_EQ(error("[mysql]\ntls = \"yes\"\n" + feed()),
            "config.toml:2: [mysql] tls: 'yes' is unknown; write preferred, required or off");
  EXPECT_EQ(error("[log]\nlevel = \"loud\"\n" + feed()),
            "config.toml:2: [log] level: 'loud' is unknown; write trace, debug, info, warn, error "
            "or off");
  EXPECT_THAT(error("[mysql]\ndatabase = \"a`b\"\n" + feed()), HasSubstr("not a database name"));
  EXPECT_THAT(error("[nats]\nservers = [\"http://x\"]\n" + feed()), HasSubstr("not a server"));
  EXPECT_THAT(error("[mysql]\npassword = \"a\\u0000b\"\n" + feed()), HasSubstr("zero byte"));
}

TEST_F(ConfigTest, APasswordIsNotRepeatedInAMessage) {
  const std::string text = error("[nats]\nservers = [\"nats://u:secret@n1\"]\n" + feed());
  EXPECT_THAT(text, HasSubstr("put them in user and password"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("secret")));
}

TEST_F(ConfigTest, KeysThatBelongTogether) {
  EXPECT_EQ(error("[nats]\npassword = \"x\"\n" + feed()),
            "config.toml:2: [nats] password: is given without user; set both or neither");
  EXPECT_EQ(error("[nats]\n\ntls_cert_file = \"a.proto\"\n" + feed()),
            "config.toml:3: [nats] tls_cert_file: needs tls_key_file beside it; set both or "
            "neither");
  EXPECT_EQ(error("[mysql]\nschema_password = \"x\"\n" + feed()),
            "config.toml:2: [mysql] schema_password: is given without schema_user; set both or "
            "neither");
  EXPECT_EQ(error("[controller]\nqueue_bytes_max = 2000\n" + feed()),
            "config.toml:2: [controller] queue_bytes_max: 2000 is less than one message may have; "
            "set it above [ingest] message_bytes_max = 1047552");
  EXPECT_EQ(error("[mysql]\ntls_ca_file = \"none.pem\"\n" + feed()),
            "config.toml:2: [mysql] tls_ca_file: none.pem: no such file; name an existing one");
}

TEST_F(ConfigTest, FeedsMustBeThere) {
  EXPECT_EQ(error(""), "config.toml: [[feed]]: there is none; describe at least one feed");
}

TEST_F(ConfigTest, FeedValues) {
  EXPECT_EQ(error(feed("Events")),
            "config.toml:2: [[feed]] name: 'Events' is not a feed name; use 1 to 32 of a-z, 0-9, _ "
            "and -");
  EXPECT_EQ(error(feed("a", "256")),
            "config.toml:3: [[feed]] number: 256 is out of range; write a number from 1 to 255");
  EXPECT_THAT(error(feed("a", "0")), HasSubstr("0 is out of range"));
  EXPECT_EQ(error(feed("a", "1", R"(["a..b"])")),
            "config.toml:4: [[feed]] subjects: 'a..b' is not a subject: it has an empty token; "
            "write one like sport_event");
  EXPECT_EQ(error(feed("a", "1", "[]")),
            "config.toml:1: [[feed]] subjects ('a'): is empty; name at least one subject to "
            "capture");
  EXPECT_THAT(error(feed("a", "1", R"([">"])")), HasSubstr("the broker's own subjects"));
  EXPECT_THAT(error(feed("a", "1", R"(["$JS.x"])")), HasSubstr("the broker's own subjects"));
  EXPECT_THAT(error(feed("a", "1", R"(["x"])", "feed.*")), HasSubstr("has a wildcard"));
}

TEST_F(ConfigTest, FeedsNameTheirFilesAndTypes) {
  std::string text = feed();
  text.replace(text.find("a.proto"), 7, "c.proto");
  EXPECT_EQ(error(text),
            "config.toml:1: [[feed]] proto ('a'): c.proto: no such file; name an existing .proto "
            "file");
  text = feed();
  text.replace(text.find("\"m\""), 3, "\"m.\"");
  EXPECT_THAT(error(text),
              EndsWith("'m.' is not a message type; write its name, with its package"));
}

TEST_F(ConfigTest, FeedsDoNotShare) {
  EXPECT_EQ(error(feed() + feed("a", "2", R"(["sb"])", "feed.b")),
            "config.toml:8: [[feed]] name ('a'): is taken by an earlier feed; give each its own");
  EXPECT_EQ(error(feed() + feed("b", "1", R"(["sb"])", "feed.b")),
            "config.toml:8: [[feed]] number ('b'): 1 is the number of 'a'; give each feed its own, "
            "and never reuse one");
  EXPECT_EQ(error(feed() + feed("b", "2", R"(["sb"])", "feed.a")),
            "config.toml:8: [[feed]] republish ('b'): 'feed.a' is also that of 'a'; give each its "
            "own");
  EXPECT_EQ(error(feed("a", "1", R"(["s.*"])") + feed("b", "2", R"(["s.x"])", "feed.b")),
            "config.toml:8: [[feed]] subjects ('b'): 's.x' overlaps 's.*' of 'a'; a message must "
            "belong to one feed");
  EXPECT_EQ(error(feed("a", "1", R"(["s.>", "s.a.b"])")),
            "config.toml:1: [[feed]] subjects ('a'): 's.a.b' overlaps 's.>' of 'a'; a message must "
            "belong to one feed");
  EXPECT_EQ(error(feed("a", "1", R"(["feed.>"])")),
            "config.toml:1: [[feed]] subjects ('a'): 'feed.>' would capture what 'a' republishes "
            "on 'feed.a'; publish it elsewhere");
  EXPECT_THAT(error(feed("a", "1", R"(["feed.b"])") + feed("b", "2", R"(["sb"])", "feed.b")),
              HasSubstr("would capture what 'b' republishes"));
}

TEST_F(ConfigTest, MissingFilesOfConfigurationAreNamed) {
  const auto config = load_config(folder_.file("none.toml"), nullptr);
  EXPECT_EQ(config.status().message(),
            folder_.file("none.toml") + ": no such file; name one with --config");
  EXPECT_EQ(config.status().code(), StatusCode::kInvalidArgument);
}

TEST(EditDistance, CountsSlipsOfTheFinger) {
  EXPECT_EQ(edit_distance("port", "port"), 0U);
  EXPECT_EQ(edit_distance("prot", "port"), 1U);
  EXPECT_EQ(edit_distance("por", "port"), 1U);
  EXPECT_EQ(edit_distance("pport", "port"), 1U);
  EXPECT_EQ(edit_distance("", "port"), 4U);
  EXPECT_EQ(edit_distance("bind", "port"), 4U);
}

}  // namespace
}  // namespace feedvault
