#include "broker/monitoring_json.h"

#include <algorithm>

#include "broker/monitoring_format.h"

namespace feedvault::broker {
namespace {

Json object_for(const ServerSnapshot& server) {
  Json json = Json::object();
  json["server_id"] = server.server_id;
  json["now"] = format_time(server.now_ns);
  return json;
}

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

// "host:port" told to clients instead of ours.
void advertised(const Options& options, std::string& host, int& port) {
  const std::string& text = options.client_advertise;
  const std::size_t colon = text.rfind(':');
  if (text.empty()) {
    return;
  }
  host = text.substr(0, colon);
  if (colon != std::string::npos) {
    port = std::atoi(text.c_str() + colon + 1);
  }
}

Json jetstream_config_json(const ServerSnapshot& server) {
  Json json = Json::object();
  if (!server.jetstream) {
    json["max_memory"] = 0;
    json["max_storage"] = 0;
    return json;
  }
  json["max_memory"] = server.jetstream->max_memory;
  json["max_storage"] = server.jetstream->max_file;
  json["store_dir"] = server.jetstream->store_dir;
  if (!server.options->jetstream.domain.empty()) {
    json["domain"] = server.options->jetstream.domain;
  }
  return json;
}

void put_jetstream_stats(Json& json, const ServerSnapshot& server) {
  const JetStreamSnapshot shot = server.jetstream.value_or(JetStreamSnapshot{});
  json["memory"] = shot.memory;
  json["storage"] = shot.storage;
  json["reserved_memory"] = shot.reserved_memory;
  json["reserved_storage"] = shot.reserved_storage;
  json["accounts"] = server.jetstream ? 1 : 0;
  json["ha_assets"] = 0;
  json["api"]["total"] = shot.api_total;
  json["api"]["errors"] = shot.api_errors;
}

// Empty without streams.
Json jetstream_json(const ServerSnapshot& server) {
  Json json = Json::object();
  if (server.jetstream) {
    json["config"] = jetstream_config_json(server);
    put_jetstream_stats(json["stats"] = Json::object(), server);
  }
  return json;
}

Json websocket_json(const ServerSnapshot& server) {
  const WebsocketOptions& websocket = server.options->websocket;
  Json json = Json::object();
  if (!websocket.enabled) {
    return json;
  }
  json["host"] = websocket.host;
  json["port"] = server.websocket_port;
  if (!websocket.advertise.empty()) {
    json["advertise"] = websocket.advertise;
  }
  if (!websocket.no_auth_user.empty()) {
    json["no_auth_user"] = websocket.no_auth_user;
  }
  if (websocket.no_tls) {
    json["no_tls"] = true;
  }
  if (websocket.same_origin) {
    json["same_origin"] = true;
  }
  if (!websocket.allowed_origins.empty()) {
    json["allowed_origins"] = websocket.allowed_origins;
  }
  if (websocket.compression) {
    json["compression"] = true;
  }
  json["handshake_timeout"] = websocket.handshake_timeout.count();
  return json;
}

void add_settings(Json& json, const ServerSnapshot& server) {
  const Options& options = *server.options;
  std::string host = options.host;
  int port = server.port;
  advertised(options, host, port);
  json["host"] = host;
  json["port"] = port;
  if (server.auth_required) {
    json["auth_required"] = true;
  }
  if (options.tls.enabled) {
    if (!options.tls.allow_non_tls) {
      json["tls_required"] = true;
    }
    if (options.tls.verify) {
      json["tls_verify"] = true;
    }
  }
  json["max_connections"] = options.limits.max_connections;
  if (options.limits.max_subscriptions > 0) {
    json["max_subscriptions"] = options.limits.max_subscriptions;
  }
  json["ping_interval"] = options.timeouts.ping_interval.count();
  json["ping_max"] = options.timeouts.ping_max;
  const MonitoringOptions& monitoring = options.monitoring;
  json["http_host"] = monitoring.host.empty() ? options.host : monitoring.host;
  json["http_port"] = server.monitoring_port;
  json["http_base_path"] = monitoring.base_path == "/" ? "" : monitoring.base_path;
  json["https_port"] = 0;
  json["auth_timeout"] = seconds(options.auth_timeout());
  json["max_control_line"] = options.limits.max_control_line;
  json["max_payload"] = options.limits.max_payload;
  json["max_pending"] = options.limits.max_pending;
  for (const char* absent : {"cluster", "gateway", "leaf", "mqtt"}) {
    json[absent] = Json::object();
  }
  json["websocket"] = websocket_json(server);
  json["jetstream"] = jetstream_json(server);
  json["tls_timeout"] = seconds(options.tls.timeout);
  json["write_deadline"] = options.timeouts.write_deadline.count();
}

// Go writes <, > and & as escapes, so that its JSON can stand in HTML. They are only ever inside
// strings.
std::string escape_markup(const std::string& text) {
  std::string result;
  result.reserve(text.size() + text.size() / 16);
  for (const char c : text) {
    switch (c) {
      case '<':
        result += "\\u003c";
        break;
      case '>':
        result += "\\u003e";
        break;
      case '&':
        result += "\\u0026";
        break;
      default:
        result += c;
    }
  }
  return result;
}

// Go has no ".0" behind whole numbers.
void whole_numbers(Json& json) {
  if (json.is_structured()) {
    for (Json& item : json) {
      whole_numbers(item);
    }
  } else if (json.is_number_float()) {
    const double number = json.get<double>();
    if (number >= -1e15 && number <= 1e15 &&
        number == static_cast<double>(static_cast<std::int64_t>(number))) {
      json = static_cast<std::int64_t>(number);
    }
  }
}

const AccountSnapshot* find_account(const ServerSnapshot& server, const std::string& name) {
  const auto found = std::find_if(server.accounts.begin(),
                                  server.accounts.end(),
                                  [&](const AccountSnapshot& a) { return a.name == name; });
  return found == server.accounts.end() ? nullptr : &*found;
}

}  // namespace

Json traffic_json(std::uint64_t msgs, std::uint64_t bytes) {
  Json json = Json::object();
  json["msgs"] = msgs;
  json["bytes"] = bytes;
  return json;
}

Json varz_json(const ServerSnapshot& server, const std::map<std::string, std::uint64_t>& requests) {
  Json json = Json::object();
  json["server_id"] = server.server_id;
  json["server_name"] = server.server_name;
  json["version"] = server.version;
  json["proto"] = 1;
  if (!server.git_commit.empty()) {
    json["git_commit"] = server.git_commit;
  }
  json["go"] = "c++20";
  add_settings(json, server);
  json["start"] = format_time(server.start_ns);
  json["now"] = format_time(server.now_ns);
  json["uptime"] = format_uptime(server.now_ns - server.start_ns);
  json["mem"] = server.resident_bytes;
  json["cores"] = server.cores;
  json["gomaxprocs"] = server.loops;
  json["cpu"] = server.cpu_percent;
  json["connections"] = server.connections;
  json["total_connections"] = server.total_connections;
  json["routes"] = 0;
  json["remotes"] = 0;
  json["leafnodes"] = 0;
  json["in_msgs"] = server.traffic.in_msgs;
  json["out_msgs"] = server.traffic.out_msgs;
  json["in_bytes"] = server.traffic.in_bytes;
  json["out_bytes"] = server.traffic.out_bytes;
  json["slow_consumers"] = server.slow_consumers;
  json["subscriptions"] = server.subscriptions;
  Json& stats = json["http_req_stats"] = Json::object();
  for (const auto& [path, count] : requests) {
    stats[path] = count;
  }
  json["config_load_time"] = format_time(server.config_load_ns);
  if (!server.options->server_tags.empty()) {
    json["tags"] = server.options->server_tags;
  }
  json["system_account"] = server.options->authorization.system_account;
  return json;
}

Json routez_json(const ServerSnapshot& server) {
  Json json = object_for(server);
  json["num_routes"] = 0;
  json["routes"] = Json::array();
  return json;
}

Json gatewayz_json(const ServerSnapshot& server) {
  Json json = object_for(server);
  json["outbound_gateways"] = Json::object();
  json["inbound_gateways"] = Json::object();
  return json;
}

Json leafz_json(const ServerSnapshot& server) {
  Json json = object_for(server);
  json["leafnodes"] = 0;
  json["leafs"] = nullptr;
  return json;
}

Result<Json> accountz_json(const ServerSnapshot& server, const std::string& account) {
  Json json = object_for(server);
  json["system_account"] = server.options->authorization.system_account;
  if (account.empty()) {
    Json& names = json["accounts"] = Json::array();
    for (const AccountSnapshot& known : server.accounts) {
      names.push_back(known.name);
    }
    return json;
  }
  const AccountSnapshot* found = find_account(server, account);
  if (found == nullptr) {
    return not_found("Account " + account + " does not exist");
  }
  Json& detail = json["account_detail"] = Json::object();
  detail["account_name"] = found->name;
  detail["update_time"] = format_time(server.config_load_ns);
  detail["expired"] = false;
  detail["complete"] = true;
  detail["jetstream_enabled"] =
      server.jetstream.has_value() && found->name == server.options->authorization.account;
  detail["leafnode_connections"] = 0;
  detail["client_connections"] = found->connections;
  detail["subscriptions"] = found->subscriptions;
  return json;
}

Json account_stat_json(const AccountSnapshot& account) {
  Json json = Json::object();
  json["acc"] = account.name;
  json["conns"] = account.connections;
  json["leafnodes"] = 0;
  json["total_conns"] = account.connections;  // nats-server's sum of clients and leaf nodes
  json["sent"] = traffic_json(account.traffic.out_msgs, account.traffic.out_bytes);
  json["received"] = traffic_json(account.traffic.in_msgs, account.traffic.in_bytes);
  json["slow_consumers"] = account.slow_consumers;
  return json;
}

Json accstatz_json(const ServerSnapshot& server, bool unused, const std::string& account) {
  Json json = object_for(server);
  Json& list = json["account_statz"] = Json::array();
  for (const AccountSnapshot& a : server.accounts) {
    if ((account.empty() || a.name == account) && (unused || a.connections > 0)) {
      list.push_back(account_stat_json(a));
    }
  }
  return json;
}

Json jsz_json(const ServerSnapshot& server) {
  Json json = object_for(server);
  if (!server.jetstream) {
    json["disabled"] = true;
  }
  const JetStreamSnapshot shot = server.jetstream.value_or(JetStreamSnapshot{});
  json["config"] = jetstream_config_json(server);
  put_jetstream_stats(json, server);
  json["streams"] = shot.streams;
  json["consumers"] = shot.consumers;
  json["messages"] = shot.messages;
  json["bytes"] = shot.memory + shot.storage;
  return json;
}

Json healthz_json(const std::string& problem) {
  Json json = Json::object();
  json["status"] = problem.empty() ? "ok" : "unavailable";
  if (!problem.empty()) {
    json["error"] = problem;
  }
  return json;
}

Json statsz_json(const ServerSnapshot& server) {
  Json json = Json::object();
  json["start"] = format_time(server.start_ns);
  json["mem"] = server.resident_bytes;
  json["cores"] = server.cores;
  json["cpu"] = server.cpu_percent;
  json["connections"] = server.connections;
  json["total_connections"] = server.total_connections;
  json["active_accounts"] =
      std::count_if(server.accounts.begin(), server.accounts.end(), [](const AccountSnapshot& a) {
        return a.connections > 0;
      });
  json["subscriptions"] = server.subscriptions;
  json["sent"] = traffic_json(server.traffic.out_msgs, server.traffic.out_bytes);
  json["received"] = traffic_json(server.traffic.in_msgs, server.traffic.in_bytes);
  json["slow_consumers"] = server.slow_consumers;
  json["active_servers"] = 1;
  return json;
}

std::string json_text(const Json& json, bool pretty) {
  Json copy = json;
  whole_numbers(copy);
  return escape_markup(
      copy.dump(pretty ? 2 : -1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

}  // namespace feedvault::broker
