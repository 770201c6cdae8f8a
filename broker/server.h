#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/stop_token.h"
#include "broker/listener.h"
#include "broker/monitoring.h"
#include "broker/options.h"
#include "broker/stream_loop.h"
#include "broker/system_service.h"
#include "broker/tls_context.h"
#include "broker/worker.h"

namespace feedvault::broker {

/// A running broker: listens, spreads clients over its loops, and answers monitoring. Owns its
/// threads. Methods: one thread at a time (the one that handles signals), MonitoringSource: any
/// thread but the loops'.
class Server final : public MonitoringSource {
 public:
  /// Makes what runs on the streams' loop, which tells it things only after the return.
  using MakeStreams = std::function<Result<std::unique_ptr<StreamHandler>>(StreamHost&)>;

  /// Listens, for monitoring, too, and runs. kInvalidArgument for authorization or certificates
  /// that make no sense, kUnavailable when a port is taken. `make_streams` empty: no streams.
  static Result<std::unique_ptr<Server>> start(const Options& options,
                                               const Clock& clock,
                                               const MakeStreams& make_streams = {});
  ~Server() override;  // stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const { return listener_->port(); }
  /// Where WebSocket clients are served; 0: nowhere.
  int websocket_port() const {
    return websocket_listener_ != nullptr ? websocket_listener_->port() : 0;
  }
  /// Where HTTP monitoring listens; 0: it does not.
  int monitoring_port() const { return monitoring_port_.load(std::memory_order_relaxed); }
  const std::string& id() const { return id_; }
  std::size_t loops() const { return shared_.workers.size(); }

  /// Takes over what can change at run time. `options` differ from the running ones only in that
  /// (compare_options). Certificates are read again: new connections are shown the new ones. After
  /// an error all is as before.
  Status reload(const Options& options, bool authorization_changed);
  /// Stops accepting, tells clients to go elsewhere, closes them one by one over
  /// lame_duck_duration, then calls `done` on a thread of its own. Returns at once; a second call
  /// does nothing.
  void begin_lame_duck(std::function<void()> done);
  /// Stops accepting and reading, stores and acknowledges all that streams were sent, delivers what
  /// is pending (kDrainTime at most), closes all, ends the threads. Idempotent.
  void stop();

  // MonitoringSource
  ServerSnapshot server_snapshot() override;
  std::vector<ConnectionSnapshot> connection_snapshots(const ConnectionQuery& query) override;
  SubjectIndexSnapshot subject_index_snapshot() override;
  std::vector<SubscriptionSnapshot> subscription_snapshots() override;
  std::string health_problem(bool streams) override;

 private:
  struct ConnectionTotals {
    int open = 0;
    std::uint64_t pending_bytes = 0;
    AccountSnapshot system;
  };

  Server(const Options& options, const Clock& clock, std::size_t loops);
  Status make_workers(std::size_t workers, std::size_t loops);
  Status make_streams(std::size_t loops, const MakeStreams& make);
  void stop_streams();
  void close_connections();
  Status listen(const Options& options);
  void close_listeners();
  void accept(UniqueFd fd, Peer peer);
  std::unique_ptr<Transport> make_transport(UniqueFd fd, bool websocket, bool refused) const;
  Status read_certificates(const Options& options,
                           std::shared_ptr<const TlsContext>& tls,
                           std::shared_ptr<const TlsContext>& websocket_tls) const;
  std::string info_line(const Connection& connection, const Options& options, bool lame_duck) const;
  void connection_ended(const ConnectionSnapshot& snapshot) EXCLUDES_LOCK(mutex_);
  void start_system_service();
  bool system_users_listen() const;
  void announce_shutdown();
  bool ask_system(const Connection& from, const Publish& publish, bool reached);
  void deliver_system(const SystemRequest& request, std::optional<std::string> answer);
  std::size_t connection_count() const;
  ConnectionTotals connection_totals() EXCLUDES_LOCK(mutex_);
  /// Runs `visit` on every loop's thread and waits for all, while they run. Not on a loop's thread.
  void for_each_worker(const std::function<void(Worker&)>& visit);
  void close_excess(std::size_t most);
  void run_lame_duck(const std::function<void()>& done);
  std::shared_ptr<const Options> current_options() EXCLUDES_LOCK(mutex_);

  const Clock& clock_;
  std::string id_;
  std::string name_;
  std::int64_t start_ns_;
  SharedState shared_;
  std::unique_ptr<StreamLoop> streams_;  // null: none
  std::unique_ptr<StreamHandler> stream_handler_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Listener> websocket_listener_;  // null: none
  std::shared_ptr<const TlsContext> tls_;         // null: none; the first loop's, once it runs
  std::shared_ptr<const TlsContext> websocket_tls_;
  std::atomic<std::uint64_t> next_connection_{1};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<bool> lame_duck_{false};
  std::atomic<bool> running_{false};  // the loops have their threads
  std::atomic<bool> stopped_{false};
  StopSource stop_;
  std::thread lame_duck_thread_;
  Monitoring monitoring_{*this};
  ProcessUsage usage_;
  std::unique_ptr<HttpServer> http_;  // asks the loops: stops before they do
  std::atomic<int> monitoring_port_{0};
  std::unique_ptr<SystemService> system_;  // likewise

  Mutex mutex_;
  std::shared_ptr<const Options> options_ GUARDED_BY(mutex_);
  std::int64_t config_load_ns_ GUARDED_BY(mutex_) = 0;
  std::deque<ConnectionSnapshot> ended_ GUARDED_BY(mutex_);
  AccountSnapshot ended_system_ GUARDED_BY(mutex_);  // system users' connections that have ended
};

}  // namespace feedvault::broker
