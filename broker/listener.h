#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "broker/connection.h"
#include "broker/event_loop.h"

namespace feedvault::broker {

/// A listening TCP socket on a loop: hands over each client that comes. Out of file descriptors it
/// pauses for kAcceptPause; the kernel's queue holds kListenBacklog meanwhile.
class Listener final : public EventHandler, public Timer {
 public:
  using Accepted = std::function<void(UniqueFd, Peer)>;

  /// Port -1 or 0: any free one. kUnavailable when the port is in use, kInvalidArgument for a host
  /// that does not exist.
  static Result<std::unique_ptr<Listener>> listen(const std::string& host, int port);
  ~Listener() override = default;

  int port() const { return port_; }
  /// Calls `accepted` on the loop's thread. The loop must outlive this, or be stopped.
  Status attach(EventLoop& loop, Accepted accepted);
  /// No more clients. The loop's thread.
  void close();

  void on_events(std::uint32_t events) override;
  void on_timer() override;

 private:
  Listener(UniqueFd fd, int port) : fd_(std::move(fd)), port_(port) {}

  UniqueFd fd_;
  int port_;
  EventLoop* loop_ = nullptr;
  Accepted accepted_;
};

}  // namespace feedvault::broker
