#include "bench/support/figures.h"

#include <unistd.h>

#include <cstdio>
#include <sstream>

#include <fmt/format.h>

#include "base/file.h"

namespace feedvault::bench {

void Figures::add(const std::string& name,
                  double value,
                  const std::string& unit,
                  const std::string& goal,
                  bool met) {
  figures_.push_back({name, value, unit, goal, met});
  fmt::print(stderr, "  {} = {:.6g} {}\n", name, value, unit);
}

bool Figures::print() const {
  bool all_met = true;
  fmt::print("\n{:<44} {:>14} {:<8} {:<34} {}\n", "figure", "value", "unit", "goal", "met");
  for (const Figure& figure : figures_) {
    const char* met = figure.goal.empty() ? "" : (figure.met ? "yes" : "NO");
    all_met = all_met && (figure.goal.empty() || figure.met);
    fmt::print("{:<44} {:>14.6g} {:<8} {:<34} {}\n",
               figure.name,
               figure.value,
               figure.unit,
               figure.goal,
               met);
  }
  fmt::print("\n");
  for (const Figure& figure : figures_) {
    fmt::print("figure name={} value={:.6g} unit={}", figure.name, figure.value, figure.unit);
    if (!figure.goal.empty()) {
      fmt::print(" goal=\"{}\" met={}", figure.goal, figure.met ? "yes" : "no");
    }
    fmt::print("\n");
  }
  return all_met;
}

double cpu_microseconds(int pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text.has_value()) {
    return 0;
  }
  // Fields 14 and 15, counted behind the program's name, which may hold spaces.
  std::istringstream fields(text->substr(text->rfind(')') + 2));
  std::string skipped;
  for (int i = 3; i < 14; ++i) {
    fields >> skipped;
  }
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) * 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

namespace {

// A line of /proc/<pid>/status that is in KiB; 0 when it is missing.
double status_kib(int pid, const std::string& name) {
  const auto text = read_file(fmt::format("/proc/{}/status", pid));
  const std::size_t at = text.has_value() ? text->find(name) : std::string::npos;
  return at == std::string::npos ? 0 : std::stod(text->substr(at + name.size()));
}

}  // namespace

double peak_resident_mib(int pid) {
  return status_kib(pid, "VmHWM:") / 1024;
}

double resident_kib(int pid) {
  return status_kib(pid, "VmRSS:");
}

}  // namespace feedvault::bench
