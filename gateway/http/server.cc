// The only file that includes Asio.

#include "gateway/http/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <list>
#include <thread>
#include <unordered_map>
#include <utility>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include "base/asio_listen.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "gateway/http/problem.h"

namespace feedvault::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// After accept() failed, for want of file descriptors most likely.
constexpr std::chrono::milliseconds kAcceptPause{100};
// Descriptors that are not connections: database, broker, logs, this process's own.
constexpr std::size_t kOtherDescriptors = 128;

class AsioLoop final : public Loop {
 public:
  explicit AsioLoop(asio::io_context& context) : context_(&context) {}

  void post(std::function<void()> task) override {
    MutexLock lock(mutex_);
    if (context_ != nullptr) {
      asio::post(*context_, std::move(task));
    }
  }

  void dispatch(std::function<void()> task) override {
    if (std::this_thread::get_id() == thread_.load(std::memory_order_relaxed)) {
      task();
    } else {
      post(std::move(task));
    }
  }

  void post_after(std::chrono::milliseconds wait, std::function<void()> task) override {
    MutexLock lock(mutex_);
    if (context_ == nullptr) {
      return;
    }
    const auto timer = std::make_shared<asio::steady_timer>(*context_, wait);
    timer->async_wait([timer, task = std::move(task)](error_code cancelled) {
      if (!cancelled) {
        task();
      }
    });
  }

  void runs_here() { thread_ = std::this_thread::get_id(); }

  /// The context goes away.
  void end() {
    MutexLock lock(mutex_);
    context_ = nullptr;
  }

 private:
  Mutex mutex_;
  asio::io_context* context_ GUARDED_BY(mutex_);
  std::atomic<std::thread::id> thread_{};
};

std::vector<asio::const_buffer> buffers_of(const std::vector<Bytes>& parts) {
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(parts.size());
  for (const Bytes& part : parts) {
    buffers.emplace_back(part.data, part.size);
  }
  return buffers;
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(tcp::socket socket) : socket_(std::move(socket)) {}

  void handshake(Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done(true, 0); });
  }
  void read_some(char* into, std::size_t size, Done done) override {
    socket_.async_read_some(
        asio::buffer(into, size),
        [done = std::move(done)](error_code error, std::size_t bytes) { done(!error, bytes); });
  }
  void write(const std::vector<Bytes>& parts, Done done) override {
    asio::async_write(
        socket_, buffers_of(parts), [done = std::move(done)](error_code error, std::size_t bytes) {
          done(!error, bytes);
        });
  }
  void shutdown_send(Done done) override {
    error_code error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
    asio::post(socket_.get_executor(), [done = std::move(done), ok = !error] { done(ok, 0); });
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  tcp::socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(tcp::socket socket, asio::ssl::context& context)
      : stream_(std::move(socket), context) {}

  void handshake(Done done) override {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [done = std::move(done)](error_code error) { done(!error, 0); });
  }
  void read_some(char* into, std::size_t size, Done done) override {
    stream_.async_read_some(
        asio::buffer(into, size),
        [done = std::move(done)](error_code error, std::size_t bytes) { done(!error, bytes); });
  }
  void write(const std::vector<Bytes>& parts, Done done) override {
    // Each part would become a record of its own, with its own overhead.
    together_.clear();
    for (const Bytes& part : parts) {
      together_.append(part.data, part.size);
    }
    asio::async_write(stream_,
                      asio::buffer(together_),
                      [this, done = std::move(done)](error_code error, std::size_t bytes) {
                        together_ = std::string();
                        done(!error, bytes);
                      });
  }
  void shutdown_send(Done done) override {
    // close_notify, so that the peer can tell the end from a cut.
    stream_.async_shutdown([done = std::move(done)](error_code error) { done(!error, 0); });
  }
  void close() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

 private:
  asio::ssl::stream<tcp::socket> stream_;
  std::string together_;
};

struct ServerMetrics {
  explicit ServerMetrics(Metrics& metrics)
      : metrics_(metrics),
        connections(metrics.counter("feedvault_gateway_connections_total", "Accepted")),
        refused(metrics.counter("feedvault_gateway_connections_refused_total",
                                "Above connections_max, with none idle")),
        evicted(metrics.counter("feedvault_gateway_connections_evicted_total",
                                "Idle ones that made room")),
        slow(metrics.counter("feedvault_gateway_slow_readers_total",
                             "Ended because they did not take what was sent")),
        sent_bytes(metrics.counter("feedvault_gateway_sent_total", "Bytes sent")),
        open(metrics.gauge("feedvault_gateway_connections", "Open now")) {}

