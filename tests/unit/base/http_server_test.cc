#include "base/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "tests/support/loopback.h"

namespace feedvault {
namespace {

using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// A TCP connection that says what no HTTP library would.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : fd_(testing::connect_loopback(port)) {
    if (!fd_.valid()) {
      throw std::runtime_error("connect");
    }
  }

  RawClient& send(const std::string& text) {
    (void)::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    return *this;
  }

  /// Everything until the server closes, or "(still open)" at the end.
  std::string read_all(milliseconds timeout = std::chrono::seconds(5)) {
    return read_until([](const std::string&) { return false; }, timeout);
  }

  std::string read_past(const std::string& text) {
    return read_until([&](const std::string& got) { return got.find(text) != std::string::npos; },
                      std::chrono::seconds(5));
  }

 private:
  template <typename Condition>
  std::string read_until(Condition done, milliseconds timeout) {
    std::string got;
    char buffer[4096];
    while (!done(got)) {
      pollfd waiting{fd_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, static_cast<int>(timeout.count())) != 1) {
        return got + "(still open)";
      }
      const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (n <= 0) {
        return n == 0 ? got : got + "(reset)";
      }
      got.append(buffer, static_cast<std::size_t>(n));
    }
    return got;
  }

  UniqueFd fd_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  explicit HttpServerTest(milliseconds idle_max = std::chrono::seconds(10)) {
    auto started = HttpServer::start(
        "127.0.0.1",
        0,
        [](std::string_view path) -> HttpResponse {
          if (path == "/throw") {
            throw std::runtime_error("boom");
          }
          if (path == "/large") {
            return {200, "text/plain", std::string(1'000'000, 'x')};
          }
          return path == "/hello" ? HttpResponse{200, "text/x", "hello there"}
                                  : HttpResponse{404, "text/plain", "no such page"};
        },
        idle_max);
    EXPECT_TRUE(started.has_value()) << started.error().to_string();
    server_ = std::move(*started);
  }

  std::string ask(const std::string& request) {
    return RawClient(server_->port()).send(request).read_all();
  }

  std::unique_ptr<HttpServer> server_;
};

constexpr const char* kHello = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

TEST_F(HttpServerTest, AnswersGet) {
  const std::string answer = ask(kHello);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/x\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 11\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nhello there"));
}

TEST_F(HttpServerTest, AnswersHeadWithoutTheBody) {
  const std::string answer = ask("HEAD /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 11\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, PassesThePathWithoutItsQuery) {
  EXPECT_THAT(ask("GET /hello?x=/none HTTP/1.0\r\n\r\n"), EndsWith("hello there"));
  EXPECT_THAT(ask("GET /none HTTP/1.0\r\n\r\n"), HasSubstr(" 404 "));
}

TEST_F(HttpServerTest, WritesLargeAnswers) {
  const std::string answer = ask("GET /large HTTP/1.0\r\n\r\n");
  EXPECT_GT(answer.size(), 1'000'000U);
  EXPECT_THAT(answer, EndsWith("xxx"));
}

TEST_F(HttpServerTest, KeepsConnectionsForFurtherRequests) {
  RawClient client(server_->port());
  const std::string request = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
  EXPECT_THAT(client.send(request).read_past("hello there"), HasSubstr(" 200 "));
  EXPECT_THAT(client.send(request).read_past("hello there"), HasSubstr(" 200 "));
  // And requests that come together are answered in order.
  const std::string answers =
      client.send("HEAD /hello HTTP/1.1\r\n\r\n" + request + kHello).read_all();
  std::size_t count = 0;
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 200", at)) != std::string::npos; ++at) {
    ++count;
  }
  EXPECT_EQ(count, 3U);
}

TEST_F(HttpServerTest, RefusesOtherMethods) {
  for (const char* method : {"POST", "DELETE", "OPTIONS", "BREW"}) {
    const std::string answer =
        ask(std::string(method) + " /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(answer, HasSubstr(" 405 ")) << method;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n")) << method;
  }
}

