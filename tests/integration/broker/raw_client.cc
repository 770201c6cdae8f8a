#include "tests/integration/broker/raw_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "tests/support/loopback.h"

namespace feedvault::broker::testing {

RawClient::RawClient(std::uint16_t port, Greeting greeting)
    : fd_(feedvault::testing::connect_loopback(port)) {
  if (!fd_.valid()) {
    throw std::runtime_error("no server listens on port " + std::to_string(port));
  }
  if (greeting == Greeting::kNone) {
    return;
  }
  std::string received;
  const Deadline deadline = in(kPatience);
  while (received.find("\r\n") == std::string::npos && receive_more(received, deadline)) {
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

bool RawClient::receive_more(std::string& into, Deadline deadline) {
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

void RawClient::shut_write() {
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace feedvault::broker::testing