  void answered(int status) {
    const auto kind = static_cast<std::size_t>(std::clamp(status / 100, 2, 5)) - 2;
    answers_[kind].increment();
  }

 private:
  Counter answer_counter(const char* status) {
    return metrics_.counter(
        "feedvault_gateway_answers_total", "Answers by status", {{"status", status}});
  }
  Metrics& metrics_;

 public:
  Counter connections;
  Counter refused;
  Counter evicted;
  Counter slow;
  Counter sent_bytes;
  Gauge open;

 private:
  std::array<Counter, 4> answers_{
      answer_counter("2xx"), answer_counter("3xx"), answer_counter("4xx"), answer_counter("5xx")};
};

// As many connections as asked for, as far as the system lets us; returns how many.
std::size_t raise_descriptor_limit(std::size_t connections) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return connections;
  }
  const rlim_t wanted = connections + kOtherDescriptors;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wanted) {
    return connections;
  }
  const std::size_t fits = limit.rlim_cur > 2 * kOtherDescriptors
                               ? limit.rlim_cur - kOtherDescriptors
                               : std::max<std::size_t>(1, limit.rlim_cur / 2);
  logger("gateway")->warn(
      "fewer connections than configured, for want of file descriptors "
      "connections_max={} possible={}",
      connections,
      fits);
  return fits;
}

class AsioServer final : public Server, public SessionHost {
 public:
  AsioServer(ServerOptions options, Handler handler, Metrics& metrics)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        metrics_(metrics),
        loop_(std::make_shared<AsioLoop>(context_)) {}
  AsioServer(const AsioServer&) = delete;
  AsioServer& operator=(const AsioServer&) = delete;

  ~AsioServer() override {
    if (thread_.joinable()) {
      asio::post(context_, [this] {
        closing_ = true;
        error_code ignored;
        acceptor_.close(ignored);
        timer_.cancel();
        pause_.cancel();
        while (!sessions_.empty()) {
          const std::shared_ptr<Session> session = sessions_.front();
          session->leave();
        }
      });
      thread_.join();  // when all that was pending has heard of its end
    }
    loop_->end();
  }

  Status listen() {
    RETURN_IF_ERROR(load_tls());
    const Status listening = listen_on(acceptor_, options_.bind, options_.port);
    if (listening.code() == StatusCode::kUnavailable) {
      return unavailable(listening.message() +
                         "; set another port in [http] or FEEDVAULT_HTTP_PORT");
    }
    RETURN_IF_ERROR(listening);
    port_ = acceptor_.local_endpoint().port();
    connections_max_ = raise_descriptor_limit(options_.connections_max);
    return {};
  }

  void start() override {
    accept();
    tick();
    thread_ = std::thread([this] {
      loop_->runs_here();
      context_.run();
    });
  }

  std::uint16_t port() const override { return port_; }
  std::shared_ptr<Loop> loop() const override { return loop_; }

