#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/config.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "client/history_source.h"
#include "storage/catalogue_reader.h"

namespace feedvault::gateway {

/// What a job reads with: the pool's thread's own, for the time of the job.
struct Database {
  storage::CatalogueReader& catalogue;
  HistorySource& history;
};

/// The threads that wait for MySQL, each with connections of its own, so that the event loop never
/// does. Jobs run in the order they were given; at most kJobsMax wait. Any thread.
class WorkerPool {
 public:
  using Job = std::function<void(const Database&)>;

  WorkerPool(const Config& config, Metrics& metrics);
  ~WorkerPool();  // ends the jobs that run; those that wait are dropped
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// False, with the job dropped, when too many wait or the pool has stopped.
  bool submit(Job job);

  /// Drops what waits and waits for what runs; later jobs are refused.
  void stop();

 private:
  void work();

  const MysqlConfig mysql_;
  const std::vector<FeedConfig> feeds_;
  Counter jobs_total_;
  Counter refused_total_;
  Gauge waiting_gauge_;

  Mutex mutex_;
  CondVar changed_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace feedvault::gateway
