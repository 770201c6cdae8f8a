#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace feedvault {

// config.toml, read and checked. Each [section] is a struct, each key a member of the same name; a
// key of [mysql] is overridden by the environment variable FEEDVAULT_MYSQL_<KEY IN CAPITALS>, and
// so on for every section but [[feed]]; lists are separated by commas there, and an empty variable
// counts as not set. Relative paths of files are meant from config.toml's folder, and absolute
// after loading. Value types; nothing changes after loading.

/// [nats]: the broker that holds the ingest and feed streams.
struct NatsConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 4222;
  /// Several servers of a cluster, as URLs; when given, host and port are not used.
  std::vector<std::string> servers;
  std::string user;
  std::string password;
  std::string token;
  std::string credentials_file;  // .creds of a decentralised (JWT) setup
  std::string tls_ca_file;       // giving one turns TLS on
  std::string tls_cert_file;
  std::string tls_key_file;

  /// The servers to try, as URLs without credentials: `servers`, or the one made of host and port.
  std::vector<std::string> urls() const;
};

/// [mysql]: the catalogue.
struct MysqlConfig {
  std::string host = "127.0.0.1";
  std::uint16_t port = 3306;
  std::string socket;  // path of a Unix socket; when given, host and port are not used
  std::string user = "feedvault";
  std::string password;
  std::string database = "nss_db";
  /// Who applies migrations and grants; empty: `user` does. Separate so that the services' own user
  /// needs no right to change the schema.
  std::string schema_user;
  std::string schema_password;
  /// "preferred": TLS where the server offers it, not verified. "required": verified against
  /// tls_ca_file (or the system's). "off".
  std::string tls = "preferred";
  std::string tls_ca_file;
};

/// [monitor]: where the broker's monitoring listens; read by status.
struct MonitorConfig {
  std::uint16_t port = 8222;
};

/// [http]: the gateway.
struct HttpConfig {
  std::string bind = "127.0.0.1";
  std::uint16_t port = 8080;
  /// "auto": bearer tokens are asked for when some are given, and must be given when `bind` is not
  /// loopback. "required": always. "off": everybody may read and write.
  std::string auth = "auto";
  /// "SCOPE:TOKEN"; a scope is a feed's name, `*` for all feeds, or `write` for the calls that
  /// change something. A token may stand in several entries.
  std::vector<std::string> tokens;
  /// Pages of these origins ("https://desk.example.org") may read answers in a browser.
  std::vector<std::string> cors_origins;
  /// Names under which browsers reach the gateway ("feeds.example.org"), besides localhost and IP
  /// addresses. Other names are refused where these are given, and on loopback without tokens.
  std::vector<std::string> hosts;
  std::string tls_cert_file;  // both: HTTPS, and nothing else on the port
  std::string tls_key_file;
  std::uint32_t connections_max = 10'000;
  std::chrono::seconds header_timeout_s{10};  // for a whole request to arrive
  std::chrono::seconds idle_timeout_s{60};    // between two requests of a connection
  std::chrono::seconds write_timeout_s{30};   // for a reader to take what was sent
  std::uint32_t database_connections = 4;
};

/// [controller]
struct ControllerConfig {
  std::string bind = "127.0.0.1";  // health and metrics
  std::uint16_t port = 8081;
  std::uint32_t batch_rows_max = 4096;
  std::uint32_t batch_bytes_max = 4U << 20U;
  /// Messages and bytes of one feed between the broker and the commit.
  std::uint32_t queue_rows_max = 16384;
  std::uint32_t queue_bytes_max = 16U << 20U;
  /// Publishes without their acknowledgement.
  std::uint32_t publish_window = 2048;
  /// So many bad messages in a row stop the feed: probably a schema rollout, not poison.
  std::uint32_t stop_after_bad_messages = 100;
  /// No progress for so long, with messages waiting, is called stuck by /readyz.
  std::chrono::seconds stuck_after_s{30};
};

/// [catalogue]
struct CatalogueConfig {
  bool json = true;  // fill Messages.body
};

/// [ingest]: the streams that capture producers' messages.
struct IngestConfig {
  /// How long a catalogued message is kept in the ingest stream before it is purged.
  std::chrono::seconds keep_s{3600};
  /// Messages over this are quarantined. The broker's max_payload less room for our headers caps
  /// it.
  std::uint32_t message_bytes_max = (1U << 20U) - 1024;
  std::uint32_t replicas = 1;
};

/// [published]: the streams that subscribers read.
struct PublishedConfig {
  std::chrono::seconds keep_s{7 * 24 * 3600};
  std::int64_t bytes_max = 10LL << 30U;  // -1: no limit; nor has keep_s = 0
  std::uint32_t replicas = 1;
};

/// [log]
struct LogConfig {
  std::string level = "info";
};

/// One [[feed]].
struct FeedConfig {
  std::string name;                   // "events"
  std::uint8_t number = 0;            // Messages.feed; never reuse one
  std::vector<std::string> subjects;  // captured subjects
  std::string proto;                  // .proto file
  std::string message;                // message type in it, with its package
  std::string republish;              // "feed.events"

  std::string ingest_stream() const { return "INGEST_" + name; }
  std::string feed_stream() const { return "FEED_" + name; }
};

struct Config {
  std::string path;  // the file it came from
  /// Keys whose secrets are the file's, not the environment's: "[nats] password".
  std::vector<std::string> secrets_in_file;
  NatsConfig nats;
  MysqlConfig mysql;
  MonitorConfig monitor;
  HttpConfig http;
  ControllerConfig controller;
  CatalogueConfig catalogue;
  IngestConfig ingest;
  PublishedConfig published;
  LogConfig log;
  std::vector<FeedConfig> feeds;

  const FeedConfig* find_feed(std::string_view name) const;
};

/// Reads `path`, applies the environment (pass `environ`), checks everything that can be checked
/// without a network. An error is one line, "config.toml:12: [mysql] prot: unknown key; did you
/// mean 'port'?" or "environment FEEDVAULT_MYSQL_PORT: [mysql] port: ...", with kInvalidArgument:
/// programs print it and exit with 2.
Result<Config> load_config(const std::string& path, const char* const* environment);

/// The same from text; `path` serves messages and relative .proto paths.
Result<Config> parse_config(std::string_view text,
                            const std::string& path,
                            const char* const* environment);

}  // namespace feedvault
