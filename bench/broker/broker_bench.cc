// The broker beside nats-server: same load program, same machine, alternating runs, medians.
//
//   broker_bench [--runs N] [--reference PROGRAM] [--ours PROGRAM] [--only TEXT] [--loops N]
//
// Per shape: messages per second of both, the ratio, and the server's own CPU time per delivered
// message (from /proc/<pid>/stat), with a machine-readable line below each.

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/broker/load.h"
#include "bench/support/server_runs.h"
#include "tests/support/process.h"

namespace feedvault::bench {
namespace {

using Kind = Shape::Kind;

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {
      {"1:1 16 B", 1, 1, 16, 5'000'000, Kind::kFanOut, 0},
      {"1:1 128 B", 1, 1, 128, 3'000'000, Kind::kFanOut, 0},
      {"1:10 128 B", 1, 10, 128, 500'000, Kind::kFanOut, 0},
      {"10:10 16 B", 10, 10, 16, 1'000'000, Kind::kFanOut, 0},
      {"1:0 16 B", 1, 0, 16, 10'000'000, Kind::kFanOut, 0},
      {"requests, 1 client", 1, 1, 16, 20'000, Kind::kRequests, 0},
      {"requests, 100 clients", 100, 1, 16, 200'000, Kind::kRequests, 0},
      {"1,000 subscribers, distinct", 1, 1000, 16, 3'000'000, Kind::kDistinct, 0},
      {"100,000 wildcards", 1, 10, 16, 2'000'000, Kind::kWildcards, 100'000},
      {"queue group of 10", 1, 10, 16, 3'000'000, Kind::kQueue, 0},
  };
  return all;
}

double median_of(const std::vector<Measured>& runs,
                 const std::function<double(const Measured&)>& value) {
  std::vector<double> values;
  for (const Measured& run : runs) {
    if (run.complete) {
      values.push_back(value(run));
    }
  }
  return median(std::move(values));
}

void compare(const Shape& shape, const Program& ours, const Program& reference, int runs) {
  std::vector<Measured> of_ours;
  std::vector<Measured> of_reference;
  for (int i = 0; i < runs; ++i) {
    for (const bool is_ours : {true, false}) {
      with_server(is_ours ? ours : reference, [&](std::uint16_t port, int pid) {
        try {
          (is_ours ? of_ours : of_reference).push_back(run_shape(shape, port, pid));
        } catch (const std::exception& problem) {
          std::printf(
              "%s: %s: %s\n", shape.name.c_str(), is_ours ? "ours" : "reference", problem.what());
        }
      });
    }
  }
  const auto rate = [](const Measured& m) { return m.per_second(); };
  const auto cpu = [](const Measured& m) { return m.cpu_ns_per_message(); };
  const auto p50 = [](const Measured& m) { return m.p50_us; };
  const auto p99 = [](const Measured& m) { return m.p99_us; };
  const double our_rate = median_of(of_ours, rate);
  const double their_rate = median_of(of_reference, rate);
  const double our_cpu = median_of(of_ours, cpu);
  const double their_cpu = median_of(of_reference, cpu);
  fmt::print("{:<28} {:>11.0f} {:>11.0f} {:>6.2f}x {:>8.0f} {:>8.0f} {:>6.2f}x",
             shape.name,
             our_rate,
             their_rate,
             our_rate / their_rate,
             our_cpu,
             their_cpu,
             our_cpu / their_cpu);
  if (shape.kind == Kind::kRequests) {
    fmt::print("  p50 {:.0f}/{:.0f} us  p99 {:.0f}/{:.0f} us",
               median_of(of_ours, p50),
               median_of(of_reference, p50),
               median_of(of_ours, p99),
               median_of(of_reference, p99));
  }
  fmt::print("\n");
  fmt::print(
      "figure name=broker_{} ours_per_s={:.0f} reference_per_s={:.0f} ratio={:.3f} "
      "cpu_ours_ns={:.1f} cpu_reference_ns={:.1f} cpu_ratio={:.3f}",
      identifier(shape.name),
      our_rate,
      their_rate,
      our_rate / their_rate,
      our_cpu,
      their_cpu,
      our_cpu / their_cpu);
  if (shape.kind == Kind::kRequests) {
    fmt::print(
        " p50_ours_us={:.1f} p50_reference_us={:.1f} p99_ours_us={:.1f} p99_reference_us={:.1f}",
        median_of(of_ours, p50),
        median_of(of_reference, p50),
        median_of(of_ours, p99),
        median_of(of_reference, p99));
  }
  fmt::print("\n");
  std::fflush(stdout);
  const auto incomplete = [](const std::vector<Measured>& all) {
    return std::count_if(all.begin(), all.end(), [](const auto& m) { return !m.complete; });
  };
  if (incomplete(of_ours) + incomplete(of_reference) > 0) {
    fmt::print("  incomplete runs: ours {}, reference {}\n",
               incomplete(of_ours),
               incomplete(of_reference));
  }
}

// Connections that do nothing: what they cost beside the kernel's memory, and how fast they come.
void idle(const Program& program) {
  with_server(program, [&](std::uint16_t port, int pid) {
    constexpr int kClients = 10'000;
    const IdleResult result = run_idle(kClients, port, pid);
    const double before_mb = static_cast<double>(result.resident_bytes_before) / 1e6;
    const double each_kb =
        static_cast<double>(result.resident_bytes_after - result.resident_bytes_before) / 1024 /
        kClients;
    fmt::print(
        "{}: idle {:.1f} MB (goal 8), {} connections in {:.2f} s (goal 2), "
        "{:.2f} KB each (goal 4){}\n",
        program.name,
        before_mb,
        kClients,
        result.connect_seconds,
        each_kb,
        result.complete ? "" : " (INCOMPLETE)");
    fmt::print(
        "figure shape=idle server={} resident_mb={:.2f} connect_s={:.3f} connection_kb={:.3f} "
        "complete={}\n",
        program.name,
        before_mb,
        result.connect_seconds,
        each_kb,
        result.complete);
  });
}

int run(int argc, char** argv) {
  Program ours{"ours", testing::built_program("feedvault-broker"), {}};
  Program reference{"reference", "nats-server", {}};
  int runs = 3;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--runs") {
      runs = std::stoi(value);
    } else if (name == "--ours") {
      ours.path = value;
    } else if (name == "--reference") {
      reference.path = value;
    } else if (name == "--only") {
      only = value;
    } else if (name == "--loops") {
      ours.more = {"--loops", value};
    } else {
      std::fprintf(stderr, "%s: unknown option\n", name.c_str());
      return 2;
    }
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  fmt::print("{:<28} {:>11} {:>11} {:>7} {:>8} {:>8} {:>7}\n",
             "shape",
             "ours msg/s",
             "ref. msg/s",
             "ratio",
             "ours ns",
             "ref. ns",
             "CPU");
  for (const Shape& shape : shapes()) {
    if (shape.name.find(only) != std::string::npos) {
      compare(shape, ours, reference, runs);
    }
  }
  if (only.empty() || only == "idle") {
    idle(ours);
    idle(reference);
  }
  return 0;
}

}  // namespace
}  // namespace feedvault::bench

int main(int argc, char** argv) try {
  return feedvault::bench::run(argc, argv);
} catch (const std::exception& problem) {
  std::fprintf(stderr, "broker_bench: %s\n", problem.what());
  return 1;
}
