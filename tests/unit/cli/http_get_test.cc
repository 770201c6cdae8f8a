#include "cli/http_get.h"

#include <poll.h>
#include <sys/socket.h>

#include <thread>

#include <gtest/gtest.h>

#include "base/http_server.h"
#include "tests/support/loopback.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;

TEST(HttpGet, GivesStatusAndAllOfTheBody) {
  const std::string long_body(100'000, 'x');
  const auto server = HttpServer::start("127.0.0.1", 0, [&](std::string_view path) {
    return HttpResponse{.status = path == "/long" ? 200 : 404, .body = long_body};
  });
  ASSERT_TRUE(server.has_value()) << server.error().to_string();
  const auto found = http_get("127.0.0.1", (*server)->port(), "/long", 60s);
  ASSERT_TRUE(found.has_value()) << found.error().to_string();
  EXPECT_EQ(found->status, 200);
  EXPECT_EQ(found->body, long_body);
  EXPECT_EQ(http_get("127.0.0.1", (*server)->port(), "/", 60s)->status, 404);
}

TEST(HttpGet, TheTimeoutIsForTheWholeAnswer) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = testing::loopback_address(0);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  // A byte every 10 ms, for as long as somebody listens: no wait for the next one is long.
  std::thread server([&] {
    const UniqueFd client(::accept(listener.get(), nullptr, nullptr));
    pollfd leaves{.fd = client.get(), .events = POLLRDHUP, .revents = 0};
    while (client.valid() && ::poll(&leaves, 1, 10) == 0) {
      ::send(client.get(), "H", 1, MSG_NOSIGNAL);
    }
  });
  const auto answer = http_get("127.0.0.1", ntohs(address.sin_port), "/", 200ms);
  ::shutdown(listener.get(), SHUT_RDWR);  // where it did not come to a connection
  server.join();
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code(), StatusCode::kUnavailable);
}

TEST(PlaceOf, BracketsAnAddressWithColons) {
  EXPECT_EQ(place_of("::1", 8080), "[::1]:8080");
  EXPECT_EQ(place_of("127.0.0.1", 8080), "127.0.0.1:8080");
  EXPECT_EQ(place_of("gateway", 80), "gateway:80");
}

TEST(ParsePlace, TakesApartWhatPlaceOfMakes) {
  for (const char* text : {"[::1]:8080", "127.0.0.1:8080", "gateway:80", "gateway:65535"}) {
    const auto place = parse_place(text);
    ASSERT_TRUE(place.has_value()) << text;
    EXPECT_EQ(place_of(place->host, place->port), text);
  }
  EXPECT_EQ(parse_place("[::1]:8080")->host, "::1");
  for (const char* text : {"",
                           "gateway",
                           "gateway:",
                           ":8080",
                           "[]:80",
                           "::1:8080",
                           "gateway:0",
                           "gateway:65536",
                           "gateway:80a",
                           "gateway:-1",
                           "http://gateway:80"}) {
    const auto place = parse_place(text);
    ASSERT_FALSE(place.has_value()) << text;
    EXPECT_EQ(place.error().code(), StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace feedvault::cli
