#pragma once

#include <atomic>
#include <chrono>

#include "base/mutex.h"

namespace feedvault {

/// "Stop, please": requested once, seen by every thread that waits on it. Any thread.
class StopSource {
 public:
  void request_stop() {
    {
      MutexLock lock(mutex_);
      stopped_.store(true, std::memory_order_release);
    }
    changed_.notify_all();
  }

  bool stop_requested() const { return stopped_.load(std::memory_order_acquire); }

  /// Sleeps until `deadline` or until a stop is requested; true when it was.
  bool wait_until(std::chrono::steady_clock::time_point deadline) {
    MutexLock lock(mutex_);
    while (!stop_requested()) {
      if (!changed_.wait_until(mutex_, deadline)) {
        break;
      }
    }
    return stop_requested();
  }

  bool wait_for(std::chrono::nanoseconds duration) {
    return wait_until(std::chrono::steady_clock::now() + duration);
  }

 private:
  std::atomic<bool> stopped_{false};
  Mutex mutex_;
  CondVar changed_;
};

}  // namespace feedvault
