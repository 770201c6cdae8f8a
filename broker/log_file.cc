#include "broker/log_file.h"

#include <syslog.h>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/syslog_sink.h>

#include "base/log.h"

namespace feedvault::broker {
namespace {

constexpr const char* kWithTime = "%Y-%m-%dT%H:%M:%S.%fZ %^%l%$ %n: %v";
constexpr const char* kWithoutTime = "%^%l%$ %n: %v";

using SinkPtr = std::shared_ptr<spdlog::sinks::sink>;

// The loops log while sinks are exchanged, which spdlog's loggers do not allow: they keep this one,
// and what it writes to changes under its lock.
class ChangeableSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void change(SinkPtr target) {
    const std::lock_guard<std::mutex> lock(mutex_);
    target_ = std::move(target);
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override { target_->log(message); }
  void flush_() override { target_->flush(); }
  SinkPtr target_;
};

std::shared_ptr<ChangeableSink> changeable;

Result<SinkPtr> make_sink(const LoggingOptions& options) {
  try {
    if (!options.file.empty()) {
      SinkPtr file;
      if (options.file_bytes_max > 0) {
        file = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
            options.file, static_cast<std::size_t>(options.file_bytes_max), 1);
      } else {
        file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
      }
      file->set_formatter(std::make_unique<spdlog::pattern_formatter>(
          options.timestamps ? kWithTime : kWithoutTime, spdlog::pattern_time_type::utc));
      return file;
    }
    return SinkPtr(std::make_shared<spdlog::sinks::syslog_sink_mt>(
        "nats-server", LOG_PID, LOG_DAEMON, /*enable_formatting=*/false));
  } catch (const spdlog::spdlog_ex& problem) {
    return invalid_argument("logfile '" + options.file + "' cannot be written: " + problem.what());
  }
}

}  // namespace

Status set_up_log(const LoggingOptions& options) {
  const Logger log = logger("broker");
  log->set_level(options.trace   ? spdlog::level::trace
                 : options.debug ? spdlog::level::debug
                                 : spdlog::level::info);
  if (options.file.empty() && !options.syslog) {
    log->set_pattern(options.timestamps ? kWithTime : kWithoutTime, spdlog::pattern_time_type::utc);
  }
  return reopen_log(options);
}

Status reopen_log(const LoggingOptions& options) {
  if (options.file.empty() && !options.syslog) {
    return {};
  }
  auto sink = make_sink(options);
  if (!sink) {
    return sink.error();
  }
  if (changeable != nullptr) {
    changeable->change(*sink);
    return {};
  }
  changeable = std::make_shared<ChangeableSink>();
  changeable->change(*sink);
  logger("broker")->sinks() = {changeable};
  return {};
}

}  // namespace feedvault::broker
