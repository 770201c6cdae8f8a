// Streams beside nats-server's: nats.c as the client, same machine, alternating runs, medians.
//
//   bash run.sh bench streams [--runs N] [--messages N] [--only TEXT] [--window N]
//
// Ours answers a publish when its message is on the disk; nats-server, with its default, before.
// docs/benchmarks.md says what the figures mean.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/file.h"
#include "bench/jetstream/load.h"
#include "bench/jetstream/starts.h"
#include "bench/support/figures.h"
#include "bench/support/server_runs.h"
#include "tests/support/process.h"

namespace feedvault::bench {
namespace {

constexpr double kSyncAlwaysGoal = 30;
constexpr double kSingleGoal = 1.5;
constexpr double kCleanStartGoalMs = 100;
constexpr double kKilledStartGoalMs = 1000;
constexpr std::uint64_t kStartMessages = 1'000'000;
// One at a time takes as many syncs: enough for a p99, soon done.
constexpr std::uint64_t kMostSingles = 2000;
// A server that syncs each message on its own gets a part of them only.
constexpr std::uint64_t kSyncAlwaysShare = 100;

struct Goal {
  Shape shape;
  const char* name;
  double times;  // nats-server's rate
};

constexpr Goal kThroughputs[] = {
    {Shape::kAsync, "async", 1.5},
    {Shape::kPlain, "plain", 2},
    {Shape::kPull, "pull", 2},
    {Shape::kOrdered, "ordered", 2},
};

struct Settings {
  int runs = 3;
  std::uint64_t messages = 500'000;
  std::int64_t window = 10'000;
  std::string only;
  std::string ours = testing::built_program("feedvault-broker");
  std::string reference = "nats-server";
};

/// A program, and what its configuration says about streams besides their folder.
struct Side {
  Program program;
  std::string streams;
};

std::string write_config(const testing::TempDir& folder, const std::string& streams) {
  std::string path = folder.file("server.conf");
  const std::string text =
      fmt::format("jetstream {{\n  store_dir: \"{}\"\n  {}\n}}\n", folder.file("store"), streams);
  if (const Status status = replace_file(path, text); !status.ok()) {
    throw std::runtime_error(status.to_string());
  }
  return path;
}

Measured run_once(const Side& side, Load load) {
  const testing::TempDir folder;
  load.folder = folder.path();
  Program program = side.program;
  program.more = {"-c", write_config(folder, side.streams)};
  Measured measured;
  with_server(program, [&](std::uint16_t port, int pid) { measured = run_load(load, port, pid); });
  return measured;
}

double median_of(const std::vector<Measured>& runs,
                 const std::function<double(const Measured&)>& value) {
  std::vector<double> values;
  values.reserve(runs.size());
  for (const Measured& run : runs) {
    values.push_back(value(run));
  }
  return median(std::move(values));
}

double median_rate(const std::vector<Measured>& runs) {
  return median_of(runs, [](const Measured& run) { return run.per_second(); });
}

class Comparison {
 public:
  explicit Comparison(const Settings& settings)
      : settings_(settings),
        ours_{{"ours", settings.ours, {}}, ""},
        reference_{{"reference", settings.reference, {}}, ""} {}

  bool run() {
    say_what_is_measured();
    for (const Goal& goal : kThroughputs) {
      if (wanted(goal.name)) {
        compare(goal);
      }
    }
    if (wanted("single")) {
      compare_single();
    }
    if (wanted("start")) {
      measure_starts();
    }
    return figures_.print();
  }

 private:
  bool wanted(const std::string& name) const {
    return name.find(settings_.only) != std::string::npos;
  }

  void say_what_is_measured() {
    for (const Side& side : {ours_, reference_}) {
      const auto version = testing::run({side.program.path, "--version"});
      if (version.exit_code != 0) {
        throw std::runtime_error(side.program.path + " cannot be run: " + version.output);
      }
      fmt::print(
          "{}: {}\n", side.program.name, version.output.substr(0, version.output.find('\n')));
    }
    fmt::print("stores under {}, {} runs, {} messages, at most {} without acknowledgement\n",
               std::filesystem::temp_directory_path().string(),
               settings_.runs,
               settings_.messages,
               settings_.window);
    std::fflush(stdout);
  }

  void run_in_turn(const Load& load, std::vector<Measured>& ours, std::vector<Measured>& theirs) {
    for (int i = 0; i < settings_.runs; ++i) {
      ours.push_back(run_once(ours_, load));
      theirs.push_back(run_once(reference_, load));
    }
  }

  void compare(const Goal& goal) {
    fmt::print(stderr, "{}: {} messages\n", goal.name, settings_.messages);
    std::vector<Measured> ours;
    std::vector<Measured> theirs;
    run_in_turn({goal.shape, settings_.messages, settings_.window, {}}, ours, theirs);
    const std::string name = fmt::format("streams_{}_", goal.name);
    const double ratio = median_rate(ours) / median_rate(theirs);
    figures_.add(name + "ours", median_rate(ours), "msg/s");
    figures_.add(name + "reference", median_rate(theirs), "msg/s");
    figures_.add(name + "ratio",
                 ratio,
                 "",
                 fmt::format(">= {} times nats-server's", goal.times),
                 ratio >= goal.times);
    if (goal.shape == Shape::kPlain) {
      add_shares(ours, theirs);
    }
    add_cpu(name, ours, theirs);
    if (goal.shape == Shape::kAsync) {
      compare_with_sync_always(median_rate(ours));
    }
  }

  // Of all runs the worst: nothing may be lost in any.
  double least_share(const std::vector<Measured>& runs) const {
    double least = 1;
    for (const Measured& run : runs) {
      least = std::min(least,
                       static_cast<double>(run.messages) / static_cast<double>(settings_.messages));
    }
    return 100 * least;
  }

