#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "broker/tls_context.h"
#include "broker/transport.h"

struct ssl_st;  // OpenSSL's SSL
struct bio_st;

namespace feedvault::broker {

/// The least buffer that TlsTransport::read() can work with: a record that has begun to arrive in
/// OpenSSL, and one more to be worth the call.
inline constexpr std::size_t kTlsReadBytesMin = 36U << 10U;

/// TLS over a socket, as NATS clients expect it: the server's first line (INFO) goes out in the
/// clear, then the client begins the handshake on the same connection; or the handshake comes first
/// (WebSocket; handshake_first).
///
///   info -----------> handshake -> secure
///     \-> choose --/                          (plain clients are served, too: the first byte
///     tells)
///   choose -> info -> ...                     (handshake first, and INFO in the clear after all)
///
/// Handshakes run on the loop, half a millisecond of its time each; a slow peer only costs its own.
/// Loop thread only.
///
/// Memory: OpenSSL's own, whose record buffers exist only while a record is incomplete, and at most
/// one read of input that came while the handshake's output was stuck. Nothing that is complete
/// stays inside between calls, so epoll on the socket announces all there is: see read().
class TlsTransport final : public Transport {
 public:
  struct Opening {
    bool info_first = true;
    bool allow_plain = false;           // who does not begin a handshake is served in the clear
    std::chrono::nanoseconds timeout;   // for the handshake; with allow_plain for the first byte
    std::chrono::nanoseconds fallback;  // not info_first: after that silence it is; 0: never
  };
  /// Of a listener for clients.
  static Opening opening(const TlsOptions& options);

  TlsTransport(const TlsContext& context, UniqueFd fd, const Clock& clock, const Opening& opening);
  ~TlsTransport() override;
  TlsTransport(const TlsTransport&) = delete;
  TlsTransport& operator=(const TlsTransport&) = delete;

  /// Requires: size >= kTlsReadBytesMin.
  IoResult read(char* into, std::size_t size) override;
  IoResult write(const iovec* pieces, std::size_t count) override;
  void shut_write(std::string_view reason) override;
  int fd() const override { return socket_.fd(); }

  bool layered() const override { return true; }
  IoWaits waits() const override;
  bool has_input() const override { return ended_ != IoState::kDone; }
  SteadyTime handshake_deadline() const override { return deadline_; }
  bool handshake_timed_out() override;
  Refusal refusal() const override { return refusal_; }
  Protection protection() const override;

 private:
  enum class State : std::uint8_t { kInfo, kChoose, kHandshake, kSecure, kPlain, kFailed };
  friend struct TlsBio;

  void begin_handshake();
  IoResult choose();
  IoResult receive(char* into, std::size_t size);
  IoResult shake_hands();
  IoResult decrypt(char* into, std::size_t size);
  IoResult write_info(const iovec* pieces, std::size_t count);
  IoResult encrypt(const iovec* pieces, std::size_t count);
  int write_record(const char* bytes, std::size_t size);
  IoResult fail(std::string why);

  SocketTransport socket_;
  const Clock& clock_;
  ssl_st* ssl_;
  Opening opening_;
  SteadyTime deadline_;
  std::string_view fed_;  // received and not yet taken by OpenSSL; only during read()
  std::string kept_;      // ... between calls, while OpenSSL waits to write
  Refusal refusal_;
  std::size_t unfinished_record_ = 0;  // bytes that OpenSSL has taken and we did not report
  State state_;
  IoState ended_ = IoState::kDone;  // how reading ended behind data that went out before
  bool shaking_waits_for_output_ = false;
  bool write_waits_for_input_ = false;
  bool write_shut_ = false;
};

}  // namespace feedvault::broker
