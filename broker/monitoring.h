#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/http_server.h"
#include "base/mutex.h"
#include "broker/options.h"

namespace feedvault::broker {

// What monitoring knows of the server: snapshots, plain values that the server fills on request.
// Times are Unix nanoseconds (0: never); bytes of messages are payload with headers, without line
// ends and subjects; `out` counts each delivery.

struct Traffic {
  std::uint64_t in_msgs = 0;
  std::uint64_t out_msgs = 0;
  std::uint64_t in_bytes = 0;
  std::uint64_t out_bytes = 0;

  Traffic& operator+=(const Traffic& more) {
    in_msgs += more.in_msgs;
    out_msgs += more.out_msgs;
    in_bytes += more.in_bytes;
    out_bytes += more.out_bytes;
    return *this;
  }
};

/// One account's share; there are two: the users' and the system users'.
struct AccountSnapshot {
  std::string name;
  int connections = 0;
  std::uint64_t total_connections = 0;
  Traffic traffic;
  std::uint64_t slow_consumers = 0;
  std::uint64_t subscriptions = 0;
};

/// The streams as a whole.
struct JetStreamSnapshot {
  std::string store_dir;
  std::int64_t max_memory = -1;  // -1: no limit
  std::int64_t max_file = -1;
  std::uint64_t memory = 0;  // bytes of messages, as limits count them
  std::uint64_t storage = 0;
  std::uint64_t reserved_memory = 0;  // by streams' max_bytes
  std::uint64_t reserved_storage = 0;
  std::uint64_t streams = 0;
  std::uint64_t consumers = 0;
  std::uint64_t messages = 0;
  std::uint64_t api_total = 0;
  std::uint64_t api_errors = 0;
  // For /metrics only. Since the start, streams that are gone included:
  std::uint64_t stored = 0;      // messages
  std::uint64_t duplicates = 0;  // that had been stored before
  std::uint64_t refused = 0;     // publishes that were answered with an error, or could not be
  std::uint64_t commits = 0;
  std::uint64_t syncs = 0;  // fsyncs of messages
  std::int64_t sync_ns = 0;
  std::uint64_t full_disk = 0;  // writes that were put off because there was no room
  // Now:
  std::uint64_t set_aside = 0;       // messages that wait for room
  std::uint64_t inbox_bytes = 0;     // what waits for the streams' loop
  std::uint64_t failed_streams = 0;  // stopped by an error of the disk
  std::uint64_t failed_consumers = 0;
  std::uint64_t unusable = 0;  // streams and consumers whose files cannot be read
};

struct ServerSnapshot {
  std::string server_id;  // "N..." (56 characters)
  std::string server_name;
  std::string version;  // as INFO says it, "2.10.29"
  std::string git_commit;
  std::shared_ptr<const Options> options;  // in force now
  int port = 0;                            // really listened on
  int monitoring_port = 0;
  int websocket_port = 0;
  bool auth_required = false;
  bool lame_duck = false;
  std::int64_t start_ns = 0;
  std::int64_t now_ns = 0;
  std::int64_t config_load_ns = 0;
  std::int64_t resident_bytes = 0;
  double cpu_percent = 0;  // 100: one processor
  int cores = 0;
  int loops = 0;
  int connections = 0;
  std::uint64_t total_connections = 0;
  Traffic traffic;
  std::uint64_t slow_consumers = 0;
  std::uint64_t subscriptions = 0;
  // For /metrics only; nats-server has no such counters.
  std::uint64_t slow_consumers_pending = 0;   // dropped for max_pending
  std::uint64_t slow_consumers_deadline = 0;  // ... for write_deadline
  std::uint64_t stale_connections = 0;
  std::uint64_t auth_failures = 0;
  std::uint64_t permission_violations = 0;
  std::uint64_t protocol_errors = 0;
  std::uint64_t refused_connections = 0;  // max_connections
  std::uint64_t no_responders = 0;        // 503 replies sent
  std::uint64_t pending_bytes = 0;        // waiting for all clients
  std::uint64_t held_producers = 0;       // times that one had to wait for streams
  std::optional<JetStreamSnapshot> jetstream;
  std::vector<AccountSnapshot> accounts;
};

struct SubscriptionSnapshot {
  std::string account;
  std::string subject;
  std::string queue;
  std::string sid;
  std::int64_t msgs = 0;
  std::int64_t max = 0;  // UNSUB with a maximum; 0: none
  std::uint64_t cid = 0;
};

struct ConnectionSnapshot {
  std::uint64_t cid = 0;
  bool websocket = false;
  std::string ip;
  int port = 0;
  std::int64_t start_ns = 0;
  std::int64_t last_activity_ns = 0;
  std::int64_t stop_ns = 0;  // closed connections only
  std::string reason;        // ... "Client Closed", see close_reasons below
  std::int64_t rtt_ns = 0;
  std::int64_t pending_bytes = 0;
  Traffic traffic;
  std::uint32_t subscriptions = 0;
  std::string name;
  std::string lang;
  std::string version;
  std::string tls_version;  // "1.3"
  std::string tls_cipher_suite;
  bool connected = false;  // its CONNECT was accepted
  std::string user;        // a user name or public NKey; never a token
  std::string account;
  std::vector<SubscriptionSnapshot> subscription_list;  // only when asked for
};

/// nats-server's words for why a connection ended; tools match them.
namespace close_reasons {
inline constexpr std::string_view kClientClosed = "Client Closed";
inline constexpr std::string_view kAuthenticationTimeout = "Authentication Timeout";
inline constexpr std::string_view kAuthenticationFailure = "Authentication Failure";
inline constexpr std::string_view kTlsHandshakeError = "TLS Handshake Failure";
inline constexpr std::string_view kSlowConsumerPendingBytes = "Slow Consumer (Pending Bytes)";
inline constexpr std::string_view kSlowConsumerWriteDeadline = "Slow Consumer (Write Deadline)";
inline constexpr std::string_view kWriteError = "Write Error";
inline constexpr std::string_view kReadError = "Read Error";
inline constexpr std::string_view kParseError = "Parse Error";
inline constexpr std::string_view kStaleConnection = "Stale Connection";
inline constexpr std::string_view kProtocolViolation = "Protocol Violation";
inline constexpr std::string_view kMaxConnectionsExceeded = "Maximum Connections Exceeded";
inline constexpr std::string_view kMaxPayloadExceeded = "Maximum Message Payload Exceeded";
inline constexpr std::string_view kMaxControlLineExceeded = "Maximum Control Line Exceeded";
inline constexpr std::string_view kServerShutdown = "Server Shutdown";
inline constexpr std::string_view kCredentialsRevoked = "Credentials Revoked";
inline constexpr std::string_view kInternalClientClosed = "Internal Client";
inline constexpr std::string_view kNoRespondersRequiresHeaders = "No Responders Requires Headers";
}  // namespace close_reasons

/// The subject index as a whole.
struct SubjectIndexSnapshot {
  std::uint64_t subscriptions = 0;
  std::uint64_t cached = 0;
  std::uint64_t inserts = 0;
  std::uint64_t removes = 0;
  std::uint64_t matches = 0;
  double cache_hit_rate = 0;
  std::uint64_t max_fanout = 0;
  double avg_fanout = 0;
};

/// Which connections a request is about; others need not be copied.
struct ConnectionQuery {
  bool open = true;
  bool closed = false;
  bool with_subscriptions = false;
  std::optional<std::uint64_t> cid;
};

/// Where snapshots come from: the server. May wait for each loop to copy what it has, so any thread
/// but the loops' own.
class MonitoringSource {
 public:
  virtual ~MonitoringSource() = default;
  virtual ServerSnapshot server_snapshot() = 0;
  virtual std::vector<ConnectionSnapshot> connection_snapshots(const ConnectionQuery& query) = 0;
  virtual SubjectIndexSnapshot subject_index_snapshot() = 0;
  virtual std::vector<SubscriptionSnapshot> subscription_snapshots() = 0;
  /// "" when all is well, else why not, for /healthz. `streams`: each of them is looked at, too.
  virtual std::string health_problem(bool streams) = 0;
};

/// How a client is named in answers to $SYS requests.
struct SystemRequester {
  bool system = false;  // a user of the system account
  std::string user;     // "" when not authenticated
  std::string account;
};

/// Answers monitoring requests, over HTTP and over $SYS subjects, out of snapshots. Any thread but
/// the loops'.
class Monitoring {
 public:
  explicit Monitoring(MonitoringSource& source) : source_(source) {}

