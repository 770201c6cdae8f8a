#include "broker/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/log.h"
#include "broker/limits.h"
#include "broker/options.h"

namespace feedvault::broker {
namespace {

void set_option(int fd, int level, int option, int on = 1) {
  // What fails here costs speed or patience, not correctness.
  static_cast<void>(::setsockopt(fd, level, option, &on, sizeof on));
}

Peer peer_of(const sockaddr_storage& address) {
  Peer peer;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    peer.port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    }
    peer.port = ntohs(v6.sin6_port);
  }
  peer.ip = text.data();
  return peer;
}

int bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return 0;
  }
  return peer_of(address).port;
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::listen(const std::string& host, int port) {
  ASSIGN_OR_RETURN(const std::string address, listening_address(host));
  const std::string service = std::to_string(port < 0 ? 0 : port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* raw = nullptr;
  if (const int error = ::getaddrinfo(address.c_str(), service.c_str(), &hints, &raw); error != 0) {
    return invalid_argument(
        fmt::format("cannot listen on {}:{}: {}", host, port, ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(raw, ::freeaddrinfo);
  UniqueFd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return io_error(fmt::format("socket: {}", std::strerror(errno)));
  }
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (address == "::") {
    set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  if (::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(fd.get(), kListenBacklog) != 0) {
    const std::string why = std::strerror(errno);
    return unavailable(fmt::format(
        "cannot listen on {}:{}: {}; stop what uses it or choose another port", host, port, why));
  }
  const int bound = bound_port(fd.get());
  return std::unique_ptr<Listener>(new Listener(std::move(fd), bound));
}

Status Listener::attach(EventLoop& loop, Accepted accepted) {
  loop_ = &loop;
  accepted_ = std::move(accepted);
  return loop.add(fd_.get(), EPOLLIN, *this);
}

void Listener::close() {
  if (fd_.valid() && loop_ != nullptr) {
    loop_->cancel(*this);
    loop_->remove(fd_.get());
    fd_.reset();
  }
}

void Listener::on_timer() {
  if (fd_.valid()) {
    loop_->change(fd_.get(), EPOLLIN, *this);
  }
}

void Listener::on_events(std::uint32_t) {
  for (int i = 0; i < kAcceptsPerTurn && fd_.valid(); ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    UniqueFd client(::accept4(
        fd_.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!client.valid()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        logger("broker")->error(
            "cannot accept error=\"{}\" pause_ms={}", std::strerror(errno), kAcceptPause.count());
        loop_->change(fd_.get(), 0, *this);
        loop_->schedule(*this, loop_->now() + kAcceptPause);
        return;
      }
      if (errno == EAGAIN) {
        return;
      }
      continue;  // that client has gone again
    }
    set_option(client.get(), IPPROTO_TCP, TCP_NODELAY);
    set_option(client.get(), SOL_SOCKET, SO_KEEPALIVE);
    accepted_(std::move(client), peer_of(address));
  }
}

}  // namespace feedvault::broker
