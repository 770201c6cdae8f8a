#pragma once

#include "base/mutex.h"
#include "base/status.h"
#include "base/stop_token.h"

namespace feedvault::controller {

/// What the threads of one feed's session share: the first failure ends the session for all of
/// them. A session is the time between taking a feed over and the first doubt about anything; the
/// next one starts with the full reconciliation. Any thread.
class Session {
 public:
  /// Keeps the first failure and asks everybody to stop.
  void fail(Status why) {
    {
      MutexLock lock(mutex_);
      if (!failure_.ok()) {
        return;
      }
      failure_ = std::move(why);
    }
    stop_.request_stop();
  }

  bool failed() const { return stop_.stop_requested(); }

  Status failure() const {
    MutexLock lock(mutex_);
    return failure_;
  }

  StopSource& stop() { return stop_; }

 private:
  mutable Mutex mutex_;
  Status failure_ GUARDED_BY(mutex_);
  StopSource stop_;
};

}  // namespace feedvault::controller
