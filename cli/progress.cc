#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto kProgressInterval = 100ms;
constexpr std::uint64_t kBarWidth = 30;

}  // namespace

std::string progress_line(const std::string& what,
                          std::uint64_t done,
                          std::uint64_t total,
                          double seconds) {
  std::string line = what + "  ";
  const auto count = static_cast<double>(done);
  const double rate = seconds > 0 ? count / seconds : 0;
  if (total > 0) {
    const std::uint64_t known = std::min(done, total);
    const auto filled = static_cast<std::size_t>(known * kBarWidth / total);
    line += '[' + std::string(filled, '#') + std::string(kBarWidth - filled, '-') + "]  " +
            std::to_string(known * 100 / total) + " %  ";
  }
  char text[96];
  std::snprintf(
      text, sizeof(text), "%llu messages, %.0f/s", static_cast<unsigned long long>(done), rate);
  line += text;
  if (total > done && rate > 0) {
    std::snprintf(text, sizeof(text), ", %.0f s left", static_cast<double>(total - done) / rate);
    line += text;
  }
  return line;
}

Progress::Progress(std::string what, std::uint64_t total, Stdout result)
    : what_(std::move(what)),
      total_(total),
      visible_(::isatty(STDERR_FILENO) == 1 &&
               (result == Stdout::kSilent || ::isatty(STDOUT_FILENO) == 0)),
      start_(std::chrono::steady_clock::now()),
      next_(start_ + kProgressInterval) {}

void Progress::show(std::uint64_t done) {
  if (!visible_) {
    return;
  }
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now < next_) {
    return;
  }
  next_ = now + kProgressInterval;
  shown_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::fprintf(stderr, "\r\033[K%s", progress_line(what_, done, total_, seconds).c_str());
  std::fflush(stderr);
}

void Progress::clear() {
  if (shown_) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    shown_ = false;
  }
}

}  // namespace feedvault::cli
