#include "cli/http_get.h"

#include <netdb.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace feedvault::cli {
namespace {

constexpr std::size_t kAnswerBytesMax = 1U << 20U;

/// Bounds the socket's next call by what is left until `deadline`; false when nothing is.
bool limit_call(int fd, int option, SteadyTime deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      deadline - std::chrono::steady_clock::now());
  const timeval timeout{.tv_sec = left.count() / 1'000'000, .tv_usec = left.count() % 1'000'000};
  return left.count() > 0 &&  // 0 would be no bound
         ::setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof(timeout)) == 0;
}

UniqueFd connect_to(const std::string& host, std::uint16_t port, SteadyTime deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return {};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    UniqueFd fd(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0));
    // On Linux the send timeout bounds connect() too.
    if (fd.valid() && limit_call(fd.get(), SO_SNDTIMEO, deadline) &&
        ::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) {
      return fd;
    }
  }
  return {};
}

}  // namespace

Result<HttpAnswer> http_get(const std::string& host,
                            std::uint16_t port,
                            const std::string& path,
                            std::chrono::milliseconds timeout) {
  const std::string where = place_of(host, port);
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  const UniqueFd fd = connect_to(host, port, deadline);
  const std::string request = "GET " + path + " HTTP/1.0\r\nConnection: close\r\n\r\n";
  if (!fd.valid() || ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
                         static_cast<ssize_t>(request.size())) {
    return unavailable("nobody answers at " + where);
  }
  std::string text;
  char buffer[4096];
  for (ssize_t got = 1; got != 0;) {
    got = limit_call(fd.get(), SO_RCVTIMEO, deadline) ? ::recv(fd.get(), buffer, sizeof(buffer), 0)
                                                      : -1;
    if (got < 0 || text.size() > kAnswerBytesMax) {
      return unavailable(where + " does not answer in time");
    }
    text.append(buffer, static_cast<std::size_t>(got));
  }
  HttpAnswer answer;
  const std::size_t body = text.find("\r\n\r\n");
  const std::size_t code = text.find(' ');
  if (!text.starts_with("HTTP/1.") || body == std::string::npos ||
      std::from_chars(text.data() + code + 1, text.data() + body, answer.status).ec !=
          std::errc()) {
    return protocol_error(where + " does not speak HTTP");
  }
  answer.body = text.substr(body + 4);
  return answer;
}

std::string place_of(const std::string& host, std::uint16_t port) {
  // An IPv6 address needs brackets before a port can follow.
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" +
         std::to_string(port);
}

Result<Place> parse_place(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Place place;
  if (colon != std::string::npos) {
    place.host = text.substr(0, colon);
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + colon + 1, end, place.port);
    place.port = read.ec == std::errc() && read.ptr == end ? place.port : 0;
  }
  if (place.host.starts_with('[') && place.host.ends_with(']')) {
    place.host = place.host.substr(1, place.host.size() - 2);
  } else if (place.host.find(':') != std::string::npos) {
    place.host.clear();
  }
  if (place.host.empty() || place.port == 0) {
    return invalid_argument("'" + text + "' is not HOST:PORT; write it like 127.0.0.1:8080");
  }
  return place;
}

}  // namespace feedvault::cli