  void add_shares(const std::vector<Measured>& ours, const std::vector<Measured>& theirs) {
    const double share = least_share(ours);
    figures_.add("streams_plain_stored_ours", share, "%", "100", share == 100);
    figures_.add("streams_plain_stored_reference", least_share(theirs), "%");
  }

  void add_cpu(const std::string& name,
               const std::vector<Measured>& ours,
               const std::vector<Measured>& theirs) {
    const auto server = [](const Measured& run) { return run.server_cpu_us; };
    const auto client = [](const Measured& run) { return run.client_cpu_us; };
    figures_.add(name + "cpu_ours", median_of(ours, server), "us/msg");
    figures_.add(name + "cpu_reference", median_of(theirs, server), "us/msg");
    figures_.add(name + "cpu_client_of_ours", median_of(ours, client), "us/msg");
    figures_.add(name + "cpu_client_of_reference", median_of(theirs, client), "us/msg");
  }

  // Releases behind 2.9 can be told to sync each message, as ours does.
  void compare_with_sync_always(double our_rate) {
    Side side = reference_;
    side.streams = "sync_interval: always";
    {
      const testing::TempDir folder;
      const auto tried =
          testing::run({side.program.path, "-t", "-c", write_config(folder, side.streams)});
      if (tried.exit_code != 0) {
        fmt::print("left out: this nats-server does not know `sync_interval: always`\n");
        return;
      }
    }
    const std::uint64_t messages =
        std::max<std::uint64_t>(settings_.messages / kSyncAlwaysShare, 1000);
    std::vector<Measured> theirs;
    theirs.reserve(static_cast<std::size_t>(settings_.runs));
    for (int i = 0; i < settings_.runs; ++i) {
      theirs.push_back(run_once(side, {Shape::kAsync, messages, settings_.window, {}}));
    }
    const double ratio = our_rate / median_rate(theirs);
    figures_.add("streams_async_reference_sync_always", median_rate(theirs), "msg/s");
    figures_.add("streams_async_ratio_sync_always",
                 ratio,
                 "",
                 fmt::format(">= {} times nats-server's", kSyncAlwaysGoal),
                 ratio >= kSyncAlwaysGoal);
  }

  void compare_single() {
    const std::uint64_t messages = std::min(settings_.messages, kMostSingles);
    fmt::print(stderr, "single: {} messages\n", messages);
    std::vector<Measured> ours;
    std::vector<Measured> theirs;
    run_in_turn({Shape::kSingle, messages, settings_.window, {}}, ours, theirs);
    const auto p50 = [](const Measured& run) { return run.p50_us; };
    const auto p99 = [](const Measured& run) { return run.p99_us; };
    const double ratio =
        median_of(ours, [](const Measured& run) { return run.p50_us / run.bare_write_p50_us; });
    figures_.add("streams_single_p50_ours", median_of(ours, p50), "us");
    figures_.add("streams_single_p99_ours", median_of(ours, p99), "us");
    figures_.add("streams_single_p50_reference", median_of(theirs, p50), "us");
    figures_.add("streams_single_p99_reference", median_of(theirs, p99), "us");
    figures_.add("write_and_fdatasync_p50",
                 median_of(ours, [](const Measured& run) { return run.bare_write_p50_us; }),
                 "us");
    figures_.add("write_and_fdatasync_p99",
                 median_of(ours, [](const Measured& run) { return run.bare_write_p99_us; }),
                 "us");
    figures_.add("streams_single_p50_ratio",
                 ratio,
                 "",
                 fmt::format("<= {} times write and fdatasync", kSingleGoal),
                 ratio <= kSingleGoal);
  }

  void measure_starts() {
    const std::uint64_t messages = std::min(kStartMessages, 2 * settings_.messages);
    fmt::print(stderr, "start: {} messages with ids\n", messages);
    std::vector<double> clean;
    std::vector<double> killed;
    for (int i = 0; i < settings_.runs; ++i) {
      const testing::TempDir folder;
      const StartTimes times =
          time_starts({ours_.program.path, "-c", write_config(folder, "")}, messages);
      clean.push_back(times.clean_ms);
      killed.push_back(times.killed_ms);
    }
    const double clean_ms = median(clean);
    const double killed_ms = median(killed);
    figures_.add("streams_start_clean",
                 clean_ms,
                 "ms",
                 fmt::format("<= {} ms", kCleanStartGoalMs),
                 clean_ms <= kCleanStartGoalMs);
    figures_.add("streams_start_killed",
                 killed_ms,
                 "ms",
                 fmt::format("<= {} ms", kKilledStartGoalMs),
                 killed_ms <= kKilledStartGoalMs);
  }

  const Settings& settings_;
  const Side ours_;
  const Side reference_;
  Figures figures_;
};

}  // namespace
}  // namespace feedvault::bench

int main(int argc, char** argv) try {
  CLI::App app("Streams beside nats-server's, with nats.c as the client");
  feedvault::bench::Settings settings;
  app.add_option("--runs", settings.runs, "Runs of each, of which the median counts")
      ->check(CLI::Range(1, 1000));
  app.add_option("--messages", settings.messages, "Messages a run; one at a time at most 2,000")
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--window", settings.window, "Publishes without acknowledgement at a time")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option(
      "--only", settings.only, "Of async, plain, pull, ordered, single and start those with it");
  app.add_option("--ours", settings.ours, "Program to be measured");
  app.add_option("--reference", settings.reference, "Program to be measured beside it");
  CLI11_PARSE(app, argc, argv);
  return feedvault::bench::Comparison(settings).run() ? 0 : 1;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "jetstream_bench: %s\n", problem.what());
  return 2;
}
