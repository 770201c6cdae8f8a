#include "bench/broker/load.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "base/unique_fd.h"
#include "tests/support/loopback.h"

namespace feedvault::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 256U << 10U;
constexpr std::size_t kBatchBytes = 64U << 10U;
constexpr auto kPatience = std::chrono::seconds(60);
constexpr const char* kConnect =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
    "\"protocol\":1,\"lang\":\"bench\",\"version\":\"1\"}\r\n";

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd = testing::connect_loopback(port);
  if (!fd.valid()) {
    throw std::runtime_error("the server does not accept connections");
  }
  return fd;
}

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      throw std::runtime_error("the server closed a connection");
    }
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// Blocking; sends CONNECT, `more` and PING, and waits for the PONG.
void introduce(int fd, const std::string& more) {
  send_all(fd, kConnect + more + "PING\r\n");
  std::string received;
  char buffer[4096];
  while (received.find("PONG\r\n") == std::string::npos) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
      throw std::runtime_error("the server closed a connection: " + received);
    }
    received.append(buffer, static_cast<std::size_t>(got));
  }
}

struct Publisher {
  UniqueFd fd;
  std::string batch;  // whole messages, sent again and again
  std::uint64_t batch_messages = 0;
  std::uint64_t bytes_left = 0;  // to be sent
  std::size_t at = 0;            // in batch
};

struct Requester {
  UniqueFd fd;
  Clock::time_point sent;
};

class Load {
 public:
  Load(const Shape& shape, std::uint16_t port) : shape_(shape), port_(port), buffer_(kReadBytes) {
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    payload_.assign(shape.payload_bytes, 'x');
    reply_tail_ = fmt::format(" {}\r\n{}\r\n", shape.payload_bytes, payload_);
  }

  Measured run(int server_pid) {
    subscribe();
    const double cpu_before = cpu_seconds(server_pid);
    const auto begin = Clock::now();
    Measured measured;
    if (shape_.kind == Shape::Kind::kRequests) {
      measured = exchange_requests();
    } else {
      measured = publish_all();
    }
    measured.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    measured.server_cpu_seconds = cpu_seconds(server_pid) - cpu_before;
    return measured;
  }

 private:
  std::string subject(std::uint64_t n) const {
    switch (shape_.kind) {
      case Shape::Kind::kDistinct:
        return fmt::format("bench.{:05}", n % static_cast<std::uint64_t>(shape_.subscribers));
      case Shape::Kind::kWildcards:
        // A stride through all of them, so that neighbours do not share cache lines.
        return fmt::format("bench.{:06}.x", n * 7919 % static_cast<std::uint64_t>(shape_.filters));
      default:
        return "bench.subject";
    }
  }

  std::string subscriptions_of(int subscriber) const {
    std::string text;
    switch (shape_.kind) {
      case Shape::Kind::kQueue:
        return "SUB bench.subject workers 000001\r\n";
      case Shape::Kind::kDistinct:
        return fmt::format("SUB bench.{:05} 000001\r\n", subscriber);
      case Shape::Kind::kWildcards:
        for (int i = subscriber; i < shape_.filters; i += shape_.subscribers) {
          text += fmt::format("SUB bench.{:06}.* {:06}\r\n", i, i);
        }
        return text;
      default:
        return "SUB bench.subject 000001\r\n";
    }
  }

