#include "bench/support/producer.h"

#include <chrono>
#include <string>

#include "base/clock.h"
#include "base/stop_token.h"
#include "bench/support/sample_execution.h"
#include "client/nats/connection.h"

namespace feedvault::bench {

Status publish_executions(const NatsConfig& broker, const ProducerOptions& options) {
  ASSIGN_OR_RETURN(
      const auto connection,
      nats::Connection::open(
          broker, {.name = "bench-producer", .send_asap = options.rate > 0, .on_state = nullptr}));
  execution message = execution_of_size(options.bytes);
  std::string payload;
  StopSource never;
  const auto started = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < options.count; ++i) {
    if (options.rate > 0) {
      never.wait_until(started + std::chrono::nanoseconds(i * 1'000'000'000ULL / options.rate));
    }
    message.set_executionepoch(Clock::system().unix_ns());
    message.SerializeToString(&payload);
    RETURN_IF_ERROR(connection->publish({.subject = options.subject, .payload = payload}));
  }
  return connection->flush(std::chrono::seconds(60));
}

}  // namespace feedvault::bench
