#include "broker/system_service.h"

#include <algorithm>
#include <utility>

#include "broker/limits.h"

namespace feedvault::broker {

SystemService::SystemService(Monitoring& monitoring,
                             const Clock& clock,
                             std::string statsz_subject,
                             Deliver deliver)
    : monitoring_(monitoring),
      clock_(clock),
      statsz_subject_(std::move(statsz_subject)),
      deliver_(std::move(deliver)),
      next_statsz_(clock.now() + kStatszInterval),
      next_account_conns_(clock.now()),
      thread_([this] { run(); }) {}

SystemService::~SystemService() {
  stop();
}

void SystemService::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    requests_.clear();
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

bool SystemService::ask(SystemRequest request) {
  {
    MutexLock lock(mutex_);
    const std::size_t most = request.requester.system ? kSystemRequestsMax : kSystemRequestsMax / 2;
    if (stopping_ || requests_.size() >= most) {
      return false;
    }
    std::size_t& waiting = by_connection_[request.connection];
    if (waiting >= kSystemRequestsPerConnection) {
      return false;
    }
    ++waiting;
    requests_.push_back(std::move(request));
  }
  wake_.notify_one();
  return true;
}

void SystemService::announce(ConnectionSnapshot client) {
  {
    MutexLock lock(mutex_);
    if (stopping_) {
      return;
    }
    if (client.connected) {
      changed_accounts_.insert(client.account);
    }
    if (events_.size() >= kSystemEventsMax) {
      return;
    }
    events_.push_back(std::move(client));
  }
  wake_.notify_one();
}

SystemRequest SystemService::take_request() {
  SystemRequest request = std::move(requests_.front());
  requests_.pop_front();
  const auto waiting = by_connection_.find(request.connection);
  if (--waiting->second == 0) {
    by_connection_.erase(waiting);
  }
  return request;
}

SteadyTime SystemService::next_deadline() const {
  return changed_accounts_.empty() ? next_statsz_ : std::min(next_statsz_, next_account_conns_);
}

std::optional<SystemService::Job> SystemService::next() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (!requests_.empty()) {
      return take_request();
    }
    if (!events_.empty()) {
      ConnectionSnapshot client = std::move(events_.front());
      events_.pop_front();
      return client;
    }
    if (!changed_accounts_.empty() && clock_.now() >= next_account_conns_) {
      AccountChange change{*changed_accounts_.begin()};
      changed_accounts_.erase(changed_accounts_.begin());
      if (changed_accounts_.empty()) {
        next_account_conns_ = clock_.now() + kAccountConnsInterval;
      }
      return change;
    }
    if (clock_.now() >= next_statsz_) {
      next_statsz_ = clock_.now() + kStatszInterval;
      // As if a system user had asked for them, with that subject for the reply.
      SystemRequest statsz;
      statsz.account = Account::kSystem;
      statsz.requester.system = true;
      statsz.subject = "$SYS.REQ.SERVER.PING.STATSZ";
      statsz.reply = statsz_subject_;
      return statsz;
    }
    wake_.wait_until(mutex_, next_deadline());
  }
  return std::nullopt;
}

void SystemService::run() {
  while (std::optional<Job> job = next()) {
    if (const auto* const request = std::get_if<SystemRequest>(&*job)) {
      deliver_(*request,
               monitoring_.answer_system_request(
                   request->subject, request->payload, request->requester));
      continue;
    }
    if (const auto* const client = std::get_if<ConnectionSnapshot>(&*job)) {
      publish(monitoring_.client_event(*client));
      continue;
    }
    for (Monitoring::Event& event :
         monitoring_.account_events(std::get<AccountChange>(*job).account)) {
      publish(std::move(event));
    }
  }
}

void SystemService::publish(Monitoring::Event event) {
  SystemRequest announcement;
  announcement.account = Account::kSystem;
  announcement.reply = std::move(event.subject);
  deliver_(announcement, std::move(event.payload));
}

}  // namespace feedvault::broker
