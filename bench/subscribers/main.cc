// subscribers_bench: measures what subscribers get, on private instances. See docs/benchmarks.md.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "bench/subscribers/scenarios.h"

int main(int argc, char** argv) try {
  using namespace feedvault::bench;  // NOLINT(google-build-using-namespace): this program's own
  CLI::App app("Measures the gateway's readers, on a private broker and database");
  static_cast<void>(feedvault::set_log_level("warn"));
  std::string which = "all";
  LiveOptions live;
  HistoryOptions history;
  bool quick = false;
  app.add_option("scenario", which, "all, live or history")
      ->check(CLI::IsMember({"all", "live", "history"}));
  app.add_option("--readers", live.readers, "Readers of server-sent events");
  app.add_option("--rate", live.rate, "Messages a second")->check(CLI::Range(1, 1000));
  app.add_option("--seconds", live.seconds, "How long messages are published");
  app.add_option("--nginx", live.nginx, "Where Debian's nginx is unpacked");
  app.add_option("--rows", history.rows, "Rows in the table")
      ->check(CLI::Range(1000, 1'000'000'000));
  app.add_option("--read", history.read, "Rows that one reader reads");
  app.add_flag("--quick", quick, "Small and short: whether it works, not how fast");
  CLI11_PARSE(app, argc, argv);
  if (quick) {
    live.readers = std::min<std::size_t>(live.readers, 200);
    live.seconds = std::min(live.seconds, 3U);
    history.rows = std::min<std::uint64_t>(history.rows, 100'000);
  }
  history.read = std::min(history.read, history.rows);

  Figures figures;
  if (which != "history") {
    measure_live(live, figures);
  }
  if (which != "live") {
    measure_history(history, figures);
  }
  return figures.print() ? 0 : 1;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "subscribers_bench: %s\n", problem.what());
  return 2;
}
