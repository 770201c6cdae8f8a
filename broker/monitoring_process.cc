#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "base/file.h"
#include "broker/monitoring.h"

namespace feedvault::broker {
namespace {

std::int64_t cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_usec;
}

// "size resident shared ..." in pages.
std::int64_t resident_bytes() {
  const auto text = read_file("/proc/self/statm");
  if (!text.has_value()) {
    return 0;
  }
  const std::size_t blank = text->find(' ');
  if (blank == std::string::npos) {
    return 0;
  }
  return std::strtoll(text->c_str() + blank, nullptr, 10) * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

ProcessUsage::ProcessUsage(const Clock& clock)
    : clock_(clock), since_(clock.now()), cpu_us_(cpu_us()) {}

ProcessUsage::Usage ProcessUsage::sample() {
  Usage usage;
  usage.resident_bytes = resident_bytes();
  MutexLock lock(mutex_);
  const SteadyTime now = clock_.now();
  const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(now - since_).count();
  if (passed >= 1'000'000) {
    const std::int64_t used = cpu_us();
    // With one decimal: more would be noise.
    percent_ =
        std::round(static_cast<double>(used - cpu_us_) * 1000.0 / static_cast<double>(passed)) /
        10.0;
    cpu_us_ = used;
    since_ = now;
  }
  usage.cpu_percent = percent_;
  return usage;
}

}  // namespace feedvault::broker
