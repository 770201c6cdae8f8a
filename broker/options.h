#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace feedvault::broker {

// Every setting of the broker, as data. Defaults are nats-server's, unless said otherwise. Value
// types: filled once by load_options (below), then only read. What a port of -1 means: any free
// one.

/// The nats-server whose behaviour we offer: clients choose features by INFO's version.
inline constexpr std::string_view kNatsVersion = "2.10.29";

/// Subjects that a user may use: `allow` absent means all; `deny` wins over `allow`. For
/// subscriptions an entry may carry a queue name after a blank: "orders.* workers".
struct SubjectRules {
  std::optional<std::vector<std::string>> allow;
  std::vector<std::string> deny;
  friend bool operator==(const SubjectRules&, const SubjectRules&) = default;
};

/// allow_responses: a user who receives a request may publish to its reply subject though `publish`
/// does not allow it. `max` replies a request (-1: no limit), for `expires` long (<= 0: for ever).
struct ResponseRules {
  int max = 1;
  std::chrono::nanoseconds expires = std::chrono::minutes(2);
  friend bool operator==(const ResponseRules&, const ResponseRules&) = default;
};

struct PermissionRules {
  SubjectRules publish;
  SubjectRules subscribe;
  std::optional<ResponseRules> responses;
  friend bool operator==(const PermissionRules&, const PermissionRules&) = default;
};

/// How a client may connect; a user can be confined to some (bits).
enum ConnectionKinds : std::uint8_t { kStandard = 1, kWebsocket = 2, kAnyConnection = 3 };

/// One user: name and password, or an NKey. The password is plain or a bcrypt hash ("$2a$...").
struct UserOptions {
  std::string user;
  std::string password;
  std::string nkey;  // public user key, "U..."
  bool system = false;
  std::optional<PermissionRules> permissions;  // absent: everything is allowed
  std::uint8_t connection_kinds = kAnyConnection;
  friend bool operator==(const UserOptions&, const UserOptions&) = default;
};

struct AuthorizationOptions {
  // Alternatives to `users`: one user or one token, plain or bcrypt.
  std::string user;
  std::string password;
  std::string token;
  std::vector<UserOptions> users;
  std::string no_auth_user;  // who a client without credentials is; one of `users`
  std::optional<PermissionRules> default_permissions;  // of users without their own
  /// How long a client may take to send CONNECT. Absent: 2 s, with TLS the handshake's timeout and
  /// one second more; Options::auth_timeout() does that sum.
  std::optional<std::chrono::nanoseconds> timeout;
  std::string account = "$G";           // what monitoring calls the users' account
  std::string system_account = "$SYS";  // ... and the system users'
  bool any() const;                     // is a client asked for credentials at all?
  friend bool operator==(const AuthorizationOptions&, const AuthorizationOptions&) = default;
};

struct TlsOptions {
  bool enabled = false;
  std::string cert_file;
  std::string key_file;
  std::string ca_file;  // whom client certificates must come from; empty: the system's
  bool verify = false;  // client must show a certificate
  std::chrono::nanoseconds timeout = std::chrono::seconds(2);
  std::string min_version = "1.2";                       // or "1.3"
  std::vector<std::string> cipher_suites;                // IETF names; empty: OpenSSL's defaults
  std::vector<std::string> curve_preferences;            // "X25519", "CurveP256" ...
  bool allow_non_tls = false;                            // plain clients are served, too
  bool handshake_first = false;                          // TLS before INFO
  std::chrono::nanoseconds handshake_first_fallback{0};  // > 0: INFO in plain after that silence
  friend bool operator==(const TlsOptions&, const TlsOptions&) = default;
};

struct WebsocketOptions {
  bool enabled = false;
  std::string host = "0.0.0.0";
  int port = 0;
  bool no_tls = false;
  TlsOptions tls;
  bool compression = false;
  bool same_origin = false;
  std::vector<std::string> allowed_origins;
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(2);
  std::string no_auth_user;  // instead of authorization's
  std::string advertise;
  friend bool operator==(const WebsocketOptions&, const WebsocketOptions&) = default;
};

struct LimitOptions {
  std::int32_t max_control_line = 4096;
  std::int32_t max_payload = 1 << 20;
  std::int64_t max_pending = 64 << 20;  // bytes waiting for one client
  int max_connections = 64 << 10;       // -1: no limit
  int max_subscriptions = 0;            // a client; 0: no limit
  int max_subscription_tokens = 0;      // 0: no limit
  int max_closed_clients = 10000;       // remembered for monitoring
  bool no_fast_producer_stall = false;
  bool disable_subject_cache = false;
  bool no_header_support = false;
  friend bool operator==(const LimitOptions&, const LimitOptions&) = default;
};

struct TimeoutOptions {
  std::chrono::nanoseconds ping_interval = std::chrono::minutes(2);
  int ping_max = 2;  // unanswered pings that end a connection
  /// After CONNECT; that ping measures the round trip. No key sets it, as in nats-server.
  std::chrono::nanoseconds first_ping = std::chrono::seconds(2);
  std::chrono::nanoseconds write_deadline = std::chrono::seconds(10);
  std::chrono::nanoseconds lame_duck_duration = std::chrono::minutes(2);
  std::chrono::nanoseconds lame_duck_grace_period = std::chrono::seconds(10);
  friend bool operator==(const TimeoutOptions&, const TimeoutOptions&) = default;
};

struct MonitoringOptions {
  std::string host;  // empty: the same as for clients
  int port = 0;      // 0: off
  std::string base_path = "/";
  friend bool operator==(const MonitoringOptions&, const MonitoringOptions&) = default;
};

