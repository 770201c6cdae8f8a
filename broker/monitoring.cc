#include "broker/monitoring.h"

#include <functional>

#include <fmt/format.h>

#include "broker/monitoring_format.h"
#include "broker/monitoring_json.h"

namespace feedvault::broker {
namespace {

constexpr const char* kJsonType = "application/json";
constexpr const char* kTextType = "text/plain; charset=utf-8";

constexpr std::string_view kPageStart = R"(<!DOCTYPE html>
<html lang="en">
<head>)";
constexpr std::string_view kPageEnd = R"(<p>
<a href=./varz>General</a><br>
<a href=./connz>Connections</a><br>
<a href=./subsz>Subscriptions</a><br>
<a href=./routez>Routes</a><br>
<a href=./accountz>Accounts</a><br>
<a href=./accstatz>Account statistics</a><br>
<a href=./jsz>Streams</a><br>
<a href=./healthz>Health</a><br>
<a href=./metrics>Metrics</a>
</p>
</body>
</html>
)";

HttpResponse bad_request(const Status& problem) {
  return {400, kTextType, problem.message()};
}

HttpResponse not_found_page() {
  return {404, kTextType, "404 page not found\n"};
}

// A callback's name becomes script: only what a name is made of.
bool is_callback_name(std::string_view name) {
  return name.size() <= 128 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.") ==
             std::string_view::npos;
}

HttpResponse json_response(const HttpQuery& query, const std::string& text, int status = 200) {
  const std::string_view callback = query.get("callback");
  if (callback.empty()) {
    return {status, kJsonType, text};
  }
  if (!is_callback_name(callback)) {
    return {400, kTextType, "callback: not a function's name"};
  }
  return {status, "application/javascript", fmt::format("{}({})", callback, text)};
}

HttpResponse json_response(const HttpQuery& query, const Json& json) {
  return json_response(query, json_text(json, /*pretty=*/true));
}

Result<ConnzOptions::State> read_state(std::string_view text) {
  using State = ConnzOptions::State;
  constexpr std::pair<std::string_view, State> kStates[] = {{"", State::kOpen},
                                                            {"open", State::kOpen},
                                                            {"closed", State::kClosed},
                                                            {"any", State::kAll},
                                                            {"all", State::kAll}};
  for (const auto& [name, state] : kStates) {
    if (text == name) {
      return state;
    }
  }
  return invalid_argument(fmt::format("Error decoding state for {}", text));
}

Result<ConnzOptions> connz_options(const HttpQuery& query) {
  ConnzOptions options;
  options.sort = query.get("sort");
  ASSIGN_OR_RETURN(options.auth, query.get_bool("auth"));
  options.subscriptions_detail = query.get("subs") == "detail";
  if (!options.subscriptions_detail) {
    ASSIGN_OR_RETURN(options.subscriptions, query.get_bool("subs"));
  }
  ASSIGN_OR_RETURN(options.offset, query.get_int("offset"));
  ASSIGN_OR_RETURN(options.limit, query.get_int("limit"));
  ASSIGN_OR_RETURN(options.cid, query.get_uint("cid"));
  ASSIGN_OR_RETURN(options.state, read_state(query.get("state")));
  options.user = query.get("user");
  options.account = query.get("acc");
  options.filter_subject = query.get("filter_subject");
  RETURN_IF_ERROR(check_connz(options));
  return options;
}

HttpResponse connz(MonitoringSource& source, const HttpQuery& query) {
  const auto options = connz_options(query);
  if (!options.has_value()) {
    return bad_request(options.error());
  }
  std::vector<ConnectionSnapshot> connections =
      source.connection_snapshots(connection_query(*options));
  return json_response(query,
                       connz_json(source.server_snapshot(), std::move(connections), *options));
}

Result<SubszOptions> subsz_options(const HttpQuery& query) {
  SubszOptions options;
  ASSIGN_OR_RETURN(options.subscriptions, query.get_bool("subs"));
  ASSIGN_OR_RETURN(options.offset, query.get_int("offset"));
  ASSIGN_OR_RETURN(options.limit, query.get_int("limit"));
  options.account = query.get("acc");
  options.test = query.get("test");
  RETURN_IF_ERROR(check_subsz(options));
  return options;
}

HttpResponse subsz(MonitoringSource& source, const HttpQuery& query) {
  const auto options = subsz_options(query);
  if (!options.has_value()) {
    return bad_request(options.error());
  }
  std::vector<SubscriptionSnapshot> list;
  if (options->subscriptions) {
    list = source.subscription_snapshots();
  }
  return json_response(query,
                       subsz_json(source.server_snapshot(),
                                  source.subject_index_snapshot(),
                                  std::move(list),
                                  *options,
                                  /*always_paged=*/false));
}

