// Random clients for a long time: they connect, subscribe, publish, stall, half-close and die, and
// an account is kept of every message among the living.
//
//   broker_soak [--seconds N] [--seed N] [--loops N] [--broker PROGRAM]
//
// Living are kPublishers and kSubscribers that stay. Each publisher numbers its messages; each
// subscriber must get all numbers of all publishers, once and in order (queue members: in order,
// and together once). Around them others come and go. The broker's resident size at the end must be
// what it was after the first fifth, with kGrowthBytes to spare. Exit code 0 and one line when all
// is well, 1 and what was wrong otherwise.

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/unique_fd.h"
#include "bench/broker/load.h"
#include "tests/support/loopback.h"
#include "tests/support/process.h"

namespace feedvault::soak {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPublishers = 4;
constexpr std::size_t kSubscribers = 4;
constexpr std::size_t kQueueMembers = 3;
constexpr std::size_t kStrangersMax = 60;
constexpr std::size_t kBatchMax = 200;
// What monitoring remembers of 10,000 closed connections fills up in the beginning; the rest is the
// allocator's.
constexpr std::int64_t kGrowthBytes = 12 << 20;
constexpr auto kPatience = std::chrono::seconds(60);
constexpr const char* kConnect = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd = testing::connect_loopback(port);
  if (!fd.valid()) {
    throw std::runtime_error("the broker does not accept connections");
  }
  return fd;
}

/// One that stays: sends when it can and reads all that comes. Lines and payloads are told apart,
/// so that every message is seen.
class Living {
 public:
  explicit Living(std::uint16_t port, const std::string& more = "") : fd_(connect_to(port)) {
    queue(kConnect + more);
  }
  int fd() const { return fd_.get(); }
  bool wants_to_write() const { return !unsent_.empty(); }
  void queue(std::string_view text) { unsent_.append(text); }
  std::size_t pongs() const { return pongs_; }

  void write_some() {
    const ssize_t sent =
        ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
      throw std::runtime_error("the broker closed a connection that had done nothing wrong");
    }
    unsent_.erase(0, sent > 0 ? static_cast<std::size_t>(sent) : 0);
  }

  /// Calls `on_message(payload)` for each.
  void read_some(const std::function<void(std::string_view)>& on_message) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
      throw std::runtime_error("the broker closed a connection that had done nothing wrong: " +
                               unparsed_.substr(0, 200));
    }
    unparsed_.append(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    std::size_t at = 0;
    while (take_one(at, on_message)) {
    }
    unparsed_.erase(0, at);
  }

 private:
  bool take_one(std::size_t& at, const std::function<void(std::string_view)>& on_message) {
    const std::size_t end = unparsed_.find("\r\n", at);
    if (end == std::string::npos) {
      return false;
    }
    const std::string_view line(unparsed_.data() + at, end - at);
    if (line.substr(0, 4) != "MSG ") {
      if (line == "PING") {
        queue("PONG\r\n");
      } else if (line == "PONG") {
        ++pongs_;
      } else if (line.substr(0, 5) != "INFO ") {
        throw std::runtime_error("unexpected: " + std::string(line.substr(0, 200)));
      }
      at = end + 2;
      return true;
    }
    const std::string_view digits = line.substr(line.rfind(' ') + 1);
    std::size_t size = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (unparsed_.size() < end + 2 + size + 2) {
      return false;
    }
    on_message(std::string_view(unparsed_).substr(end + 2, size));
    at = end + 2 + size + 2;
    return true;
  }

  UniqueFd fd_;
  std::string unsent_;
  std::string unparsed_;
  std::size_t pongs_ = 0;
};

/// What one receiver has had of each publisher.
class Account {
 public:
  /// `payload` is "publisher number filling".
  void note(std::string_view payload, bool all) {
    std::size_t publisher = 0;
    std::uint64_t number = 0;
    const char* const end = payload.data() + payload.size();
    const auto first = std::from_chars(payload.data(), end, publisher);
    std::from_chars(first.ptr + 1, end, number);
    if (publisher >= kPublishers) {
      throw std::runtime_error("not one of ours: " + std::string(payload.substr(0, 40)));
    }
    std::uint64_t& last = last_.at(publisher);
    if (all ? number != last + 1 : number <= last) {
      throw std::runtime_error(
          fmt::format("publisher {}: {} came after {}", publisher, number, last));
    }
    last = number;
    ++count_.at(publisher);
  }
  std::uint64_t last(std::size_t publisher) const { return last_.at(publisher); }
  std::uint64_t count(std::size_t publisher) const { return count_.at(publisher); }

