// What a connection does with each operation that its parser finds.

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "broker/connection.h"
#include "broker/connection_trace.h"
#include "broker/subject_index.h"

namespace feedvault::broker {
namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// These look at the first byte before anything else: it says no to nearly every message.

// Reply subjects that only the server itself may hand out.
bool is_reserved_reply(std::string_view reply) {
  return reply.front() == '$'
             ? starts_with(reply, "$JS.ACK.")
             : reply.front() == '_' && (starts_with(reply, "_R_.") || starts_with(reply, "_GR_."));
}

// Without a reply there is nothing to answer.
bool is_system_request(const Publish& publish) {
  return publish.subject.front() == '$' && starts_with(publish.subject, "$SYS.REQ.") &&
         !publish.reply.empty();
}

// Subjects between servers, which no client may publish to.
bool is_routed_reply_prefix(std::string_view subject) {
  return subject.front() == '_' && starts_with(subject, "_GR_.");
}

}  // namespace

bool Connection::on_connect(std::string_view json) {
  if (!read_connect_options(json, connect_)) {
    host_.counters.protocol_errors.add(1);
    close(close_reasons::kProtocolViolation);
    return false;
  }
  if (trace_ != nullptr) {
    trace_->connect(connect_);
  }
  ConnectCredentials credentials = connect_.credentials;
  if (connected_ && credentials.empty()) {
    return finish_connect();  // another CONNECT changes what it mentions, not who the client is
  }
  credentials.websocket = peer_.websocket;
  if (host_.authenticator->is_slow(credentials)) {
    set_pause(kPauseAuth, true);
    if (!host_.authenticate_elsewhere(*this, std::move(credentials))) {
      // Nobody looked at the password: clients give up after two authorization violations, but they
      // come again after this one.
      close(close_reasons::kMaxConnectionsExceeded, "maximum connections exceeded");
    }
    return false;
  }
  const auto result = host_.authenticator->authenticate(credentials, nonce_);
  credentials.wipe();
  if (!result) {
    authenticated(result);
    return false;
  }
  set_user(result.value());
  return finish_connect();
}

void Connection::authenticated(const Result<std::shared_ptr<const User>>& result) {
  if (!open()) {
    return;
  }
  if (!result) {
    host_.counters.auth_failures.add(1);
    if (const auto left_out = host_.refusals.take(host_.now())) {
      logger("broker")->warn(
          "authorization violation cid={} ip={} user={} reason=\"{}\" not_logged={}",
          id_,
          peer_.ip,
          go_quoted(connect_.credentials.user),
          result.error().message(),
          *left_out);
    }
    connect_.credentials.wipe();
    close(close_reasons::kAuthenticationFailure, "Authorization Violation");
    return;
  }
  set_user(result.value());
  if (!finish_connect()) {
    return;
  }
  set_pause(kPauseAuth, false);
  const std::string held = std::exchange(held_input_, {});
  take_input(held);
}

// The client is who it says; now the rest of its CONNECT. False when it must go.
bool Connection::finish_connect() {
  connect_.credentials.wipe();  // not needed again: secrets do not stay in memory
  if (!connect_.account.empty()) {
    close(close_reasons::kAuthenticationFailure, "Authorization Violation");
    return false;
  }
  if (connect_.protocol < 0 || connect_.protocol > 1) {
    close(close_reasons::kProtocolViolation, "invalid client protocol");
    return false;
  }
  connect_.headers = connect_.headers && !host_.options->limits.no_header_support;
  if (connect_.no_responders && !connect_.headers) {
    close(close_reasons::kNoRespondersRequiresHeaders, "no responders requires headers support");
    return false;
  }
  parser_.limits().headers = connect_.headers;
  parser_.limits().connect_required = false;
  if (!connected_) {
    connected_ = true;
    // INFO went out and CONNECT came back.
    const auto estimate = std::chrono::nanoseconds(host_.now() - started_at_);
    rtt_ns_ = std::max<std::int64_t>(estimate.count(), 1);
    next_ping_ = std::min(next_ping_, host_.now() + host_.options->timeouts.first_ping);
    schedule_next();
    host_.connected(*this);
  }
  if (connect_.verbose) {
    send_ok();
  }
  return true;
}

void Connection::set_user(std::shared_ptr<const User> user) {
  if (const Account now = user->system ? Account::kSystem : Account::kUsers; now != account_) {
    while (!subscriptions_.empty()) {
      forget_expired(*subscriptions_.begin()->second);
    }
    account_ = now;
    choose_tracing();
  }
  user_ = std::move(user);
  permissions_ = user_->permissions.get();
  const ResponseRules* const responses =
      permissions_ != nullptr ? permissions_->responses() : nullptr;
  reply_permits_ = responses != nullptr ? std::make_unique<ReplyPermits>(*responses) : nullptr;
}

bool Connection::on_info(std::string_view json) {
  if (!is_json_object(json)) {
    host_.counters.protocol_errors.add(1);
    close(close_reasons::kProtocolViolation);
    return false;
  }
  return true;
}

