#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "broker/account.h"
#include "broker/auth_workers.h"
#include "broker/connection.h"
#include "broker/event_loop.h"
#include "broker/inbox.h"
#include "broker/index_lock.h"
#include "broker/router.h"
#include "broker/subject_index.h"

namespace feedvault::broker {

class StreamLoop;
class Worker;

/// What all loops of one server share.
struct SharedState {
  /// `loops`: workers, and the streams' loop where there is one.
  SharedState(std::size_t loops, std::uint64_t hash_seed)
      : indexes{SubjectIndex(hash_seed), SubjectIndex(hash_seed)},
        index_lock(loops),
        // As for loops, half of the processors: a crowd of clients that connect takes no more.
        auth_workers(std::max(1U, std::thread::hardware_concurrency() / 2)) {}

  std::array<SubjectIndex, kAccounts> indexes;  // guarded by index_lock
  SubjectIndex& index_of(const Subscription& subscription) {
    return indexes[broker::index_of(subscription.connection()->account())];
  }
  IndexLock index_lock;
  std::vector<std::unique_ptr<Worker>> workers;  // fixed before they run
  StreamLoop* streams = nullptr;                 // likewise; null: none. Its index comes last
  std::vector<Inbox*> inboxes;                   // by loop; likewise
  AuthWorkers auth_workers;
  /// The INFO line for a client. Any thread.
  std::function<std::string(const Connection&, const Options&, bool lame_duck)> info;
  /// A connection's CONNECT was accepted; it ended. Any loop's thread, with the index's lock; must
  /// be quick.
  std::function<void(const Connection&)> connection_began;
  std::function<void(const ConnectionSnapshot&)> connection_ended;
  /// A request to $SYS.REQ.>, which may have reached somebody already. False when it will not be
  /// looked at. Any loop's thread.
  std::function<bool(const Connection&, const Publish&, bool reached)> system_request;
};

/// One loop and its connections. All work of a turn happens under the index's read lock; see
/// index_lock.h. A worker's own thread calls everything but what says "any thread".
///
/// Graveyard: subscriptions and connections are referred to from other loops' outboxes and from
/// matches in progress. Outboxes are handed over before a read lock is given up, so once a
/// subscription is out of the index (which takes the write lock), every record that names it is in
/// our inbox, and after the next complete drain of it nobody can refer to it any more. Only then is
/// it destroyed.
class Worker final : public ConnectionHost, public TurnHandler {
 public:
  Worker(std::uint32_t index,
         std::size_t loops,
         SharedState& shared,
         std::unique_ptr<EventLoop> loop,
         std::shared_ptr<const Options> options,
         std::shared_ptr<const Authenticator> authenticator);
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start_thread();
  void stop_and_join();  // any thread but the worker's

  EventLoop& loop() { return *loop_; }
  std::uint32_t index() const { return index_; }
  Inbox& inbox() { return inbox_; }

  /// Takes over a new client. `refusal` non-empty: only to tell it why not.
  void adopt(std::unique_ptr<Transport> transport,
             std::uint64_t id,
             Peer peer,
             const std::string& refusal = {});
  /// Connections now or soon here, for balancing. Any thread.
  std::atomic<std::uint32_t> load{0};

  void set_options(std::shared_ptr<const Options> options,
                   std::shared_ptr<const Authenticator> authenticator,
                   bool check_users);
  void announce_lame_duck();
  /// Nothing more is read from any client; what was read goes on.
  void stop_reading();
  /// Stops reading from the connection, if it is still there, or goes on: a stream has no room for
  /// what it published.
  void hold_publisher(std::uint64_t connection, bool on);
  /// Tells the connection, if it is still there, that the streams did not take what it published.
  void refuse_publish(std::uint64_t connection, std::string_view text);
  /// Closes the connections with ids below `id_end`, at most `count`; how many remain.
  std::size_t close_some(std::size_t count, std::string_view reason);
  /// Closes all of them; calls `drained` once, on the loop's thread, when nothing is pending for
  /// any client any more.
  void close_all(std::string_view reason, std::function<void()> drained);
  const std::unordered_map<std::uint64_t, std::unique_ptr<Connection>>& connections() const {
    return connections_;
  }
  /// Nothing is open, nothing is still being delivered. Any thread.
  bool idle() const { return live_.load(std::memory_order_acquire) == 0; }
  const Router& router() const { return router_; }
  /// A message of the server's own, to whoever listens in that account.
  void publish(Account account, std::string_view subject, std::string_view payload);
  /// Tells the connection, if it is still there and wants to know, that nobody answers.
  void no_responders(std::uint64_t connection, std::string_view reply);

