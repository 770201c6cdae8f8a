#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include "base/mutex.h"

namespace feedvault {
namespace {

std::shared_ptr<spdlog::sinks::sink> shared_sink() {
  static const auto sink = [] {
    auto made = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    auto formatter = std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%fZ %^%l%$ %n: %v", spdlog::pattern_time_type::utc);
    made->set_formatter(std::move(formatter));
    return made;
  }();
  return sink;
}

Mutex registry_mutex;

}  // namespace

Logger logger(const std::string& folder) {
  MutexLock lock(registry_mutex);
  if (auto existing = spdlog::get(folder)) {
    return existing;
  }
  auto made = std::make_shared<spdlog::logger>(folder, shared_sink());
  made->set_level(spdlog::get_level());
  made->flush_on(spdlog::level::info);
  spdlog::register_logger(made);
  return made;
}

Status set_log_level(const std::string& level) {
  const auto parsed = spdlog::level::from_str(level);
  if (parsed == spdlog::level::off && level != "off") {
    return invalid_argument("log level '" + level +
                            "' is unknown; use trace, debug, info, warn, error or off");
  }
  spdlog::set_level(parsed);
  return {};
}

bool LogThrottle::allow(std::uint64_t& suppressed) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) {
    ++held_back_;
    return false;
  }
  suppressed = held_back_;
  held_back_ = 0;
  next_ = now + interval_;
  return true;
}

}  // namespace feedvault
