// $SYS.REQ.>: the same answers for tools that ask over NATS.
//
//   $SYS.REQ.SERVER.PING                 short statistics, system users only
//   $SYS.REQ.SERVER.<PING|id>.<WHAT>     WHAT: STATSZ, VARZ, CONNZ ...; system users only,
//                                        but PING.CONNZ for everybody, about his own account
//   $SYS.REQ.ACCOUNT.PING.<WHAT>         CONNZ, STATZ; everybody, about his own account
//   $SYS.REQ.ACCOUNT.<name>.<WHAT>       CONNZ, STATZ, SUBSZ, LEAFZ, INFO, CONNS; system users only
//   $SYS.REQ.USER.INFO                   who am I; everybody
//
// And what system users are told without asking:
//
//   $SYS.ACCOUNT.<name>.CONNECT, .DISCONNECT, .SERVER.CONNS, $SYS.SERVER.ACCOUNT.<name>.CONNS,
//   $SYS.SERVER.<id>.CLIENT.AUTH.ERR, .SHUTDOWN

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "broker/limits.h"
#include "broker/monitoring.h"
#include "broker/monitoring_format.h"
#include "broker/monitoring_json.h"

namespace feedvault::broker {
namespace {

constexpr std::string_view kServerPrefix = "$SYS.REQ.SERVER.";
constexpr std::string_view kAccountPrefix = "$SYS.REQ.ACCOUNT.";
bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

// Members of a request that have another type than expected count as absent.
template <typename T>
T member(const nlohmann::json& request, const char* key, T otherwise) {
  const auto found = request.find(key);
  if (found == request.end()) {
    return otherwise;
  }
  if constexpr (std::is_same_v<T, bool>) {
    return found->is_boolean() ? found->get<bool>() : otherwise;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? found->get<std::string>() : otherwise;
  } else {
    return found->is_number_integer() ? found->get<T>() : otherwise;
  }
}

ConnzOptions connz_request(const nlohmann::json& request) {
  ConnzOptions options;
  options.sort = member<std::string>(request, "sort", "");
  options.auth = member(request, "auth", false);
  options.subscriptions = member(request, "subscriptions", false);
  options.subscriptions_detail = member(request, "subscriptions_detail", false);
  options.offset = member<std::int64_t>(request, "offset", 0);
  options.limit = member<std::int64_t>(request, "limit", 0);
  options.cid = member<std::uint64_t>(request, "cid", 0);
  options.user = member<std::string>(request, "user", "");
  options.account = member<std::string>(request, "acc", "");
  options.filter_subject = member<std::string>(request, "filter_subject", "");
  using State = ConnzOptions::State;
  const std::int64_t state = member<std::int64_t>(request, "state", 0);
  options.state = state == 1 ? State::kClosed : (state == 2 ? State::kAll : State::kOpen);
  return options;
}

SubszOptions subsz_request(const nlohmann::json& request) {
  SubszOptions options;
  options.subscriptions = member(request, "subscriptions", false);
  options.offset = member<std::int64_t>(request, "offset", 0);
  options.limit = member<std::int64_t>(request, "limit", 0);
  options.account = member<std::string>(request, "account", "");
  options.test = member<std::string>(request, "test", "");
  return options;
}

/// One request: what it is about, and the answer's "data" or the error instead.
class Request {
 public:
  Request(MonitoringSource& source, const nlohmann::json& body, const SystemRequester& requester)
      : source_(source), body_(body), requester_(requester), server_(source.server_snapshot()) {}

  const ServerSnapshot& server() const { return server_; }

  // Some requests go to all servers, of which they want some.
  bool meant_for_us() const {
    const std::string name = member<std::string>(body_, "server_name", "");
    const std::string host = member<std::string>(body_, "host", "");
    return (name.empty() || server_.server_name.find(name) != std::string::npos) &&
           (host.empty() || server_.options->host.find(host) != std::string::npos) &&
           member<std::string>(body_, "cluster", "").empty();
  }

  Result<Json> connz(const std::string& account) {
    ConnzOptions options = connz_request(body_);
    if (!account.empty()) {
      options.account = account;
    }
    RETURN_IF_ERROR(check_connz(options));
    return connz_json(server_, source_.connection_snapshots(connection_query(options)), options);
  }

  Result<Json> subsz(const std::string& account) {
    SubszOptions options = subsz_request(body_);
    if (!account.empty()) {
      options.account = account;
      options.subscriptions = true;
    }
    RETURN_IF_ERROR(check_subsz(options));
    std::vector<SubscriptionSnapshot> list;
    if (options.subscriptions) {
      list = source_.subscription_snapshots();
    }
    return subsz_json(server_,
                      source_.subject_index_snapshot(),
                      std::move(list),
                      options,
                      /*always_paged=*/true);
  }