 private:
  std::array<std::uint64_t, kPublishers> last_{};
  std::array<std::uint64_t, kPublishers> count_{};
};

class Soak {
 public:
  Soak(std::uint16_t port, int broker, std::uint32_t seed)
      : port_(port), broker_(broker), random_(seed) {
    for (std::size_t i = 0; i < kSubscribers; ++i) {
      // Several ways to ask for the same.
      const char* const filters[] = {"soak.*.data", "soak.>", "*.*.data", "soak.*.*"};
      subscribers_.push_back(
          std::make_unique<Living>(port, fmt::format("SUB {} 1\r\nPING\r\n", filters[i % 4])));
    }
    for (std::size_t i = 0; i < kQueueMembers; ++i) {
      members_.push_back(std::make_unique<Living>(port, "SUB soak.*.data crew 1\r\nPING\r\n"));
    }
    accounts_.resize(kSubscribers);
    member_accounts_.resize(kQueueMembers);
    wait_for([&] {
      return all_of(subscribers_, [](const Living& each) { return each.pongs() > 0; }) &&
             all_of(members_, [](const Living& each) { return each.pongs() > 0; });
    });
    for (std::size_t i = 0; i < kPublishers; ++i) {
      publishers_.push_back(std::make_unique<Living>(port));
    }
  }

  void run(std::chrono::seconds time) {
    const auto begin = Clock::now();
    const auto warm = begin + time / 5;
    while (Clock::now() < begin + time) {
      for (int i = 0; i < 20; ++i) {
        publish();
        trouble();
        turn(0);
      }
      if (resident_warm_ == 0 && Clock::now() >= warm) {
        resident_warm_ = settled_size();
      }
    }
    strangers_.clear();
    for (auto& publisher : publishers_) {
      publisher->queue("PING\r\n");
    }
    wait_for([&] { return complete(); });
    std::int64_t resident_end = settled_size();
    for (const auto end = Clock::now() + kPatience;  // memory is returned in its own time
         resident_end > resident_warm_ + kGrowthBytes && Clock::now() < end;) {
      turn(100);
      resident_end = settled_size();
    }
    if (resident_end > resident_warm_ + kGrowthBytes) {
      throw std::runtime_error(
          fmt::format("resident size grew from {} to {} bytes", resident_warm_, resident_end));
    }
    fmt::print(
        "soak: all is well: {} messages published, {} received, {} strangers, resident "
        "{:.1f} MB after {} s and {:.1f} MB at the end\n",
        published(),
        received(),
        strangers_seen_,
        static_cast<double>(resident_warm_) / 1e6,
        time.count() / 5,
        static_cast<double>(resident_end) / 1e6);
  }

  std::string account() const {
    std::string text;
    for (std::size_t p = 0; p < kPublishers; ++p) {
      std::uint64_t crew = 0;
      for (const Account& each : member_accounts_) {
        crew += each.count(p);
      }
      text +=
          fmt::format("\n  publisher {}: sent {}, crew {}, each subscriber", p, sent_.at(p), crew);
      for (const Account& each : accounts_) {
        text += fmt::format(" {}", each.last(p));
      }
    }
    return text;
  }

 private:
  template <typename Test>
  static bool all_of(const std::vector<std::unique_ptr<Living>>& all, Test test) {
    for (const auto& each : all) {
      if (!test(*each)) {
        return false;
      }
    }
    return true;
  }
  std::size_t pick(std::size_t n) { return random_() % n; }

