#include "cli/http_get.h"

#include <netdb.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "base/unique_fd.h"

namespace feedvault::cli {
namespace {

constexpr std::size_t kAnswerBytesMax = 1U << 20U;

UniqueFd connect_to(const std::string& host, std::uint16_t port, timeval timeout) {
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
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (fd.valid() && ::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) {
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
  const std::string where = host + ":" + std::to_string(port);
  const UniqueFd fd = connect_to(
      host, port, {.tv_sec = timeout.count() / 1000, .tv_usec = timeout.count() % 1000 * 1000});
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: " + where + "\r\nConnection: close\r\n\r\n";
  if (!fd.valid() || ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
                         static_cast<ssize_t>(request.size())) {
    return unavailable("nobody answers at " + where);
  }
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::recv(fd.get(), buffer, sizeof(buffer), 0)) != 0;) {
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

}  // namespace feedvault::cli
