// What can change while the server runs.

#include "broker/options.h"

namespace feedvault::broker {
namespace {

class Comparison {
 public:
  template <typename T>
  bool applied(const char* name, const T& running, const T& wanted) {
    if (running == wanted) {
      return false;
    }
    change_.applied.emplace_back(name);
    return true;
  }
  template <typename T>
  void refused(const char* name, const T& running, const T& wanted) {
    if (!(running == wanted)) {
      change_.refused.emplace_back(name);
    }
  }
  OptionsChange& change() { return change_; }

 private:
  OptionsChange change_;
};

void compare_limits(const LimitOptions& running, const LimitOptions& wanted, Comparison& to) {
  to.applied("max_control_line", running.max_control_line, wanted.max_control_line);
  to.applied("max_payload", running.max_payload, wanted.max_payload);
  to.applied("max_pending", running.max_pending, wanted.max_pending);
  to.applied("max_connections", running.max_connections, wanted.max_connections);
  to.applied("max_subscriptions", running.max_subscriptions, wanted.max_subscriptions);
  to.applied("max_sub_tokens", running.max_subscription_tokens, wanted.max_subscription_tokens);
  to.applied(
      "no_fast_producer_stall", running.no_fast_producer_stall, wanted.no_fast_producer_stall);
  to.refused("max_closed_clients", running.max_closed_clients, wanted.max_closed_clients);
  to.refused("disable_sublist_cache", running.disable_subject_cache, wanted.disable_subject_cache);
  to.refused("no_header_support", running.no_header_support, wanted.no_header_support);
}

void compare_timeouts(const TimeoutOptions& running, const TimeoutOptions& wanted, Comparison& to) {
  to.applied("ping_interval", running.ping_interval, wanted.ping_interval);
  to.applied("ping_max", running.ping_max, wanted.ping_max);
  to.applied("write_deadline", running.write_deadline, wanted.write_deadline);
  to.applied("lame_duck_duration", running.lame_duck_duration, wanted.lame_duck_duration);
  to.applied(
      "lame_duck_grace_period", running.lame_duck_grace_period, wanted.lame_duck_grace_period);
}

void compare_websocket(const WebsocketOptions& running,
                       const WebsocketOptions& wanted,
                       Comparison& to) {
  to.refused("websocket", running.enabled, wanted.enabled);
  to.refused("websocket host", running.host, wanted.host);
  to.refused("websocket port", running.port, wanted.port);
  to.refused("websocket no_tls", running.no_tls, wanted.no_tls);
  to.refused("websocket tls", running.tls.enabled, wanted.tls.enabled);
  if (to.applied("websocket tls", running.tls, wanted.tls) || wanted.tls.enabled) {
    to.change().tls = true;
  }
  to.applied("websocket compression", running.compression, wanted.compression);
  to.applied("websocket same_origin", running.same_origin, wanted.same_origin);
  to.applied("websocket allowed_origins", running.allowed_origins, wanted.allowed_origins);
  to.applied("websocket handshake_timeout", running.handshake_timeout, wanted.handshake_timeout);
  to.applied("websocket advertise", running.advertise, wanted.advertise);
  if (to.applied("websocket no_auth_user", running.no_auth_user, wanted.no_auth_user)) {
    to.change().authorization = true;
  }
}

}  // namespace

OptionsChange compare_options(const Options& running, const Options& wanted) {
  Comparison to;
  to.refused("host", running.host, wanted.host);
  to.refused("port", running.port, wanted.port);
  to.refused("server_name", running.server_name, wanted.server_name);
  to.applied("server_tags", running.server_tags, wanted.server_tags);
  to.applied("client_advertise", running.client_advertise, wanted.client_advertise);
  to.refused("loops", running.loops, wanted.loops);
  compare_limits(running.limits, wanted.limits, to);
  compare_timeouts(running.timeouts, wanted.timeouts, to);
  // Account names are in every subscription and connection that monitoring shows.
  to.refused("accounts", running.authorization.account, wanted.authorization.account);
  to.refused(
      "system_account", running.authorization.system_account, wanted.authorization.system_account);
  if (to.applied("authorization", running.authorization, wanted.authorization)) {
    to.change().authorization = true;
  }
  if (to.applied("tls", running.tls, wanted.tls) || wanted.tls.enabled) {
    to.change().tls = true;
  }
  compare_websocket(running.websocket, wanted.websocket, to);
  to.refused("http", running.monitoring, wanted.monitoring);
  if (to.applied("logging", running.logging, wanted.logging)) {
    to.change().logging = true;
  }
  to.refused("jetstream", running.jetstream, wanted.jetstream);
  to.applied("pid_file", running.pid_file, wanted.pid_file);
  to.applied("ports_file_dir", running.ports_file_dir, wanted.ports_file_dir);
  return to.change();
}

}  // namespace feedvault::broker
