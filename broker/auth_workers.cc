#include "broker/auth_workers.h"

#include <utility>

namespace feedvault::broker {

AuthWorkers::AuthWorkers(std::size_t threads) {
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { run(); });
  }
}

AuthWorkers::~AuthWorkers() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

bool AuthWorkers::submit(std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || jobs_.size() >= kJobsMax) {
      return false;
    }
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void AuthWorkers::run() {
  for (;;) {
    std::function<void()> job;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && jobs_.empty()) {
        wake_.wait(mutex_);
      }
      if (stopping_) {
        return;
      }
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace feedvault::broker
