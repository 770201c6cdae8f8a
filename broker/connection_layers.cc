// A connection whose transport has a protocol of its own (TLS, WebSocket): its handshake, and what
// it does with reading, writing and time.

#include "base/log.h"
#include "broker/connection.h"

namespace feedvault::broker {

// The transport reads for its own ends, too: a handshake may be over, its own frames may wait for
// the socket, and it may hold input that epoll knows nothing of.
void Connection::after_layered_read() {
  if (!open()) {
    return;
  }
  if (handshaking_) {
    check_handshake();
  }
  if (blocked_ && !watching_write_) {
    flush();  // it waited for input
  }
  update_watch();
  if (transport_->has_input() && !reading_paused()) {
    host_.schedule(*this, host_.now() + std::chrono::nanoseconds(1));  // the next turn
  }
}

void Connection::check_handshake() {
  if (transport_->handshake_deadline() == SteadyTime::max()) {
    handshaking_ = false;
    opened_at_ = host_.now();
    last_progress_ = opened_at_;
  }
  schedule_next();
}

void Connection::end_by_transport(IoState state) {
  if (handshaking_) {  // what waits for its end will never go out
    output_.clear();
    blocked_ = false;
  }
  if (state != IoState::kRefused) {
    peer_ended_ = true;
    close(state == IoState::kEnd ? close_reasons::kClientClosed : close_reasons::kReadError);
    return;
  }
  const Refusal refusal = transport_->refusal();
  if (const auto left_out = host_.refusals.take(host_.now())) {
    logger("broker")->warn("refused cid={} ip={} reason=\"{}\" error=\"{}\" not_logged={}",
                           id_,
                           peer_.ip,
                           refusal.reason,
                           refusal.detail,
                           *left_out);
  }
  close(refusal.reason);
}

// What the clock has for the transport. False when there is nothing else for it to do.
bool Connection::layer_timer() {
  if (!handshaking_) {
    if (transport_->has_input() && !reading_paused()) {
      read_available();
    }
    return open();
  }
  if (host_.now() >= transport_->handshake_deadline() && !transport_->handshake_timed_out()) {
    end_by_transport(IoState::kRefused);
    return false;
  }
  after_layered_read();
  schedule_next();
  return false;
}

}  // namespace feedvault::broker
