#include "broker/jetstream/sync_threads.h"

#include <algorithm>
#include <utility>

namespace feedvault::broker::jetstream {

SyncThreads::SyncThreads(std::size_t threads_max, Done done)
    : threads_max_(threads_max), done_(std::move(done)) {}

SyncThreads::~SyncThreads() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

void SyncThreads::submit(std::shared_ptr<SyncJob> job) {
  {
    MutexLock lock(mutex_);
    waiting_.push_back(std::move(job));
    if (idle_ < waiting_.size() && threads_.size() < threads_max_) {
      threads_.emplace_back([this] { run(); });
      return;
    }
  }
  // Not while it is locked: who wakes would only wait again.
  wake_.notify_one();
}

void SyncThreads::wait_for(const SyncJob& job) {
  MutexLock lock(mutex_);
  const auto is_it = [&](const std::shared_ptr<SyncJob>& each) { return each.get() == &job; };
  while (std::any_of(waiting_.begin(), waiting_.end(), is_it) ||
         std::find(running_.begin(), running_.end(), &job) != running_.end()) {
    ran_.wait(mutex_);
  }
}

void SyncThreads::run() {
  while (true) {
    std::shared_ptr<SyncJob> job;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) {
        ++idle_;
        wake_.wait(mutex_);
        --idle_;
      }
      if (waiting_.empty()) {
        return;
      }
      job = std::move(waiting_.front());
      waiting_.pop_front();
      running_.push_back(job.get());
    }
    if (job->stream != nullptr) {
      job->result = job->stream->sync();
    }
    if (job->consumers) {
      job->consumers->run();
    }
    if (job->work) {
      job->work();
    }
    {
      MutexLock lock(mutex_);
      std::erase(running_, job.get());
      ran_.notify_all();
    }
    done_(std::move(job));
  }
}

}  // namespace feedvault::broker::jetstream
