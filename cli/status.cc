#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/signal_watch.h"
#include "cli/status_report.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr auto kRateInterval = 1s;

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

/// `time`: when it was taken, for a reader of many; empty: none.
std::string as_json(const StatusReport& report, const std::string& time) {
  ordered_json feeds = ordered_json::array();
  for (const FeedStatus& status : report.feeds) {
    feeds.push_back({{"name", status.feed->name},
                     {"captured", or_null(status.captured)},
                     {"catalogued", or_null(status.catalogued)},
                     {"published", or_null(status.published)},
                     {"quarantined", or_null(status.quarantined)},
                     {"duplicates", or_null(status.duplicates)},
                     {"lag_messages", or_null(status.lag_messages)},
                     {"lag_seconds", or_null(status.lag_seconds)},
                     {"rate", or_null(status.rate)},
                     {"state", status.state},
                     {"reason", status.reason}});
  }
  ordered_json out;
  if (!time.empty()) {
    out["time"] = time;
  }
  out["ready"] = report.ready;
  out["feeds"] = feeds;
  out["problems"] = report.problems;
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string number(const std::optional<std::uint64_t>& value) {
  return value ? std::to_string(*value) : "?";
}

std::string decimal(const std::optional<double>& value) {
  if (!value) {
    return "?";
  }
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", *value);
  return text;
}

std::string table_line(const std::vector<std::string>& cells) {
  constexpr int kWidths[] = {-12, 12, 12, 12, 11, 10, 9, 8, 10};
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const int width = i < std::size(kWidths) ? kWidths[i] : 0;
    const auto room = static_cast<std::size_t>(width < 0 ? -width : width);
    const std::string padding(room > cells[i].size() ? room - cells[i].size() : 0, ' ');
    line += i == 0 ? "" : " ";
    line += i + 1 == cells.size() ? " " : "";
    line += width < 0 ? cells[i] + padding : padding + cells[i];
  }
  return line + "\n";
}

std::string as_table(const StatusReport& report) {
  std::string text = table_line({"FEED",
                                 "CAPTURED",
                                 "CATALOGUED",
                                 "PUBLISHED",
                                 "QUARANTINED",
                                 "DUPLICATES",
                                 "LAG MSGS",
                                 "LAG S",
                                 "RATE/S",
                                 "CONTROLLER"});
  for (const FeedStatus& status : report.feeds) {
    text += table_line({status.feed->name,
                        number(status.captured),
                        number(status.catalogued),
                        number(status.published),
                        number(status.quarantined),
                        number(status.duplicates),
                        number(status.lag_messages),
                        decimal(status.lag_seconds),
                        decimal(status.rate),
                        status.state});
  }
  return text;
}

std::string as_lines(const std::vector<std::string>& problems) {
  std::string text;
  for (const std::string& problem : problems) {
    text += "feedvault: " + printable(problem, 2000) + "\n";
  }
  return text;
}

/// Overwrites the screen line by line: clearing it first would flicker.
std::string redrawn(const std::string& block) {
  std::string text = "\033[H";
  for (const char c : block) {
    text += c == '\n' ? "\033[K\n" : std::string(1, c);
  }
  return text + "\033[J";
}

/// In one system call where the system takes it whole, so that no end comes in the middle of a
/// block. 0, or errno when stdout takes no more.
int write_block(std::string_view block) {
  while (!block.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, block.data(), block.size());
    if (written < 0 && errno != EINTR) {
      return errno;
    }
    block.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  return 0;
}

int watch_status(const Config& config, const StatusOptions& options) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !options.json;
  // At once: what is being asked need not answer.
  const SignalWatch end([] { ::_exit(kExitOk); });
  StatusReader reader(config);
  int error = terminal ? write_block("\033[2J") : 0;
  for (SteadyTime next = std::chrono::steady_clock::now(); error == 0;) {
    const StatusReport report = reader.take();
    const std::string time = format_rfc3339_us(Clock::system().unix_ns() / 1000);
    const std::string block = options.json ? as_json(report, time)
                                           : time.substr(0, 19) + "Z\n" + as_table(report) +
                                                 as_lines(report.problems) + "\n";
    error = write_block(terminal ? redrawn(block) : block);
    if (error != 0) {
      break;
    }
    next = std::max(next + std::chrono::seconds(options.interval_s),
                    SteadyTime(std::chrono::steady_clock::now()));
    std::this_thread::sleep_until(next);  // the interval; a signal ends the program meanwhile
  }
  return report_write(error);
}

}  // namespace

int status(const Config& config, const StatusOptions& options) {
  if (options.watch) {
    return watch_status(config, options);
  }
  StatusReader reader(config);
  reader.begin();
  std::this_thread::sleep_for(kRateInterval);  // a rate needs two looks
  const StatusReport report = reader.take();
  std::fputs((options.json ? as_json(report, "") : as_table(report)).c_str(), stdout);
  const bool well = report.ready && report.problems.empty();
  // In this order, also where both go to one file.
  const int exit_code = finish_output(well ? kExitOk : kExitProblem);
  std::fputs(as_lines(report.problems).c_str(), stderr);
  return exit_code;
}

}  // namespace feedvault::cli
