#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"

namespace feedvault::broker {

enum class IoState : std::uint8_t {
  kDone,        // `bytes` were moved, at least one
  kWouldBlock,  // nothing now; the loop will say when
  kEnd,         // reading: the peer sends no more
  kFailed       // the connection is broken
};
struct IoResult {
  IoState state = IoState::kDone;
  std::size_t bytes = 0;
  int error = 0;  // errno of kFailed
};

/// The bytes of one connection, whatever carries them: a socket, TLS over it, WebSocket frames, a
/// script in a test. Never blocks. Loop thread only; owned by its connection.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult read(char* into, std::size_t size) = 0;
  virtual IoResult write(const iovec* pieces, std::size_t count) = 0;
  /// No more is written; what was is still delivered, and reading goes on.
  virtual void shut_write() = 0;
  /// What the loop watches; -1 where a test drives the connection itself.
  virtual int fd() const = 0;
};

/// Plain TCP (or any stream socket).
class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(UniqueFd fd) : fd_(std::move(fd)) {}
  IoResult read(char* into, std::size_t size) override;
  IoResult write(const iovec* pieces, std::size_t count) override;
  void shut_write() override;
  int fd() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace feedvault::broker
