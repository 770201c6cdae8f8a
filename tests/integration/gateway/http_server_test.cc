// The server alone, with handlers of the test's own, against clients that mean no good.

#include <sys/resource.h>

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "gateway/http/problem.h"
#include "gateway/http/server.h"
#include "tests/support/certificates.h"
#include "tests/support/http_client.h"
#include "tests/support/loopback.h"

namespace feedvault::gateway {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
using feedvault::testing::eventually;
using feedvault::testing::http_request;
using feedvault::testing::HttpClient;

/// Endless, and silent after "hello".
class Hello final : public BodyStream {
 public:
  void on_ready(std::function<void()> wake) override { wake_ = std::move(wake); }
  State take(std::vector<Piece>& pieces) override {
    if (finished_) {
      return State::kEnd;
    }
    if (!said_) {
      pieces.push_back(std::make_shared<const std::string>("hello"));
      said_ = true;
    }
    return State::kWait;
  }
  bool endless() const override { return true; }
  void finish() override { finished_ = true; }

 private:
  bool said_ = false;
  bool finished_ = false;
  std::function<void()> wake_;
};

/// Never ends, and never waits.
class Flood final : public BodyStream {
 public:
  void on_ready(std::function<void()>) override {}
  State take(std::vector<Piece>& pieces) override {
    static const Piece piece = std::make_shared<const std::string>(kWriteBytes, 'x');
    pieces.push_back(piece);
    return State::kMore;
  }
};

class ServerTest : public ::testing::Test {
 protected:
  Server& start(ServerOptions options = {}) {
    auto server = Server::listen(
        options,
        [this](const Request& request, const Respond& respond) { handle(request, respond); },
        metrics_);
    if (!server.has_value()) {
      throw std::runtime_error(server.error().to_string());
    }
    server_ = std::move(*server);
    server_->start();
    return *server_;
  }

  void handle(const Request& request, const Respond& respond) {
    ++handled_;
    if (request.path == "/throw") {
      throw std::runtime_error("secret");
    }
    Response response;
    if (request.path == "/hello") {
      response.stream = std::make_shared<Hello>();
    } else if (request.path == "/flood") {
      response.stream = std::make_shared<Flood>();
    } else {
      response.body = request.method + " " + request.path + " " + request.body;
    }
    respond(std::move(response));
  }

  std::uint16_t port() const { return server_->port(); }

  Metrics metrics_;
  std::atomic<int> handled_{0};
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  start();
  HttpClient client(port());
  for (int i = 0; i < 3; ++i) {
    client.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy");
    EXPECT_EQ(client.receive().body, "POST /a xy");
  }
}

TEST_F(ServerTest, APipelineIsAnsweredInOrder) {
  start();
  HttpClient client(port());
  std::string requests;
  for (int i = 0; i < 100; ++i) {
    requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  }
  client.send(requests);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(client.receive().body, "GET /" + std::to_string(i) + " ");
  }
}

TEST_F(ServerTest, AFailingHandlerTellsNothingAboutItself) {
  start();
  const auto answer = http_request(port(), "GET", "/throw");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body.find("secret"), std::string::npos);
}

TEST_F(ServerTest, HugeHeadersAndBodiesAreRefusedAndTheAnswerArrives) {
  start();
  HttpClient headers(port());
  headers.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(64 << 10, 'x') + "\r\n\r\n");
  EXPECT_EQ(headers.receive().status, 431);
  EXPECT_TRUE(headers.wait_for_end());
  HttpClient body(port());
  body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n" +
            std::string(50000, 'x'));
  EXPECT_EQ(body.receive().status, 413);
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, SlowHeadersAreEnded) {
  ServerOptions options;
  options.limits.header_timeout = 300ms;
  start(options);
  HttpClient slow(port());
  std::atomic<bool> ended{false};
  std::thread sender([&] {
    while (!ended && slow.send("X")) {
      std::this_thread::sleep_for(20ms);  // a byte now and then is what it is about
    }
  });
  EXPECT_EQ(slow.receive().status, 408);
  EXPECT_TRUE(slow.wait_for_end());
  ended = true;
  sender.join();
}

TEST_F(ServerTest, AReaderThatTakesNothingIsCutOff) {
  ServerOptions options;
  options.limits.write_timeout = 300ms;
  start(options);
  HttpClient reader(port());
  reader.limit_receive_buffer(4096);
  reader.send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(eventually([&] {
    return metrics_.to_prometheus_text().find("feedvault_gateway_slow_readers_total 1") !=
           std::string::npos;
  }));
}

