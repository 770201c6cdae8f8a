#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace feedvault::broker {

/// Threads for slow credential checks (bcrypt takes 50 to 500 ms of CPU), so that no event loop
/// does them. Jobs run in order of arrival; at most kJobsMax wait, which also bounds what a flood
/// of clients with wrong passwords costs. Any thread.
class AuthWorkers {
 public:
  static constexpr std::size_t kJobsMax = 4096;

  explicit AuthWorkers(std::size_t threads = 1);
  /// Drops what has not started, waits for what has.
  ~AuthWorkers();
  AuthWorkers(const AuthWorkers&) = delete;
  AuthWorkers& operator=(const AuthWorkers&) = delete;

  /// False when the queue is full: let the client come again later. `job` must hold all that it
  /// needs (the Authenticator, the credentials) and hand its result back to the client's loop
  /// itself.
  bool submit(std::function<void()> job) EXCLUDES_LOCK(mutex_);

 private:
  void run() EXCLUDES_LOCK(mutex_);

  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace feedvault::broker
