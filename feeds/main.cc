// feedvault-feeds: demo producers of both feeds.

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <random>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "base/version.h"
#include "feeds/producer.h"

namespace feedvault {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kProducerEnded = SIGUSR1;

struct Arguments {
  std::string config_path = "config.toml";
  std::string feed = "all";
  std::string publish = "plain";
  std::string url;
  std::optional<std::uint64_t> seed;
  ProducerOptions options;
};

int complain(const Status& status) {
  std::fprintf(stderr, "feedvault-feeds: %s\n", status.message().c_str());
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

// Runs the producer on a thread of its own while this one waits for one of the signals, which must
// be blocked in all threads.
Result<ProducerTally> produce_until_signal(const Config& config,
                                           const ProducerOptions& options,
                                           const sigset_t& signals) {
  StopSource stop;
  Result<ProducerTally> result = internal_error("the producer did not run");
  const pthread_t waiting = ::pthread_self();
  std::thread producer([&] {
    result = produce(config, options, stop);
    ::pthread_kill(waiting, kProducerEnded);  // ends the wait below
  });
  int signal = 0;
  ::sigwait(&signals, &signal);
  stop.request_stop();
  producer.join();
  return result;
}

int run(Arguments arguments) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, kProducerEnded);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a closed connection is an error code, not a death

  auto config = load_config(arguments.config_path, environ);
  if (!config.has_value()) {
    return complain(config.error());
  }
  if (const Status level = set_log_level(config->log.level); !level.ok()) {
    return complain(level);
  }
  if (!arguments.url.empty()) {
    config->nats.servers = {arguments.url};
  }
  ProducerOptions& options = arguments.options;
  options.feeds = arguments.feed == "all" ? std::vector<std::string>{"events", "executions"}
                                          : std::vector<std::string>{arguments.feed};
  options.acknowledged = arguments.publish == "acknowledged";
  // Restarted with the seed of its last run, a producer would only repeat message ids.
  options.seed = arguments.seed.has_value() ? *arguments.seed : std::random_device()();

  const auto tally = produce_until_signal(*config, options, signals);
  if (!tally.has_value()) {
    return complain(tally.error());
  }
  fmt::print(
      "sent={} acknowledged={} duplicates={} in_doubt={} seconds={:.3f} rate={:.0f} seed={}\n",
      tally->sent,
      tally->acknowledged,
      tally->duplicates,
      tally->in_doubt,
      tally->seconds,
      tally->seconds > 0 ? static_cast<double>(tally->sent) / tally->seconds : 0.0,
      options.seed);
  return 0;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app(
      "Publishes demo messages of Feedvault's two feeds: matches of seven sports, and "
      "executions whose prices move");
  Arguments arguments;
  app.add_option("-c,--config", arguments.config_path, "Configuration file")
      ->envname("FEEDVAULT_CONFIG")
      ->capture_default_str();
  app.add_option("--feed", arguments.feed, "events, executions or all")
      ->check(CLI::IsMember({"events", "executions", "all"}))
      ->capture_default_str();
  app.add_option("--rate", arguments.options.rate, "Messages of each feed a second; 0: no limit")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app.add_option("--count", arguments.options.count, "Messages of each feed; 0: for ever")
      ->capture_default_str();
  app.add_option("--seed", arguments.seed, "The same seed gives the same messages (else random)");
  app.add_option("--publish",
                 arguments.publish,
                 "plain: without id or acknowledgement; acknowledged: through JetStream, with "
                 "Nats-Msg-Id, repeated until stored")
      ->check(CLI::IsMember({"plain", "acknowledged"}))
      ->capture_default_str();
  app.add_option("--url", arguments.url, "Broker, in place of the configuration's");
  app.set_version_flag("-v,--version", std::string("feedvault-feeds ") + kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return run(std::move(arguments));
}

}  // namespace
}  // namespace feedvault

int main(int argc, char** argv) {
  try {
    return feedvault::parse_and_run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "feedvault-feeds: %s\n", problem.what());
    return feedvault::kExitFailed;
  }
}
