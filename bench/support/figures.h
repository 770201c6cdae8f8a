#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace feedvault::bench {

/// What a benchmark run found: printed as a table for people, and a line a figure for programs:
///   figure name=throughput_json_off value=31250 unit=msg/s goal=">= 0.2 of the ceiling" met=yes
class Figures {
 public:
  /// `goal` in words, empty when there is none; `met` counts only with a goal.
  void add(const std::string& name,
           double value,
           const std::string& unit,
           const std::string& goal = "",
           bool met = true);
  /// Prints the table and the lines to stdout. True when every goal was met.
  bool print() const;

 private:
  struct Figure {
    std::string name;
    double value;
    std::string unit;
    std::string goal;
    bool met;
  };
  std::vector<Figure> figures_;
};

/// CPU time of a process so far, user and system, in microseconds; 0 when it is gone.
double cpu_microseconds(int pid);

/// Highest resident size of a process so far, in MiB.
double peak_resident_mib(int pid);

/// Resident size of a process now, in KiB; 0 when it is gone.
double resident_kib(int pid);

}  // namespace feedvault::bench
