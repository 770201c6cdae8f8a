#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "base/file.h"
#include "base/unique_fd.h"
#include "tests/support/loopback.h"

namespace feedvault::testing {
namespace {

using std::chrono::milliseconds;

// Interval of asking for a condition that nothing announces (a port that opens, a process that
// ends).
constexpr milliseconds kPollInterval{5};

int decode_wait_status(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// In the child, between fork and exec.
[[noreturn]] void exec_child(const Process::Options& options, int output_fd) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (output_fd >= 0) {
    ::dup2(output_fd, STDOUT_FILENO);
    ::dup2(output_fd, STDERR_FILENO);
  }
  const int null_fd = ::open("/dev/null", O_RDONLY);
  ::dup2(null_fd, STDIN_FILENO);
  if (!options.working_folder.empty() && ::chdir(options.working_folder.c_str()) != 0) {
    ::_exit(127);
  }
  for (const auto& [name, value] : options.environment) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> arguments;
  for (const std::string& argument : options.command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::dprintf(STDERR_FILENO, "cannot start %s: %s\n", arguments[0], std::strerror(errno));
  ::_exit(127);
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "feedvault-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("mkdtemp " + pattern + ": " + std::strerror(errno));
  }
  path_ = pattern;
}

TempDir::~TempDir() {
  if (std::getenv("FEEDVAULT_KEEP_TEST_FILES") == nullptr) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
}

bool eventually(const std::function<bool()>& condition, milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return condition();
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return true;
}

bool accepts_connections(std::uint16_t port) {
  return connect_loopback(port).valid();
}

std::string built_program(const std::string& name) {
  return std::string(FEEDVAULT_BIN_DIR) + "/" + name;
}

Process::Process(Options options) : options_(std::move(options)) {
  UniqueFd output;
  if (!options_.output_file.empty()) {
    output.reset(
        ::open(options_.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  }
  pid_ = ::fork();
  if (pid_ < 0) {
    throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  }
  if (pid_ == 0) {
    exec_child(options_, output.get());
  }
  ::setpgid(pid_, pid_);
}

Process::~Process() {
  kill_hard();
}

bool Process::running() {
  if (exit_code_.has_value()) {
    return false;
  }
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) {
    exit_code_ = decode_wait_status(status);
  }
  return !exit_code_.has_value();
}

void Process::send_signal(int signal) {
  if (running()) {
    ::kill(pid_, signal);
  }
}

void Process::kill_hard() {
  if (!running()) {
    return;
  }
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  int status = 0;
  if (::waitpid(pid_, &status, 0) == pid_) {
    exit_code_ = decode_wait_status(status);
  }
}

std::optional<int> Process::wait_for_exit(milliseconds timeout) {
  eventually([this] { return !running(); }, timeout);
  return exit_code_;
}

std::string Process::output() const {
  auto text = read_file(options_.output_file);
  return text.has_value() ? *text : std::string();
}

Finished run(const std::vector<std::string>& command,
             const std::map<std::string, std::string>& environment,
             milliseconds timeout) {
  const TempDir folder;
  Process process({.command = command,
                   .environment = environment,
                   .output_file = folder.file("output"),
                   .working_folder = {}});
  const auto exit_code = process.wait_for_exit(timeout);
  return {exit_code.value_or(-1), process.output() + (exit_code ? "" : "\n(timed out)")};
}

}  // namespace feedvault::testing
