#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "broker/monitoring.h"
#include "broker/permissions.h"

namespace feedvault::broker {

// Private to monitoring: snapshots to JSON, field by field in nats-server's order. Pure functions.

using Json = nlohmann::ordered_json;

/// {"msgs":...,"bytes":...}
Json traffic_json(std::uint64_t msgs, std::uint64_t bytes);

constexpr std::size_t kListLimitDefault = 1024;

/// What a /connz request asks for.
struct ConnzOptions {
  std::string sort;  // "" is "cid"
  bool auth = false;
  bool subscriptions = false;
  bool subscriptions_detail = false;
  std::int64_t offset = 0;
  std::int64_t limit = 0;
  std::uint64_t cid = 0;
  enum class State : std::uint8_t { kOpen, kClosed, kAll } state = State::kOpen;
  std::string user;
  std::string account;
  std::string filter_subject;  // only connections with a subscription that matches it
};
/// The texts of errors are nats-server's.
Status check_connz(const ConnzOptions& options);
ConnectionQuery connection_query(const ConnzOptions& options);
/// `connections`: all open or closed ones, as the query says; `total_open` as the server counts.
Json connz_json(const ServerSnapshot& server,
                std::vector<ConnectionSnapshot> connections,
                const ConnzOptions& options);

struct SubszOptions {
  bool subscriptions = false;
  std::int64_t offset = 0;
  std::int64_t limit = 0;
  std::string account;
  std::string test;  // a literal subject: only what matches it
};
Status check_subsz(const SubszOptions& options);
/// Over HTTP the list's fields appear only with it, over $SYS always.
Json subsz_json(const ServerSnapshot& server,
                const SubjectIndexSnapshot& index,
                std::vector<SubscriptionSnapshot> list,
                const SubszOptions& options,
                bool always_paged);

Json varz_json(const ServerSnapshot& server, const std::map<std::string, std::uint64_t>& requests);
Json routez_json(const ServerSnapshot& server);
Json gatewayz_json(const ServerSnapshot& server);
Json leafz_json(const ServerSnapshot& server);
/// `account` "": the names; else that account's details. kNotFound for an unknown one.
Result<Json> accountz_json(const ServerSnapshot& server, const std::string& account);
/// What one account does now.
Json account_stat_json(const AccountSnapshot& account);
/// Accounts without connections only with `unused`; one account's with its name.
Json accstatz_json(const ServerSnapshot& server, bool unused, const std::string& account);
Json jsz_json(const ServerSnapshot& server);
Json healthz_json(const std::string& problem);
Json statsz_json(const ServerSnapshot& server);

/// As Go writes JSON: <, > and & escaped, bytes that are no UTF-8 replaced.
std::string json_text(const Json& json, bool pretty);

/// Prometheus' text format.
std::string metrics_text(const ServerSnapshot& server, const SubjectIndexSnapshot& index);

}  // namespace feedvault::broker