  void watch(int fd, std::uint32_t events, std::uint64_t tag) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = tag;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      throw std::runtime_error("epoll_ctl failed");
    }
  }

  void subscribe() {
    for (int i = 0; i < shape_.subscribers; ++i) {
      subscribers_.push_back(connect_to(port_));
      introduce(subscribers_.back().get(), subscriptions_of(i));
      watch(subscribers_.back().get(), EPOLLIN, static_cast<std::uint64_t>(i));
    }
  }

  void make_publishers() {
    const std::uint64_t each = shape_.messages / static_cast<std::uint64_t>(shape_.publishers);
    for (int i = 0; i < shape_.publishers; ++i) {
      Publisher publisher;
      publisher.fd = connect_to(port_);
      introduce(publisher.fd.get(), "");
      // A batch repeats; with many subjects it must hold each of them once.
      std::uint64_t n = 0;
      const std::uint64_t least =
          shape_.kind == Shape::Kind::kDistinct    ? static_cast<std::uint64_t>(shape_.subscribers)
          : shape_.kind == Shape::Kind::kWildcards ? static_cast<std::uint64_t>(shape_.filters)
                                                   : 1;
      while (publisher.batch.size() < kBatchBytes || n % least != 0) {
        publisher.batch +=
            fmt::format("PUB {} {}\r\n{}\r\n", subject(n++), shape_.payload_bytes, payload_);
      }
      publisher.batch_messages = n;
      publisher.bytes_left = each * (publisher.batch.size() / n);
      publishers_.push_back(std::move(publisher));
    }
    for (std::size_t i = 0; i < publishers_.size(); ++i) {
      watch(publishers_[i].fd.get(), EPOLLOUT, kPublisherTag + i);
    }
  }

  // Sends what the socket takes; at the end a PING, whose PONG says that all was processed.
  void publish_some(Publisher& publisher) {
    if (publisher.bytes_left == 0) {
      return;
    }
    const std::size_t size =
        std::min<std::uint64_t>(publisher.batch.size() - publisher.at, publisher.bytes_left);
    const ssize_t sent = ::send(publisher.fd.get(),
                                publisher.batch.data() + publisher.at,
                                size,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno != EAGAIN) {
        throw std::runtime_error("the server closed a publisher");
      }
      return;
    }
    publisher.at = (publisher.at + static_cast<std::size_t>(sent)) % publisher.batch.size();
    publisher.bytes_left -= static_cast<std::uint64_t>(sent);
    if (publisher.bytes_left == 0) {
      send_all(publisher.fd.get(), "PING\r\n");
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = kPublisherTag + static_cast<std::uint64_t>(&publisher - publishers_.data());
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, publisher.fd.get(), &event);
    }
  }

  std::size_t read_some(int fd) {
    const ssize_t got = ::recv(fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
      throw std::runtime_error("the server closed a connection");
    }
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }

  Measured publish_all() {
    make_publishers();
    const std::size_t message_bytes =
        fmt::format("MSG {} 000001 {}\r\n{}\r\n", subject(0), shape_.payload_bytes, payload_)
            .size();
    const std::uint64_t expected = shape_.deliveries() * message_bytes;
    std::uint64_t received = 0;
    std::size_t pongs = 0;
    const auto deadline = Clock::now() + kPatience;
    while ((received < expected || pongs < publishers_.size()) && Clock::now() < deadline) {
      epoll_event events[256];
      const int ready = ::epoll_wait(epoll_.get(), events, 256, 1000);
      for (int i = 0; i < ready; ++i) {
        const std::uint64_t tag = events[i].data.u64;
        if (tag < kPublisherTag) {
          received += read_some(subscribers_[tag].get());
        } else if ((events[i].events & EPOLLOUT) != 0) {
          publish_some(publishers_[tag - kPublisherTag]);
        } else if (read_some(publishers_[tag - kPublisherTag].fd.get()) >= 6) {
          ++pongs;  // or the server's PING, early in a connection's life: then a little too early
        }
      }
    }
    Measured measured;
    // nats-server's early PING to a subscriber counts as bytes, too: fewer than a message.
    measured.complete = received >= expected && received < expected + 6 * subscribers_.size() + 1;
    measured.messages = shape_.subscribers > 0 ? received / message_bytes : shape_.messages;
    return measured;
  }

  // Each requester has one request on its way; whatever arrives at a responder is answered.
  Measured exchange_requests() {
    std::vector<Requester> requesters;
    std::vector<std::string> requests;
    std::vector<std::string> partial(subscribers_.size());
    for (int i = 0; i < shape_.publishers; ++i) {
      requesters.push_back({connect_to(port_), {}});
      introduce(requesters.back().fd.get(), fmt::format("SUB inbox.{:04}.* 000001\r\n", i));
      watch(requesters.back().fd.get(), EPOLLIN, kPublisherTag + static_cast<std::uint64_t>(i));
    }
    std::uint64_t started = 0;
    const auto ask = [&](std::size_t i) {
      if (started >= shape_.messages) {
        return;
      }
      requesters[i].sent = Clock::now();
      send_all(requesters[i].fd.get(),
               fmt::format("PUB bench.subject inbox.{:04}.{:08} {}\r\n{}\r\n",
                           i,
                           started,
                           shape_.payload_bytes,
                           payload_));
      ++started;
    };
    std::vector<double> trips;
    trips.reserve(shape_.messages);
    for (std::size_t i = 0; i < requesters.size(); ++i) {
      ask(i);
    }
    const auto deadline = Clock::now() + kPatience;
    while (trips.size() < shape_.messages && Clock::now() < deadline) {
      epoll_event events[256];
      const int ready = ::epoll_wait(epoll_.get(), events, 256, 1000);
      for (int i = 0; i < ready; ++i) {
        const std::uint64_t tag = events[i].data.u64;
        if (tag < kPublisherTag) {
          answer(static_cast<std::size_t>(tag), partial[tag]);
          continue;
        }
        const std::size_t got = read_some(requesters[tag - kPublisherTag].fd.get());
        if (got <= 6) {
          continue;  // the server's PING
        }
        const auto trip = Clock::now() - requesters[tag - kPublisherTag].sent;
        trips.push_back(std::chrono::duration<double, std::micro>(trip).count());
        ask(tag - kPublisherTag);
      }
    }
    Measured measured;
    measured.complete = trips.size() == shape_.messages;
    measured.messages = 2 * trips.size();
    std::sort(trips.begin(), trips.end());
    if (!trips.empty()) {
      measured.p50_us = trips[trips.size() / 2];
      measured.p99_us = trips[trips.size() * 99 / 100];
    }
    return measured;
  }

  void answer(std::size_t responder, std::string& partial) {
    partial.append(buffer_.data(), read_some(subscribers_[responder].get()));
    std::string replies;
    std::size_t at = 0;
    while (true) {
      const std::size_t line_end = partial.find("\r\n", at);
      if (line_end == std::string::npos) {
        break;
      }
      if (partial.compare(at, 4, "MSG ") != 0) {
        at = line_end + 2;
        continue;
      }
      const std::size_t end = line_end + 2 + shape_.payload_bytes + 2;
      if (partial.size() < end) {
        break;
      }
      // MSG subject sid reply size
      const std::size_t sid = partial.find(' ', at + 4) + 1;
      const std::size_t reply = partial.find(' ', sid) + 1;
      const std::size_t reply_end = partial.find(' ', reply);
      replies.append("PUB ").append(partial, reply, reply_end - reply).append(reply_tail_);
      at = end;
    }
    partial.erase(0, at);
    send_all(subscribers_[responder].get(), replies);
  }

  static constexpr std::uint64_t kPublisherTag = 1'000'000;
  const Shape& shape_;
  std::uint16_t port_;
  std::vector<char> buffer_;
  std::string payload_;
  std::string reply_tail_;  // of a PUB, behind its subject
  UniqueFd epoll_;
  std::vector<UniqueFd> subscribers_;
  std::vector<Publisher> publishers_;
};

}  // namespace

