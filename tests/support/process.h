#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace feedvault::testing {

/// A folder under the system's temporary one; removed with its contents, unless
/// FEEDVAULT_KEEP_TEST_FILES is set in the environment.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A TCP port of loopback that is free, for a server that will come, go and come again: no other
/// call gives it while this process lives, in any process, and no connection gets it as its own.
std::uint16_t free_port();

/// Waits for a condition by asking again and again; false when it did not come true in time.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds timeout = std::chrono::seconds(30));

/// True when something accepts TCP connections there.
bool accepts_connections(std::uint16_t port);

/// Path of a program that this build made ("feedvault-controller").
std::string built_program(const std::string& name);

/// A child process, in a process group of its own; killed when this object goes and when the test
/// dies.
class Process {
 public:
  struct Options {
    std::vector<std::string> command;                // looked up in PATH
    std::map<std::string, std::string> environment;  // added to ours
    std::string output_file;  // stdout and stderr are appended to it; empty: inherited
    std::string working_folder;
  };
  explicit Process(Options options);  // throws std::runtime_error when it cannot be started
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void send_signal(int signal);
  /// SIGKILL, and waits for the end.
  void kill_hard();
  /// Exit code (128 + signal for a killed one), or nullopt when it still runs at the deadline.
  std::optional<int> wait_for_exit(std::chrono::milliseconds timeout);
  /// What it printed so far; needs output_file.
  std::string output() const;

 private:
  Options options_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

/// Runs a command to its end and returns exit code and output.
struct Finished {
  int exit_code = -1;
  std::string output;
};
Finished run(const std::vector<std::string>& command,
             const std::map<std::string, std::string>& environment = {},
             std::chrono::milliseconds timeout = std::chrono::seconds(60));

}  // namespace feedvault::testing
