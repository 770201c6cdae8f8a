#include "broker/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "broker/connection_trace.h"
#include "broker/subject_index.h"

namespace feedvault::broker {
namespace {

char* put(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

}  // namespace

std::size_t Connection::SidHash::operator()(std::string_view sid) const {
  return hash_text(sid, process_hash_seed());
}

Connection::Connection(ConnectionHost& host,
                       std::uint32_t loop,
                       std::uint64_t id,
                       std::unique_ptr<Transport> transport,
                       Peer peer)
    : host_(host),
      transport_(std::move(transport)),
      output_(host.chunks),
      peer_(std::move(peer)),
      id_(id),
      max_pending_(static_cast<std::size_t>(host.options->limits.max_pending)),
      started_at_(host.now()),
      opened_at_(started_at_),
      last_activity_(started_at_),
      last_progress_(started_at_),
      drain_window_begin_(started_at_),
      drained_before_(kFastDrainBytes),  // new receivers are taken for fast ones
      start_ns_(host.unix_ns()),
      last_activity_ns_(start_ns_),
      loop_(loop),
      layered_(transport_->layered()),
      handshaking_(layered_ && transport_->handshake_deadline() != SteadyTime::max()) {
  const LimitOptions& limits = host.options->limits;
  parser_.limits().max_control_line = static_cast<std::size_t>(limits.max_control_line);
  parser_.limits().max_payload = static_cast<std::uint32_t>(limits.max_payload);
  next_ping_ = started_at_ + host.options->timeouts.ping_interval;
  choose_tracing();
}

Connection::~Connection() = default;

/// Again at a reload, and when the client turns out to be of another account.
void Connection::choose_tracing() {
  trace_ = ConnectionTrace::wanted(host_.options->logging, account_, id_, peer_.ip);
}

void Connection::start() {
  if (host_.authenticator->nonce_required()) {
    nonce_ = make_nonce();
  }
  // Whoever needs no credentials is somebody before his CONNECT already.
  ConnectCredentials none;
  none.websocket = peer_.websocket;
  const auto anonymous = host_.authenticator->authenticate(none, nonce_);
  if (anonymous) {
    set_user(anonymous.value());
  }
  parser_.limits().connect_required = !anonymous.has_value();
  send(host_.info(*this, /*lame_duck=*/false));
  schedule_next();
}

void Connection::refuse(std::string_view error, std::string_view reason) {
  send(host_.info(*this, /*lame_duck=*/false));
  close(reason, error);
}

void Connection::on_events(std::uint32_t events) {
  if (phase_ == Phase::kLingering) {
    discard_input();
    return;
  }
  if (phase_ != Phase::kOpen) {
    return;
  }
  bool readable = (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
  if ((events & EPOLLOUT) != 0) {
    flush();
    readable = readable || reads_on_output_;
  }
  if (readable) {
    if (!reading_paused()) {
      read_available();
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
      on_broken_while_paused();
    }
  }
}

// Epoll would report it for ever. What the client had sent before still counts, unless we do not
// even know who it is.
void Connection::on_broken_while_paused() {
  if (being_checked()) {
    close(close_reasons::kClientClosed);
  } else if (held() || (pauses_ & kPauseStopped) != 0) {
    // What it sent before is read when there is room for it.
    if (!muted_) {
      host_.mute(*this);
      muted_ = true;
    }
  } else if (pauses_ == kPauseStall) {
    resume_reading();
    read_available();
  }  // else its turn comes soon
}

void Connection::read_available() {
  for (int reads = 0; reads < kReadsPerTurnMax && open() && !reading_paused(); ++reads) {
    const std::span<char> buffer = host_.read_buffer();
    const IoResult result = transport_->read(buffer.data(), buffer.size());
    if (result.state == IoState::kWouldBlock) {
      break;
    }
    if (result.state != IoState::kDone) {
      end_by_transport(result.state);
      break;
    }
    last_activity_ = host_.now();
    last_activity_ns_ = host_.unix_ns();
    host_.before_input();
    take_input({buffer.data(), result.bytes});
    if (careful_reads_ > 0) {
      --careful_reads_;
      break;
    }
    if (!host_.worth_reading_on(result.bytes < buffer.size())) {
      break;
    }
  }
  if (layered_) {
    after_layered_read();
  }
  host_.after_input(*this);
}

void Connection::take_input(std::string_view input) {
  while (!input.empty() && open()) {
    const Parser::Outcome outcome = parser_.parse(input, *this);
    input.remove_prefix(outcome.consumed);
    if (outcome.stop == ParseStop::kInputConsumed) {
      return;
    }
    if (outcome.stop != ParseStop::kSinkStopped) {
      stop_for(outcome.stop);
      return;
    }
    if ((pauses_ & (kPauseAuth | kPauseTurn)) != 0) {
      held_input_.append(input);  // at most one read: nothing more is read until it is parsed
      return;
    }
  }
}

void Connection::stop_for(ParseStop stop) {
  host_.counters.protocol_errors.add(1);
  switch (stop) {
    case ParseStop::kUnknownOperation:
      close(close_reasons::kProtocolViolation, "Unknown Protocol Operation");
      break;
    case ParseStop::kControlLineTooLong:
      close(close_reasons::kMaxControlLineExceeded, "maximum control line exceeded");
      break;
    case ParseStop::kPayloadTooLarge:
      close(close_reasons::kMaxPayloadExceeded, "Maximum Payload Violation");
      break;
    case ParseStop::kConnectRequired:
      host_.counters.auth_failures.add(1);
      close(close_reasons::kAuthenticationFailure, "Authorization Violation");
      break;
    case ParseStop::kBadArguments:
    case ParseStop::kInputConsumed:
    case ParseStop::kSinkStopped:
      close(close_reasons::kProtocolViolation);
      break;
  }
}

// --- output ---

void Connection::send(std::string_view text) {
  if (open()) {
    if (trace_ != nullptr) {
      trace_->sent(text.substr(0, text.find_last_not_of("\r\n") + 1));
    }
    output_.append(text);
    appended(text.size());
  }
}

void Connection::send_ok() {
  send("+OK\r\n");
}

void Connection::send_error(std::string_view text) {
  send(fmt::format("-ERR '{}'\r\n", text));
}

void Connection::appended(std::size_t bytes) {
  host_.turn_output_bytes += bytes;
  if (!dirty_) {
    dirty_ = true;
    host_.mark_dirty(*this);
  }
  if (output_.size() > kSoftPendingBytes || output_.size() > max_pending_) {
    check_pending();
  }
}

void Connection::append_message(std::string_view operation,
                                std::string_view subject,
                                std::string_view sid,
                                std::string_view tail) {
  const std::size_t bytes = operation.size() + subject.size() + sid.size() + tail.size() + 2;
  if (char* at = output_.claim(bytes); at != nullptr) {
    at = put(at, operation);
    at = put(at, subject);
    *at++ = ' ';
    at = put(at, sid);
    *at++ = ' ';
    put(at, tail);
  } else {
    // Likely the first message of a turn, or the end of a chunk.
    for (const std::string_view part :
         {operation, subject, std::string_view(" "), sid, std::string_view(" "), tail}) {
      output_.append(part);
    }
  }
  appended(bytes);
}

void Connection::append_without_headers(const Subscription& subscription, const Publish& message) {
  const std::string_view payload = message.body.substr(message.header_bytes);
  std::string tail;
  tail.reserve(message.reply.size() + payload.size() + 16);
  if (!message.reply.empty()) {
    tail.append(message.reply).push_back(' ');
  }
  tail.append(std::to_string(payload.size())).append("\r\n").append(payload).append("\r\n");
  append_message("MSG ", message.subject, subscription.sid(), tail);
}

bool Connection::deliver(Subscription& subscription, const Publish& message) {
  if (subscription.closed || phase_ != Phase::kOpen) {
    return false;
  }
  if (subscription.filters_delivery && permissions_ != nullptr &&
      !permissions_->can_receive(message.subject)) {
    return false;
  }
  if (trace_ != nullptr) {
    trace_->delivery(subscription.sid(), message, connect_.headers);
  }
  ++subscription.delivered;
  if (subscription.max > 0 && subscription.delivered >= subscription.max) {
    subscription.closed = true;
    host_.expired(subscription);
  }
  if (reply_permits_ != nullptr && !message.reply.empty()) {
    reply_permits_->grant(message.reply, host_.now());
  }
  ++traffic_.out_msgs;
  traffic_.out_bytes += message.body.size();
  host_.counters.out_msgs.add(1);
  host_.counters.out_bytes.add(message.body.size());
  if (message.header_bytes == 0) {
    append_message("MSG ", message.subject, subscription.sid(), message.tail);
  } else if (connect_.headers) {
    append_message("HMSG ", message.subject, subscription.sid(), message.tail);
  } else {
    append_without_headers(subscription, message);
  }
  return true;
}

void Connection::deliver_no_responders(Subscription& subscription, std::string_view reply) {
  Publish message;
  message.subject = reply;
  message.body = "NATS/1.0 503\r\n\r\n";
  message.header_bytes = 16;
  message.tail = "16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
  static_assert(std::string_view("NATS/1.0 503\r\n\r\n").size() == 16);
  if (deliver(subscription, message)) {
    host_.counters.no_responders.add(1);
  }
}

void Connection::flush_turn() {
  dirty_ = false;
  if (!blocked_) {
    flush();  // else epoll says when
    if (output_.size() > max_pending_) {
      check_pending();
    }
  }
}

void Connection::flush() {
  if (output_.empty() || phase_ == Phase::kFinished) {
    return;
  }
  host_.before_output();
  const IoResult result = output_.flush(*transport_);
  if (result.bytes > 0) {
    last_progress_ = host_.now();
    drained_ += result.bytes;
    if (traffic_.out_msgs != written_msgs_) {
      written_msgs_ = traffic_.out_msgs;
      last_activity_ns_ = host_.unix_ns();
    }
    check_receiving();
  }
  if (result.state == IoState::kFailed) {
    output_.clear();
    blocked_ = false;
    peer_ended_ = true;
    close(close_reasons::kWriteError);
    return;
  }
  const bool blocked = result.state == IoState::kWouldBlock;
  if (blocked && !blocked_) {
    last_progress_ = host_.now();
  }
  if (blocked != blocked_) {
    blocked_ = blocked;
    update_watch();
    if (blocked_) {
      schedule_next();
    }
  }
}

// --- life ---

void Connection::close(std::string_view reason, std::string_view error) {
  if (phase_ != Phase::kOpen) {
    return;
  }
  if (!error.empty()) {
    send_error(error);
    if (phase_ != Phase::kOpen) {
      return;  // that was too much for it
    }
  }
  phase_ = Phase::kClosing;
  halted_ = true;
  close_reason_ = reason;
  check_receiving();
  logger("broker")->debug("closing cid={} ip={} reason=\"{}\"", id_, peer_.ip, reason);
  host_.closing(*this);
}

void Connection::wind_up() {
  if (phase_ != Phase::kClosing) {
    return;
  }
  phase_ = Phase::kLingering;
  linger_until_ = host_.now() + kLingerTime;
  if (handshaking_ && close_reason_ == close_reasons::kServerShutdown) {
    output_.clear();  // nobody is there yet to whom it would matter
    blocked_ = false;
  }
  flush();
  if (phase_ == Phase::kFinished) {
    return;
  }
  // The peer has ended, too: what could be written was. Else it shall read our last words before it
  // hears a reset, which unread input in the kernel would cause.
  if (peer_ended_ && !blocked_) {
    phase_ = Phase::kFinished;
    host_.finished(*this);
    return;
  }
  if (output_.empty()) {
    transport_->shut_write(close_reason_);
    farewell_ = true;
  }
  update_watch();
  host_.schedule(*this, linger_until_);
  discard_input();
}

void Connection::say_farewell() {
  flush();
  if (output_.empty() && !farewell_) {
    transport_->shut_write(close_reason_);
    farewell_ = true;
  }
}

// Lingering: the last output goes out, and input is thrown away until the peer closes.
void Connection::discard_input() {
  say_farewell();
  while (phase_ == Phase::kLingering) {
    const std::span<char> buffer = host_.read_buffer();
    const IoResult result = transport_->read(buffer.data(), buffer.size());
    lingered_bytes_ += result.bytes;
    if (result.state == IoState::kWouldBlock) {
      if (layered_) {
        say_farewell();  // a handshake may be over
        update_watch();
      }
      return;
    }
    if ((result.state != IoState::kDone && output_.empty()) || result.state == IoState::kFailed ||
        result.state == IoState::kRefused || lingered_bytes_ > kLingerBytesMax) {
      phase_ = Phase::kFinished;
      host_.finished(*this);
      return;
    }
    if (result.state == IoState::kEnd) {
      peer_ended_ = true;  // half closed, and still taking our output
      update_watch();
      return;
    }
  }
}

void Connection::pause_reading() {
  careful_reads_ = kCarefulReads;
  set_pause(kPauseStall, true);
}

void Connection::resume_reading() {
  set_pause(kPauseStall, false);
}

void Connection::suspend_input() {
  if (open() && (pauses_ & kPauseTurn) == 0) {
    halted_ = true;
    set_pause(kPauseTurn, true);
  }
}

void Connection::resume_input() {
  if (!open()) {
    return;
  }
  halted_ = false;
  set_pause(kPauseTurn, false);
  const std::string held = std::exchange(held_input_, {});
  host_.before_input();
  take_input(held);
  host_.after_input(*this);
}

void Connection::hold(Hold why) {
  set_pause(why == Hold::kLoop ? kPauseStreams : kPauseStream, true);
}

void Connection::release(Hold why) {
  last_activity_ = host_.now();  // it could not say that it lives
  pings_out_ = 0;
  set_pause(why == Hold::kLoop ? kPauseStreams : kPauseStream, false);
}

void Connection::refuse_publish(std::string_view text) {
  // Clients take most errors for the end of their connection; what begins like this they report.
  constexpr auto kRefusalInterval = std::chrono::seconds(1);
  if (host_.now() >= next_refusal_) {
    next_refusal_ = host_.now() + kRefusalInterval;
    permission_violation("Permissions Violation for Publish to " + std::string(text));
  }
}

void Connection::set_pause(Pause pause, bool on) {
  pauses_ = static_cast<std::uint8_t>(on ? pauses_ | pause : pauses_ & ~pause);
  update_watch();
  if (layered_ && !on && pauses_ == 0 && open() && transport_->has_input()) {
    host_.schedule(*this, host_.now() + std::chrono::nanoseconds(1));
  }
}

void Connection::update_watch() {
  const bool read =
      phase_ == Phase::kLingering ? !peer_ended_ : pauses_ == 0 && phase_ == Phase::kOpen;
  bool write = blocked_;
  if (layered_) {
    const IoWaits waits = transport_->waits();
    reads_on_output_ = waits.read_for_output && read;
    write = (blocked_ && !waits.write_for_input) || reads_on_output_;
  }
  if (read != watching_read_ || write != watching_write_) {
    watching_read_ = read;
    watching_write_ = write;
    muted_ = false;
    host_.watch(*this, read, write);
  }
}

void Connection::send_info_update(bool lame_duck) {
  if (connected_ && connect_.protocol >= 1) {
    send(host_.info(*this, lame_duck));
  }
}

void Connection::options_changed(bool check_user) {
  const LimitOptions& limits = host_.options->limits;
  parser_.limits().max_control_line = static_cast<std::size_t>(limits.max_control_line);
  parser_.limits().max_payload = static_cast<std::uint32_t>(limits.max_payload);
  max_pending_ = static_cast<std::size_t>(limits.max_pending);
  choose_tracing();
  if (!check_user || !open() || user_ == nullptr) {
    return;
  }
  std::shared_ptr<const User> now = host_.authenticator->recheck(*user_);
  if (now == nullptr) {
    close(close_reasons::kCredentialsRevoked, "Authorization Violation");
    return;
  }
  set_user(std::move(now));
  // What the user may no longer receive goes without a word, as with nats-server.
  std::vector<Subscription*> lost;
  for (const auto& [sid, subscription] : subscriptions_) {
    if (permissions_ != nullptr &&
        !permissions_->can_subscribe(subscription->subject(), subscription->queue())) {
      lost.push_back(subscription.get());
    } else {
      subscription->filters_delivery =
          permissions_ != nullptr && permissions_->filters_delivery(subscription->subject());
    }
  }
  for (Subscription* const subscription : lost) {
    permission_violation("Permissions Violation for Subscription to " +
                         go_quoted(subscription->subject()));
    forget_expired(*subscription);
  }
}

// --- time ---

void Connection::schedule_next() {
  SteadyTime next = handshaking_ ? transport_->handshake_deadline() : next_ping_;
  if (!handshaking_ && parser_.limits().connect_required && !being_checked()) {
    next = std::min(next, opened_at_ + host_.options->auth_timeout());
  }
  if (blocked_ && !handshaking_) {
    next = std::min(next, last_progress_ + host_.options->timeouts.write_deadline);
  }
  // An earlier alarm that finds nothing to do costs less than moving one at every blocked write.
  if (!scheduled() || when() > next) {
    host_.schedule(*this, next);
  }
}

void Connection::on_timer() {
  const SteadyTime now = host_.now();
  if (phase_ == Phase::kLingering) {
    phase_ = Phase::kFinished;
    host_.finished(*this);
    return;
  }
  if (!open()) {
    return;
  }
  if (layered_ && !layer_timer()) {
    return;
  }
  const TimeoutOptions& timeouts = host_.options->timeouts;
  if (parser_.limits().connect_required && !being_checked() &&
      now >= opened_at_ + host_.options->auth_timeout()) {
    host_.counters.auth_failures.add(1);
    close(close_reasons::kAuthenticationTimeout, "Authentication Timeout");
    return;
  }
  if (blocked_ && now - last_progress_ >= timeouts.write_deadline) {
    host_.counters.slow_consumers_deadline.add(1);
    logger("broker")->warn(
        "slow consumer cid={} ip={} pending_bytes={} write_deadline_ms={}",
        id_,
        peer_.ip,
        output_.size(),
        std::chrono::ceil<std::chrono::milliseconds>(timeouts.write_deadline).count());
    slow_consumer(close_reasons::kSlowConsumerWriteDeadline);
    return;
  }
  if (now >= next_ping_) {
    check_ping();
  }
  if (open()) {
    schedule_next();
  }
}

void Connection::check_ping() {
  const SteadyTime now = host_.now();
  const TimeoutOptions& timeouts = host_.options->timeouts;
  next_ping_ = now + timeouts.ping_interval;
  if (held() || being_checked()) {
    return;  // an answer would not be read
  }
  if (rtt_measured_ && now - last_activity_ < timeouts.ping_interval) {
    next_ping_ = last_activity_ + timeouts.ping_interval;
    return;  // who talks is alive
  }
  if (pings_out_ + 1 > timeouts.ping_max) {
    host_.counters.stale_connections.add(1);
    close(close_reasons::kStaleConnection, "Stale Connection");
    return;
  }
  ++pings_out_;
  ping_sent_ = now;
  send("PING\r\n");
}

ConnectionSnapshot Connection::snapshot(bool with_subscriptions) const {
  ConnectionSnapshot shot;
  shot.cid = id_;
  shot.websocket = peer_.websocket;
  shot.ip = peer_.ip;
  shot.port = peer_.port;
  shot.start_ns = start_ns_;
  shot.last_activity_ns = last_activity_ns_;
  shot.reason = close_reason_;
  shot.rtt_ns = rtt_ns_;
  shot.pending_bytes = static_cast<std::int64_t>(output_.size());
  shot.traffic = traffic_;
  shot.subscriptions = static_cast<std::uint32_t>(subscriptions_.size());
  shot.name = connect_.name;
  shot.lang = connect_.lang;
  shot.version = connect_.version;
  if (layered_) {
    Protection protection = transport_->protection();
    shot.tls_version = std::move(protection.tls_version);
    shot.tls_cipher_suite = std::move(protection.cipher_suite);
  }
  shot.connected = connected_;
  if (user_ != nullptr) {
    shot.user = user_->name;
    shot.account = user_->account;
  }
  if (with_subscriptions) {
    for (const auto& [sid, each] : subscriptions_) {
      shot.subscription_list.push_back({shot.account,
                                        std::string(each->subject()),
                                        std::string(each->queue()),
                                        std::string(sid),
                                        each->delivered,
                                        each->max,
                                        id_});
    }
  }
  return shot;
}

}  // namespace feedvault::broker
