#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string_view>
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

// What exec wants, made before fork: another thread may hold the allocator's lock then, for which
// the child, having only the thread that forked, would wait for ever.
class Prepared {
 public:
  explicit Prepared(const Process::Options& options) : folder_(options.working_folder) {
    std::map<std::string, std::string> environment = options.environment;
    for (char** at = environ; *at != nullptr; ++at) {
      const std::string_view entry(*at);
      const std::size_t end = std::min(entry.find('='), entry.size());
      environment.try_emplace(std::string(entry.substr(0, end)),
                              entry.substr(std::min(end + 1, entry.size())));
    }
    for (const auto& [name, value] : environment) {
      environment_.push_back(name + "=" + value);
    }
    arguments_ = options.command;
    argv_ = pointers(arguments_);
    envp_ = pointers(environment_);
    failure_ = "cannot start " + arguments_.front() + ": ";
  }

  // In the child: nothing but what is safe in a signal handler.
  [[noreturn]] void exec(int output_fd) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (output_fd >= 0) {
      ::dup2(output_fd, STDOUT_FILENO);
      ::dup2(output_fd, STDERR_FILENO);
    }
    const int null_fd = ::open("/dev/null", O_RDONLY);
    ::dup2(null_fd, STDIN_FILENO);
    if (folder_.empty() || ::chdir(folder_.c_str()) == 0) {
      environ = envp_.data();
      ::execvp(argv_[0], argv_.data());
    }
    const char* const why = ::strerrordesc_np(errno);
    static_cast<void>(!::write(STDERR_FILENO, failure_.data(), failure_.size()));
    static_cast<void>(!::write(STDERR_FILENO, why, std::strlen(why)));
    ::_exit(127);
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& text : texts) {
      all.push_back(text.data());
    }
    all.push_back(nullptr);
    return all;
  }

  std::string folder_;
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  std::string failure_;
};

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
  Prepared prepared(options_);
  pid_ = ::fork();
  if (pid_ < 0) {
    throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  }
  if (pid_ == 0) {
    prepared.exec(output.get());
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
