#include "tests/support/tcp_gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>
#include <deque>
#include <functional>
#include <stdexcept>
#include <vector>

#include "base/clock.h"
#include "tests/support/loopback.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;

// Above this, a pipe stops reading until its receiver has caught up: TCP's own flow control then
// works through the gate.
constexpr std::size_t kHeldBytesMax = 1U << 20U;

}  // namespace

/// One direction of a connection.
struct TcpGate::Pipe {
  From from;
  int in;
  int out;
  struct Piece {
    SteadyTime due;
    std::string bytes;
  };
  std::deque<Piece> pieces;
  std::size_t held = 0;
  std::string tail;     // the last bytes seen, for a pattern in two pieces
  bool ended = false;   // its sender has closed
  bool failed = false;  // its receiver has
};

struct TcpGate::Link {
  UniqueFd client;
  UniqueFd server;
  Pipe to_server;
  Pipe to_client;
  bool closing = false;
};

TcpGate::TcpGate(std::uint16_t server_port) : server_port_(server_port) {
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = loopback_address(0);
  socklen_t size = sizeof(address);
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error(std::string("tcp gate: ") + std::strerror(errno));
  }
  port_ = ntohs(address.sin_port);
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  thread_ = std::thread([this] { run(); });
}

TcpGate::~TcpGate() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  change([](Rules&) {});
  thread_.join();
}

void TcpGate::change(const std::function<void(Rules&)>& how) {
  {
    MutexLock lock(mutex_);
    how(rules_);
  }
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_.get(), &one, sizeof(one)) == sizeof(one));
}

void TcpGate::pass() {
  change([](Rules& rules) { rules = Rules(); });
}
void TcpGate::drop() {
  change([](Rules& rules) { rules.drop = true; });
}
void TcpGate::delay(milliseconds time) {
  change([&](Rules& rules) { rules.delay = time; });
}
void TcpGate::slice(std::size_t bytes) {
  change([&](Rules& rules) { rules.slice = bytes; });
}
void TcpGate::refuse_new(bool refuse) {
  change([&](Rules& rules) { rules.refuse = refuse; });
}
void TcpGate::close_all() {
  {
    MutexLock lock(mutex_);
    close_all_ = true;
  }
  change([](Rules&) {});
}
void TcpGate::cut_on(From from, std::string pattern, Cut cut) {
  change([&](Rules& rules) {
    rules.pattern = std::move(pattern);
    rules.pattern_from = from;
    rules.cut = cut;
  });
}

int TcpGate::cuts() const {
  MutexLock lock(mutex_);
  return cuts_;
}
int TcpGate::open_connections() const {
  MutexLock lock(mutex_);
  return open_;
}
int TcpGate::connections() const {
  MutexLock lock(mutex_);
  return connections_;
}

void TcpGate::accept_one() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.valid() || rules_.refuse) {
    return;
  }
  UniqueFd server = connect_loopback(server_port_);
  if (!server.valid()) {
    return;
  }
  ::fcntl(server.get(), F_SETFL, O_NONBLOCK);
  set_no_delay(server.get());
  set_no_delay(client.get());
  auto link = std::make_unique<Link>();
  link->to_server = {
      .from = From::kClient, .in = client.get(), .out = server.get(), .pieces = {}, .tail = {}};
  link->to_client = {
      .from = From::kServer, .in = server.get(), .out = client.get(), .pieces = {}, .tail = {}};
  link->client = std::move(client);
  link->server = std::move(server);
  links_[next_link_++] = std::move(link);
  ++connections_;
}

bool TcpGate::struck_by_pattern(Link& link, Pipe& pipe, std::string& bytes) {
  if (rules_.pattern.empty() || rules_.pattern_from != pipe.from) {
    pipe.tail.clear();
    return false;
  }
  const std::string seen = pipe.tail + bytes;
  const std::size_t at = seen.find(rules_.pattern);
  if (at == std::string::npos) {
    pipe.tail = seen.substr(seen.size() - std::min(seen.size(), rules_.pattern.size() - 1));
    return false;
  }
  const std::size_t wanted = rules_.cut == Cut::kAfter ? at + rules_.pattern.size() : at;
  bytes.resize(wanted > pipe.tail.size() ? wanted - pipe.tail.size() : 0);
  link.closing = true;
  rules_.pattern.clear();
  ++cuts_;
  return true;
}

