#include "base/http_server.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>

#include "base/asio_listen.h"

namespace feedvault {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

// Scrapers and health checks use a handful; more are a leak or an attack.
constexpr std::size_t kConnectionsMax = 64;
// A request's line and headers together. The buffer must hold them and what is pipelined behind.
constexpr std::uint32_t kHeaderBytesMax = 8192;
constexpr std::size_t kBufferBytesMax = 16384;
// What a refused client may still send before it is cut off.
constexpr std::size_t kDiscardBytesMax = 65536;
// After accept() failed, for want of file descriptors most likely.
constexpr std::chrono::milliseconds kAcceptPause{100};

class Session;

/// The connections in the order of their last request: the front has been idle longest.
using Sessions = std::list<std::shared_ptr<Session>>;

/// One connection. Lives in its pending operation and in the server's list; server's thread only.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket,
          Sessions& sessions,
          const HttpServer::QueryHandler& handler,
          std::chrono::milliseconds idle_max)
      : stream_(std::move(socket)),
        buffer_(kBufferBytesMax),
        sessions_(sessions),
        handler_(handler),
        idle_max_(idle_max) {}

  void start(Sessions::iterator place) {
    place_ = place;
    read();
  }

  /// Ends the pending operation, and with it the session.
  void leave() {
    stream_.close();
    if (std::exchange(listed_, false)) {
      sessions_.erase(place_);  // the pending operation keeps this object to its end
    }
  }

 private:
  void read() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    stream_.expires_after(idle_max_);
    http::async_read_header(
        stream_, buffer_, *parser_, [self = shared_from_this()](auto error, auto) {
          self->on_header(error);
        });
  }

  void on_header(beast::error_code error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      answer({431, "text/plain; charset=utf-8", "headers too large\n"}, /*keep_alive=*/false);
      return;
    }
    if (error == http::error::end_of_stream || error == http::error::partial_message ||
        (error && error.category() != http::make_error_code(http::error::bad_method).category())) {
      leave();
      return;
    }
    if (error) {
      answer({400, "text/plain; charset=utf-8", "not HTTP\n"}, /*keep_alive=*/false);
      return;
    }
    sessions_.splice(sessions_.end(), sessions_, place_);
    const auto& request = parser_->get();
    // A body is never read, so what follows it could not be told from it.
    const bool has_body = !parser_->is_done();
    answer(respond(request), request.keep_alive() && !has_body);
  }

  HttpResponse respond(const http::request<http::empty_body>& request) const {
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
    }
    const std::string_view target(request.target().data(), request.target().size());
    const std::size_t path_end = std::min(target.find_first_of("?#"), target.size());
    const std::string_view path = target.substr(0, path_end);
    if (path.empty() || path.front() != '/') {
      return {400, "text/plain; charset=utf-8", "the target is not a path\n"};
    }
    try {
      std::string_view query = target.substr(path_end);
      query = query.substr(0, query.find('#'));
      return handler_(path, query.empty() ? query : query.substr(1));
    } catch (const std::exception& problem) {
      return {500, "text/plain; charset=utf-8", fmt::format("{}\n", problem.what())};
    }
  }

  void answer(HttpResponse response, bool keep_alive) {
    const bool head = parser_->get().method() == http::verb::head;
    message_ = {};
    message_.version(11);
    message_.result(static_cast<unsigned>(response.status));
    message_.set(http::field::content_type, response.content_type);
    message_.set(http::field::cache_control, "no-store");
    message_.keep_alive(keep_alive);
    if (response.status == 405) {
      message_.set(http::field::allow, "GET, HEAD");
    }
    message_.content_length(response.body.size());
    if (!head) {
      message_.body() = std::move(response.body);
    }
    serializer_.emplace(message_);
    serializer_->split(head);  // the length of the body, and not the body
    stream_.expires_after(idle_max_);
    const auto written = [self = shared_from_this(), keep_alive](auto error, auto) {
      self->on_written(error, keep_alive);
    };
    if (head) {
      http::async_write_header(stream_, *serializer_, written);
    } else {
      http::async_write(stream_, *serializer_, written);
    }
  }

  void on_written(beast::error_code error, bool keep_alive) {
    if (error) {
      leave();
    } else if (keep_alive) {
      read();
    } else {
      stream_.socket().shutdown(tcp::socket::shutdown_send, error);
      stream_.expires_after(idle_max_);
      discard(kDiscardBytesMax);
    }
  }

  // Takes in what the peer still sends, until it closes: closing first would reset the connection,
  // and the answer would be lost on the way.
  void discard(std::size_t bytes_left) {
    stream_.async_read_some(asio::buffer(discarded_),
                            [self = shared_from_this(), bytes_left](auto error, auto bytes) {
                              if (error || bytes >= bytes_left) {
                                self->leave();
                              } else {
                                self->discard(bytes_left - bytes);
                              }
                            });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  Sessions& sessions_;
  Sessions::iterator place_;
  bool listed_ = true;
  const HttpServer::QueryHandler& handler_;
  std::chrono::milliseconds idle_max_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> message_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  std::array<char, 1024> discarded_{};
};

class BeastServer final : public HttpServer {
 public:
  BeastServer(QueryHandler handler, std::chrono::milliseconds idle_max)
      : handler_(std::move(handler)), idle_max_(idle_max) {}
  BeastServer(const BeastServer&) = delete;
  BeastServer& operator=(const BeastServer&) = delete;

  ~BeastServer() override {
    if (thread_.joinable()) {
      asio::post(context_, [this] {
        while (!sessions_.empty()) {
          sessions_.front()->leave();
        }
        context_.stop();
      });
      thread_.join();
    }
  }

  Status listen(const std::string& bind, std::uint16_t port) {
    RETURN_IF_ERROR(listen_on(acceptor_, bind, port));
    port_ = acceptor_.local_endpoint().port();
    accept();
    thread_ = std::thread([this] { context_.run(); });
    return {};
  }

  std::uint16_t port() const override { return port_; }

 private:
  void accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (!error) {
        admit(std::move(socket));
        accept();
      } else if (error != asio::error::operation_aborted) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](beast::error_code cancelled) {
          if (!cancelled) {
            accept();
          }
        });
      }
    });
  }

  // When all places are taken, the longest idle connection makes room: a client that opens many
  // and says nothing must not lock out the health check.
  void admit(tcp::socket socket) {
    if (sessions_.size() >= kConnectionsMax) {
      sessions_.front()->leave();
    }
    sessions_.push_back(
        std::make_shared<Session>(std::move(socket), sessions_, handler_, idle_max_));
    sessions_.back()->start(std::prev(sessions_.end()));
  }

  QueryHandler handler_;
  std::chrono::milliseconds idle_max_;
  asio::io_context context_{1};
  Sessions sessions_;  // their sockets go before the context
  tcp::acceptor acceptor_{context_};
  asio::steady_timer pause_{context_};
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const std::string& bind,
                                                      std::uint16_t port,
                                                      Handler handler,
                                                      std::chrono::milliseconds idle_max) {
  return start_with_query(
      bind,
      port,
      [handler = std::move(handler)](std::string_view path, std::string_view /*query*/) {
        return handler(path);
      },
      idle_max);
}

Result<std::unique_ptr<HttpServer>> HttpServer::start_with_query(
    const std::string& bind,
    std::uint16_t port,
    QueryHandler handler,
    std::chrono::milliseconds idle_max) {
  auto server = std::make_unique<BeastServer>(std::move(handler), idle_max);
  RETURN_IF_ERROR(server->listen(bind, port));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace feedvault
