#include "bench/jetstream/load.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/unique_fd.h"
#include "bench/jetstream/natsc_client.h"
#include "bench/support/figures.h"

namespace feedvault::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kPayloadBytes = 128;
constexpr int kBatch = 1000;
constexpr std::int64_t kMaxAckPending = 10'000;
// Between two looks at a stream that still grows: seldom enough to cost the server nothing.
constexpr auto kLookEvery = std::chrono::milliseconds(2);
// A stream that has not grown for so long has got all that it will get.
constexpr auto kStopped = std::chrono::seconds(2);

double own_cpu_microseconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

class Stopwatch {
 public:
  explicit Stopwatch(int server_pid)
      : server_pid_(server_pid),
        server_cpu_(cpu_microseconds(server_pid)),
        client_cpu_(own_cpu_microseconds()),
        begin_(steady_clock::now()) {}

  Measured stop(std::uint64_t messages, steady_clock::time_point end = steady_clock::now()) const {
    Measured measured;
    const auto count = static_cast<double>(std::max<std::uint64_t>(messages, 1));
    measured.seconds = std::chrono::duration<double>(end - begin_).count();
    measured.messages = messages;
    measured.server_cpu_us = (cpu_microseconds(server_pid_) - server_cpu_) / count;
    measured.client_cpu_us = (own_cpu_microseconds() - client_cpu_) / count;
    return measured;
  }

 private:
  int server_pid_;
  double server_cpu_;
  double client_cpu_;
  steady_clock::time_point begin_;
};

// The payloads of a stream, in its order; each is valid until the next.
class Payloads {
 public:
  std::string_view next() {
    std::memcpy(bytes_, &number_, sizeof number_);
    ++number_;
    return {bytes_, sizeof bytes_};
  }

  void expect(natsMsg* message) {
    std::uint64_t number = ~std::uint64_t{0};
    if (natsMsg_GetDataLength(message) == static_cast<int>(kPayloadBytes)) {
      std::memcpy(&number, natsMsg_GetData(message), sizeof number);
    }
    if (number != number_) {
      throw std::runtime_error(fmt::format("message {} came where {} was due", number, number_));
    }
    ++number_;
  }

  std::uint64_t count() const { return number_; }

 private:
  std::uint64_t number_ = 0;
  char bytes_[kPayloadBytes] = {};
};

void publish_all(NatscClient& client, std::uint64_t messages) {
  Payloads payloads;
  while (payloads.count() < messages) {
    client.publish_async(payloads.next());
  }
  client.wait_for_acknowledgements();
}

Measured acknowledged(NatscClient& client, std::uint64_t messages, int server_pid) {
  const Stopwatch watch(server_pid);
  publish_all(client, messages);
  const Measured measured = watch.stop(messages);
  if (const std::uint64_t stored = client.stored(); stored != messages) {
    throw std::runtime_error(fmt::format("{} messages acknowledged, {} stored", messages, stored));
  }
  return measured;
}

Measured plain(NatscClient& client, std::uint64_t messages, int server_pid) {
  Payloads payloads;
  const Stopwatch watch(server_pid);
  while (payloads.count() < messages) {
    client.publish_plain(payloads.next());
  }
  client.flush();
  std::uint64_t stored = client.stored();
  auto grew = steady_clock::now();
  Measured measured = watch.stop(stored, grew);
  while (stored < messages && steady_clock::now() - grew < kStopped) {
    std::this_thread::sleep_for(kLookEvery);  // nothing announces that a plain publish is stored
    if (const std::uint64_t now = client.stored(); now != stored) {
      stored = now;
      grew = steady_clock::now();
      measured = watch.stop(stored, grew);
    }
  }
  return measured;
}