struct LoggingOptions {
  std::string file;     // empty: stderr
  bool syslog = false;  // as daemon "nats-server"
  bool debug = false;
  bool trace = false;          // protocol lines, without credentials
  bool trace_verbose = false;  // ... those of the system account, too
  bool timestamps = true;
  std::int64_t file_bytes_max = 0;    // over that the file is renamed away; 0: no limit
  std::int64_t traced_bytes_max = 0;  // of one message; 0: all
  friend bool operator==(const LoggingOptions&, const LoggingOptions&) = default;
};

/// Between syncs where `sync = "interval"` does not say more.
inline constexpr std::chrono::seconds kDefaultSyncInterval{2};

/// The streams' store.
struct JetStreamOptions {
  bool enabled = false;
  std::string store_dir;  // without the "jetstream" that is appended
  // What the messages of all streams may take together, by storage.
  std::int64_t max_memory = -1;  // -1: no limit
  std::int64_t max_file = -1;
  std::string domain;
  /// Between background fsyncs; absent: before every acknowledgement, our default.
  std::optional<std::chrono::nanoseconds> sync_interval;
  friend bool operator==(const JetStreamOptions&, const JetStreamOptions&) = default;
};

struct Options {
  std::string config_file;  // it came from; empty: none
  std::string server_name;  // empty: the server's id
  std::vector<std::string> server_tags;
  std::string host = "0.0.0.0";
  int port = 4222;
  std::string client_advertise;  // "host:port" told to clients instead
  int loops = 0;                 // event loops (threads); 0: as many as useful processors
  LimitOptions limits;
  TimeoutOptions timeouts;
  AuthorizationOptions authorization;
  TlsOptions tls;
  WebsocketOptions websocket;
  MonitoringOptions monitoring;
  LoggingOptions logging;
  JetStreamOptions jetstream;
  std::string pid_file;
  std::string ports_file_dir;  // where "<program>_<pid>.ports" is written

  std::chrono::nanoseconds auth_timeout() const;
  friend bool operator==(const Options&, const Options&) = default;
};

/// What the command line asks for.
struct CommandLine {
  enum class Action : std::uint8_t {
    kRun,
    kPrint,       // print `text` to stdout and exit 0 (help, version)
    kTestConfig,  // load, say whether it is good, exit 0 or 2
    kSignal,      // send_signal(signal, signal_target)
    kCheck,       // verify the streams in check_dir; exit 0 clean, 1 damaged, 2 impossible
  };
  Action action = Action::kRun;
  std::string text;
  std::string signal;              // "stop", "quit", "term", "reopen", "reload", "ldm"
  std::string signal_target;       // process id, path of a pid file, or empty: look for one
  std::string check_dir;           // --check DIR
  std::string config_file;         // -c FILE or the first argument; empty: ./config.toml if there
  std::vector<std::string> flags;  // as given, for load_options and every reload
  /// Program's name for help and version; as "nats-server" it prints that program's version line.
  std::string program;
};

/// Takes arguments apart without looking at any file. An error is one line with a remedy, for
/// stderr and exit code 2.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);

struct LoadedOptions {
  Options options;
  /// One line each ("nats.conf:12: cluster: ..."), about keys that were read but do nothing here.
  std::vector<std::string> warnings;
  /// Of the configuration's top-level keys: name, and "nats.conf:12: ".
  std::vector<std::pair<std::string, std::string>> places;

  /// A problem that shows in no single value ("max_payload: more than max_pending"), with the place
  /// of the key that it begins with, else of one that it names, else with the file alone.
  Status placed(const Status& problem) const;
};

/// Defaults, then the file (`*.toml`: TOML, else nats-server's grammar), then the flags. An error
/// is one line with file, line, key and remedy, and kInvalidArgument: print it, exit 2. Also called
/// at reload. `environment` is `environ`: $VARIABLES of the configuration come from there.
Result<LoadedOptions> load_options(const CommandLine& command_line, const char* const* environment);

/// What is between two configurations of one server.
struct OptionsChange {
  std::vector<std::string> applied;  // names of settings that can change at run time
  std::vector<std::string> refused;  // ... that need a restart; non-empty: apply nothing
  bool authorization = false;        // build a new Authenticator and check connections again
  bool tls = false;                  // read certificates again: new connections use them
  bool logging = false;
};
/// TLS counts as changed whenever it is on, since the files may have other contents.
OptionsChange compare_options(const Options& running, const Options& wanted);

/// The IP address that a configured host means to those who listen, as nats-server has it: of a
/// name's addresses IPv4's first; for "", "0.0.0.0" and "::" all of the machine's: "::" where there
/// is IPv6, since its sockets take IPv4's clients, too. kInvalidArgument for a host that does not
/// exist.
Result<std::string> listening_address(const std::string& host);

/// Where the server listens once it does; "nats://127.0.0.1:4222" each, all addresses of 0.0.0.0.
struct BoundPorts {
  std::vector<std::string> nats;
  std::vector<std::string> monitoring;
  std::vector<std::string> websocket;
};
/// Writes "<dir>/<program>_<pid>.ports" as nats-server does; returns its path: remove it at the
/// end.
Result<std::string> write_ports_file(const std::string& dir,
                                     const std::string& program,
                                     const BoundPorts& ports);
/// The URLs of a listener for BoundPorts: one, or for "0.0.0.0" and "::" one an interface address.
std::vector<std::string> listener_urls(const std::string& scheme,
                                       const std::string& host,
                                       int port);
Status write_pid_file(const std::string& path);

/// Carries out CommandLine::Action::kSignal.
Status send_signal(const CommandLine& command_line);

}  // namespace feedvault::broker
