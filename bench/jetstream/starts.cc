#include "bench/jetstream/starts.h"

#include <malloc.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "bench/jetstream/natsc_client.h"
#include "tests/support/process.h"

namespace feedvault::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kStartPayloadBytes = 128;
constexpr std::int64_t kStartWindow = 10'000;
constexpr auto kStartPatience = std::chrono::seconds(60);

class Server {
 public:
  explicit Server(std::vector<std::string> command)
      : began_(SteadyClock::now()),
        port_(testing::free_port()),
        process_({with_port(std::move(command), port_), {}, "/dev/null", ""}) {
    while (!testing::accepts_connections(port_)) {
      if (SteadyClock::now() - began_ > kStartPatience || !process_.running()) {
        throw std::runtime_error("the server does not start again");
      }
      // Between two looks; what is measured is too short for those of eventually().
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::uint16_t port() const { return port_; }
  /// Since its start, once it has said that all messages are there.
  double serving_ms(std::uint64_t messages) const {
    NatscClient client(port_, kStartWindow);
    if (const std::uint64_t stored = client.stored(); stored != messages) {
      throw std::runtime_error(
          fmt::format("{} of {} messages are there after a start", stored, messages));
    }
    return std::chrono::duration<double, std::milli>(SteadyClock::now() - began_).count();
  }
  void end(int signal) {
    process_.send_signal(signal);
    if (!process_.wait_for_exit(kStartPatience)) {
      throw std::runtime_error("the server does not stop");
    }
  }

 private:
  static std::vector<std::string> with_port(std::vector<std::string> command, std::uint16_t port) {
    command.insert(command.end(), {"-a", "127.0.0.1", "-p", std::to_string(port)});
    return command;
  }

  const SteadyClock::time_point began_;
  const std::uint16_t port_;
  testing::Process process_;
};

}  // namespace

StartTimes time_starts(const std::vector<std::string>& command, std::uint64_t messages) {
  {
    Server server(command);
    NatscClient client(server.port(), kStartWindow);
    const std::string payload(kStartPayloadBytes, 'x');
    for (std::uint64_t i = 0; i < messages; ++i) {
      client.publish_with_id(payload, fmt::format("message-{}", i));
    }
    client.flush();
    if (!testing::eventually([&] { return client.stored() == messages; }, kStartPatience)) {
      throw std::runtime_error("not all messages were stored");
    }
    server.end(SIGTERM);
  }
  // What a million messages left in this process's heap is tidied up by the next large allocation,
  // which would be that of the connection whose time counts (20 to 80 ms).
  ::malloc_trim(0);
  StartTimes times;
  {
    Server server(command);
    times.clean_ms = server.serving_ms(messages);
    // One more, so that the clean stop before is worth nothing to the start that follows.
    NatscClient client(server.port(), kStartWindow);
    client.publish_and_wait("one more");
    server.end(SIGKILL);
  }
  Server server(command);
  times.killed_ms = server.serving_ms(messages + 1);
  server.end(SIGTERM);
  return times;
}

}  // namespace feedvault::bench