  /// GET of `path` (below base_path) with `query` ("subs=1&limit=10", undecoded).
  HttpResponse handle(std::string_view path, std::string_view query) EXCLUDES_LOCK(mutex_);

  /// A message published to `subject` ("$SYS.REQ.SERVER.PING.CONNZ") with a reply subject: the
  /// answer's payload, or nullopt when nobody answers that to this client (503, if he wants it).
  std::optional<std::string> answer_system_request(std::string_view subject,
                                                   std::string_view payload,
                                                   const SystemRequester& requester)
      EXCLUDES_LOCK(mutex_);

  /// What system users are told of a client that came or went.
  struct Event {
    std::string subject;
    std::string payload;
  };
  Event client_event(const ConnectionSnapshot& client) EXCLUDES_LOCK(mutex_);
  /// What they are told of how many clients an account has now: the same under two subjects, as
  /// nats-server does.
  std::vector<Event> account_events(const std::string& account) EXCLUDES_LOCK(mutex_);
  /// The last that they hear.
  Event shutdown_event() EXCLUDES_LOCK(mutex_);

 private:
  ServerSnapshot identity() EXCLUDES_LOCK(mutex_);
  std::uint64_t next_answer() EXCLUDES_LOCK(mutex_);

  MonitoringSource& source_;
  Mutex mutex_;
  std::optional<ServerSnapshot> identity_ GUARDED_BY(mutex_);  // a snapshot: what never changes
  std::map<std::string, std::uint64_t, std::less<>> requests_ GUARDED_BY(mutex_);  // by path
  std::uint64_t system_answers_ GUARDED_BY(mutex_) = 0;
};

/// Serves `monitoring` on options.monitoring's address (`host` when that has none). The result
/// stops when it goes. `monitoring` must outlive it.
Result<std::unique_ptr<HttpServer>> serve_monitoring(const Options& options,
                                                     Monitoring& monitoring);

/// Resident size and processor use of this process, for ServerSnapshot. Processor use is measured
/// between calls at least a second apart. Any thread.
class ProcessUsage {
 public:
  struct Usage {
    std::int64_t resident_bytes = 0;
    double cpu_percent = 0;
  };
  explicit ProcessUsage(const Clock& clock);
  Usage sample() EXCLUDES_LOCK(mutex_);

 private:
  const Clock& clock_;
  Mutex mutex_;
  SteadyTime since_ GUARDED_BY(mutex_);
  std::int64_t cpu_us_ GUARDED_BY(mutex_) = 0;
  double percent_ GUARDED_BY(mutex_) = 0;
};

}  // namespace feedvault::broker
