// feedvault-bench: measures the pipeline on private instances. See docs/benchmarks.md.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "bench/pipeline/load.h"
#include "bench/pipeline/scenarios.h"
#include "bench/support/figures.h"
#include "tests/support/process.h"

namespace {

using namespace feedvault::bench;  // NOLINT(google-build-using-namespace): this program's own names

int run_scenarios(const std::string& which, const ScenarioOptions& options) {
  Figures figures;
  try {
    if (which == "all" || which == "throughput") {
      measure_throughput(options, figures);
    }
    if (which == "all" || which == "latency") {
      measure_latency(options, figures);
    }
    if (which == "all" || which == "backlog") {
      measure_backlog(options, figures);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "feedvault-bench: %s\n", error.what());
    return 2;
  }
  return figures.print() ? 0 : 1;
}

/// For what is started from here on. nats-server makes its system calls itself and takes no notice;
/// Debian's syncs every two minutes only.
void slow_down_syncs(int microseconds) {
  const std::string library = feedvault::testing::built_program("libslow_sync.so");
  // No thread runs yet.
  ::setenv("FEEDVAULT_SLOW_SYNC_US",  // NOLINT(concurrency-mt-unsafe)
           std::to_string(microseconds).c_str(),
           1);
  ::setenv("LD_PRELOAD", library.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Measures the pipeline, on a private broker and database");
  static_cast<void>(feedvault::set_log_level("warn"));
  std::string which = "all";
  ScenarioOptions scenario;
  app.add_option("scenario", which, "all, throughput, latency or backlog")
      ->check(CLI::IsMember({"all", "throughput", "latency", "backlog"}));
  std::string broker;
  app.add_option("--broker", broker, "feedvault-broker (the default), nats-server, or a program");
  std::string sync;
  app.add_option("--sync",
                 sync,
                 "When the broker syncs: always (feedvault-broker's default), or a time; 2m is "
                 "nats-server's default");
  app.add_option("--messages", scenario.throughput_messages, "Messages of the throughput runs");
  app.add_option("--rate", scenario.latency_rate, "Messages a second of the latency run")
      ->check(CLI::Range(1, 100'000));
  int slow_sync_us = 0;
  app.add_option(
         "--slow-sync",
         slow_sync_us,
         "Microseconds that each sync of database and broker takes longer, as on another disk")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--backlog", scenario.backlog_messages, "Messages of the backlog run");

  ProducerOptions producer;
  CLI::App* produce = app.add_subcommand("producer", "One end of the pipeline, for the scenarios");
  produce->add_option("--port", producer.port);
  produce->add_option("--count", producer.count);
  produce->add_option("--rate", producer.rate);
  produce->add_option("--bytes", producer.bytes);

  SubscriberOptions subscriber;
  CLI::App* subscribe = app.add_subcommand("subscriber", "The other end");
  subscribe->add_option("--port", subscriber.port);
  subscribe->add_option("--count", subscriber.count);
  subscribe->add_option("--skip", subscriber.skip);

  CLI11_PARSE(app, argc, argv);
  if (produce->parsed()) {
    return run_producer(producer);
  }
  if (subscribe->parsed()) {
    return run_subscriber(subscriber);
  }
  // What starts brokers for tests and for us reads them there. No thread runs yet.
  if (!broker.empty()) {
    ::setenv("FEEDVAULT_TEST_BROKER", broker.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
  if (!sync.empty()) {
    ::setenv("FEEDVAULT_TEST_BROKER_SYNC", sync.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
  if (slow_sync_us > 0) {
    slow_down_syncs(slow_sync_us);
  }
  return run_scenarios(which, scenario);
} catch (const std::exception& problem) {
  std::fprintf(stderr, "feedvault-bench: %s\n", problem.what());
  return 1;
}
