#include "tests/integration/broker/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <stdexcept>

namespace feedvault::broker::testing {

RawClient::RawClient(std::uint16_t port, Greeting greeting)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("no server listens on port " + std::to_string(port));
  }
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (greeting == Greeting::kNone) {
    return;
  }
  std::string received;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (received.find("\r\n") == std::string::npos && receive_some(received, deadline)) {
  }
  const std::size_t end = received.find("\r\n");
  if (end == std::string::npos || received.rfind("INFO {", 0) != 0) {
    throw std::runtime_error("no INFO but: " + received);
  }
  info_ = received.substr(0, end);
  rest_ = received.substr(end + 2);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      return false;
    }
    bytes.remove_prefix(sent > 0 ? static_cast<std::size_t>(sent) : 0);
  }
  return true;
}

bool RawClient::receive_some(std::string& into, std::chrono::steady_clock::time_point deadline) {
  if (ended_) {
    return false;
  }
  pollfd poll{fd_.get(), POLLIN, 0};
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  if (left.count() < 0 || ::poll(&poll, 1, static_cast<int>(left.count())) <= 0) {
    return false;
  }
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (got <= 0) {
    ended_ = true;
    return false;
  }
  into.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

std::string RawClient::receive_some(std::chrono::milliseconds timeout) {
  std::string received = std::exchange(rest_, {});
  if (received.empty()) {
    receive_some(received, std::chrono::steady_clock::now() + timeout);
  }
  return received;
}

std::string RawClient::receive_until(std::string_view text, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string received = std::exchange(rest_, {});
  const auto there = [&] {
    return received.size() >= text.size() &&
           received.compare(received.size() - text.size(), text.size(), text) == 0;
  };
  while (!there() && receive_some(received, deadline)) {
  }
  return received;
}

std::string RawClient::receive(std::size_t bytes, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string received = std::exchange(rest_, {});
  while (received.size() < bytes && receive_some(received, deadline)) {
  }
  if (received.size() > bytes) {
    rest_ = received.substr(bytes);
    received.resize(bytes);
  }
  return received;
}

std::string RawClient::receive_to_end(bool& closed, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string received = std::exchange(rest_, {});
  while (receive_some(received, deadline)) {
  }
  closed = ended_;
  return received;
}

void RawClient::shut_write() {
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace feedvault::broker::testing