Measured pull(NatscClient& client, std::uint64_t messages, int server_pid) {
  publish_all(client, messages);
  const Natsc<natsSubscription> subscription = client.pull_subscribe(kMaxAckPending);
  Payloads payloads;
  const Stopwatch watch(server_pid);
  while (payloads.count() < messages) {
    natsMsgList list = {};
    const auto left = messages - payloads.count();
    const int batch = static_cast<int>(std::min<std::uint64_t>(left, kBatch));
    auto code = static_cast<jsErrCode>(0);
    must(natsSubscription_Fetch(&list, subscription.get(), batch, NatscClient::kPatienceMs, &code),
         "fetching");
    std::vector<Natsc<natsMsg>> fetched;
    fetched.reserve(kBatch);
    for (int i = 0; i < list.Count; ++i) {
      fetched.emplace_back(std::exchange(list.Msgs[i], nullptr));
    }
    natsMsgList_Destroy(&list);
    for (const auto& message : fetched) {
      payloads.expect(message.get());
    }
    // The last one waits for the server, so that the acknowledgements belong to the time.
    natsMsg* const last = fetched.back().get();
    must(payloads.count() < messages ? natsMsg_Ack(last, nullptr)
                                     : natsMsg_AckSync(last, nullptr, &code),
         "acknowledging");
  }
  return watch.stop(messages);
}

Measured ordered(NatscClient& client, std::uint64_t messages, int server_pid) {
  publish_all(client, messages);
  Payloads payloads;
  const Stopwatch watch(server_pid);
  const Natsc<natsSubscription> subscription = client.ordered_subscribe();
  while (payloads.count() < messages) {
    natsMsg* made = nullptr;
    must(natsSubscription_NextMsg(&made, subscription.get(), NatscClient::kPatienceMs),
         fmt::format("waiting for message {}", payloads.count()));
    const Natsc<natsMsg> message(made);
    payloads.expect(made);
  }
  return watch.stop(messages);
}

// Appends to a file and waits for the disk.
class BareFile {
 public:
  explicit BareFile(const std::string& path)
      : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (!fd_.valid()) {
      throw std::system_error(errno, std::generic_category(), path);
    }
  }

  void write(std::string_view bytes) {
    if (::write(fd_.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
        ::fdatasync(fd_.get()) != 0) {
      throw std::system_error(errno, std::generic_category(), "writing the bare file");
    }
  }

 private:
  UniqueFd fd_;
};

template <typename Do>
double microseconds_of(Do what) {
  const auto begin = steady_clock::now();
  what();
  return std::chrono::duration<double, std::micro>(steady_clock::now() - begin).count();
}

Measured single(NatscClient& client, const Load& load, int server_pid) {
  BareFile file(load.folder + "/bare");
  Payloads payloads;
  std::vector<double> published;
  std::vector<double> written;
  const Stopwatch watch(server_pid);
  // In turn, so that both meet the same disk.
  while (payloads.count() < load.messages) {
    const std::string_view payload = payloads.next();
    published.push_back(microseconds_of([&] { client.publish_and_wait(payload); }));
    written.push_back(microseconds_of([&] { file.write(payload); }));
  }
  Measured measured = watch.stop(load.messages);
  std::sort(published.begin(), published.end());
  std::sort(written.begin(), written.end());
  const std::size_t p50 = published.size() / 2;
  const std::size_t p99 = published.size() * 99 / 100;
  measured.p50_us = published.at(p50);
  measured.p99_us = published.at(p99);
  measured.bare_write_p50_us = written.at(p50);
  measured.bare_write_p99_us = written.at(p99);
  return measured;
}

}  // namespace

Measured run_load(const Load& load, std::uint16_t port, int server_pid) {
  NatscClient client(port, load.window);
  switch (load.shape) {
    case Shape::kAsync:
      return acknowledged(client, load.messages, server_pid);
    case Shape::kPlain:
      return plain(client, load.messages, server_pid);
    case Shape::kPull:
      return pull(client, load.messages, server_pid);
    case Shape::kOrdered:
      return ordered(client, load.messages, server_pid);
    case Shape::kSingle:
      return single(client, load, server_pid);
  }
  throw std::logic_error("no such shape");
}

}  // namespace feedvault::bench
