// $SYS: what the loops tell the system service, and how its answers come back to them.

#include <string>
#include <utility>

#include "broker/limits.h"
#include "broker/server.h"

namespace feedvault::broker {

// Before the loops run: they call these hooks.
void Server::start_system_service() {
  system_ = std::make_unique<SystemService>(
      monitoring_,
      clock_,
      "$SYS.SERVER." + id_ + ".STATSZ",
      [this](const SystemRequest& request, std::optional<std::string> answer) {
        deliver_system(request, std::move(answer));
      });
  shared_.system_request = [this](const Connection& from, const Publish& publish, bool reached) {
    return ask_system(from, publish, reached);
  };
  shared_.connection_began = [this](const Connection& connection) {
    if (system_users_listen()) {
      system_->announce(connection.snapshot(/*with_subscriptions=*/false));
    }
  };
  shared_.connection_ended = [this](const ConnectionSnapshot& shot) { connection_ended(shot); };
}

// On a loop's thread, which holds the index's lock.
bool Server::system_users_listen() const {
  return shared_.indexes[index_of(Account::kSystem)].size() > 0;
}

// Any thread but the loops'. What it says reaches those who hear it before they are closed.
void Server::announce_shutdown() {
  const auto on_first = [this](const std::function<void(Worker&)>& visit) {
    for_each_worker([&](Worker& worker) {
      if (worker.index() == 0) {
        visit(worker);
      }
    });
  };
  bool heard = false;
  on_first([&](Worker& /*worker*/) { heard = system_users_listen(); });
  if (heard) {
    const Monitoring::Event event = monitoring_.shutdown_event();
    on_first(
        [&](Worker& worker) { worker.publish(Account::kSystem, event.subject, event.payload); });
  }
}

// On a loop's thread.
bool Server::ask_system(const Connection& from, const Publish& publish, bool reached) {
  SystemRequest request;
  request.loop = from.loop();
  request.connection = from.id();
  request.account = from.account();
  if (const User* const user = from.user(); user != nullptr) {
    request.requester = {user->system, user->name, user->account};
  }
  request.subject = publish.subject;
  request.reply = publish.reply;
  const std::string_view payload = publish.body.substr(publish.header_bytes);
  if (payload.size() <= kSystemRequestBytesMax) {
    request.payload = payload;
  }
  request.reached_somebody = reached;
  return system_->ask(std::move(request));
}

// On the service's thread.
void Server::deliver_system(const SystemRequest& request, std::optional<std::string> answer) {
  if (!answer && request.reached_somebody) {
    return;
  }
  Worker& worker = *shared_.workers[request.loop];
  worker.loop().post([&worker,
                      account = request.account,
                      connection = request.connection,
                      reply = request.reply,
                      answer = std::move(answer)] {
    if (answer) {
      worker.publish(account, reply, *answer);
    } else {
      worker.no_responders(connection, reply);
    }
  });
}

// On a loop's thread.
void Server::connection_ended(const ConnectionSnapshot& snapshot) {
  ConnectionSnapshot ended = snapshot;
  ended.stop_ns = clock_.unix_ns();
  if (system_users_listen() &&
      (ended.connected || ended.reason == close_reasons::kAuthenticationFailure)) {
    system_->announce(ended);
  }
  MutexLock lock(mutex_);
  if (ended.account == options_->authorization.system_account) {
    ++ended_system_.total_connections;
    ended_system_.traffic += ended.traffic;
    if (ended.reason == close_reasons::kSlowConsumerPendingBytes ||
        ended.reason == close_reasons::kSlowConsumerWriteDeadline) {
      ++ended_system_.slow_consumers;
    }
  }
  ended_.push_back(std::move(ended));
  while (ended_.size() > static_cast<std::size_t>(options_->limits.max_closed_clients)) {
    ended_.pop_front();
  }
}

}  // namespace feedvault::broker