std::uint64_t Shape::deliveries() const {
  if (kind == Kind::kFanOut) {
    return messages * static_cast<std::uint64_t>(subscribers);
  }
  return messages;
}

Measured run_shape(const Shape& shape, std::uint16_t port, int server_pid) {
  return Load(shape, port).run(server_pid);
}

IdleResult run_idle(int count, std::uint16_t port, int server_pid) {
  IdleResult result;
  result.resident_bytes_before = resident_bytes(server_pid);
  std::vector<UniqueFd> clients;
  std::string hello(kConnect);
  hello += "PING\r\n";
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    clients.push_back(connect_to(port));
    send_all(clients.back().get(), hello);
  }
  for (const UniqueFd& client : clients) {
    std::string received;
    char buffer[4096];
    while (received.find("PONG\r\n") == std::string::npos) {
      const ssize_t got = ::recv(client.get(), buffer, sizeof buffer, 0);
      if (got <= 0) {
        return result;
      }
      received.append(buffer, static_cast<std::size_t>(got));
    }
  }
  result.connect_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  result.resident_bytes_after = resident_bytes(server_pid);
  result.complete = true;
  return result;
}

double cpu_seconds(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) {  // state ... cmajflt
    fields >> skipped;
  }
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::int64_t resident_bytes(int pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::int64_t size = 0;
  std::int64_t resident = 0;
  file >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace feedvault::bench