TEST_F(HttpServerTest, DoesNotTakeABodyForTheNextRequest) {
  const std::string answer = ask(
      "POST /hello HTTP/1.1\r\nContent-Length: 33\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr(" 405 "));
  EXPECT_THAT(answer, Not(HasSubstr("hello there")));
}

TEST_F(HttpServerTest, TurnsWhatTheHandlerThrowsInto500) {
  EXPECT_THAT(ask("GET /throw HTTP/1.0\r\n\r\n"), HasSubstr(" 500 "));
  EXPECT_THAT(ask(kHello), HasSubstr(" 200 "));
}

TEST_F(HttpServerTest, AnswersGarbageWith400) {
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02\x00", 5) + " tls hello\r\n\r\n",
        std::string("hello\r\n\r\n"),
        std::string("GET\r\n\r\n"),
        std::string("GET /hello HTTP/1.1\r\nno colon\r\n\r\n"),
        std::string("GET /hello HTTP/9.9\r\n\r\n"),
        std::string("GET hello HTTP/1.1\r\nConnection: close\r\n\r\n"),
        std::string("GET /hello HTTP/1.1\r\nContent-Length: -1\r\n\r\n")}) {
    EXPECT_THAT(ask(garbage), HasSubstr(" 400 ")) << garbage;
  }
  EXPECT_THAT(ask(kHello), HasSubstr(" 200 "));
}

TEST_F(HttpServerTest, CutsHugeHeadersOff) {
  EXPECT_THAT(ask("GET /hello HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
              HasSubstr(" 431 "));
  EXPECT_THAT(ask("GET /" + std::string(100'000, 'x')), HasSubstr(" 431 "));
}

TEST_F(HttpServerTest, ServesOthersWhileOneIsSlow) {
  RawClient slow(server_->port());
  slow.send("GET /hel");
  RawClient deaf(server_->port());  // asks for much and reads nothing
  for (int i = 0; i < 50; ++i) {
    deaf.send("GET /large HTTP/1.1\r\n\r\n");
  }
  EXPECT_THAT(ask(kHello), HasSubstr(" 200 "));
  EXPECT_THAT(slow.send("lo HTTP/1.0\r\n\r\n").read_all(), HasSubstr(" 200 "));
}

TEST_F(HttpServerTest, ServesOthersWhenAllPlacesAreTaken) {
  std::vector<std::unique_ptr<RawClient>> idle(200);
  for (auto& client : idle) {
    client = std::make_unique<RawClient>(server_->port());
  }
  EXPECT_THAT(ask(kHello), HasSubstr(" 200 "));
  EXPECT_EQ(idle[0]->read_all(), "") << "the one that was idle longest made room";
  EXPECT_THAT(idle[199]->send(kHello).read_all(), HasSubstr(" 200 "));
}

TEST_F(HttpServerTest, StopsWithConnectionsOpen) {
  RawClient idle(server_->port());
  RawClient half(server_->port());
  half.send("GET /");
  EXPECT_THAT(ask(kHello), HasSubstr(" 200 "));
  server_.reset();
  EXPECT_EQ(idle.read_all(), "");
}

TEST_F(HttpServerTest, SaysThatAPortIsTaken) {
  const auto second = HttpServer::start(
      "127.0.0.1", server_->port(), [](std::string_view) -> HttpResponse { return {}; });
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr("127.0.0.1:" + std::to_string(server_->port())));
}

TEST_F(HttpServerTest, RefusesNamesToListenOn) {
  const auto server =
      HttpServer::start("localhost", 0, [](std::string_view) -> HttpResponse { return {}; });
  EXPECT_EQ(server.status().code(), StatusCode::kInvalidArgument);
}

class ImpatientHttpServerTest : public HttpServerTest {
 protected:
  ImpatientHttpServerTest() : HttpServerTest(milliseconds(100)) {}
};

TEST_F(ImpatientHttpServerTest, ClosesIdleConnections) {
  EXPECT_EQ(RawClient(server_->port()).read_all(), "");
}

TEST_F(ImpatientHttpServerTest, GivesDrippingHeadersNoMoreTime) {
  RawClient client(server_->port());
  const auto start = std::chrono::steady_clock::now();
  std::string answer = "(still open)";
  client.send("GET /hello HTTP/1.1\r\n");
  while (answer == "(still open)" &&
         std::chrono::steady_clock::now() - start < std::chrono::seconds(5)) {
    client.send("X: y\r\n");
    answer = client.read_all(milliseconds(10));
  }
  EXPECT_THAT(answer, Not(HasSubstr("still open")));
}

}  // namespace
}  // namespace feedvault
