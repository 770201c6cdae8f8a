#include "bench/subscribers/event_readers.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <stdexcept>

#include <fmt/format.h>

#include "tests/support/loopback.h"

namespace feedvault::bench {
namespace {

constexpr std::size_t kBufferBytes = 256U << 10U;
constexpr std::string_view kId = "id: executions:";
constexpr std::string_view kEpoch = "\"executionEpoch\":\"";

void allow_descriptors(std::size_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur < count + 100) {
    throw std::runtime_error(
        fmt::format("{} readers need as many file descriptors; there are {} (ulimit -Hn)",
                    count,
                    limit.rlim_cur));
  }
}

template <typename Number>
Number number_behind(std::string_view text, std::string_view key) {
  Number number = 0;
  if (const std::size_t at = text.find(key); at != std::string_view::npos) {
    std::from_chars(text.data() + at + key.size(), text.data() + text.size(), number);
  }
  return number;
}

}  // namespace

EventReaders::EventReaders(std::uint16_t port, std::size_t count, const std::string& target)
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), readers_(count), buffer_(kBufferBytes) {
  allow_descriptors(count);
  const std::string request =
      "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
  for (std::size_t i = 0; i < count; ++i) {
    UniqueFd& socket = readers_[i].socket;
    socket = testing::connect_loopback(port);
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.u64 = i;
    if (!socket.valid() ||
        ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size()) ||
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &interest) != 0) {
      throw std::runtime_error(fmt::format("reader {} cannot connect", i));
    }
  }
}

bool EventReaders::wait_until_answered(SteadyTime deadline) {
  while (answered_ < readers_.size() && std::chrono::steady_clock::now() < deadline) {
    poll(100);
  }
  return answered_ == readers_.size();
}

bool EventReaders::read_until(std::uint64_t events, SteadyTime deadline) {
  wanted_ = events;
  complete_ = static_cast<std::size_t>(
      std::count_if(readers_.begin(), readers_.end(), [&](const Reader& reader) {
        return reader.events >= events;
      }));
  while (complete_ < readers_.size() && gone_ < readers_.size() &&
         std::chrono::steady_clock::now() < deadline) {
    poll(100);
  }
  return complete_ == readers_.size();
}

void EventReaders::poll(int timeout_ms) {
  std::array<epoll_event, 512> ready;
  const int count =
      ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), timeout_ms);
  for (int i = 0; i < count; ++i) {
    read(readers_[ready[static_cast<std::size_t>(i)].data.u64]);
  }
}

void EventReaders::read(Reader& reader) {
  const ssize_t got = ::recv(reader.socket.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      reader.socket.reset();  // leaves epoll, too
      ++gone_;
      ++wrong_;
    }
    return;
  }
  now_ns_ = Clock::system().unix_ns();
  if (!reader.answered) {
    reader.answered = true;
    ++answered_;
  }
  std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
  if (!reader.rest.empty()) {
    reader.rest.append(bytes);
    reader.rest.erase(0, take_events(reader, reader.rest));
    return;
  }
  bytes.remove_prefix(take_events(reader, bytes));
  // What a chunk ends with comes with it, and is nothing to keep.
  if (bytes != "\r\n") {
    reader.rest.assign(bytes);
  }
}

// Returns how many bytes they were.
std::size_t EventReaders::take_events(Reader& reader, std::string_view bytes) {
  std::size_t taken = 0;
  for (;;) {
    const std::size_t end = bytes.find("\n\n", taken);
    if (end == std::string_view::npos) {
      return taken;
    }
    take_event(reader, bytes.substr(taken, end + 2 - taken));
    taken = end + 2;
  }
}

void EventReaders::take_event(Reader& reader, std::string_view text) {
  const std::size_t begin = text.find(kId);
  if (begin == std::string_view::npos || text.find("\ndata: ", begin) == std::string_view::npos) {
    return;  // a comment, or what comes first: an id and how long to wait before coming back
  }
  const auto seq = number_behind<std::uint64_t>(text, kId);
  if (first_ == 0) {
    first_ = seq;
  }
  wrong_ += (reader.next != 0 && seq != reader.next) || seq < first_ ? 1U : 0U;
  reader.next = seq + 1;
  ++events_;
  if (++reader.events == wanted_) {
    ++complete_;
  }
  const std::size_t index = seq - first_;
  if (index == texts_.size()) {
    texts_.emplace_back(text.substr(begin));
    published_ns_.push_back(number_behind<std::int64_t>(text, kEpoch));
  }
  if (index < published_ns_.size()) {
    latencies_us_.push_back(static_cast<float>(now_ns_ - published_ns_[index]) * 1e-3F);
  }
}

}  // namespace feedvault::bench
