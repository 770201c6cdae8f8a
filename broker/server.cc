#include "broker/server.h"

#include <algorithm>
#include <future>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/version.h"
#include "broker/auth_nkey.h"
#include "broker/limits.h"

namespace feedvault::broker {
namespace {

// Half of the processors: the other half serves the clients, which mostly run on the same machine
// or in the kernel on our behalf, and each loop more costs every delivery that crosses them.
constexpr std::size_t kLoopsMax = 64;

std::size_t loop_count(const Options& options) {
  if (options.loops > 0) {
    return std::min(static_cast<std::size_t>(options.loops), kLoopsMax);
  }
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(processors / 2, 1, 8);
}

void add_field(std::string& json, std::string_view name, std::string_view value) {
  json += fmt::format(",\"{}\":{}", name, value);
}

}  // namespace

Server::Server(const Options& options, const Clock& clock, std::size_t loops)
    : clock_(clock),
      id_(make_server_id()),
      name_(options.server_name.empty() ? id_ : options.server_name),
      start_ns_(clock.unix_ns()),
      shared_(loops, process_hash_seed()),
      usage_(clock),
      options_(std::make_shared<const Options>(options)),
      config_load_ns_(start_ns_) {}

Result<std::unique_ptr<Server>> Server::start(const Options& options,
                                              const Clock& clock,
                                              const MakeStreams& make_streams) {
  const std::size_t workers = loop_count(options);
  const std::size_t loops = workers + (make_streams ? 1 : 0);
  std::unique_ptr<Server> server(new Server(options, clock, loops));
  RETURN_IF_ERROR(server->make_workers(workers, loops));
  if (make_streams) {
    RETURN_IF_ERROR(server->make_streams(loops, make_streams));
  }
  RETURN_IF_ERROR(server->read_certificates(options, server->tls_, server->websocket_tls_));
  RETURN_IF_ERROR(server->listen(options));
  Server* const self = server.get();
  for (const auto& worker : self->shared_.workers) {
    worker->start_thread();
  }
  if (self->streams_ != nullptr) {
    self->streams_->start_thread();
  }
  self->running_.store(true, std::memory_order_release);
  if (options.monitoring.port != 0) {
    auto http = serve_monitoring(options, self->monitoring_);
    if (!http) {
      return http.error();
    }
    self->monitoring_port_ = (*http)->port();
    self->http_ = std::move(*http);
  }
  logger("broker")->info(
      "listening host={} port={} monitoring_port={} websocket_port={} loops={} version={} "
      "nats_version={} id={}",
      options.host,
      self->port(),
      self->monitoring_port(),
      self->websocket_port(),
      workers,
      kVersion,
      kNatsVersion,
      self->id_);
  return server;
}

Status Server::make_workers(std::size_t workers, std::size_t loops) {
  const std::shared_ptr<const Options> options = current_options();
  auto authenticator = Authenticator::make(options->authorization, options->websocket);
  if (!authenticator) {
    return authenticator.error();
  }
  shared_.info = [this](const Connection& connection, const Options& now, bool lame_duck) {
    return info_line(connection, now, lame_duck);
  };
  start_system_service();
  for (std::size_t i = 0; i < workers; ++i) {
    auto loop = EventLoop::make(clock_);
    if (!loop) {
      return loop.error();
    }
    shared_.workers.push_back(std::make_unique<Worker>(
        static_cast<std::uint32_t>(i), loops, shared_, std::move(*loop), options, *authenticator));
    shared_.inboxes.push_back(&shared_.workers.back()->inbox());
  }
  return {};
}

// What is restored listens before clients can connect.
Status Server::make_streams(std::size_t loops, const MakeStreams& make) {
  auto loop = EventLoop::make(clock_);
  if (!loop) {
    return loop.error();
  }
  streams_ = std::make_unique<StreamLoop>(loops, shared_, std::move(*loop));
  shared_.streams = streams_.get();
  shared_.inboxes.push_back(&streams_->inbox());
  auto handler = make(*streams_);
  if (!handler) {
    return handler.error();
  }
  stream_handler_ = std::move(*handler);
  streams_->set_handler(*stream_handler_);
  return {};
}

Server::~Server() {
  stop();
}

std::shared_ptr<const Options> Server::current_options() {
  MutexLock lock(mutex_);
  return options_;
}

std::size_t Server::connection_count() const {
  return std::accumulate(shared_.workers.begin(),
                         shared_.workers.end(),
                         std::size_t{0},
                         [](std::size_t sum, const auto& worker) {
                           return sum + worker->load.load(std::memory_order_relaxed);
                         });
}

// On the first loop's thread.
void Server::accept(UniqueFd fd, Peer peer) {
  std::string refusal;
  const int most = shared_.workers.front()->options->limits.max_connections;
  if (most > 0 && connection_count() >= static_cast<std::size_t>(most)) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    refusal = "maximum connections exceeded";
  }
  const auto least = std::min_element(
      shared_.workers.begin(), shared_.workers.end(), [](const auto& a, const auto& b) {
        return a->load.load(std::memory_order_relaxed) < b->load.load(std::memory_order_relaxed);
      });
  Worker& worker = **least;
  worker.load.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t id = next_connection_.fetch_add(1, std::memory_order_relaxed);
  auto transport = make_transport(std::move(fd), peer.websocket, !refusal.empty());
  if (worker.index() == 0) {
    worker.adopt(std::move(transport), id, std::move(peer), refusal);
    return;
  }
  // std::function wants copyable captures.
  auto shared = std::make_shared<std::unique_ptr<Transport>>(std::move(transport));
  worker.loop().post([&worker, shared, id, peer = std::move(peer), refusal] {
    worker.adopt(std::move(*shared), id, peer, refusal);
  });
}