bool Connection::on_ping() {
  if (trace_ != nullptr) {
    trace_->received("PING");
  }
  send("PONG\r\n");
  return open();
}

bool Connection::on_pong() {
  if (trace_ != nullptr) {
    trace_->received("PONG");
  }
  if (pings_out_ > 0) {
    rtt_ns_ = std::chrono::nanoseconds(host_.now() - ping_sent_).count();
    rtt_measured_ = true;
  }
  pings_out_ = 0;
  return true;
}

bool Connection::may_publish(const Publish& publish) {
  if (is_routed_reply_prefix(publish.subject) ||
      (permissions_ != nullptr && !permissions_->can_publish(publish.subject) &&
       (reply_permits_ == nullptr || !reply_permits_->use(publish.subject, host_.now())))) {
    permission_violation("Permissions Violation for Publish to " + go_quoted(publish.subject));
    return false;
  }
  if (!publish.reply.empty() && is_reserved_reply(publish.reply)) {
    permission_violation("Permissions Violation for Publish with Reply of " +
                         go_quoted(publish.reply));
    return false;
  }
  return true;
}

bool Connection::on_publish(const Publish& publish) {
  if (trace_ != nullptr) {
    trace_->publish(publish);
  }
  ++traffic_.in_msgs;
  traffic_.in_bytes += publish.body.size();
  host_.counters.in_msgs.add(1);
  host_.counters.in_bytes.add(publish.body.size());
  if (connect_.pedantic && !is_valid_literal(publish.subject)) {
    send_error("Invalid Publish Subject");  // and is routed all the same, as in nats-server
  }
  if (may_publish(publish)) {
    if (connect_.verbose) {
      send_ok();
    }
    if (is_system_request(publish)) {
      host_.system_request(*this, publish);
    } else {
      host_.route(*this, publish);
    }
  }
  return !halted_;
}

bool Connection::on_subscribe(std::string_view subject,
                              std::string_view queue,
                              std::string_view sid) {
  if (trace_ != nullptr) {
    trace_->received(fmt::format("SUB {} {}{}{}", subject, queue, queue.empty() ? "" : " ", sid));
  }
  const LimitOptions& limits = host_.options->limits;
  if (queue == "_sys_" ||
      (permissions_ != nullptr && !permissions_->can_subscribe(subject, queue))) {
    permission_violation("Permissions Violation for Subscription to " + go_quoted(subject) +
                         (queue.empty() ? "" : " using queue " + go_quoted(queue)));
    return open();
  }
  if (limits.max_subscription_tokens > 0 &&
      token_count(subject) > static_cast<std::size_t>(limits.max_subscription_tokens)) {
    permission_violation("Permissions Violation for Subscription to " + go_quoted(subject) +
                         ", too many tokens");
    return open();
  }
  if (limits.max_subscriptions > 0 &&
      subscriptions_.size() >= static_cast<std::size_t>(limits.max_subscriptions)) {
    send_error("maximum subscriptions exceeded");
    return open();
  }
  if (subscriptions_.find(sid) == subscriptions_.end()) {
    if (!is_valid_filter(subject)) {
      send_error("Invalid Subject");
      return open();
    }
    auto made = std::make_unique<Subscription>(this, loop_, subject, queue, sid);
    made->filters_delivery = permissions_ != nullptr && permissions_->filters_delivery(subject);
    Subscription& subscription = *made;
    subscriptions_.emplace(subscription.sid(), std::move(made));
    host_.counters.subscriptions.add(1);
    host_.insert(subscription);
  }
  if (connect_.verbose) {
    send_ok();
  }
  return open();
}

bool Connection::on_unsubscribe(std::string_view sid, std::int64_t max) {
  if (trace_ != nullptr) {
    trace_->received(max > 0 ? fmt::format("UNSUB {} {}", sid, max) : fmt::format("UNSUB {}", sid));
  }
  if (const auto found = subscriptions_.find(sid); found != subscriptions_.end()) {
    Subscription& subscription = *found->second;
    if (max > 0 && max > subscription.delivered) {
      subscription.max = max;
    } else {
      forget_expired(subscription);
    }
  }
  if (connect_.verbose) {
    send_ok();
  }
  return open();
}

void Connection::forget_expired(Subscription& subscription) {
  const auto found = subscriptions_.find(subscription.sid());
  if (found == subscriptions_.end() || found->second.get() != &subscription) {
    return;
  }
  std::unique_ptr<Subscription> owned = std::move(found->second);
  subscriptions_.erase(found);
  owned->closed = true;
  host_.counters.subscriptions.subtract(1);
  host_.drop(std::move(owned));
}

void Connection::permission_violation(const std::string& text) {
  host_.counters.permission_violations.add(1);
  logger("broker")->debug("permissions violation cid={} {}", id_, text);
  send_error(text);
}

}  // namespace feedvault::broker
