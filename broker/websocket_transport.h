#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "broker/options.h"
#include "broker/transport.h"
#include "broker/websocket_deflate.h"
#include "broker/websocket_frame.h"
#include "broker/websocket_upgrade.h"

namespace feedvault::broker {

/// WebSocket over another transport (a socket, TLS): HTTP's upgrade first, which is its handshake,
/// then frames. Its own frames (pong, close) go out between those of the connection. Loop thread
/// only; owns the transport below.
///
/// What is received is unframed where it lies, so that a connection holds no input. With
/// compression it does, one read of it, since 64 KB of frames may become megabytes; then nothing
/// more is received before those have gone.
class WebsocketTransport final : public Transport {
 public:
  /// `options` as they are now: a reload counts for new connections. `tls`: `below` encrypts.
  WebsocketTransport(std::unique_ptr<Transport> below,
                     std::shared_ptr<const WebsocketOptions> options,
                     const Clock& clock,
                     bool tls);
  ~WebsocketTransport() override;
  WebsocketTransport(const WebsocketTransport&) = delete;
  WebsocketTransport& operator=(const WebsocketTransport&) = delete;

  IoResult read(char* into, std::size_t size) override;
  IoResult write(const iovec* pieces, std::size_t count) override;
  /// Says goodbye with the status that belongs to the reason, as nats-server does.
  void shut_write(std::string_view reason) override;
  int fd() const override { return below_->fd(); }

  bool layered() const override { return true; }
  IoWaits waits() const override;
  bool has_input() const override;
  SteadyTime handshake_deadline() const override;
  bool handshake_timed_out() override;
  Refusal refusal() const override;
  Protection protection() const override { return below_->protection(); }

 private:
  enum class State : std::uint8_t { kUpgrade, kOpen, kRefused };
  struct Inflation;

  IoResult take_upgrade(char* into, std::size_t& size);
  IoResult unframe(char* into, std::size_t begin, std::size_t end);
  IoResult read_compressed(char* into, std::size_t size);
  bool inflate_pending(char* into, std::size_t size, std::size_t& produced);
  void take_control(const WebsocketDecoder::Step& step);
  void break_off(std::string_view problem);
  void refuse(std::string_view reason, std::string detail);
  IoResult ended();

  bool send_head();
  bool send_pong();
  void send_close();
  void begin_frame(const iovec* pieces, std::size_t count);
  IoResult send_frame(const iovec* pieces, std::size_t count);

  std::unique_ptr<Transport> below_;
  std::shared_ptr<const WebsocketOptions> options_;
  std::unique_ptr<UpgradeRequest> upgrade_;  // while it is read
  std::unique_ptr<Inflation> inflation_;     // compression was agreed upon
  WebsocketDecoder decoder_;
  SteadyTime deadline_;
  std::string head_;           // goes out before the rest of the frame in progress: its header, ...
  std::size_t head_sent_ = 0;  // ... the upgrade's answer, control frames
  std::uint64_t frame_left_ = 0;  // of the connection's bytes in that frame
  std::size_t deflated_ = 0;      // head_ has a whole frame that stands for so many of those
  std::string pong_;              // waits for the end of that frame; the latest only
  std::string close_;             // ... and this for both
  Refusal refusal_;
  State state_ = State::kUpgrade;
  IoState end_ = IoState::kDone;  // how reading ended, behind data that went out before
  bool tls_;
  bool close_sent_ = false;
  bool write_shut_ = false;
};

}  // namespace feedvault::broker
