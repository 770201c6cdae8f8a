#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace feedvault::broker {

enum class IoState : std::uint8_t {
  kDone,        // `bytes` were moved, at least one
  kWouldBlock,  // nothing now; the loop will say when
  kEnd,         // reading: the peer sends no more
  kRefused,     // the peer broke the transport's rules and was told so: see Transport::refusal()
  kFailed       // the connection is broken
};
struct IoResult {
  IoState state = IoState::kDone;
  std::size_t bytes = 0;
  int error = 0;  // errno of kFailed
};

/// What an operation that would block waits for, where it is not its own readiness.
struct IoWaits {
  bool read_for_output = false;
  bool write_for_input = false;
};

/// Why a transport does not talk to a peer any more.
struct Refusal {
  std::string_view reason;  // one of close_reasons
  std::string detail;       // for the log
};

/// How a connection is protected; empty: it is not.
struct Protection {
  std::string tls_version;   // "1.3"
  std::string cipher_suite;  // IETF name
};

/// The bytes of one connection, whatever carries them: a socket, TLS over it, WebSocket frames, a
/// script in a test. Never blocks. Loop thread only; owned by its connection.
///
/// Who was told kWouldBlock by write() offers the same bytes first when he tries again: they may be
/// encrypted already.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult read(char* into, std::size_t size) = 0;
  virtual IoResult write(const iovec* pieces, std::size_t count) = 0;
  /// No more is written; what was is still delivered, and what the peer still sends can be read and
  /// thrown away. `reason` is one of close_reasons, for those who tell the peer.
  virtual void shut_write(std::string_view reason) = 0;
  /// What the loop watches; -1 where a test drives the connection itself.
  virtual int fd() const = 0;

  // Of transports with a protocol of their own. Where layered() is false nobody asks.

  virtual bool layered() const { return false; }
  /// As of the last operation.
  virtual IoWaits waits() const { return {}; }
  /// Something to be read has left the kernel already: the loop will not announce it.
  virtual bool has_input() const { return false; }
  /// While a handshake goes on, which read() drives: when it must be over. Later
  /// SteadyTime::max(). The connection's own output waits for the end of the handshake.
  virtual SteadyTime handshake_deadline() const { return SteadyTime::max(); }
  /// That time has come. True: it goes on in another way, ask for the next deadline. False: it is
  /// over, see refusal().
  virtual bool handshake_timed_out() { return false; }
  virtual Refusal refusal() const { return {}; }
  virtual Protection protection() const { return {}; }
};

/// Plain TCP (or any stream socket).
class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(UniqueFd fd) : fd_(std::move(fd)) {}
  IoResult read(char* into, std::size_t size) override;
  IoResult write(const iovec* pieces, std::size_t count) override;
  void shut_write(std::string_view reason) override;
  int fd() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace feedvault::broker
