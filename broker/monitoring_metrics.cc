// /metrics, in Prometheus' text format.

#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "broker/monitoring_json.h"

namespace feedvault::broker {
namespace {

class Metrics {
 public:
  template <typename T>
  void counter(std::string_view name, std::string_view help, T value) {
    add(name, help, "counter", fmt::format(" {}", value));
  }
  template <typename T>
  void gauge(std::string_view name, std::string_view help, T value) {
    add(name, help, "gauge", fmt::format(" {}", value));
  }
  void add(std::string_view name,
           std::string_view help,
           std::string_view type,
           const std::string& samples) {
    fmt::format_to(std::back_inserter(text_),
                   "# HELP {0}{1} {2}\n# TYPE {0}{1} {3}\n{0}{1}{4}\n",
                   kPrefix,
                   name,
                   help,
                   type,
                   samples);
  }
  // One more sample of the metric before.
  void also(std::string_view name, const std::string& sample) {
    fmt::format_to(std::back_inserter(text_), "{}{}{}\n", kPrefix, name, sample);
  }
  std::string take() { return std::move(text_); }

 private:
  static constexpr std::string_view kPrefix = "feedvault_broker_";
  std::string text_;
};

// Label values: backslash, quote and line end are escaped.
std::string label(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      result += '\\';
    }
    result += c == '\n' ? "\\n" : std::string(1, c);
  }
  return result;
}

void add_streams(Metrics& m, const ServerSnapshot& server) {
  m.counter("held_producers_total",
            "Times that a publisher had to wait for streams.",
            server.held_producers);
  const JetStreamSnapshot& shot = *server.jetstream;
  m.gauge("streams", "Streams.", shot.streams);
  m.gauge("consumers", "Consumers of all streams.", shot.consumers);
  m.gauge("stream_messages", "Messages in all streams.", shot.messages);
  m.gauge("stream_file_bytes", "Bytes of messages in files.", shot.storage);
  m.gauge("stream_memory_bytes", "Bytes of messages in memory.", shot.memory);
  m.counter("stored_messages_total", "Messages stored.", shot.stored);
  m.counter("duplicate_messages_total", "Messages that had been stored before.", shot.duplicates);
  m.counter("refused_messages_total", "Publishes that a stream did not take.", shot.refused);
  m.counter("stream_commits_total", "Commits of all streams.", shot.commits);
  m.counter("stream_syncs_total", "Syncs of messages to the disk.", shot.syncs);
  m.counter("stream_sync_seconds_total",
            "Time that these took.",
            static_cast<double>(shot.sync_ns) * 1e-9);
  m.counter("full_disk_writes_total",
            "Writes that were put off because the disk was full.",
            shot.full_disk);
  m.gauge("set_aside_messages", "Messages that wait until their stream has room.", shot.set_aside);
  m.gauge("stream_inbox_bytes", "What waits for the streams' loop.", shot.inbox_bytes);
  m.gauge("failed_streams", "Streams that an error of the disk stopped.", shot.failed_streams);
  m.gauge(
      "failed_consumers", "Consumers that an error of the disk stopped.", shot.failed_consumers);
  std::error_code error;
  if (const auto disk = std::filesystem::space(shot.store_dir, error); !error) {
    m.gauge("store_free_bytes", "Room left on the streams' disk.", disk.available);
    m.gauge("store_capacity_bytes", "Size of the streams' disk.", disk.capacity);
  }
  m.gauge("unusable_files", "Streams and consumers that cannot be read.", shot.unusable);
  m.counter("api_requests_total", "Requests to $JS.API.", shot.api_total);
  m.counter("api_errors_total", "Of those, answered with an error.", shot.api_errors);
}

}  // namespace

std::string metrics_text(const ServerSnapshot& server, const SubjectIndexSnapshot& index) {
  Metrics m;
  const double uptime_s = static_cast<double>(server.now_ns - server.start_ns) / 1e9;
  m.add("info",
        "What is running; always 1.",
        "gauge",
        fmt::format("{{server_id=\"{}\",server_name=\"{}\",version=\"{}\"}} 1",
                    label(server.server_id),
                    label(server.server_name),
                    label(server.version)));
  m.gauge("uptime_seconds", "Since the start.", uptime_s);
  m.gauge("resident_bytes", "Resident memory.", server.resident_bytes);
  m.gauge("cpu_percent", "Processor use; 100 is one processor.", server.cpu_percent);
  m.gauge("connections", "Clients connected.", server.connections);
  m.counter("connections_total", "Clients that ever connected.", server.total_connections);
  m.counter("refused_connections_total",
            "Clients refused because of max_connections.",
            server.refused_connections);
  m.counter("in_messages_total", "Messages received.", server.traffic.in_msgs);
  m.counter("in_bytes_total", "Their payload and headers.", server.traffic.in_bytes);
  m.counter("out_messages_total", "Messages delivered, each receiver.", server.traffic.out_msgs);
  m.counter("out_bytes_total", "Their payload and headers.", server.traffic.out_bytes);
  m.gauge("pending_bytes", "Waiting to be sent to all clients.", server.pending_bytes);
  m.add("slow_consumers_total",
        "Clients dropped because they read too slowly.",
        "counter",
        fmt::format("{{limit=\"max_pending\"}} {}", server.slow_consumers_pending));
  m.also("slow_consumers_total",
         fmt::format("{{limit=\"write_deadline\"}} {}", server.slow_consumers_deadline));
  m.counter("stale_connections_total",
            "Clients dropped because they left pings unanswered.",
            server.stale_connections);
  m.counter("auth_failures_total", "Clients refused for their credentials.", server.auth_failures);
  m.counter("permission_violations_total",
            "Publishes and subscriptions refused.",
            server.permission_violations);
  m.counter("protocol_errors_total", "Clients dropped for what they sent.", server.protocol_errors);
  m.counter("no_responders_total", "Requests that nobody listened to.", server.no_responders);
  m.gauge("subscriptions", "Subscriptions.", server.subscriptions);
  m.counter("subject_inserts_total", "Subscriptions ever added.", index.inserts);
  m.counter("subject_removes_total", "Subscriptions ever removed.", index.removes);
  m.counter("subject_matches_total", "Subjects looked up.", index.matches);
  m.gauge("subject_cache_hit_ratio", "Look-ups that a cache answered.", index.cache_hit_rate);
  if (server.jetstream) {
    add_streams(m, server);
  }
  m.gauge("lame_duck", "1 while shutting down gently.", server.lame_duck ? 1 : 0);
  return m.take();
}

}  // namespace feedvault::broker