HttpResponse healthz(MonitoringSource& source, const HttpQuery& query) {
  bool streams = true;
  for (const std::string_view option : {"js-enabled", "js-enabled-only", "js-server-only"}) {
    const auto given = query.get_bool(option);
    if (!given.has_value()) {
      return bad_request(given.error());
    }
    streams = streams && !*given;
  }
  const std::string problem = source.health_problem(streams);
  return json_response(
      query, json_text(healthz_json(problem), /*pretty=*/false), problem.empty() ? 200 : 503);
}

HttpResponse accountz(MonitoringSource& source, const HttpQuery& query) {
  const auto json = accountz_json(source.server_snapshot(), std::string(query.get("acc")));
  return json.has_value() ? json_response(query, *json) : bad_request(json.error());
}

HttpResponse accstatz(MonitoringSource& source, const HttpQuery& query) {
  const auto unused = query.get_bool("unused");
  return unused.has_value()
             ? json_response(query, accstatz_json(source.server_snapshot(), *unused, ""))
             : bad_request(unused.error());
}

HttpResponse page(MonitoringSource& source) {
  const ServerSnapshot server = source.server_snapshot();
  // The name is configuration, but a page must not run it.
  std::string name;
  for (const char c : server.server_name) {
    name += c == '<' || c == '>' || c == '&' || c == '"' ? '_' : c;
  }
  return {
      200,
      "text/html; charset=utf-8",
      fmt::format(
          "{}<title>{}</title></head>\n<body>\n<h1>{}</h1>\n{}", kPageStart, name, name, kPageEnd)};
}

using PageFunction = HttpResponse (*)(MonitoringSource&, const HttpQuery&);

template <Json (*make)(const ServerSnapshot&)>
HttpResponse simple(MonitoringSource& source, const HttpQuery& query) {
  return json_response(query, make(source.server_snapshot()));
}

constexpr std::pair<std::string_view, PageFunction> kPages[] = {
    {"/connz", connz},
    {"/subsz", subsz},
    {"/subscriptionsz", subsz},
    {"/healthz", healthz},
    {"/routez", simple<routez_json>},
    {"/gatewayz", simple<gatewayz_json>},
    {"/leafz", simple<leafz_json>},
    {"/jsz", simple<jsz_json>},
    {"/accountz", accountz},
    {"/accstatz", accstatz},
    {"/", [](MonitoringSource& source, const HttpQuery&) { return page(source); }},
    {"/metrics",
     [](MonitoringSource& source, const HttpQuery&) -> HttpResponse {
       return {200,
               "text/plain; version=0.0.4; charset=utf-8",
               metrics_text(source.server_snapshot(), source.subject_index_snapshot())};
     }},
};

}  // namespace

HttpResponse Monitoring::handle(std::string_view path, std::string_view query) {
  const HttpQuery parsed(query);
  if (path == "/varz") {
    std::map<std::string, std::uint64_t> requests;
    {
      MutexLock lock(mutex_);
      ++requests_["/varz"];
      requests.insert(requests_.begin(), requests_.end());
    }
    return json_response(parsed, varz_json(source_.server_snapshot(), requests));
  }
  for (const auto& [name, page_of] : kPages) {
    if (path == name) {
      {
        MutexLock lock(mutex_);
        ++requests_[std::string(name)];  // known paths only: nobody fills the map
      }
      return page_of(source_, parsed);
    }
  }
  return not_found_page();
}

Result<std::unique_ptr<HttpServer>> serve_monitoring(const Options& options,
                                                     Monitoring& monitoring) {
  ASSIGN_OR_RETURN(
      const std::string host,
      listening_address(options.monitoring.host.empty() ? options.host : options.monitoring.host));
  std::string base = options.monitoring.base_path;
  while (!base.empty() && base.back() == '/') {
    base.pop_back();
  }
  if (!base.empty() && base.front() != '/') {
    base.insert(0, 1, '/');
  }
  const int port = options.monitoring.port < 0 ? 0 : options.monitoring.port;
  auto started = HttpServer::start_with_query(
      host,
      static_cast<std::uint16_t>(port),
      [&monitoring, base](std::string_view path, std::string_view query) {
        if (path.substr(0, base.size()) != base) {
          return not_found_page();
        }
        path.remove_prefix(base.size());
        return monitoring.handle(path.empty() ? "/" : path, query);
      });
  return started.has_value() ? std::move(started)
                             : Result<std::unique_ptr<HttpServer>>(
                                   started.error().with_context("http (monitoring)"));
}

}  // namespace feedvault::broker
