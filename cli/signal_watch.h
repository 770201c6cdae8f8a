#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace feedvault::cli {

/// Calls `on_signal` once, on a thread of its own, when SIGINT or SIGTERM comes. Requires that both
/// are blocked in every thread. The destructor waits for a running call.
class SignalWatch {
 public:
  explicit SignalWatch(std::function<void()> on_signal);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  void watch();

  const std::function<void()> on_signal_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace feedvault::cli
