#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "broker/account.h"
#include "broker/auth.h"
#include "broker/connect_options.h"
#include "broker/connection_host.h"
#include "broker/event_loop.h"
#include "broker/monitoring.h"
#include "broker/output_queue.h"
#include "broker/parser.h"
#include "broker/receiving.h"
#include "broker/subscription.h"
#include "broker/transport.h"

namespace feedvault::broker {

class ConnectionTrace;

/// Where a client comes from, for INFO and monitoring.
struct Peer {
  std::string ip;
  std::uint16_t port = 0;
  bool websocket = false;
};

/// One client: parses what it sends, carries it out, and queues what it receives. Lives on one
/// loop; every method belongs to that loop's thread. Holds no read buffer; its output is bounded by
/// max_pending, its input by the parser's limits, and its subscriptions by max_subscriptions.
///
///   open --close()--> closing --end of turn--> lingering --peer gone, or time--> finished
///                     (deaf and dumb)          (output flushed, input thrown away)
class Connection final : public EventHandler, public ParserSink, public Timer {
 public:
  Connection(ConnectionHost& host,
             std::uint32_t loop,
             std::uint64_t id,
             std::unique_ptr<Transport> transport,
             Peer peer);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sends INFO and starts the clocks. Call once.
  void start();
  /// Sends INFO and an error, and closes: the server is full.
  void refuse(std::string_view error, std::string_view reason);

  void on_events(std::uint32_t events) override;
  void on_timer() override;

  /// Queues a message for one of this connection's subscriptions. `message.tail` must be there.
  /// False when the subscription takes nothing more; then somebody else may get it.
  bool deliver(Subscription& subscription, const Publish& message);
  /// The 503 that tells a publisher that nobody listens, on its own subscription.
  void deliver_no_responders(Subscription& subscription, std::string_view reply);

  /// At the end of a turn: writes what is pending, as far as the socket takes it.
  void flush_turn();
  /// Stops everything. With an `error` the client is told.
  void close(std::string_view reason, std::string_view error = {});
  /// After its subscriptions were taken out of the index: flush, then finish or linger.
  void wind_up();

  void authenticated(const Result<std::shared_ptr<const User>>& result);
  /// After a reload: takes over limits, and goes when its user has gone.
  void options_changed(bool check_user);
  /// INFO again, for clients that understand it.
  void send_info_update(bool lame_duck);
  void pause_reading();
  void resume_reading();
  /// After the operation in progress the rest of its input waits for resume_input(): others have
  /// their turn. At most one read is held.
  void suspend_input();
  void resume_input();
  /// Reads nothing until release(), however long that takes: the streams it publishes to are behind
  /// and nothing shall be dropped. Meanwhile it counts as alive.
  enum class Hold : std::uint8_t {
    kLoop,    // all streams together have too much to do
    kStream,  // one stream has no room for what this client published
  };
  void hold(Hold why);
  void release(Hold why);
  bool held() const { return (pauses_ & (kPauseStreams | kPauseStream)) != 0; }
  /// Its CONNECT came and is being checked elsewhere, however long others before it take.
  bool being_checked() const { return (pauses_ & kPauseAuth) != 0; }
  /// For the rest of its life: nothing more is taken from it.
  void stop_reading() { set_pause(kPauseStopped, true); }
  /// Tells the client what the streams did not take; at most one a second.
  void refuse_publish(std::string_view text);
  /// Frees subscriptions whose last message has been delivered.
  void forget_expired(Subscription& subscription);
  /// How long producers should wait for this receiver, if nobody tells them that it has caught up;
  /// 0: not at all. See limits.h.
  std::chrono::milliseconds stall_for_producers();

  /// For the streams' loop, with the index's read lock held.
  Receiving& receiving() { return receiving_; }

  bool open() const { return phase_ == Phase::kOpen; }
  bool reading_paused() const { return pauses_ != 0; }
  bool wants_echo() const { return connect_.echo; }
  bool wants_no_responders() const { return connect_.no_responders; }
  bool dirty() const { return dirty_; }
  std::uint64_t id() const { return id_; }
  std::uint32_t loop() const { return loop_; }
  std::size_t pending_bytes() const { return output_.size(); }
  const Peer& peer() const { return peer_; }
  const std::string& nonce() const { return nonce_; }
  const User* user() const { return user_.get(); }
  Account account() const { return account_; }
  std::string_view close_reason() const { return close_reason_; }
  Transport& transport() { return *transport_; }
  ConnectionSnapshot snapshot(bool with_subscriptions) const;

