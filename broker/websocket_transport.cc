#include "broker/websocket_transport.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "broker/limits.h"
#include "broker/monitoring.h"

namespace feedvault::broker {
namespace {

/// Shorter frames are not worth compressing; nats-server's number.
constexpr std::size_t kCompressBytesMin = 64;

std::uint16_t close_status(std::string_view reason) {
  namespace words = close_reasons;
  if (reason == words::kClientClosed) {
    return websocket_close::kNormal;
  }
  for (const std::string_view each :
       {words::kWriteError, words::kReadError, words::kStaleConnection, words::kServerShutdown}) {
    if (reason == each) {
      return websocket_close::kGoingAway;
    }
  }
  for (const std::string_view each : {words::kParseError, words::kProtocolViolation}) {
    if (reason == each) {
      return websocket_close::kProtocolError;
    }
  }
  for (const std::string_view each : {words::kAuthenticationTimeout,
                                      words::kAuthenticationFailure,
                                      words::kSlowConsumerPendingBytes,
                                      words::kSlowConsumerWriteDeadline,
                                      words::kMaxConnectionsExceeded,
                                      words::kMaxControlLineExceeded,
                                      words::kCredentialsRevoked}) {
    if (reason == each) {
      return websocket_close::kPolicyViolation;
    }
  }
  return reason == words::kMaxPayloadExceeded ? websocket_close::kMessageTooBig
                                              : websocket_close::kInternalError;
}

}  // namespace

// Input of a connection with compression: what was received and not yet unframed, and what was
// unframed and not yet handed out.
struct WebsocketTransport::Inflation {
  std::unique_ptr<char[]> received;  // kReadBytes, while there is something in it
  std::size_t at = 0;
  std::size_t end = 0;
  std::string_view pending;  // of the frame's data, in `received`
  bool compressed = false;
  bool message_end = false;                     // ... and then the message is over
  bool tail = false;                            // `pending` is the tail that was not sent
  std::unique_ptr<WebsocketInflater> inflater;  // while a message is in progress
};

WebsocketTransport::WebsocketTransport(std::unique_ptr<Transport> below,
                                       std::shared_ptr<const WebsocketOptions> options,
                                       const Clock& clock,
                                       bool tls)
    : below_(std::move(below)),
      options_(std::move(options)),
      upgrade_(std::make_unique<UpgradeRequest>()),
      deadline_(clock.now() + options_->handshake_timeout),
      tls_(tls) {}

WebsocketTransport::~WebsocketTransport() = default;

IoWaits WebsocketTransport::waits() const {
  IoWaits waits = below_->waits();
  const bool own_output = !head_.empty() || !pong_.empty();
  waits.read_for_output =
      waits.read_for_output || (own_output && frame_left_ == 0 && deflated_ == 0 && !write_shut_);
  waits.write_for_input = waits.write_for_input || state_ == State::kUpgrade;
  return waits;
}

bool WebsocketTransport::has_input() const {
  return end_ != IoState::kDone || below_->has_input() ||
         (inflation_ != nullptr &&
          (inflation_->at < inflation_->end || !inflation_->pending.empty() || inflation_->tail));
}

SteadyTime WebsocketTransport::handshake_deadline() const {
  return state_ == State::kUpgrade ? std::min(deadline_, below_->handshake_deadline())
                                   : SteadyTime::max();
}

bool WebsocketTransport::handshake_timed_out() {
  const bool below = below_->handshake_deadline() != SteadyTime::max();
  if (!below && !upgrade_->empty()) {
    head_ = upgrade_refusal(408, "the request did not come in time");
    send_head();
  }
  refuse(below ? close_reasons::kTlsHandshakeError : close_reasons::kProtocolViolation,
         below ? "TLS handshake timeout" : "WebSocket handshake timeout");
  return false;
}

Refusal WebsocketTransport::refusal() const {
  return refusal_.reason.empty() ? below_->refusal() : refusal_;
}

void WebsocketTransport::refuse(std::string_view reason, std::string detail) {
  state_ = State::kRefused;
  end_ = IoState::kRefused;
  refusal_ = {reason, std::move(detail)};
}

// Reading is over, once all that came before was handed out.
IoResult WebsocketTransport::ended() {
  send_close();
  return {end_, 0, 0};
}

// --- reading ---

IoResult WebsocketTransport::read(char* into, std::size_t size) {
  if (write_shut_) {
    return below_->read(into, size);  // what comes after our farewell nobody wants to understand
  }
  send_pong();
  if (end_ != IoState::kDone) {
    return ended();
  }
  if (inflation_ != nullptr) {
    return read_compressed(into, size);
  }
  const IoResult got = below_->read(into, size);
  if (got.state != IoState::kDone) {
    return got;
  }
  std::size_t begin = 0;
  if (state_ == State::kUpgrade) {
    begin = got.bytes;
    const IoResult taken = take_upgrade(into, begin);
    if (taken.state != IoState::kDone) {
      return taken;
    }
    if (inflation_ != nullptr) {  // what came behind the request goes the long way
      inflation_->received = std::make_unique<char[]>(kReadBytes);
      inflation_->end = got.bytes - begin;
      std::memcpy(inflation_->received.get(), into + begin, inflation_->end);
      return read_compressed(into, size);
    }
  }
  return unframe(into, begin, got.bytes);
}

// `size` bytes of the request, perhaps with more behind it: then `size` becomes where that begins.
IoResult WebsocketTransport::take_upgrade(char* into, std::size_t& size) {
  const std::size_t taken = upgrade_->take({into, size});
  if (!upgrade_->complete()) {
    return {IoState::kWouldBlock, 0, 0};
  }
  UpgradeRequest::Answer answer = upgrade_->answer(*options_, tls_);
  upgrade_.reset();
  head_ = std::move(answer.response);
  if (!answer.accepted) {
    send_head();
    refuse(close_reasons::kProtocolViolation, std::move(answer.problem));
    return ended();
  }
  state_ = State::kOpen;
  if (answer.compression) {
    decoder_.allow_compression();
    inflation_ = std::make_unique<Inflation>();
  }
  send_head();
  size = taken;
  return {};
}

// Takes the frames off the bytes in [begin, end) and moves what is left to the front.
IoResult WebsocketTransport::unframe(char* into, std::size_t begin, std::size_t end) {
  std::size_t filled = 0;
  while (begin < end && end_ == IoState::kDone) {
    const WebsocketDecoder::Step step = decoder_.next({into + begin, end - begin});
    begin += step.consumed;
    if (step.item == WebsocketDecoder::Item::kData) {
      std::memmove(into + filled, step.bytes.data(), step.bytes.size());
      filled += step.bytes.size();
    } else {
      take_control(step);
    }
  }
  send_pong();
  if (filled > 0) {
    return {IoState::kDone, filled, 0};
  }
  return end_ == IoState::kDone ? IoResult{IoState::kWouldBlock, 0, 0} : ended();
}

void WebsocketTransport::take_control(const WebsocketDecoder::Step& step) {
  switch (step.item) {
    case WebsocketDecoder::Item::kPing:
      pong_ = websocket_control_frame(WebsocketOpcode::kPong, step.bytes);
      break;
    case WebsocketDecoder::Item::kClose:
      if (is_valid_close_payload(step.bytes)) {
        close_ = websocket_control_frame(WebsocketOpcode::kClose, step.bytes);
      } else {
        close_ = websocket_close_frame(websocket_close::kProtocolError, "invalid close frame");
      }
      end_ = IoState::kEnd;
      break;
    case WebsocketDecoder::Item::kProblem:
      break_off(decoder_.problem());
      break;
    case WebsocketDecoder::Item::kNothing:
    case WebsocketDecoder::Item::kData:
    case WebsocketDecoder::Item::kPong:
      break;
  }
}

void WebsocketTransport::break_off(std::string_view problem) {
  close_ = websocket_close_frame(websocket_close::kProtocolError, problem);
  refusal_ = {close_reasons::kReadError, std::string(problem)};
  end_ = IoState::kRefused;
}

IoResult WebsocketTransport::read_compressed(char* into, std::size_t size) {
  Inflation& input = *inflation_;
  std::size_t produced = 0;
  while (produced < size && end_ == IoState::kDone) {
    if (!input.pending.empty() || input.tail) {
      if (!inflate_pending(into, size, produced)) {
        break_off("invalid compressed data");
      }
      continue;
    }
    if (input.at == input.end) {
      if (produced > 0) {
        break;
      }
      if (input.received == nullptr) {
        input.received = std::make_unique<char[]>(kReadBytes);
      }
      const IoResult got = below_->read(input.received.get(), kReadBytes);
      if (got.state != IoState::kDone) {
        input.received.reset();  // idle connections hold none
        return got;
      }
      input.at = 0;
      input.end = got.bytes;
    }
    const WebsocketDecoder::Step step =
        decoder_.next({input.received.get() + input.at, input.end - input.at});
    input.at += step.consumed;
    if (step.item != WebsocketDecoder::Item::kData) {
      take_control(step);
      continue;
    }
    input.compressed = step.compressed;
    input.message_end = step.message_end && step.compressed;
    input.pending = step.bytes;
    if (input.pending.empty() && input.message_end) {
      input.pending = kDeflateTail;
      input.tail = true;
    }
  }
  send_pong();
  if (produced > 0) {
    return {IoState::kDone, produced, 0};
  }
  return end_ == IoState::kDone ? IoResult{IoState::kWouldBlock, 0, 0} : ended();
}

// Hands out as much of the pending data as there is room for. False when it is no deflate data.
bool WebsocketTransport::inflate_pending(char* into, std::size_t size, std::size_t& produced) {
  Inflation& input = *inflation_;
  if (!input.compressed) {
    const std::size_t taken = std::min(input.pending.size(), size - produced);
    std::memcpy(into + produced, input.pending.data(), taken);
    produced += taken;
    input.pending.remove_prefix(taken);
    return true;
  }
  if (input.inflater == nullptr) {
    input.inflater = std::make_unique<WebsocketInflater>();
  }
  const auto progress = input.inflater->inflate(input.pending, into + produced, size - produced);
  produced += progress.produced;
  input.pending.remove_prefix(progress.consumed);
  if (!progress.good || !input.pending.empty() || !input.message_end) {
    return progress.good;
  }
  if (!input.tail) {
    input.pending = kDeflateTail;
    input.tail = true;
  } else if (produced < size) {  // there was room, so zlib has nothing left
    input.tail = false;
    input.message_end = false;
    input.inflater.reset();
  }
  return true;
}

// --- writing ---

// True when nothing of it is left.
bool WebsocketTransport::send_head() {
  while (head_sent_ < head_.size()) {
    const iovec piece{head_.data() + head_sent_, head_.size() - head_sent_};
    const IoResult result = below_->write(&piece, 1);
    if (result.state != IoState::kDone) {
      return false;
    }
    head_sent_ += result.bytes;
  }
  head_.clear();
  head_sent_ = 0;
  if (head_.capacity() > kKeptScratchBytes) {
    head_.shrink_to_fit();  // there was a compressed frame in it
  }
  return true;
}

// Between two frames: what waited for that. True when all of it has gone.
bool WebsocketTransport::send_pong() {
  if (frame_left_ > 0 || deflated_ > 0 || !send_head()) {
    return false;
  }
  if (!pong_.empty()) {
    head_ = std::exchange(pong_, {});
    return send_head();
  }
  return true;
}

void WebsocketTransport::send_close() {
  if (!close_.empty() && send_pong()) {
    head_ = std::exchange(close_, {});
    close_sent_ = true;
    send_head();
  }
}

IoResult WebsocketTransport::write(const iovec* pieces, std::size_t count) {
  if (state_ == State::kUpgrade) {
    return {IoState::kWouldBlock, 0, 0};
  }
  if (state_ == State::kRefused || close_sent_ || write_shut_) {
    return {IoState::kFailed, 0, EPIPE};
  }
  if (frame_left_ == 0 && deflated_ == 0) {
    if (!send_pong()) {
      return {IoState::kWouldBlock, 0, 0};
    }
    begin_frame(pieces, count);
  }
  if (deflated_ == 0) {
    return send_frame(pieces, count);
  }
  if (!send_head()) {
    return {IoState::kWouldBlock, 0, 0};
  }
  return {IoState::kDone, std::exchange(deflated_, 0), 0};
}

// One frame for all that is offered; with compression for as much as is compressed at once.
void WebsocketTransport::begin_frame(const iovec* pieces, std::size_t count) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    total += pieces[i].iov_len;
  }
  if (inflation_ != nullptr && total >= kCompressBytesMin) {
    std::string joined;
    joined.reserve(std::min(total, kCompressBytesMax));
    for (std::size_t i = 0; i < count && joined.size() < kCompressBytesMax; ++i) {
      joined.append(static_cast<const char*>(pieces[i].iov_base),
                    std::min(pieces[i].iov_len, kCompressBytesMax - joined.size()));
    }
    head_.assign(kWebsocketHeaderBytesMax, '\0');
    if (append_deflated(joined, head_)) {
      std::array<char, kWebsocketHeaderBytesMax> header;
      const std::size_t size = write_websocket_header(header.data(),
                                                      WebsocketOpcode::kBinary,
                                                      head_.size() - kWebsocketHeaderBytesMax,
                                                      /*compressed=*/true);
      head_sent_ = kWebsocketHeaderBytesMax - size;
      std::memcpy(head_.data() + head_sent_, header.data(), size);
      deflated_ = joined.size();
      return;
    }
  }
  head_.resize(kWebsocketHeaderBytesMax);
  head_.resize(write_websocket_header(head_.data(), WebsocketOpcode::kBinary, total));
  frame_left_ = total;
}

