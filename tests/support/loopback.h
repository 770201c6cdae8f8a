#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace feedvault::testing {

/// 127.0.0.1 with a port; 0: any free one.
inline sockaddr_in loopback_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// What is sent leaves at once, however little it is.
inline void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// A blocking TCP connection to loopback's `port`, without delay; invalid when nobody accepts it.
inline UniqueFd connect_loopback(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback_address(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fd.reset();
  } else {
    set_no_delay(fd.get());
  }
  return fd;
}

/// Sends operations to a NATS server as they are, as a client without a library would, and waits
/// until it has taken them all. Returns the connection; invalid when the server ended it instead.
inline UniqueFd send_nats(std::uint16_t port, std::string_view operations) {
  UniqueFd fd = connect_loopback(port);
  const std::string text =
      "CONNECT {\"verbose\":false,\"headers\":true}\r\n" + std::string(operations) + "PING\r\n";
  std::string answer;
  if (::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size())) {
    fd.reset();
  }
  while (fd.valid() && answer.find("PONG\r\n") == std::string::npos) {
    char bytes[4096];
    const ssize_t got = ::recv(fd.get(), bytes, sizeof(bytes), 0);
    if (got > 0) {
      answer.append(bytes, static_cast<std::size_t>(got));
    } else {
      fd.reset();
    }
  }
  return fd;
}

}  // namespace feedvault::testing
