#include "broker/options_map.h"

#include <cmath>

#include <fmt/format.h>

#include "broker/auth.h"
#include "broker/options_reader.h"

namespace feedvault::broker {
namespace {

using Kind = ConfValue::Kind;
using Then = UnsupportedKey::Then;
using Warnings = std::vector<std::string>;

constexpr std::int64_t kInt32Max = 0x7fffffff;

Status read_handshake_first(const ConfValue& value, TlsOptions& tls) {
  // on, off, "auto" (50 ms), or how long to wait for the handshake before INFO goes out in plain.
  tls.handshake_first_fallback = {};
  if (value.kind == Kind::kBool) {
    tls.handshake_first = value.boolean;
    return {};
  }
  tls.handshake_first = true;
  if (value.kind == Kind::kString && value.text == "auto") {
    tls.handshake_first_fallback = std::chrono::milliseconds(50);
    return {};
  }
  return read_duration(value, tls.handshake_first_fallback);
}

Status read_tls(const ConfValue& value, TlsOptions& tls, Warnings& warnings) {
  bool verify_and_map = false;
  RETURN_IF_ERROR(read_map(
      value,
      {key_text("cert_file", tls.cert_file),
       key_text("key_file", tls.key_file),
       key_text("ca_file", tls.ca_file),
       key_bool("verify", tls.verify),
       key_bool("verify_and_map", verify_and_map),
       key_duration("timeout", tls.timeout),
       key_text("min_version", tls.min_version),
       key_texts("cipher_suites", tls.cipher_suites),
       key_texts("curve_preferences", tls.curve_preferences),
       key_bool("allow_non_tls", tls.allow_non_tls),
       {"handshake_first|first|immediate",
        [&](const ConfValue& v) { return read_handshake_first(v, tls); }}},
      {{"pinned_certs", Then::kRefuse, "other certificates would be accepted; remove it"},
       {"ocsp_peer", Then::kRefuse, "revoked certificates would be accepted; remove it"},
       {"cert_store|cert_match|cert_match_by|cert_match_skip_invalid|ca_certs_match|certs",
        Then::kRefuse,
        "use cert_file and key_file"},
       {"verify_cert_and_check_known_urls", Then::kRefuse, "it is for clusters; use verify"},
       {"insecure", Then::kWarn, "it is for outgoing connections, and there are none"},
       {"connection_rate_limit", Then::kWarn, "new connections are not limited in rate"}},
      warnings));
  if (verify_and_map) {
    return bad_value(value,
                     "verify_and_map is not supported; use verify, and users with passwords "
                     "or nkeys");
  }
  if (tls.min_version != "1.2" && tls.min_version != "1.3") {
    return bad_value(value, "min_version is neither \"1.2\" nor \"1.3\"; write one of them");
  }
  tls.enabled = true;
  return {};
}

Status read_websocket(const ConfValue& value, WebsocketOptions& websocket, Warnings& warnings) {
  RETURN_IF_ERROR(read_map(
      value,
      {{"listen",
        [&](const ConfValue& v) { return read_address(v, websocket.host, websocket.port); }},
       {"port", [&](const ConfValue& v) { return read_port(v, websocket.port); }},
       key_text("host|net", websocket.host),
       key_text("advertise", websocket.advertise),
       key_bool("no_tls", websocket.no_tls),
       {"tls", [&](const ConfValue& v) { return read_tls(v, websocket.tls, warnings); }},
       key_bool("same_origin", websocket.same_origin),
       key_texts("allowed_origins|allowed_origin|allow_origins|allow_origin|origins|origin",
                 websocket.allowed_origins),
       key_duration("handshake_timeout", websocket.handshake_timeout),
       key_bool("compression", websocket.compression),
       key_text("no_auth_user", websocket.no_auth_user)},
      {{"authorization|authentication",
        Then::kRefuse,
        "the server's users are asked for on this listener, too; remove it"},
       {"jwt_cookie|user_cookie|username_cookie|pass_cookie|password_cookie|token_cookie",
        Then::kRefuse,
        "credentials come with CONNECT; remove it"},
       {"headers", Then::kWarn, "the upgrade's answer has no extra headers"},
       {"ping_interval", Then::kWarn, "the server's ping_interval counts"}},
      warnings));
  websocket.enabled = websocket.port != 0;
  return {};
}

enum class Sync : std::uint8_t { kNotSaid, kAlways, kInterval };

// "sync" says when, "sync_interval" how often; nats-server knows the second one only, with "always"
// for its value.
Status read_sync(const ConfValue& value, Sync& sync) {
  if (value.kind != Kind::kString || (value.text != "always" && value.text != "interval")) {
    return bad_value(value, "is neither \"always\" nor \"interval\"; write one of them");
  }
  sync = value.text == "always" ? Sync::kAlways : Sync::kInterval;
  return {};
}

Status read_sync_interval(const ConfValue& value,
                          std::optional<std::chrono::nanoseconds>& interval) {
  if (value.kind == Kind::kString && value.text == "always") {
    interval.reset();
    return {};
  }
  return read_duration(value, interval.emplace());
}

Status read_store_limit(const ConfValue& value, std::int64_t& limit) {
  return read_number(value, limit, -1);
}

Status read_jetstream(const ConfValue& value, JetStreamOptions& jetstream, Warnings& warnings) {
  if (value.kind == Kind::kBool) {
    jetstream.enabled = value.boolean;
    return {};
  }
  if (value.kind == Kind::kString) {
    if (value.text != "enabled" && value.text != "disabled") {
      return bad_value(value, "is neither enabled nor disabled; write one of them or { ... }");
    }
    jetstream.enabled = value.text == "enabled";
    return {};
  }
  jetstream.enabled = true;
  Sync sync = Sync::kNotSaid;
  RETURN_IF_ERROR(read_map(
      value,
      {key_bool("enabled|enable", jetstream.enabled),
       key_text("store_dir|storedir|store", jetstream.store_dir),
       {"max_memory_store|max_mem_store|max_mem|max_memory",
        [&](const ConfValue& v) { return read_store_limit(v, jetstream.max_memory); }},
       {"max_file_store|max_file",
        [&](const ConfValue& v) { return read_store_limit(v, jetstream.max_file); }},
       key_text("domain", jetstream.domain),
       {"sync", [&](const ConfValue& v) { return read_sync(v, sync); }},
       {"sync_interval",
        [&](const ConfValue& v) { return read_sync_interval(v, jetstream.sync_interval); }}},
      {{"key|ek|encryption_key|prev_key|prev_ek|prev_encryption_key|cipher|tpm",
        Then::kRefuse,
        "stored messages would not be encrypted; use an encrypted file system"},
       {"limits|max_outstanding_catchup|max_buffered_msgs|max_buffered_size|request_queue_limit|"
        "strict|unique_tag|extension_hint|max_catchup|info_queue_limit",
        Then::kWarn,
        "the broker's own limits count"}},
      warnings));
  if (sync == Sync::kAlways) {
    jetstream.sync_interval.reset();
  } else if (sync == Sync::kInterval && !jetstream.sync_interval) {
    jetstream.sync_interval = kDefaultSyncInterval;
  }
  return {};
}

// Parts of nats-server that would be unsafe to leave out silently, and parts that do no harm.
const std::vector<UnsupportedKey>& unsupported_keys() {
  static const std::vector<UnsupportedKey> keys = {
      {"cluster", Then::kRefuse, "it serves one machine; remove it, or keep nats-server"},
      {"gateway", Then::kRefuse, "it serves one machine; remove it, or keep nats-server"},
      {"leafnodes|leaf", Then::kRefuse, "leaf nodes could not connect; remove it"},
      {"mqtt", Then::kRefuse, "MQTT clients could not connect; remove it"},
      {"operator|operators|roots|root|root_operators|root_operator|trusted|trusted_keys|"
       "trusted_operators|resolver|account_resolver|account_resolvers|resolver_tls|"
       "resolver_preload|resolver_pinned_accounts|default_sentinel",
       Then::kRefuse,
       "there are no JWTs; list the users under authorization"},
      {"mappings|maps", Then::kRefuse, "messages would take other ways than intended; remove it"},
      {"https|https_port", Then::kRefuse, "monitoring has no TLS; use http on a loopback address"},
      {"ocsp|ocsp_cache", Then::kRefuse, "certificates' status is not stapled; remove it"},
      {"proxies|proxy_protocol", Then::kRefuse, "clients' addresses would be wrong; remove it"},
      {"remote_syslog", Then::kWarn, "the log goes to the local syslog or a file"},
      {"prof_port|prof_block_rate|profile", Then::kWarn, "there is no profiling port"},
      {"logfile_max_num|log_max_num", Then::kWarn, "old log files are kept; rotate them outside"},
      {"reconnect_error_reports|connect_error_reports", Then::kWarn, "there are no routes"},
      {"server_metadata|feature_flags|js_cluster_migrate|default_js_domain|no_system_account|"
       "no_system|no_sys_acc|always_enable_nonce|disable_js_banner|strict|connect_backoff|"
       "cluster_traffic|debug_clients|disable_short_first_ping|write_timeout",
       Then::kWarn,
       "it does nothing here"},
  };
  return keys;
}

std::vector<ConfKey> listen_keys(Options& options) {
  MonitoringOptions& monitoring = options.monitoring;
  return {
      {"listen|listener",
       [&](const ConfValue& v) { return read_address(v, options.host, options.port); }},
      {"port", [&](const ConfValue& v) { return read_port(v, options.port); }},
      key_text("host|net", options.host),
      key_text("server_name", options.server_name),
      key_texts("server_tags", options.server_tags),
      key_text("client_advertise", options.client_advertise),
      {"http",
       [&](const ConfValue& v) { return read_address(v, monitoring.host, monitoring.port); }},
      {"http_port|monitor_port", [&](const ConfValue& v) { return read_port(v, monitoring.port); }},
      key_text("http_base_path", monitoring.base_path),
      key_number("loops", options.loops, 0, 256),
      key_text("pidfile|pid_file", options.pid_file),
      key_text("ports_file_dir", options.ports_file_dir)};
}

std::vector<ConfKey> logging_keys(LoggingOptions& logging) {
  return {key_bool("debug", logging.debug),
          key_bool("trace", logging.trace),
          {"trace_verbose",
           [&](const ConfValue& v) -> Status {
             RETURN_IF_ERROR(read_bool(v, logging.trace_verbose));
             logging.trace = logging.trace || logging.trace_verbose;
             return {};
           }},
          key_bool("logtime", logging.timestamps),
          key_text("logfile|log_file", logging.file),
          key_number("logfile_size_limit|log_size_limit", logging.file_bytes_max),
          key_bool("syslog", logging.syslog),
          key_number("max_traced_msg_len", logging.traced_bytes_max)};
}

std::vector<ConfKey> limit_keys(LimitOptions& limits, TimeoutOptions& timeouts) {
  return {
      key_number("max_control_line", limits.max_control_line, 128, 1 << 20),
      key_number("max_payload", limits.max_payload, 1, kInt32Max),
      key_number("max_pending|max_pending_size", limits.max_pending, 1),
      {"max_connections|max_conn",
       [&](const ConfValue& v) -> Status {
         // To nats-server 0 is the default and to a reader nobody: do not choose.
         return v.kind == Kind::kInteger && v.integer == 0
                    ? bad_value(v, "is 0; write -1 for no limit")
                    : read_number(v, limits.max_connections, -1);
       }},
      {"max_subscriptions|max_subs",
       [&](const ConfValue& v) -> Status {
         RETURN_IF_ERROR(read_number(v, limits.max_subscriptions, -1));
         limits.max_subscriptions = std::max(limits.max_subscriptions, 0);
         return {};
       }},
      key_number("max_sub_tokens|max_subscription_tokens", limits.max_subscription_tokens, 0, 255),
      key_number("max_closed_clients", limits.max_closed_clients, 0, 1000000),
      key_bool("no_fast_producer_stall", limits.no_fast_producer_stall),
      key_bool("disable_sublist_cache|no_sublist_cache", limits.disable_subject_cache),
      key_bool("no_header_support", limits.no_header_support),
      key_duration("ping_interval", timeouts.ping_interval),
      key_number("ping_max|ping_max_out", timeouts.ping_max, 1, 1000000),
      key_duration("write_deadline", timeouts.write_deadline),
      key_duration("lame_duck_duration", timeouts.lame_duck_duration),
      key_duration("lame_duck_grace_period", timeouts.lame_duck_grace_period)};
}

std::vector<ConfKey> block_keys(const ConfValue& root, Options& options, Warnings& warnings) {
  AuthorizationOptions& authorization = options.authorization;
  return {{"authorization",
           [&](const ConfValue& v) { return apply_authorization(v, authorization, warnings); }},
          // After all others, since they depend on them: see apply_configuration().
          {"accounts", [](const ConfValue& /*value*/) { return Status(); }},
          key_text("system_account|system", authorization.system_account),
          key_text("no_auth_user", authorization.no_auth_user),
          {"tls", [&](const ConfValue& v) { return read_tls(v, options.tls, warnings); }},
          {"allow_non_tls",
           [&](const ConfValue& v) { return read_bool(v, options.tls.allow_non_tls); }},
          {"websocket|ws",
           [&](const ConfValue& v) { return read_websocket(v, options.websocket, warnings); }},
          {"jetstream",
           [&](const ConfValue& v) { return read_jetstream(v, options.jetstream, warnings); }},
          {"store_dir|storedir", [&](const ConfValue& v) -> Status {
             // The block's own wins, as in nats-server.
             const ConfValue* block = root.find("jetstream");
             const bool given = block != nullptr && (block->find("store_dir") != nullptr ||
                                                     block->find("store") != nullptr);
             return given ? Status() : read_text(v, options.jetstream.store_dir);
           }}};
}

Status contradiction(std::string text) {
  return invalid_argument(std::move(text));
}

Status check_tls(const TlsOptions& tls, const std::string& name) {
  if (!tls.enabled) {
    return {};
  }
  if (tls.cert_file.empty() || tls.key_file.empty()) {
    return contradiction(fmt::format("{}: needs a certificate and its key; give {} as well",
                                     name,
                                     tls.cert_file.empty() ? "cert_file" : "key_file"));
  }
  if (tls.timeout.count() <= 0) {
    return contradiction(name + ": timeout is 0; write a duration such as \"2s\"");
  }
  return {};
}

std::vector<ConfKey> all_keys(const ConfValue& root, Options& options, Warnings& warnings) {
  std::vector<ConfKey> keys = listen_keys(options);
  for (auto& more : {logging_keys(options.logging),
                     limit_keys(options.limits, options.timeouts),
                     block_keys(root, options, warnings)}) {
    keys.insert(keys.end(), more.begin(), more.end());
  }
  return keys;
}

}  // namespace

bool is_configuration_key(std::string_view name) {
  const ConfValue root;
  Options options;
  Warnings warnings;
  return is_known_key(all_keys(root, options, warnings), name);
}

Status apply_configuration(const ConfValue& root, Options& options, Warnings& warnings) {
  RETURN_IF_ERROR(read_map(root, all_keys(root, options, warnings), unsupported_keys(), warnings));
  if (const ConfValue* accounts = root.find("accounts"); accounts != nullptr) {
    AuthorizationOptions& authorization = options.authorization;
    RETURN_IF_ERROR(
        apply_accounts(*accounts, authorization.system_account, authorization, warnings));
  }
  return {};
}

Status check_options(const Options& options) {
  const LimitOptions& limits = options.limits;
  if (limits.max_payload > limits.max_pending) {
    return contradiction(fmt::format(
        "max_payload: {} is more than max_pending, {}; a client could never be sent such "
        "a message; lower the one or raise the other",
        limits.max_payload,
        limits.max_pending));
  }
  const TimeoutOptions& timeouts = options.timeouts;
  if (timeouts.lame_duck_duration < std::chrono::seconds(30)) {
    return contradiction("lame_duck_duration: the least is \"30s\"; write that or more");
  }
  if (timeouts.lame_duck_grace_period >= timeouts.lame_duck_duration) {
    return contradiction(
        "lame_duck_grace_period: must be shorter than lame_duck_duration; lower it");
  }
  if (timeouts.write_deadline.count() <= 0 || timeouts.ping_interval.count() <= 0) {
    return contradiction(
        "write_deadline and ping_interval: must be more than 0; write e.g. \"10s\"");
  }
  RETURN_IF_ERROR(check_tls(options.tls, "tls"));
  const WebsocketOptions& websocket = options.websocket;
  if (websocket.enabled) {
    RETURN_IF_ERROR(check_tls(websocket.tls, "websocket: tls"));
    if (!websocket.tls.enabled && !websocket.no_tls) {
      return contradiction("websocket: needs a tls block; for tests without, write no_tls: true");
    }
  }
  if (options.server_name.find_first_of(" \t\r\n") != std::string::npos) {
    return contradiction("server_name: has blanks; use '-' or '_' instead");
  }
  const auto users = Authenticator::make(options.authorization, options.websocket);
  return users.has_value() ? Status() : users.error().with_context("authorization");
}

}  // namespace feedvault::broker
