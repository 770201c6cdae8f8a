#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "broker/streams/consumer_set.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::jetstream {

/// What one stream has for the disk: its messages, its consumers' states, or both; or anything else
/// that takes long.
struct SyncJob {
  streams::Stream* stream = nullptr;  // begin_commit() was called; null: no messages
  std::optional<streams::ConsumerSet::Sync> consumers;
  Status result;  // of stream->sync(), once it is done
  std::function<void()> work;

  bool finished = false;  // whoever began it has taken the result: that one's thread only
};

/// Threads that wait for disks, so that the streams' loop does not. Jobs are run in the order in
/// which they came, as many at once as there are threads, which start when they are first needed.
class SyncThreads {
 public:
  using Done = std::function<void(std::shared_ptr<SyncJob>)>;

  /// `done` is called on one of the threads after each job.
  SyncThreads(std::size_t threads_max, Done done);
  ~SyncThreads();  // runs what was submitted
  SyncThreads(const SyncThreads&) = delete;
  SyncThreads& operator=(const SyncThreads&) = delete;

  void submit(std::shared_ptr<SyncJob> job) EXCLUDES_LOCK(mutex_);
  /// Blocks until that job has run. Any thread but ours.
  void wait_for(const SyncJob& job) EXCLUDES_LOCK(mutex_);

 private:
  void run() EXCLUDES_LOCK(mutex_);

  const std::size_t threads_max_;
  const Done done_;
  Mutex mutex_;
  CondVar wake_;
  CondVar ran_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::deque<std::shared_ptr<SyncJob>> waiting_ GUARDED_BY(mutex_);
  std::vector<const SyncJob*> running_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
};

}  // namespace feedvault::broker::jetstream
