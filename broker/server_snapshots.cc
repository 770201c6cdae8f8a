// What monitoring is told: copies of what the loops have, made on their own threads.

#include <algorithm>

#include "broker/server.h"

namespace feedvault::broker {

ServerSnapshot Server::server_snapshot() {
  ServerSnapshot shot;
  shot.server_id = id_;
  shot.server_name = name_;
  shot.version = kNatsVersion;
  {
    MutexLock lock(mutex_);
    shot.options = options_;
    shot.config_load_ns = config_load_ns_;
  }
  shot.port = port();
  shot.auth_required = shot.options->authorization.any();
  shot.lame_duck = lame_duck_.load(std::memory_order_relaxed);
  shot.start_ns = start_ns_;
  shot.now_ns = clock_.unix_ns();
  shot.cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  shot.loops = static_cast<int>(shared_.workers.size());
  shot.total_connections = next_connection_.load(std::memory_order_relaxed) - 1;
  shot.refused_connections = refused_.load(std::memory_order_relaxed);
  for (const auto& worker : shared_.workers) {
    const LoopCounters& counters = worker->counters;
    shot.connections += static_cast<int>(counters.connections.get());
    shot.subscriptions += counters.subscriptions.get();
    shot.traffic.in_msgs += counters.in_msgs.get();
    shot.traffic.in_bytes += counters.in_bytes.get();
    shot.traffic.out_msgs += counters.out_msgs.get();
    shot.traffic.out_bytes += counters.out_bytes.get();
    shot.slow_consumers_pending += counters.slow_consumers_pending.get();
    shot.slow_consumers_deadline += counters.slow_consumers_deadline.get();
    shot.stale_connections += counters.stale_connections.get();
    shot.auth_failures += counters.auth_failures.get();
    shot.permission_violations += counters.permission_violations.get();
    shot.protocol_errors += counters.protocol_errors.get();
    shot.no_responders += counters.no_responders.get();
  }
  shot.slow_consumers = shot.slow_consumers_pending + shot.slow_consumers_deadline;
  for (const ConnectionSnapshot& connection : connection_snapshots({})) {
    shot.pending_bytes += static_cast<std::uint64_t>(connection.pending_bytes);
  }
  AccountSnapshot account;
  account.name = shot.options->authorization.account;
  account.connections = shot.connections;
  account.total_connections = shot.total_connections;
  account.traffic = shot.traffic;
  account.slow_consumers = shot.slow_consumers;
  account.subscriptions = shot.subscriptions;
  shot.accounts.push_back(std::move(account));
  return shot;
}

std::vector<ConnectionSnapshot> Server::connection_snapshots(const ConnectionQuery& query) {
  std::vector<ConnectionSnapshot> all;
  const auto wanted = [&](std::uint64_t cid) { return !query.cid || *query.cid == cid; };
  if (query.open) {
    Mutex collect;
    for_each_worker([&](Worker& worker) {
      std::vector<ConnectionSnapshot> here;
      for (const auto& [id, connection] : worker.connections()) {
        if (connection->open() && wanted(id)) {
          here.push_back(connection->snapshot(query.with_subscriptions));
        }
      }
      MutexLock lock(collect);
      std::move(here.begin(), here.end(), std::back_inserter(all));
    });
  }
  if (query.closed) {
    MutexLock lock(mutex_);
    std::copy_if(ended_.begin(), ended_.end(), std::back_inserter(all), [&](const auto& each) {
      return wanted(each.cid);
    });
  }
  return all;
}

SubjectIndexSnapshot Server::subject_index_snapshot() {
  SubjectIndexSnapshot shot;
  std::uint64_t hits = 0;
  for (const auto& worker : shared_.workers) {
    shot.matches += worker->counters.cache_lookups.get();
    hits += worker->counters.cache_hits.get();
    shot.cached += worker->counters.cached_matches.get();
  }
  shot.cache_hit_rate =
      shot.matches > 0 ? static_cast<double>(hits) / static_cast<double>(shot.matches) : 0;
  // Work on a loop's thread holds the index's read lock.
  shared_.index_lock.lock_write();
  shot.subscriptions = shared_.index.size();
  shot.inserts = shared_.index.inserts();
  shot.removes = shared_.index.removes();
  shared_.index_lock.unlock_write();
  return shot;
}

std::vector<SubscriptionSnapshot> Server::subscription_snapshots() {
  ConnectionQuery query;
  query.with_subscriptions = true;
  std::vector<SubscriptionSnapshot> all;
  for (ConnectionSnapshot& connection : connection_snapshots(query)) {
    std::move(connection.subscription_list.begin(),
              connection.subscription_list.end(),
              std::back_inserter(all));
  }
  return all;
}

std::string Server::health_problem() {
  return lame_duck_.load(std::memory_order_relaxed) ? "lame duck mode" : "";
}

}  // namespace feedvault::broker
