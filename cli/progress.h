#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace feedvault::cli {

/// How far a long command is, as one line of stderr that is written again and again; nothing where
/// stderr is no terminal. One thread.
class Progress {
 public:
  enum class Stdout : std::uint8_t {
    kSilent,  // has nothing until the end
    kBusy,    // shows the result meanwhile: then there is no line where stdout is a terminal, too
  };
  /// `total`: messages to come; 0: unknown.
  Progress(std::string what, std::uint64_t total, Stdout result);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// So many are done. Cheap: most calls only look at the clock.
  void show(std::uint64_t done);
  /// Takes the line away, before something else is printed.
  void clear();

 private:
  const std::string what_;
  const std::uint64_t total_;
  const bool visible_;
  const SteadyTime start_;
  SteadyTime next_;
  bool shown_ = false;
};

/// The line: "events  [####------]  42 %  1234567 messages, 310000/s, 12 s left", without colours.
std::string progress_line(const std::string& what,
                          std::uint64_t done,
                          std::uint64_t total,
                          double seconds);

}  // namespace feedvault::cli
