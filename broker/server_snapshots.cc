// What monitoring is told: copies of what the loops have, made on their own threads.

#include <algorithm>

#include "base/check.h"
#include "broker/server.h"

namespace feedvault::broker {
namespace {

std::uint64_t without(std::uint64_t all, std::uint64_t some) {
  return all - std::min(all, some);
}

// Counters are kept for whole loops; the users' account is what the system users' leaves of them.
// `open`: connections, without those that only linger.
void split_accounts(ServerSnapshot& shot, AccountSnapshot system, int open) {
  system.name = shot.options->authorization.system_account;
  AccountSnapshot users;
  users.name = shot.options->authorization.account;
  users.connections = open - system.connections;
  users.total_connections = without(shot.total_connections, system.total_connections);
  users.traffic = {without(shot.traffic.in_msgs, system.traffic.in_msgs),
                   without(shot.traffic.out_msgs, system.traffic.out_msgs),
                   without(shot.traffic.in_bytes, system.traffic.in_bytes),
                   without(shot.traffic.out_bytes, system.traffic.out_bytes)};
  users.slow_consumers = without(shot.slow_consumers, system.slow_consumers);
  users.subscriptions = without(shot.subscriptions, system.subscriptions);
  shot.accounts = {std::move(users), std::move(system)};
}

}  // namespace

// What only the connections themselves know. System users are few: counting them by looking at them
// costs everybody else nothing.
Server::ConnectionTotals Server::connection_totals() {
  ConnectionTotals totals;
  {
    MutexLock lock(mutex_);
    totals.system = ended_system_;
  }
  Mutex collect;
  for_each_worker([&](Worker& worker) {
    ConnectionTotals here;
    for (const auto& [id, connection] : worker.connections()) {
      if (!connection->open()) {
        continue;
      }
      ++here.open;
      here.pending_bytes += connection->pending_bytes();
      if (connection->account() == Account::kSystem) {
        const ConnectionSnapshot shot = connection->snapshot(/*with_subscriptions=*/false);
        ++here.system.connections;
        here.system.traffic += shot.traffic;
        here.system.subscriptions += shot.subscriptions;
      }
    }
    MutexLock lock(collect);
    totals.open += here.open;
    totals.pending_bytes += here.pending_bytes;
    totals.system.connections += here.system.connections;
    totals.system.total_connections += static_cast<std::uint64_t>(here.system.connections);
    totals.system.traffic += here.system.traffic;
    totals.system.subscriptions += here.system.subscriptions;
  });
  return totals;
}

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
  shot.monitoring_port = monitoring_port();
  shot.websocket_port = websocket_port();
  shot.auth_required = shot.options->authorization.any();
  shot.lame_duck = lame_duck_.load(std::memory_order_relaxed);
  shot.start_ns = start_ns_;
  shot.now_ns = clock_.unix_ns();
  shot.cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  shot.loops = static_cast<int>(shared_.workers.size());
  const ProcessUsage::Usage usage = usage_.sample();
  shot.resident_bytes = usage.resident_bytes;
  shot.cpu_percent = usage.cpu_percent;
  shot.total_connections = next_connection_.load(std::memory_order_relaxed) - 1;
  shot.refused_connections = refused_.load(std::memory_order_relaxed);
  // Before the counters, which only grow: a part is never more than the whole.
  ConnectionTotals totals = connection_totals();
  shot.pending_bytes = totals.pending_bytes;
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
    shot.held_producers += counters.held_producers.get();
  }
  shot.slow_consumers = shot.slow_consumers_pending + shot.slow_consumers_deadline;
  split_accounts(shot, std::move(totals.system), totals.open);
  if (streams_ != nullptr && !stopped_.load(std::memory_order_acquire)) {
    shot.jetstream = streams_->snapshot();
  }
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
  CHECK(!EventLoop::on_loop_thread());  // it holds the lock that is taken below
  for (const auto& worker : shared_.workers) {
    shot.matches += worker->counters.cache_lookups.get();
    hits += worker->counters.cache_hits.get();
    shot.cached += worker->counters.cached_matches.get();
  }
  shot.cache_hit_rate =
      shot.matches > 0 ? static_cast<double>(hits) / static_cast<double>(shot.matches) : 0;
  MatchCache::FanOut all;
  Mutex collect;
  for_each_worker([&](Worker& worker) {
    const MatchCache::FanOut here = worker.router().cache(Account::kUsers).fan_out();
    MutexLock lock(collect);
    all.subjects += here.subjects;
    all.reached += here.reached;
    all.most = std::max(all.most, here.most);
  });
  shot.max_fanout = all.most;
  shot.avg_fanout =
      all.subjects > 0 ? static_cast<double>(all.reached) / static_cast<double>(all.subjects) : 0;
  shared_.index_lock.lock_write();
  for (const SubjectIndex& index : shared_.indexes) {
    shot.subscriptions += index.size();
    shot.inserts += index.inserts();
    shot.removes += index.removes();
  }
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

std::string Server::health_problem(bool streams) {
  if (lame_duck_.load(std::memory_order_relaxed)) {
    return "lame duck mode";
  }
  if (!streams || streams_ == nullptr || stopped_.load(std::memory_order_acquire)) {
    return "";
  }
  const JetStreamSnapshot shot = streams_->snapshot();
  if (shot.failed_streams > 0) {
    return "a stream was stopped by an error of its disk";
  }
  if (shot.failed_consumers > 0) {
    return "a consumer was stopped by an error of its disk";
  }
  return shot.unusable > 0 ? "a stream's or consumer's file cannot be read; the log names it" : "";
}

}  // namespace feedvault::broker
