#include "broker/jetstream/sync_threads.h"

#include <algorithm>
#include <utility>

namespace feedvault::broker::jetstream {

SyncThreads::SyncThreads(std::size_t threads, Done done) : done_(std::move(done)) {
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { run(); });
  }
}

SyncThreads::~SyncThreads() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void SyncThreads::submit(std::shared_ptr<SyncJob> job) {
  MutexLock lock(mutex_);
  waiting_.push_back(std::move(job));
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
        wake_.wait(mutex_);
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
    {
      MutexLock lock(mutex_);
      std::erase(running_, job.get());
      ran_.notify_all();
    }
    done_(std::move(job));
  }
}

}  // namespace feedvault::broker::jetstream