std::string Server::info_line(const Connection& connection,
                              const Options& options,
                              bool lame_duck) const {
  std::string json = fmt::format(
      "INFO {{\"server_id\":\"{}\",\"server_name\":{},\"version\":\"{}\",\"proto\":1,\"host\":{},"
      "\"port\":{},\"headers\":{},\"max_payload\":{},\"client_id\":{},\"client_ip\":{}",
      id_,
      json_quoted(name_),
      kNatsVersion,
      json_quoted(options.host),
      port(),
      !options.limits.no_header_support,
      options.limits.max_payload,
      connection.id(),
      json_quoted(connection.peer().ip));
  if (streams_ != nullptr) {
    add_field(json, "jetstream", "true");
    if (!options.jetstream.domain.empty()) {
      add_field(json, "domain", json_quoted(options.jetstream.domain));
    }
  }
  if (options.authorization.any()) {
    add_field(json, "auth_required", "true");
  }
  // Each listener has rules of its own. On a WebSocket, TLS is there already or never.
  const TlsOptions& tls = connection.peer().websocket ? options.websocket.tls : options.tls;
  if (tls.enabled) {
    const bool optional = tls.allow_non_tls && !connection.peer().websocket;
    add_field(json, optional ? "tls_available" : "tls_required", "true");
    if (tls.verify) {
      add_field(json, "tls_verify", "true");
    }
  }
  if (!connection.nonce().empty()) {
    add_field(json, "nonce", json_quoted(connection.nonce()));
  }
  const std::string& advertised =
      connection.peer().websocket ? options.websocket.advertise : options.client_advertise;
  if (!advertised.empty()) {
    add_field(json, "connect_urls", "[" + json_quoted(advertised) + "]");
  }
  if (lame_duck || lame_duck_.load(std::memory_order_relaxed)) {
    add_field(json, "ldm", "true");
  }
  return json + "} \r\n";
}

void Server::for_each_worker(const std::function<void(Worker&)>& visit) {
  CHECK(!EventLoop::on_loop_thread());
  if (stopped_.load(std::memory_order_acquire) || !running_.load(std::memory_order_acquire)) {
    return;
  }
  std::vector<std::future<void>> waits;
  for (const auto& worker : shared_.workers) {
    auto done = std::make_shared<std::promise<void>>();
    waits.push_back(done->get_future());
    worker->loop().post([&visit, &worker, done] {
      visit(*worker);
      done->set_value();
    });
  }
  for (auto& wait : waits) {
    wait.get();
  }
}

Status Server::reload(const Options& options, bool authorization_changed) {
  auto authenticator = Authenticator::make(options.authorization, options.websocket);
  if (!authenticator) {
    return authenticator.error();
  }
  std::shared_ptr<const TlsContext> tls;
  std::shared_ptr<const TlsContext> websocket_tls;
  RETURN_IF_ERROR(read_certificates(options, tls, websocket_tls));
  auto shared_options = std::make_shared<const Options>(options);
  {
    MutexLock lock(mutex_);
    options_ = shared_options;
    config_load_ns_ = clock_.unix_ns();
  }
  for_each_worker([&](Worker& worker) {
    if (worker.index() == 0) {
      tls_ = tls;
      websocket_tls_ = websocket_tls;
    }
    worker.set_options(shared_options, *authenticator, authorization_changed);
  });
  if (options.limits.max_connections > 0) {
    close_excess(static_cast<std::size_t>(options.limits.max_connections));
  }
  return {};
}