  // Publishers wait for their receivers, so that nobody among the living is a slow consumer.
  void publish() {
    const std::size_t p = pick(kPublishers);
    for (const Account& each : accounts_) {
      if (sent_.at(p) - each.last(p) > 1000) {  // far less than max_pending
        return;
      }
    }
    std::string text;
    for (std::size_t n = pick(kBatchMax); n > 0; --n) {
      const std::size_t filling = pick(50) == 0 ? pick(20'000) : pick(200);
      const std::string payload =
          fmt::format("{} {} {}", p, ++sent_.at(p), std::string(filling, 'x'));
      text += fmt::format("PUB soak.{}.data {}\r\n{}\r\n", p, payload.size(), payload);
    }
    publishers_[p]->queue(text);
  }

  // Strangers: what they do is a dice's affair.
  void trouble() {
    if (strangers_.size() < kStrangersMax && pick(3) == 0) {
      arrive();
    }
    if (strangers_.empty()) {
      return;
    }
    UniqueFd& one = strangers_[pick(strangers_.size())];
    const auto say = [&](const std::string& text) {
      static_cast<void>(::send(one.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    };
    switch (pick(12)) {
      case 0:
        say(fmt::format("SUB soak.> {}\r\n", pick(5)));  // and reads little: a slow consumer
        break;
      case 1:
        say(fmt::format("SUB soak.{}.data crew2 {}\r\n", pick(kPublishers), pick(5)));
        break;
      case 2:
        say(fmt::format("UNSUB {} {}\r\n", pick(5), pick(100)));
        break;
      case 3:
        say("PUB elsewhere.x 5\r\nhello\r\nPING\r\n");
        break;
      case 4:
        say("PUB elsewhere.x 100000\r\nstops in the middle");
        break;
      case 5:
        ::shutdown(one.get(), SHUT_WR);
        break;
      case 6:
        say("garbage\r\n");
        break;
      case 7: {  // dies with a reset
        const linger hard{1, 0};
        ::setsockopt(one.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        leave(one);
        break;
      }
      case 8:
        leave(one);
        break;
      case 9:
        for (int i = 0; i < 100; ++i) {
          say(fmt::format("SUB s.{}.* t{}\r\n", pick(100'000), i));
        }
        break;
      default: {  // reads
        std::array<char, 65536> buffer;
        for (int i = 0; i < 20; ++i) {
          const ssize_t got = ::recv(one.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
          if (got == 0 || (got < 0 && errno != EAGAIN)) {
            leave(one);
            break;
          }
          if (got < 0) {
            break;
          }
        }
      }
    }
  }

  void arrive() {
    strangers_.push_back(connect_to(port_));
    ++strangers_seen_;
    static_cast<void>(
        ::send(strangers_.back().get(), kConnect, std::strlen(kConnect), MSG_NOSIGNAL));
  }

  void leave(UniqueFd& one) {
    std::swap(one, strangers_.back());
    strangers_.pop_back();
  }

  void turn(int wait_ms) {
    std::vector<pollfd> polls;
    for (const auto* all : {&subscribers_, &members_, &publishers_}) {
      for (const auto& each : *all) {
        const short events = static_cast<short>(POLLIN | (each->wants_to_write() ? POLLOUT : 0));
        polls.push_back({each->fd(), events, 0});
      }
    }
    if (::poll(polls.data(), polls.size(), wait_ms) <= 0) {
      return;
    }
    std::size_t at = 0;
    const auto serve = [&](Living& each, const std::function<void(std::string_view)>& note) {
      const short events = polls[at++].revents;
      if ((events & POLLOUT) != 0) {
        each.write_some();
      }
      if ((events & ~POLLOUT) != 0) {
        each.read_some(note);
      }
    };
    for (std::size_t i = 0; i < subscribers_.size(); ++i) {
      serve(*subscribers_[i], [&](std::string_view p) { accounts_[i].note(p, /*all=*/true); });
    }
    for (std::size_t i = 0; i < members_.size(); ++i) {
      serve(*members_[i], [&](std::string_view p) { member_accounts_[i].note(p, /*all=*/false); });
    }
    for (auto& publisher : publishers_) {
      serve(*publisher, [](std::string_view) { throw std::runtime_error("a publisher got one"); });
    }
  }

  void wait_for(const std::function<bool()>& condition) {
    for (const auto end = Clock::now() + kPatience; !condition();) {
      if (Clock::now() > end) {
        throw std::runtime_error("messages are missing" + account());
      }
      turn(10);
    }
  }

  bool complete() const {
    for (std::size_t p = 0; p < kPublishers; ++p) {
      std::uint64_t crew = 0;
      for (const Account& each : member_accounts_) {
        crew += each.count(p);
      }
      for (const Account& each : accounts_) {
        if (each.last(p) != sent_.at(p)) {
          return false;
        }
      }
      if (crew > sent_.at(p)) {
        throw std::runtime_error("the queue group got messages twice" + account());
      }
      if (crew < sent_.at(p)) {
        return false;
      }
    }
    return true;
  }

  // When nobody is behind and no stranger is there, so that it can be compared.
  std::int64_t settled_size() {
    strangers_.clear();
    wait_for([&] { return complete(); });
    return bench::resident_bytes(broker_);
  }
  std::uint64_t published() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t each : sent_) {
      sum += each;
    }
    return sum;
  }
  std::uint64_t received() const {
    std::uint64_t sum = 0;
    for (const auto* all : {&accounts_, &member_accounts_}) {
      for (const Account& each : *all) {
        for (std::size_t p = 0; p < kPublishers; ++p) {
          sum += each.count(p);
        }
      }
    }
    return sum;
  }

  std::uint16_t port_;
  int broker_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<Living>> subscribers_;
  std::vector<std::unique_ptr<Living>> members_;
  std::vector<std::unique_ptr<Living>> publishers_;
  std::vector<Account> accounts_;
  std::vector<Account> member_accounts_;
  std::array<std::uint64_t, kPublishers> sent_{};
  std::vector<UniqueFd> strangers_;
  std::uint64_t strangers_seen_ = 0;
  std::int64_t resident_warm_ = 0;
};

int run(int argc, char** argv) {
  int seconds = 600;
  std::uint32_t seed = std::random_device()();
  std::string loops = "2";
  std::string broker = testing::built_program("feedvault-broker");
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) {
      std::fprintf(stderr, "%s needs a value\n", name.c_str());
      return 2;
    }
    if (name == "--seconds") {
      seconds = std::stoi(argv[i + 1]);
    } else if (name == "--seed") {
      seed = static_cast<std::uint32_t>(std::stoul(argv[i + 1]));
    } else if (name == "--loops") {
      loops = argv[i + 1];
    } else if (name == "--broker") {
      broker = argv[i + 1];
    } else {
      std::fprintf(
          stderr, "unknown option %s: there are --seconds --seed --loops --broker\n", argv[i]);
      return 2;
    }
  }
  const testing::TempDir folder;
  const std::uint16_t port = testing::free_port();
  // Slow consumers shall come and go all the time.
  std::ofstream(folder.file("nats.conf")) << "max_pending: 4194304\n";
  testing::Process process({{broker,
                             "-a",
                             "127.0.0.1",
                             "-p",
                             std::to_string(port),
                             "--loops",
                             loops,
                             "-c",
                             folder.file("nats.conf")},
                            {},
                            folder.file("output"),
                            folder.path()});
  if (!testing::eventually([&] { return testing::accepts_connections(port); })) {
    std::fprintf(stderr, "soak: the broker did not start: %s\n", process.output().c_str());
    return 1;
  }
  std::string wrong;
  try {
    Soak(port, process.pid(), seed).run(std::chrono::seconds(seconds));
    process.send_signal(SIGTERM);
    if (process.wait_for_exit(std::chrono::seconds(20)) != 0) {
      wrong = "the broker did not stop well: " + process.output();
    }
  } catch (const std::exception& problem) {
    wrong = problem.what();
    if (!process.running()) {
      wrong += "; the broker died: " + process.output();
    }
  }
  if (!wrong.empty()) {
    std::fprintf(stderr, "soak: seed %u: %s\n", seed, wrong.c_str());
  }
  return wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace feedvault::soak

int main(int argc, char** argv) {
  return feedvault::soak::run(argc, argv);
}
