#include "bench/pipeline/load.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stop_token.h"
#include "bench/database_ceiling.h"
#include "client/decode.h"
#include "client/stream_service.h"

namespace feedvault::bench {
namespace {

using std::chrono::steady_clock;

double own_cpu_microseconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

NatsConfig broker_at(std::uint16_t port) {
  NatsConfig config;
  config.port = port;
  return config;
}

}  // namespace

int run_producer(const ProducerOptions& options) {
  const std::int64_t first_ns = Clock::system().unix_ns();
  const Status published = publish_executions(broker_at(options.port), options);
  if (!published.ok()) {
    fmt::print(stderr, "producer: {}\n", published.to_string());
    return 1;
  }
  fmt::print("first_ns={} last_ns={} cpu_us={:.0f}\n",
             first_ns,
             Clock::system().unix_ns(),
             own_cpu_microseconds());
  return 0;
}

int run_subscriber(const SubscriberOptions& options) {
  auto service =
      StreamService::connect(broker_at(options.port),
                             {.name = "bench-subscriber", .on_state = nullptr, .on_gap = nullptr});
  if (!service.has_value()) {
    fmt::print(stderr, "subscriber: {}\n", service.error().to_string());
    return 1;
  }
  std::vector<double> latencies_us;
  latencies_us.reserve(options.count);
  std::uint64_t seen = 0;
  std::int64_t last_ns = 0;
  StopSource done;
  const Status subscribed = (*service)->subscribe(
      {.feed = options.feed, .start = Start::at_first(), .positions = nullptr},
      [&](const FeedMessage& message) {
        const std::int64_t now_ns = Clock::system().unix_ns();
        if (message.position.seq != ++seen) {
          fmt::print(stderr, "subscriber: seq {} came as number {}\n", message.position.seq, seen);
          std::exit(1);
        }
        if (seen > options.skip) {
          const auto decoded = decode_execution(message.data);
          latencies_us.push_back(static_cast<double>(now_ns - decoded->executionepoch()) * 1e-3);
        }
        last_ns = now_ns;
        if (seen >= options.count) {
          done.request_stop();
        }
        return true;
      });
  if (!subscribed.ok()) {
    fmt::print(stderr, "subscriber: {}\n", subscribed.to_string());
    return 1;
  }
  done.wait_until(SteadyTime::max());
  std::sort(latencies_us.begin(), latencies_us.end());
  fmt::print("last_ns={} cpu_us={:.0f} p50_us={:.1f} p99_us={:.1f} p999_us={:.1f}\n",
             last_ns,
             own_cpu_microseconds(),
             percentile(latencies_us, 0.5),
             percentile(latencies_us, 0.99),
             percentile(latencies_us, 0.999));
  std::fflush(stdout);
  return 0;
}

}  // namespace feedvault::bench