TEST_F(ServerTest, TheLongestIdleConnectionMakesRoom) {
  ServerOptions options;
  options.connections_max = 3;
  start(options);
  HttpClient busy(port());
  busy.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(busy.receive_head().status, 200);
  HttpClient oldest(port());
  oldest.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(oldest.receive().status, 200);
  HttpClient newer(port());
  newer.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(newer.receive().status, 200);
  EXPECT_EQ(http_request(port(), "GET", "/3").status, 200);
  EXPECT_TRUE(oldest.wait_for_end());
  EXPECT_EQ(busy.receive_some(), "hello");
}

TEST_F(ServerTest, WhenNoneIsIdleAFurtherOneIsToldSo) {
  ServerOptions options;
  options.connections_max = 1;
  start(options);
  HttpClient busy(port());
  busy.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(busy.receive_head().status, 200);
  HttpClient further(port());
  EXPECT_EQ(further.receive().status, 503);
  EXPECT_TRUE(further.wait_for_end());
}

TEST_F(ServerTest, ThousandsOfIdleConnectionsDoNotKeepOthersOut) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  // Both ends are in this process.
  const auto count = static_cast<std::size_t>(
      std::min<rlim_t>(10'000, limit.rlim_cur > 1000 ? (limit.rlim_cur - 500) / 2 : 100));
  ServerOptions options;
  options.connections_max = count / 2;
  start(options);
  std::vector<UniqueFd> idle;
  for (std::size_t i = 0; i < count; ++i) {
    idle.push_back(feedvault::testing::connect_loopback(port()));
    ASSERT_TRUE(idle.back().valid()) << i;
  }
  EXPECT_EQ(http_request(port(), "GET", "/").status, 200);
}

TEST_F(ServerTest, DrainingEndsStreamsAndRefusesConnections) {
  start();
  HttpClient live(port());
  live.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(live.receive_head().status, 200);
  EXPECT_EQ(live.receive_some(), "hello");
  std::thread drainer([&] { server_->drain(20s); });
  EXPECT_EQ(live.receive_some(), "") << "the last chunk";
  EXPECT_TRUE(live.wait_for_end());
  drainer.join();
  EXPECT_FALSE(HttpClient(port()).connected());
}

/// A TLS client, as far as these tests need one.
std::string https_get(std::uint16_t port, const std::string& authority, const std::string& path) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  SSL_CTX_load_verify_locations(context.get(), authority.c_str(), nullptr);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
  const UniqueFd fd = feedvault::testing::connect_loopback(port);
  SSL_set_fd(ssl.get(), fd.get());
  if (SSL_connect(ssl.get()) != 1) {
    return "no handshake";
  }
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
  std::string answer;
  char bytes[4096];
  for (int got = 0; (got = SSL_read(ssl.get(), bytes, sizeof bytes)) > 0;) {
    answer.append(bytes, static_cast<std::size_t>(got));
  }
  SSL_shutdown(ssl.get());
  return answer;
}

TEST_F(ServerTest, SpeaksTlsWhenItHasACertificate) {
  feedvault::testing::CertificateAuthority authority("authority");
  const auto files = authority.issue("gateway");
  ServerOptions options;
  options.tls_cert_file = files.certificate;
  options.tls_key_file = files.key;
  start(options);
  EXPECT_THAT(https_get(port(), authority.file(), "/x"), HasSubstr("\r\n\r\nGET /x "));
  HttpClient plain(port());
  plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(plain.wait_for_end());
  EXPECT_EQ(handled_, 1);
}

TEST_F(ServerTest, SaysWhatIsWrongWithItsPlace) {
  start();
  ServerOptions same;
  same.port = port();
  const auto taken = Server::listen(
      same, [](const Request&, const Respond&) {}, metrics_);
  ASSERT_FALSE(taken.has_value());
  EXPECT_THAT(taken.error().message(), HasSubstr("FEEDVAULT_HTTP_PORT"));
  ServerOptions no_file;
  no_file.tls_cert_file = "/nonexistent/a";
  no_file.tls_key_file = "/nonexistent/b";
  const auto unreadable = Server::listen(
      no_file, [](const Request&, const Respond&) {}, metrics_);
  ASSERT_FALSE(unreadable.has_value());
  EXPECT_EQ(unreadable.error().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace feedvault::gateway