  // ConnectionHost
  SteadyTime now() const override { return loop_->now(); }
  std::int64_t unix_ns() const override { return turn_unix_ns_; }
  std::span<char> read_buffer() override;
  void before_input() override;
  bool worth_reading_on(bool drained) override;
  void after_input(Connection& connection) override;
  void before_output() override { hand_over_outboxes(); }
  void mark_dirty(Connection& connection) override { dirty_.push_back(&connection); }
  void watch(Connection& connection, bool readable, bool writable) override;
  void mute(Connection& connection) override;
  void schedule(Connection& connection, SteadyTime when) override;
  void closing(Connection& connection) override { closing_.push_back(&connection); }
  void finished(Connection& connection) override;
  void route(Connection& from, const Publish& publish) override;
  void system_request(Connection& from, const Publish& publish) override;
  void connected(Connection& connection) override { shared_.connection_began(connection); }
  void insert(Subscription& subscription) override;
  void drop(std::unique_ptr<Subscription> subscription) override;
  void expired(Subscription& subscription) override { expired_.push_back(&subscription); }
  void congested(Connection& receiver) override;
  void receiver_ready() override;
  bool authenticate_elsewhere(Connection& connection, ConnectCredentials credentials) override;
  std::string info(const Connection& connection, bool lame_duck) override;

  // TurnHandler
  void begin_turn() override;
  void end_turn() override;

 private:
  enum class Lock : std::uint8_t { kNone, kRead, kWrite };
  struct Stalled {
    Connection* producer;
    Connection* receiver;  // null: on another loop
    SteadyTime until;
  };
  struct Graves {
    std::vector<std::unique_ptr<Subscription>> subscriptions;
    std::vector<std::unique_ptr<Connection>> connections;
  };
  class WakeTimer final : public Timer {
    void on_timer() override {}  // end_turn() does the work
  };

  void lock_for_reading();
  void lock_for_writing();
  void release_lock();
  /// `from`: whose input made us publish, if anybody's.
  void after_routing(Connection* from);
  bool turn_is_long() const;
  void tell_when_drained();
  void resume_suspended();
  void hand_over_outboxes();
  void drain_inbox();
  void wait_for_inboxes();
  void forget_expired();
  void flush_dirty();
  void bury_closing();
  void stall(Connection& producer, Connection* receiver, SteadyTime until);
  void ask_to_stall(std::uint32_t loop, std::uint64_t connection, std::chrono::milliseconds time);
  void release_stalled(bool all_of, const Connection* connection);
  void note_interest(const Subscription& subscription);
  bool streams_have_enough() const;
  void hold_if_streams_are_full(Connection& connection);
  void release_held();

  std::uint32_t index_;
  SharedState& shared_;
  std::unique_ptr<EventLoop> loop_;
  Router router_;
  std::unique_ptr<char[]> read_buffer_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::atomic<std::size_t> live_{0};
  std::vector<Connection*> dirty_;
  std::vector<Connection*> closing_;
  /// Clients whose credentials are being checked; false once they are gone.
  std::unordered_map<std::uint64_t, std::shared_ptr<std::atomic<bool>>> auth_waiting_;
  std::deque<Connection*> burying_;     // closed; their subscriptions are being taken out
  std::size_t removals_left_ = 0;       // ... so many in this turn
  std::vector<Connection*> suspended_;  // in this turn, until a later one
  std::vector<Connection*> resuming_;   // in an earlier one; they go on in this
  std::vector<Subscription*> expired_;
  class TrimTimer final : public Timer {
    void on_timer() override;
  };
  TrimTimer trim_timer_;
  std::vector<Stalled> stalled_;
  std::vector<Connection*> held_;     // until the streams have room
  Router::StreamTraffic to_streams_;  // when we looked last
  WakeTimer stall_timer_;
  Connection* congested_ = nullptr;  // a receiver that its producers should wait for
  std::chrono::milliseconds congested_stall_{0};
  Graves fresh_;                   // may still be named in the inbox
  Graves ripe_;                    // ... until the drain in progress is complete
  std::function<void()> drained_;  // waits for clients that are closed to take what is pending
  Lock lock_ = Lock::kNone;
  std::int64_t turn_unix_ns_ = 0;

  Inbox inbox_;

  std::thread thread_;
};

}  // namespace feedvault::broker