  // nullopt: no such request.
  std::optional<Result<Json>> server_data(std::string_view what,
                                          const std::map<std::string, std::uint64_t>& requests) {
    if (what == "CONNZ") {
      return connz(requester_.system ? "" : requester_.account);
    }
    if (!requester_.system) {
      return std::nullopt;
    }
    if (what == "VARZ") {
      return varz_json(server_, requests);
    }
    if (what == "SUBSZ") {
      return subsz("");
    }
    if (what == "ROUTEZ") {
      return routez_json(server_);
    }
    if (what == "GATEWAYZ") {
      return gatewayz_json(server_);
    }
    if (what == "LEAFZ") {
      return leafz_json(server_);
    }
    if (what == "JSZ") {
      return jsz_json(server_);
    }
    if (what == "HEALTHZ") {
      return healthz_json(source_.health_problem(/*streams=*/true));
    }
    if (what == "ACCOUNTZ") {
      return accountz_json(server_, member<std::string>(body_, "account", ""));
    }
    return std::nullopt;
  }

  std::optional<Result<Json>> account_data(std::string_view account, std::string_view what) {
    const bool own = account == "PING";
    if (!own && !requester_.system) {
      return std::nullopt;
    }
    const bool everything = own && requester_.system;
    const std::string name = everything ? "" : (own ? requester_.account : std::string(account));
    if (what == "CONNZ") {
      return connz(name);
    }
    if (what == "STATZ") {
      return accstatz_json(server_, /*unused=*/!name.empty(), name);
    }
    if (what == "SUBSZ" && !own) {
      return subsz(name);
    }
    if (what == "LEAFZ" && !own) {
      return leafz_json(server_);
    }
    if (what == "INFO" && !own) {
      auto found = accountz_json(server_, name);
      return found.has_value() ? Result<Json>((*found)["account_detail"]) : found;
    }
    return std::nullopt;
  }

  Json user_info() const {
    Json json = Json::object();
    json["user"] = requester_.user;
    json["account"] = requester_.account;
    return json;
  }