// The frame in progress: what is left of its header and of the bytes that it is for.
IoResult WebsocketTransport::send_frame(const iovec* pieces, std::size_t count) {
  std::array<iovec, kIovecsMax + 1> all;
  std::size_t used = 0;
  const std::size_t header = head_.size() - head_sent_;
  if (header > 0) {
    all[used++] = {head_.data() + head_sent_, header};
  }
  std::uint64_t left = frame_left_;
  for (std::size_t i = 0; i < count && left > 0 && used < all.size(); ++i) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, pieces[i].iov_len));
    all[used++] = {pieces[i].iov_base, size};
    left -= size;
  }
  const IoResult result = below_->write(all.data(), used);
  if (result.state != IoState::kDone) {
    return {result.state, 0, result.error};
  }
  if (result.bytes < header) {
    head_sent_ += result.bytes;
    return {IoState::kWouldBlock, 0, 0};
  }
  head_.clear();
  head_sent_ = 0;
  const std::size_t sent = result.bytes - header;
  frame_left_ -= sent;
  return {sent > 0 ? IoState::kDone : IoState::kWouldBlock, sent, 0};
}

void WebsocketTransport::shut_write(std::string_view reason) {
  if (state_ == State::kOpen && !close_sent_) {
    if (close_.empty()) {
      close_ = websocket_close_frame(close_status(reason), reason);
    }
    send_close();
  }
  write_shut_ = true;
  below_->shut_write(reason);
}

}  // namespace feedvault::broker
