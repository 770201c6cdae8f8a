#include <algorithm>
#include <chrono>
#include <future>

#include <fmt/format.h>

#include "bench/database_ceiling.h"
#include "bench/subscribers/event_readers.h"
#include "bench/subscribers/nginx.h"
#include "bench/subscribers/scenarios.h"
#include "bench/support/instance.h"
#include "bench/support/producer.h"

namespace feedvault::bench {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr double kLatencyP99GoalMs = 1000;
constexpr double kReaderBytesGoal = 32U << 10U;
constexpr seconds kPatience{60};

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
  auto published = std::async(std::launch::async, [&] {
    return publish_executions(instance.broker().config(),
                              {.count = messages, .rate = options.rate, .bytes = kPayloadBytes});
  });
  readers.read_until(messages, steady_clock::now() + seconds(options.seconds) + kPatience);
  const Status sent = published.get();
  require(sent.ok(), sent.to_string());
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