  struct SidHash {
    std::size_t operator()(std::string_view sid) const;
  };
  using Subscriptions =
      std::unordered_map<std::string_view, std::unique_ptr<Subscription>, SidHash>;
  Subscriptions& subscriptions() { return subscriptions_; }

 private:
  enum class Phase : std::uint8_t { kOpen, kClosing, kLingering, kFinished };
  enum Pause : std::uint8_t {
    kPauseAuth = 1,
    kPauseStall = 2,
    kPauseTurn = 4,
    kPauseStreams = 8,
    kPauseStream = 16,
    kPauseStopped = 32,
  };

  bool on_connect(std::string_view json) override;
  bool on_info(std::string_view json) override;
  bool on_ping() override;
  bool on_pong() override;
  bool on_publish(const Publish& publish) override;
  bool on_subscribe(std::string_view subject,
                    std::string_view queue,
                    std::string_view sid) override;
  bool on_unsubscribe(std::string_view sid, std::int64_t max) override;

  void flush();
  void read_available();
  void on_broken_while_paused();
  void after_layered_read();
  void check_handshake();
  void end_by_transport(IoState state);
  bool layer_timer();
  void say_farewell();
  void discard_input();
  void take_input(std::string_view input);
  void stop_for(ParseStop stop);
  bool finish_connect();
  void set_user(std::shared_ptr<const User> user);
  bool may_publish(const Publish& publish);
  void permission_violation(const std::string& text);

  void choose_tracing();
  void send(std::string_view text);
  void send_ok();
  void send_error(std::string_view text);
  void append_message(std::string_view operation,
                      std::string_view subject,
                      std::string_view sid,
                      std::string_view tail);
  void append_without_headers(const Subscription& subscription, const Publish& message);
  void appended(std::size_t bytes);
  void check_pending();
  void slow_consumer(std::string_view reason);
  void check_receiving();

  void update_watch();
  void set_pause(Pause pause, bool on);
  void schedule_next();
  void check_ping();

  ConnectionHost& host_;
  std::unique_ptr<Transport> transport_;
  Parser parser_;
  OutputQueue output_;
  Subscriptions subscriptions_;
  ConnectOptions connect_;
  std::shared_ptr<const User> user_;
  const Permissions* permissions_ = nullptr;  // of user_; null: all is allowed
  std::unique_ptr<ReplyPermits> reply_permits_;
  std::unique_ptr<ConnectionTrace> trace_;  // null but with -V
  std::string held_input_;  // while a CONNECT before it is being checked, or others have their turn
  std::string nonce_;
  std::string_view close_reason_;
  Peer peer_;
  std::uint64_t id_;
  Traffic traffic_;
  std::size_t max_pending_;

  SteadyTime started_at_;
  SteadyTime opened_at_;  // the transport's handshake was over
  SteadyTime last_activity_;
  SteadyTime next_ping_;
  SteadyTime ping_sent_;
  SteadyTime last_progress_;  // of writing
  SteadyTime linger_until_;
  SteadyTime next_refusal_;  // of a publish may be told
  SteadyTime drain_window_begin_;
  std::size_t drained_ = 0;     // in the current drain window
  std::size_t drained_before_;  // in the one before
  std::size_t lingered_bytes_ = 0;
  std::int64_t start_ns_;
  std::int64_t last_activity_ns_;   // messages either way, for monitoring
  std::uint64_t written_msgs_ = 0;  // out_msgs at the last write
  std::int64_t rtt_ns_ = 0;         // until the first PONG an estimate
  Receiving receiving_;
  std::uint32_t loop_;
  int pings_out_ = 0;
  Account account_ = Account::kUsers;
  Phase phase_ = Phase::kOpen;
  std::uint8_t pauses_ = 0;
  std::uint8_t careful_reads_ = 0;  // one a turn: it had to wait for receivers not long ago
  const bool layered_;              // the transport has a protocol of its own
  bool handshaking_ = false;        // ... and is not yet ready for ours
  bool reads_on_output_ = false;
  bool connected_ = false;     // CONNECT was accepted
  bool rtt_measured_ = false;  // by a ping
  bool dirty_ = false;
  bool halted_ = false;    // closed, or suspended: the parser stops
  bool blocked_ = false;   // the socket is full
  bool farewell_ = false;  // what is pending shall be delivered before the end
  bool peer_ended_ = false;
  bool watching_read_ = true;
  bool watching_write_ = false;
  bool muted_ = false;  // broken while held: epoll is not to say so again
};

}  // namespace feedvault::broker