  void drain(std::chrono::milliseconds most) override {
    asio::post(context_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
      // drain() may end a session, which leaves the list.
      for (auto it = sessions_.begin(); it != sessions_.end();) {
        const std::shared_ptr<Session> session = *it++;
        session->drain();
      }
      draining_ = true;
      if (sessions_.empty()) {
        drained_.request_stop();
      }
    });
    drained_.wait_for(most);
  }

 private:
  using Sessions = std::list<std::shared_ptr<Session>>;

  Status load_tls() {
    if (options_.tls_cert_file.empty()) {
      return {};
    }
    tls_ = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    error_code error;
    tls_->set_options(asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 |
                          asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1,
                      error);
    // Idle readers give their record buffers back: 34 KB each otherwise.
    SSL_CTX_set_mode(tls_->native_handle(), SSL_MODE_RELEASE_BUFFERS);
    tls_->use_certificate_chain_file(options_.tls_cert_file, error);
    if (!error) {
      tls_->use_private_key_file(options_.tls_key_file, asio::ssl::context::pem, error);
    }
    return error ? invalid_argument(fmt::format("[http] tls_cert_file {}, tls_key_file {}: {}",
                                                options_.tls_cert_file,
                                                options_.tls_key_file,
                                                error.message()))
                 : Status();
  }

  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (closing_) {
        return;
      }
      if (!error) {
        admit(std::move(socket));
        accept();
      } else if (error != asio::error::operation_aborted && acceptor_.is_open()) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](error_code cancelled) {
          if (!cancelled && !closing_) {
            accept();
          }
        });
      }
    });
  }

  void admit(tcp::socket socket) {
    metrics_.connections.increment();
    if (sessions_.size() >= connections_max_ && !make_room()) {
      metrics_.refused.increment();
      refuse(std::move(socket));
      return;
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    std::unique_ptr<Transport> transport;
    if (tls_ != nullptr) {
      transport = std::make_unique<TlsTransport>(std::move(socket), *tls_);
    } else {
      transport = std::make_unique<PlainTransport>(std::move(socket));
    }
    sessions_.push_back(std::make_shared<Session>(std::move(transport), *this, loop_));
    places_.emplace(sessions_.back().get(), std::prev(sessions_.end()));
    metrics_.open.set(sessions_.size());
    sessions_.back()->start();
  }

  // The connection that has been idle longest: a client that opens many and says nothing must not
  // lock the others out.
  bool make_room() {
    const auto idle = std::find_if(
        sessions_.begin(), sessions_.end(), [](const auto& session) { return session->idle(); });
    if (idle == sessions_.end()) {
      return false;
    }
    metrics_.evicted.increment();
    const std::shared_ptr<Session> session = *idle;
    session->leave();
    return true;
  }

  // One try, without waiting: whoever does not get it sees a closed connection.
  void refuse(tcp::socket socket) {
    if (tls_ != nullptr) {
      return;
    }
    Response response = problem(503, "all connections are taken; try again later");
    const std::string text =
        response_head(response, /*close=*/true, /*chunked=*/false, date()) + response.body;
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(text), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  void tick() {
    timer_.expires_after(kTick);
    timer_.async_wait([this](error_code cancelled) {
      if (cancelled || closing_) {
        return;
      }
      const SteadyTime time = now();
      for (auto it = sessions_.begin(); it != sessions_.end();) {
        const std::shared_ptr<Session> session = *it++;
        session->check_deadline(time);
      }
      tick();
    });
  }

  void handle(const Request& request, Respond respond) override {
    try {
      handler_(request, respond);
    } catch (const std::exception& failure) {
      logger("gateway")->error("a handler failed problem=\"{}\"", failure.what());
      respond(problem(500, "the gateway failed at this request; its log says why"));
    }
  }
  const SessionLimits& limits() const override { return options_.limits; }
  SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  std::string_view date() override {
    const std::time_t time = std::time(nullptr);
    if (time != date_time_) {
      date_time_ = time;
      std::tm utc{};
      ::gmtime_r(&time, &utc);
      std::array<char, 40> text{};
      date_.assign(text.data(),
                   std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc));
    }
    return date_;
  }
  void answered(int status) override { metrics_.answered(status); }
  void sent(std::size_t bytes) override { metrics_.sent_bytes.increment(bytes); }
  void too_slow() override { metrics_.slow.increment(); }
  void busy(Session& session) override {
    sessions_.splice(sessions_.end(), sessions_, places_.at(&session));
  }
  void left(Session& session) override {
    const auto place = places_.find(&session);
    const std::shared_ptr<Session> alive = *place->second;  // to the end of its own call
    sessions_.erase(place->second);
    places_.erase(place);
    metrics_.open.set(sessions_.size());
    if (draining_ && sessions_.empty()) {
      drained_.request_stop();
    }
  }

  const ServerOptions options_;
  const Handler handler_;
  ServerMetrics metrics_;
  asio::io_context context_{1};
  const std::shared_ptr<AsioLoop> loop_;
  std::unique_ptr<asio::ssl::context> tls_;
  Sessions sessions_;  // in the order of their last request
  std::unordered_map<const Session*, Sessions::iterator> places_;
  tcp::acceptor acceptor_{context_};
  asio::steady_timer pause_{context_};
  asio::steady_timer timer_{context_};
  std::uint16_t port_ = 0;
  std::size_t connections_max_ = 0;
  std::time_t date_time_ = 0;
  std::string date_;
  bool draining_ = false;
  bool closing_ = false;
  StopSource drained_;
  std::thread thread_;
};

}  // namespace

ServerOptions ServerOptions::from(const HttpConfig& config) {
  ServerOptions options;
  options.bind = config.bind;
  options.port = config.port;
  options.tls_cert_file = config.tls_cert_file;
  options.tls_key_file = config.tls_key_file;
  options.connections_max = config.connections_max;
  options.limits.header_timeout = config.header_timeout_s;
  options.limits.idle_timeout = config.idle_timeout_s;
  options.limits.write_timeout = config.write_timeout_s;
  return options;
}

Result<std::unique_ptr<Server>> Server::listen(const ServerOptions& options,
                                               Handler handler,
                                               Metrics& metrics) {
  auto server = std::make_unique<AsioServer>(options, std::move(handler), metrics);
  RETURN_IF_ERROR(server->listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace feedvault::gateway
