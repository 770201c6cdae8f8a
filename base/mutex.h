#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define FEEDVAULT_TSA(x) __attribute__((x))
#else
#define FEEDVAULT_TSA(x)
#endif

#define GUARDED_BY(m) FEEDVAULT_TSA(guarded_by(m))
#define REQUIRES_LOCK(m) FEEDVAULT_TSA(requires_capability(m))
#define EXCLUDES_LOCK(m) FEEDVAULT_TSA(locks_excluded(m))

namespace feedvault {

/// std::mutex, visible to clang's thread-safety analysis: mark every field it protects GUARDED_BY.
class FEEDVAULT_TSA(capability("mutex")) Mutex {
 public:
  void lock() FEEDVAULT_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() FEEDVAULT_TSA(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

/// Holds a Mutex for the rest of the scope.
class FEEDVAULT_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) FEEDVAULT_TSA(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() FEEDVAULT_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Condition variable for Mutex. Waits can wake early: call them in a loop over the condition.
class CondVar {
 public:
  void wait(Mutex& mutex) REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  /// False when the deadline has passed.
  bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace feedvault