 private:
  MonitoringSource& source_;
  const nlohmann::json& body_;
  const SystemRequester& requester_;
  const ServerSnapshot server_;
};

Json idz_json(const ServerSnapshot& server) {
  Json json = Json::object();
  json["name"] = server.server_name;
  json["host"] = server.options->host;
  json["id"] = server.server_id;
  return json;
}

Json server_json(const ServerSnapshot& server, std::uint64_t sequence, std::int64_t now_ns) {
  Json json = Json::object();
  json["name"] = server.server_name;
  json["host"] = server.options->host;
  json["id"] = server.server_id;
  json["ver"] = server.version;
  if (!server.options->server_tags.empty()) {
    json["tags"] = server.options->server_tags;
  }
  json["seq"] = sequence;
  json["jetstream"] = server.options->jetstream.enabled;
  json["time"] = format_time(now_ns);
  return json;
}

Json client_json(const ConnectionSnapshot& client) {
  Json json = Json::object();
  const auto add_text = [&](const char* key, const std::string& text) {
    if (!text.empty()) {
      json[key] = text;
    }
  };
  json["start"] = format_time(client.start_ns);
  json["host"] = client.ip;
  json["id"] = client.cid;
  add_text("acc", client.account);
  add_text("user", client.user);
  add_text("name", client.name);
  add_text("lang", client.lang);
  add_text("ver", client.version);
  if (client.stop_ns != 0) {
    if (client.rtt_ns > 0) {
      json["rtt"] = client.rtt_ns;
    }
    json["stop"] = format_time(client.stop_ns);
  }
  json["kind"] = "Client";
  json["client_type"] = client.websocket ? "websocket" : "nats";
  return json;
}

// What every advisory begins with.
Json advisory_json(std::string_view what,
                   const ServerSnapshot& server,
                   std::uint64_t sequence,
                   std::int64_t when_ns) {
  Json json = Json::object();
  json["type"] = fmt::format("io.nats.server.advisory.v1.{}", what);
  json["id"] = fmt::format("{}{:016}", server.server_id.substr(1, 6), sequence);
  json["timestamp"] = format_time(when_ns);
  json["server"] = server_json(server, sequence, when_ns);
  return json;
}

// How many clients an account has. nullopt: there is no such account.
std::optional<Json> account_conns_json(const ServerSnapshot& server,
                                       std::string_view account,
                                       std::uint64_t sequence) {
  const auto found = std::find_if(
      server.accounts.begin(), server.accounts.end(), [&](const AccountSnapshot& each) {
        return each.name == account;
      });
  if (found == server.accounts.end()) {
    return std::nullopt;
  }
  Json json = advisory_json("account_connections", server, sequence, server.now_ns);
  json.update(account_stat_json(*found));
  return json;
}

}  // namespace

ServerSnapshot Monitoring::identity() {
  {
    MutexLock lock(mutex_);
    if (identity_) {
      return *identity_;
    }
  }
  ServerSnapshot taken = source_.server_snapshot();  // may wait: not under the lock
  MutexLock lock(mutex_);
  identity_ = std::move(taken);
  return *identity_;
}

std::uint64_t Monitoring::next_answer() {
  MutexLock lock(mutex_);
  return ++system_answers_;
}

Monitoring::Event Monitoring::client_event(const ConnectionSnapshot& client) {
  const ServerSnapshot server = identity();
  const bool ended = client.stop_ns != 0;
  Json json = advisory_json(ended ? "client_disconnect" : "client_connect",
                            server,
                            next_answer(),
                            ended ? client.stop_ns : client.start_ns);
  json["client"] = client_json(client);
  if (ended) {
    // As the client sees it.
    json["sent"] = traffic_json(client.traffic.in_msgs, client.traffic.in_bytes);
    json["received"] = traffic_json(client.traffic.out_msgs, client.traffic.out_bytes);
    json["reason"] = client.reason;
  }
  Event event;
  event.payload = json_text(json, /*pretty=*/false);
  event.subject =
      ended && !client.connected
          ? fmt::format("$SYS.SERVER.{}.CLIENT.AUTH.ERR", server.server_id)
          : fmt::format("$SYS.ACCOUNT.{}.{}", client.account, ended ? "DISCONNECT" : "CONNECT");
  return event;
}

std::vector<Monitoring::Event> Monitoring::account_events(const std::string& account) {
  const std::optional<Json> json =
      account_conns_json(source_.server_snapshot(), account, next_answer());
  if (!json) {
    return {};
  }
  const std::string payload = json_text(*json, /*pretty=*/false);
  return {{fmt::format("$SYS.SERVER.ACCOUNT.{}.CONNS", account), payload},
          {fmt::format("$SYS.ACCOUNT.{}.SERVER.CONNS", account), payload}};
}

Monitoring::Event Monitoring::shutdown_event() {
  const ServerSnapshot server = source_.server_snapshot();
  return {fmt::format("$SYS.SERVER.{}.SHUTDOWN", server.server_id),
          json_text(server_json(server, next_answer(), server.now_ns), /*pretty=*/false)};
}

std::optional<std::string> Monitoring::answer_system_request(std::string_view subject,
                                                             std::string_view payload,
                                                             const SystemRequester& requester) {
  if (subject.substr(0, 9) != "$SYS.REQ.") {
    return std::nullopt;
  }
  nlohmann::json body = nlohmann::json::object();
  if (!payload.empty() && payload.size() <= kSystemRequestBytesMax) {
    body = nlohmann::json::parse(payload, nullptr, /*allow_exceptions=*/false);
  }
  std::map<std::string, std::uint64_t> requests;
  std::uint64_t sequence = 0;
  {
    MutexLock lock(mutex_);
    sequence = ++system_answers_;
    requests.insert(requests_.begin(), requests_.end());
  }
  const bool readable = body.is_object();
  if (!readable) {
    body = nlohmann::json::object();
  }
  Request request(source_, body, requester);
  const char* key = "data";
  std::optional<Result<Json>> answer;
  std::string_view rest = subject;
  if (subject == "$SYS.REQ.USER.INFO") {
    answer = request.user_info();
  } else if (take_prefix(rest, kServerPrefix)) {
    const std::string_view whom = rest.substr(0, rest.find('.'));
    const std::string_view what = whom.size() < rest.size() ? rest.substr(whom.size() + 1) : "";
    if ((whom != "PING" && (!requester.system || whom != request.server().server_id)) ||
        !request.meant_for_us()) {
      return std::nullopt;
    }
    if (what == "IDZ" && requester.system) {
      return json_text(idz_json(request.server()), /*pretty=*/false);  // without an envelope
    }
    if ((what.empty() && whom == "PING") || what == "STATSZ") {
      if (requester.system) {
        key = "statsz";
        answer = statsz_json(request.server());
      }
    } else {
      answer = request.server_data(what, requests);
    }
  } else if (take_prefix(rest, kAccountPrefix)) {
    const std::size_t dot = rest.rfind('.');
    if (dot != std::string_view::npos) {
      const std::string_view account = rest.substr(0, dot);
      const std::string_view what = rest.substr(dot + 1);
      if (what == "CONNS" && requester.system) {
        const auto conns = account_conns_json(request.server(), account, sequence);
        return conns ? std::optional(json_text(*conns, /*pretty=*/false)) : std::nullopt;
      }
      answer = request.account_data(account, what);
    }
  }
  if (!answer) {
    return std::nullopt;
  }
  Json json = Json::object();
  json["server"] = server_json(request.server(), sequence, request.server().now_ns);
  if (readable && answer->has_value()) {
    json[key] = **answer;
  } else {
    Json& error = json["error"] = Json::object();
    error["code"] = readable && answer->error().code() == StatusCode::kNotFound ? 404 : 400;
    error["description"] = readable ? answer->error().message() : "the request is no JSON object";
  }
  return json_text(json, /*pretty=*/false);
}

}  // namespace feedvault::broker
