#include "base/failpoint.h"

#ifdef FEEDVAULT_FAILPOINTS

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace feedvault {
namespace {

struct Armed {
  int signal = SIGKILL;
  long passes_left = 1;
};

class Failpoints {
 public:
  Failpoints() {
    const char* text = std::getenv("FEEDVAULT_FAILPOINT");
    std::string_view rest = text == nullptr ? "" : text;
    MutexLock lock(mutex_);
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      arm(rest.substr(0, comma));
      rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    }
  }

  void reach(const char* name) {
    MutexLock lock(mutex_);
    const auto it = armed_.find(name);
    if (it == armed_.end() || --it->second.passes_left > 0) {
      return;
    }
    const int signal = it->second.signal;
    armed_.erase(it);
    std::fprintf(stderr, "failpoint %s: raising signal %d\n", name, signal);
    std::fflush(stderr);
    std::raise(signal);
  }

 private:
  void arm(std::string_view text) REQUIRES_LOCK(mutex_) {
    const std::size_t equals = text.find('=');
    const std::size_t at = text.find('@');
    const std::string name(text.substr(0, equals));
    const std::string_view action =
        equals == std::string_view::npos ? "" : text.substr(equals + 1, at - equals - 1);
    Armed armed;
    bool readable = action == "kill" || action == "stop";
    armed.signal = action == "stop" ? SIGSTOP : SIGKILL;
    if (at != std::string_view::npos) {
      const char* end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data() + at + 1, end, armed.passes_left);
      readable = readable && error == std::errc() && stop == end && armed.passes_left >= 1;
    }
    if (!readable) {
      std::fprintf(stderr, "FEEDVAULT_FAILPOINT: cannot read '%s'\n", std::string(text).c_str());
      std::exit(2);
    }
    armed_[name] = armed;
  }

  Mutex mutex_;
  std::map<std::string, Armed, std::less<>> armed_ GUARDED_BY(mutex_);
};

}  // namespace

void reach_failpoint(const char* name) {
  static Failpoints failpoints;
  failpoints.reach(name);
}

}  // namespace feedvault

#endif