// Who came last goes first.
void Server::close_excess(std::size_t most) {
  Mutex collect;
  std::vector<std::uint64_t> ids;
  for_each_worker([&](Worker& worker) {
    MutexLock lock(collect);
    for (const auto& [id, connection] : worker.connections()) {
      if (connection->open()) {
        ids.push_back(id);
      }
    }
  });
  if (ids.size() <= most) {
    return;
  }
  std::sort(ids.begin(), ids.end());
  const std::uint64_t first = ids[most];
  const std::uint64_t last = ids.back();
  for_each_worker([&](Worker& worker) {
    for (const auto& [id, connection] : worker.connections()) {
      if (id >= first && id <= last) {
        connection->close(close_reasons::kMaxConnectionsExceeded, "maximum connections exceeded");
      }
    }
  });
}

void Server::begin_lame_duck(std::function<void()> done) {
  if (lame_duck_.exchange(true)) {
    return;
  }
  lame_duck_thread_ = std::thread([this, done = std::move(done)] { run_lame_duck(done); });
}

void Server::run_lame_duck(const std::function<void()>& done) {
  const std::shared_ptr<const Options> options = current_options();
  for_each_worker([&](Worker& worker) {
    if (worker.index() == 0) {
      close_listeners();
    }
    worker.announce_lame_duck();
  });
  logger("broker")->info("lame duck connections={}", connection_count());
  const TimeoutOptions& timeouts = options->timeouts;
  if (connection_count() > 0) {
    stop_.wait_for(timeouts.lame_duck_grace_period);
  }
  // Steps of at most a twentieth of a second, so that clients come to the other servers evenly.
  const auto spread = std::max(timeouts.lame_duck_duration - timeouts.lame_duck_grace_period,
                               std::chrono::nanoseconds(1));
  const auto end = clock_.now() + spread;
  constexpr auto kStep = std::chrono::milliseconds(50);
  while (!stop_.stop_requested() && connection_count() > 0) {
    const auto left = std::max<std::chrono::nanoseconds>(end - clock_.now(), kStep);
    const auto steps = static_cast<std::size_t>(left / kStep) + 1;
    for_each_worker([&](Worker& worker) {
      const std::size_t here = worker.connections().size();
      worker.close_some((here + steps - 1) / steps, close_reasons::kServerShutdown);
    });
    stop_.wait_for(std::min<std::chrono::nanoseconds>(kStep, left));
  }
  done();
}

void Server::stop() {
  if (stopped_.load(std::memory_order_acquire)) {
    return;
  }
  stop_.request_stop();
  http_.reset();
  const bool running = running_.load(std::memory_order_acquire);
  if (running) {
    announce_shutdown();
  }
  if (system_ != nullptr) {
    system_->stop();
  }
  if (lame_duck_thread_.joinable()) {
    lame_duck_thread_.join();
  }
  if (running) {
    for_each_worker([&](Worker& worker) {
      if (worker.index() == 0) {
        close_listeners();
      }
    });
    if (streams_ != nullptr) {
      stop_streams();
    }
    close_connections();
  }
  stopped_.store(true, std::memory_order_release);
  for (const auto& worker : shared_.workers) {
    worker->stop_and_join();
  }
  if (streams_ != nullptr) {
    streams_->stop_and_join();
    stream_handler_.reset();
  }
  logger("broker")->info("stopped");
}

// Nothing more is read; what was read is stored and acknowledged before anybody is closed.
void Server::stop_streams() {
  for_each_worker([](Worker& worker) { worker.stop_reading(); });
  for_each_worker([](Worker&) {});  // the turn before handed over what it had for others
  if (!streams_->drain(clock_.now() + kStreamDrainTime)) {
    logger("broker")->error(
        "streams not drained waited_s={}; what is not stored was not acknowledged",
        kStreamDrainTime.count());
  }
}

void Server::close_connections() {
  struct Left {
    Mutex mutex;
    CondVar changed;
    std::size_t loops GUARDED_BY(mutex) = 0;
  };
  // Clients take what is pending at their own pace: the last loop may be done after we gave up.
  const auto left = std::make_shared<Left>();
  {
    MutexLock lock(left->mutex);
    left->loops = shared_.workers.size();
  }
  for_each_worker([&](Worker& worker) {
    worker.close_all(close_reasons::kServerShutdown, [left] {
      {
        MutexLock lock(left->mutex);
        --left->loops;
      }
      left->changed.notify_one();
    });
  });
  const auto deadline = std::chrono::steady_clock::now() + kDrainTime;
  MutexLock lock(left->mutex);
  while (left->loops > 0 && left->changed.wait_until(left->mutex, deadline)) {
  }
}

}  // namespace feedvault::broker
