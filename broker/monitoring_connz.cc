// /connz and /subsz: lists, sorted, filtered and cut into pages.

#include <algorithm>

#include <fmt/format.h>

#include "broker/monitoring_format.h"
#include "broker/monitoring_json.h"

namespace feedvault::broker {
namespace {

using Connection = ConnectionSnapshot;
using Less = bool (*)(const Connection&, const Connection&, std::int64_t now_ns);

std::int64_t lifetime(const Connection& c, std::int64_t now_ns) {
  return (c.stop_ns != 0 ? c.stop_ns : now_ns) - c.start_ns;
}
std::int64_t idle(const Connection& c, std::int64_t now_ns) {
  return (c.stop_ns != 0 ? c.stop_ns : now_ns) - c.last_activity_ns;
}

struct Order {
  std::string_view name;
  Less less;
  bool closed_only = false;
};

// Largest first, but for cid, start, idle, uptime and reason: as nats-server does it.
constexpr Order kOrders[] = {
    {"cid", [](auto& a, auto& b, auto) { return a.cid < b.cid; }},
    {"start", [](auto& a, auto& b, auto) { return a.start_ns < b.start_ns; }},
    {"subs", [](auto& a, auto& b, auto) { return a.subscriptions > b.subscriptions; }},
    {"pending", [](auto& a, auto& b, auto) { return a.pending_bytes > b.pending_bytes; }},
    {"msgs_to", [](auto& a, auto& b, auto) { return a.traffic.out_msgs > b.traffic.out_msgs; }},
    {"msgs_from", [](auto& a, auto& b, auto) { return a.traffic.in_msgs > b.traffic.in_msgs; }},
    {"bytes_to", [](auto& a, auto& b, auto) { return a.traffic.out_bytes > b.traffic.out_bytes; }},
    {"bytes_from", [](auto& a, auto& b, auto) { return a.traffic.in_bytes > b.traffic.in_bytes; }},
    {"last", [](auto& a, auto& b, auto) { return a.last_activity_ns > b.last_activity_ns; }},
    {"idle", [](auto& a, auto& b, auto now) { return idle(a, now) < idle(b, now); }},
    {"uptime", [](auto& a, auto& b, auto now) { return lifetime(a, now) < lifetime(b, now); }},
    {"stop", [](auto& a, auto& b, auto) { return a.stop_ns > b.stop_ns; }, true},
    {"reason", [](auto& a, auto& b, auto) { return a.reason < b.reason; }, true},
};

const Order* find_order(std::string_view name) {
  const auto* found = std::find_if(std::begin(kOrders), std::end(kOrders), [&](const Order& order) {
    return order.name == (name.empty() ? "cid" : name);
  });
  return found == std::end(kOrders) ? nullptr : found;
}

bool has_match(const Connection& connection, const std::string& subject) {
  return std::any_of(connection.subscription_list.begin(),
                     connection.subscription_list.end(),
                     [&](const SubscriptionSnapshot& subscription) {
                       SubjectSet set;
                       return set.add(subscription.subject).ok() && set.overlaps(subject);
                     });
}

bool wanted(const Connection& connection, const ConnzOptions& options) {
  const bool closed = connection.stop_ns != 0;
  using State = ConnzOptions::State;
  return (options.state == State::kAll || closed == (options.state == State::kClosed)) &&
         (options.user.empty() || connection.user == options.user) &&
         (options.account.empty() || connection.account == options.account) &&
         (options.filter_subject.empty() || has_match(connection, options.filter_subject));
}

Json subscription_json(const SubscriptionSnapshot& subscription, bool with_account) {
  Json json = Json::object();
  if (with_account) {
    json["account"] = subscription.account;
  }
  json["subject"] = subscription.subject;
  if (!subscription.queue.empty()) {
    json["qgroup"] = subscription.queue;
  }
  json["sid"] = subscription.sid;
  json["msgs"] = subscription.msgs;
  if (subscription.max > 0) {
    json["max"] = subscription.max;
  }
  json["cid"] = subscription.cid;
  return json;
}

void add_text(Json& json, const char* key, const std::string& text) {
  if (!text.empty()) {
    json[key] = text;
  }
}

Json connection_json(const Connection& c, const ConnzOptions& options, std::int64_t now_ns) {
  Json json = Json::object();
  json["cid"] = c.cid;
  json["kind"] = "Client";
  json["type"] = c.websocket ? "websocket" : "nats";
  json["ip"] = c.ip;
  json["port"] = c.port;
  json["start"] = format_time(c.start_ns);
  json["last_activity"] = format_time(c.last_activity_ns);
  if (c.stop_ns != 0) {
    json["stop"] = format_time(c.stop_ns);
    add_text(json, "reason", c.reason);
  }
  if (c.rtt_ns > 0) {
    json["rtt"] = format_go_duration(c.rtt_ns);
  }
  json["uptime"] = format_uptime(lifetime(c, now_ns));
  json["idle"] = format_uptime(idle(c, now_ns));
  json["pending_bytes"] = c.pending_bytes;
  json["in_msgs"] = c.traffic.in_msgs;
  json["out_msgs"] = c.traffic.out_msgs;
  json["in_bytes"] = c.traffic.in_bytes;
  json["out_bytes"] = c.traffic.out_bytes;
  json["subscriptions"] = c.subscriptions;
  add_text(json, "name", c.name);
  add_text(json, "lang", c.lang);
  add_text(json, "version", c.version);
  add_text(json, "tls_version", c.tls_version);
  add_text(json, "tls_cipher_suite", c.tls_cipher_suite);
  if (options.auth) {
    add_text(json, "authorized_user", c.user);
    if (c.account != "$G") {
      add_text(json, "account", c.account);
    }
  }
  if (options.subscriptions_detail && !c.subscription_list.empty()) {
    Json& list = json["subscriptions_list_detail"] = Json::array();
    for (const SubscriptionSnapshot& subscription : c.subscription_list) {
      list.push_back(subscription_json(subscription, /*with_account=*/false));
    }
  } else if (options.subscriptions && !c.subscription_list.empty()) {
    Json& list = json["subscriptions_list"] = Json::array();
    for (const SubscriptionSnapshot& subscription : c.subscription_list) {
      list.push_back(subscription.subject);
    }
  }
  return json;
}

/// Half-open, within `size`.
struct Page {
  std::size_t begin;
  std::size_t end;
  Page(std::int64_t offset, std::int64_t limit, std::size_t size)
      : begin(std::min(static_cast<std::size_t>(offset), size)),
        end(begin + std::min(static_cast<std::size_t>(limit), size - begin)) {}
};

std::int64_t offset_of(std::int64_t given) {
  return std::max<std::int64_t>(given, 0);
}
std::int64_t limit_of(std::int64_t given) {
  return given > 0 ? given : static_cast<std::int64_t>(kListLimitDefault);
}

}  // namespace

Status check_connz(const ConnzOptions& options) {
  const Order* order = find_order(options.sort);
  if (order == nullptr) {
    return invalid_argument("invalid sorting option: " + options.sort);
  }
  if (order->closed_only && options.state != ConnzOptions::State::kClosed) {
    return invalid_argument(
        fmt::format("sort by {} only valid on closed connections", order->name));
  }
  return {};
}

ConnectionQuery connection_query(const ConnzOptions& options) {
  ConnectionQuery query;
  query.open = options.state != ConnzOptions::State::kClosed;
  query.closed = options.state != ConnzOptions::State::kOpen;
  query.with_subscriptions =
      options.subscriptions || options.subscriptions_detail || !options.filter_subject.empty();
  if (options.cid > 0) {
    query.cid = options.cid;
  }
  return query;
}

Json connz_json(const ServerSnapshot& server,
                std::vector<ConnectionSnapshot> connections,
                const ConnzOptions& options) {
  connections.erase(std::remove_if(connections.begin(),
                                   connections.end(),
                                   [&](const Connection& connection) {
                                     return !wanted(connection, options) ||
                                            (options.cid > 0 && connection.cid != options.cid);
                                   }),
                    connections.end());
  const Order* order = find_order(options.sort);
  const Less less = order == nullptr ? kOrders[0].less : order->less;
  std::sort(connections.begin(), connections.end(), [&](const Connection& a, const Connection& b) {
    // Equal ones by cid, so that pages fit together.
    return less(a, b, server.now_ns) || (!less(b, a, server.now_ns) && a.cid < b.cid);
  });
  const std::int64_t offset = options.cid > 0 ? 0 : offset_of(options.offset);
  const std::int64_t limit = options.cid > 0 ? 1 : limit_of(options.limit);
  const Page page(offset, limit, connections.size());
  Json json = Json::object();
  json["server_id"] = server.server_id;
  json["now"] = format_time(server.now_ns);
  json["num_connections"] = page.end - page.begin;
  json["total"] = options.cid > 0 ? static_cast<std::size_t>(std::max(server.connections, 0))
                                  : connections.size();
  json["offset"] = offset;
  json["limit"] = limit;
  Json& list = json["connections"] = Json::array();
  for (std::size_t i = page.begin; i < page.end; ++i) {
    list.push_back(connection_json(connections[i], options, server.now_ns));
  }
  return json;
}

Status check_subsz(const SubszOptions& options) {
  if (options.test.empty()) {
    return {};
  }
  SubjectSet set;
  const bool wild = options.test.find_first_of("*>") != std::string::npos;
  return set.add(options.test).ok() && !wild
             ? Status()
             : invalid_argument("invalid test subject, must be valid publish subject: " +
                                options.test);
}

Json subsz_json(const ServerSnapshot& server,
                const SubjectIndexSnapshot& index,
                std::vector<SubscriptionSnapshot> list,
                const SubszOptions& options,
                bool always_paged) {
  const bool paged = options.subscriptions || always_paged;
  Json json = Json::object();
  if (paged) {
    json["server_id"] = server.server_id;
    json["now"] = format_time(server.now_ns);
  }
  json["num_subscriptions"] = index.subscriptions;
  json["num_cache"] = index.cached;
  json["num_inserts"] = index.inserts;
  json["num_removes"] = index.removes;
  json["num_matches"] = index.matches;
  json["cache_hit_rate"] = index.cache_hit_rate;
  json["max_fanout"] = index.max_fanout;
  json["avg_fanout"] = index.avg_fanout;
  if (!paged) {
    return json;
  }
  list.erase(std::remove_if(
                 list.begin(),
                 list.end(),
                 [&](const SubscriptionSnapshot& subscription) {
                   SubjectSet set;
                   return (!options.account.empty() && subscription.account != options.account) ||
                          (!options.test.empty() &&
                           !(set.add(subscription.subject).ok() && set.matches(options.test)));
                 }),
             list.end());
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return std::tie(a.account, a.cid, a.sid) < std::tie(b.account, b.cid, b.sid);
  });
  const Page page(offset_of(options.offset), limit_of(options.limit), list.size());
  json["total"] = list.size();
  json["offset"] = offset_of(options.offset);
  json["limit"] = limit_of(options.limit);
  if (options.subscriptions && page.end > page.begin) {
    Json& entries = json["subscriptions_list"] = Json::array();
    for (std::size_t i = page.begin; i < page.end; ++i) {
      entries.push_back(subscription_json(list[i], /*with_account=*/true));
    }
  }
  return json;
}

}  // namespace feedvault::broker
