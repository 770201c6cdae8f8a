#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>

#include "base/clock.h"
#include "base/mutex.h"
#include "broker/account.h"
#include "broker/monitoring.h"

namespace feedvault::broker {

/// A publish to $SYS.REQ.> with a reply subject. Owns its strings.
struct SystemRequest {
  std::uint32_t loop = 0;
  std::uint64_t connection = 0;  // 0: the server asks itself
  Account account = Account::kUsers;
  SystemRequester requester;
  std::string subject;
  std::string reply;
  std::string payload;
  bool reached_somebody = false;  // a client listens to that subject, too
};

/// Answers requests to $SYS.REQ.>, announces clients that come and go and how many their account
/// then has (at most every kAccountConnsInterval), and the server's statistics every
/// kStatszInterval. On a thread of its own: an answer takes snapshots of all loops, and a
/// loop must not wait for others.
///
/// At most kSystemRequestsMax requests wait, half of them from ordinary users, and
/// kSystemRequestsPerConnection of one connection. What comes beyond is refused, and its sender
/// hears of no responders. Beyond kSystemEventsMax, clients are not announced.
class SystemService {
 public:
  /// Takes an answer's payload to the request's reply subject, or nullopt to say that nobody
  /// answers it. Called on the service's thread.
  using Deliver = std::function<void(const SystemRequest&, std::optional<std::string>)>;

  /// `statsz_subject`: where statistics are announced. The references must outlive this.
  SystemService(Monitoring& monitoring,
                const Clock& clock,
                std::string statsz_subject,
                Deliver deliver);
  ~SystemService();  // stop()
  SystemService(const SystemService&) = delete;
  SystemService& operator=(const SystemService&) = delete;

  /// Any thread. False when too many are waiting.
  bool ask(SystemRequest request) EXCLUDES_LOCK(mutex_);
  /// Announces a client that came, or went (stop_ns). Any thread; call it only when somebody
  /// listens, since it costs an answer.
  void announce(ConnectionSnapshot client) EXCLUDES_LOCK(mutex_);
  /// Drops what waits, finishes what has begun. Idempotent; before the loops stop.
  void stop() EXCLUDES_LOCK(mutex_);

 private:
  struct AccountChange {
    std::string account;
  };
  using Job = std::variant<SystemRequest, ConnectionSnapshot, AccountChange>;

  void run() EXCLUDES_LOCK(mutex_);
  /// Blocks until there is something to do; nullopt at the end.
  std::optional<Job> next() EXCLUDES_LOCK(mutex_);
  SystemRequest take_request() REQUIRES_LOCK(mutex_);
  SteadyTime next_deadline() const REQUIRES_LOCK(mutex_);
  void publish(Monitoring::Event event);

  Monitoring& monitoring_;
  const Clock& clock_;
  const std::string statsz_subject_;
  const Deliver deliver_;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  SteadyTime next_statsz_ GUARDED_BY(mutex_);
  std::deque<SystemRequest> requests_ GUARDED_BY(mutex_);
  std::deque<ConnectionSnapshot> events_ GUARDED_BY(mutex_);
  std::set<std::string> changed_accounts_ GUARDED_BY(mutex_);
  SteadyTime next_account_conns_ GUARDED_BY(mutex_);                       // not before
  std::map<std::uint64_t, std::size_t> by_connection_ GUARDED_BY(mutex_);  // those that wait
  std::thread thread_;
};

}  // namespace feedvault::broker
