#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/stop_token.h"
#include "bench/database_ceiling.h"
#include "bench/subscribers/event_readers.h"
#include "bench/subscribers/instance.h"
#include "bench/subscribers/nginx.h"
#include "bench/subscribers/scenarios.h"
#include "bench/support/sample_execution.h"
#include "client/nats/connection.h"

namespace feedvault::bench {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr double kLatencyP99GoalMs = 1000;
constexpr double kReaderBytesGoal = 32U << 10U;
constexpr seconds kPatience{60};

/// Publishes plain executions at a rate, on a thread of its own.
class Producer {
 public:
  Producer(const NatsConfig& broker, std::uint64_t count, std::uint32_t rate)
      : thread_([=] {
          auto connection = nats::Connection::open(
              broker, {.name = "bench-producer", .send_asap = true, .on_state = nullptr});
          execution message = execution_of_size(kPayloadBytes);
          StopSource never;
          const auto started = steady_clock::now();
          for (std::uint64_t i = 0; connection.has_value() && i < count; ++i) {
            never.wait_until(started + std::chrono::nanoseconds(i * 1'000'000'000ULL / rate));
            message.set_executionepoch(Clock::system().unix_ns());
            const std::string payload = message.SerializeAsString();
            // What does not get there is missed by every reader.
            static_cast<void>(
                (*connection)
                    ->publish(
                        {.subject = "execution", .reply = {}, .headers = {}, .payload = payload}));
          }
          if (connection.has_value()) {
            static_cast<void>((*connection)->flush(seconds(10)));
          }
        }) {}
  ~Producer() { thread_.join(); }
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

 private:
  std::thread thread_;
};

void measure_nginx(const LiveOptions& options,
                   const std::vector<std::string>& texts,
                   double ours_us,
                   Figures& figures) {
  const Nginx nginx(options.nginx, texts, std::chrono::milliseconds(1000 / options.rate));
  EventReaders readers(nginx.port(), options.readers, "/live");
  const double before = cpu_microseconds(nginx.pid());
  const bool all =
      readers.read_until(texts.size(), steady_clock::now() + seconds(options.seconds) + kPatience);
  const double each =
      (cpu_microseconds(nginx.pid()) - before) / static_cast<double>(readers.events());
  require(all && readers.wrong() == 0, "nginx did not send everything");
  figures.add("nginx_cpu", each, "us/event");
  figures.add("sse_cpu_to_nginx", ours_us / each, "");
}

}  // namespace

void measure_live(const LiveOptions& options, Figures& figures) {
  fmt::print(stderr,
             "live: {} readers of server-sent events, {} messages/s for {} s\n",
             options.readers,
             options.rate,
             options.seconds);
  Instance instance;
  instance.start_controller();
  instance.start_gateway();
  const int gateway = instance.gateway_pid();
  const double empty_kib = resident_kib(gateway);
  EventReaders readers(
      instance.http_port(), options.readers, fmt::format("/feeds/{}/live?from=new", kFeed));
  require(readers.wait_until_answered(steady_clock::now() + kPatience),
          "not every reader got an answer");

  const std::uint64_t messages = std::uint64_t{options.rate} * options.seconds;
  const double cpu_before = cpu_microseconds(gateway);
  {
    const Producer producer(instance.broker().config(), messages, options.rate);
    readers.read_until(messages, steady_clock::now() + seconds(options.seconds) + kPatience);
  }
  const double cpu_us = cpu_microseconds(gateway) - cpu_before;
  const auto events = static_cast<double>(readers.events());
  const auto lost = static_cast<double>(messages * options.readers) - events +
                    static_cast<double>(readers.wrong());
  const std::vector<float> arrivals = readers.take_latencies_us();
  std::vector<double> latencies_ms(arrivals.size());
  std::transform(arrivals.begin(), arrivals.end(), latencies_ms.begin(), [](float us) {
    return static_cast<double>(us) * 1e-3;
  });
  std::sort(latencies_ms.begin(), latencies_ms.end());
  const double p99 = percentile(latencies_ms, 0.99);
  const double reader_kib =
      (resident_kib(gateway) - empty_kib) / static_cast<double>(options.readers);
  figures.add("sse_readers", static_cast<double>(options.readers), "");
  figures.add("sse_events", events, "");
  figures.add("sse_lost", lost, "", "0", lost == 0);
  figures.add("sse_latency_p50", percentile(latencies_ms, 0.5), "ms");
  figures.add("sse_latency_p99",
              p99,
              "ms",
              fmt::format("< {:.0f}", kLatencyP99GoalMs),
              p99 < kLatencyP99GoalMs);
  figures.add("sse_resident",
              reader_kib,
              "KiB",
              fmt::format("<= {:.0f} a reader", kReaderBytesGoal / 1024),
              reader_kib <= kReaderBytesGoal / 1024);
  figures.add("sse_cpu", cpu_us / events, "us/event");
  if (options.nginx.empty()) {
    fmt::print(stderr, "no nginx: without the ratio to it\n");
  } else {
    measure_nginx(options, readers.texts(), cpu_us / events, figures);
  }
}

}  // namespace feedvault::bench
