#include "gateway/worker_pool.h"

#include <exception>
#include <utility>

#include "base/log.h"
#include "gateway/limits.h"
#include "gateway/table_history.h"

namespace feedvault::gateway {

WorkerPool::WorkerPool(const Config& config, Metrics& metrics)
    : mysql_(config.mysql),
      feeds_(config.feeds),
      jobs_total_(
          metrics.counter("feedvault_gateway_database_jobs_total", "Jobs for the database")),
      refused_total_(metrics.counter("feedvault_gateway_database_jobs_refused_total",
                                     "Jobs that found too many waiting")),
      waiting_gauge_(metrics.gauge("feedvault_gateway_database_jobs", "Jobs that wait now")) {
  for (std::uint32_t i = 0; i < config.http.database_connections; ++i) {
    threads_.emplace_back([this] { work(); });
  }
}

WorkerPool::~WorkerPool() {
  stop();
}

void WorkerPool::stop() {
  std::deque<Job> dropped;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    dropped.swap(jobs_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) {
      thread.join();
    }
  }
  // The dropped jobs go here, outside of the lock: what they hold may call back.
}

bool WorkerPool::submit(Job job) {
  {
    MutexLock lock(mutex_);
    if (stopped_ || jobs_.size() >= kJobsMax) {
      refused_total_.increment();
      return false;
    }
    jobs_.push_back(std::move(job));
    waiting_gauge_.set(jobs_.size());
  }
  jobs_total_.increment();
  changed_.notify_one();
  return true;
}

void WorkerPool::work() {
  const auto catalogue = storage::CatalogueReader::create(mysql_);
  TableHistory history(mysql_, feeds_);
  const Database database{.catalogue = *catalogue, .history = history};
  for (;;) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (jobs_.empty() && !stopped_) {
        changed_.wait(mutex_);
      }
      if (stopped_) {
        return;
      }
      job = std::move(jobs_.front());
      jobs_.pop_front();
      waiting_gauge_.set(jobs_.size());
    }
    try {
      job(database);
    } catch (const std::exception& failure) {
      logger("gateway")->error("a job failed problem=\"{}\"", failure.what());
    }
  }
}

}  // namespace feedvault::gateway