void TcpGate::read_into(Link& link, Pipe& pipe) {
  char buffer[16384];
  const ssize_t got = ::recv(pipe.in, buffer, sizeof(buffer), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (got <= 0) {
    pipe.ended = true;
    return;
  }
  std::string bytes(buffer, static_cast<std::size_t>(got));
  const bool struck = struck_by_pattern(link, pipe, bytes);
  if ((rules_.drop && !struck) || bytes.empty()) {
    return;
  }
  pipe.held += bytes.size();
  pipe.pieces.push_back(
      {.due = std::chrono::steady_clock::now() + rules_.delay, .bytes = std::move(bytes)});
}

void TcpGate::write_out(Pipe& pipe) {
  const SteadyTime now = std::chrono::steady_clock::now();
  while (!pipe.pieces.empty() && pipe.pieces.front().due <= now) {
    std::string& bytes = pipe.pieces.front().bytes;
    const std::size_t size =
        rules_.slice == 0 ? bytes.size() : std::min(rules_.slice, bytes.size());
    const ssize_t sent = ::send(pipe.out, bytes.data(), size, MSG_NOSIGNAL);
    if (sent < 0) {
      pipe.failed = errno != EAGAIN && errno != EINTR;
      return;
    }
    pipe.held -= static_cast<std::size_t>(sent);
    bytes.erase(0, static_cast<std::size_t>(sent));
    if (bytes.empty()) {
      pipe.pieces.pop_front();
    }
  }
}

void TcpGate::run() {
  for (;;) {
    std::vector<pollfd> polled = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    std::vector<std::pair<Link*, Pipe*>> pipes;
    int timeout_ms = -1;
    for (auto& [id, link] : links_) {
      for (Pipe* pipe : {&link->to_server, &link->to_client}) {
        pipes.emplace_back(link.get(), pipe);
        const bool wants = !link->closing && !pipe->ended && pipe->held < kHeldBytesMax;
        polled.push_back({wants ? pipe->in : -1, POLLIN, 0});
        if (!pipe->pieces.empty()) {
          // A full receiver is asked again every millisecond: simple, and rare here.
          const auto wait = std::chrono::ceil<milliseconds>(pipe->pieces.front().due -
                                                            std::chrono::steady_clock::now());
          const int ms = std::max(1, static_cast<int>(wait.count()));
          timeout_ms = timeout_ms < 0 ? ms : std::min(timeout_ms, ms);
        }
      }
    }
    ::poll(polled.data(), polled.size(), timeout_ms);
    if ((polled[1].revents & POLLIN) != 0) {
      std::uint64_t count = 0;
      static_cast<void>(::read(wake_.get(), &count, sizeof(count)) > 0);
    }

    MutexLock lock(mutex_);
    if (stop_) {
      return;
    }
    if (std::exchange(close_all_, false)) {
      links_.clear();
      pipes.clear();
    }
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      auto [link, pipe] = pipes[i];
      if (polled[i + 2].revents != 0 && !link->closing) {
        read_into(*link, *pipe);
      }
      write_out(*pipe);
    }
    std::erase_if(links_, [](const auto& entry) {
      const Link& link = *entry.second;
      const bool quiet = link.to_server.pieces.empty() && link.to_client.pieces.empty();
      const bool failed = link.to_server.failed || link.to_client.failed;
      const bool ended = link.closing || link.to_server.ended || link.to_client.ended;
      return failed || (ended && quiet);
    });
    if ((polled[0].revents & POLLIN) != 0) {
      accept_one();
    }
    open_ = static_cast<int>(links_.size());
  }
}

}  // namespace feedvault::testing
