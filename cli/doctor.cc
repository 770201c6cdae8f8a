#include "cli/doctor.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/controller_health.h"
#include "proto/message_schema.h"

namespace feedvault::cli {
namespace {

constexpr std::int64_t kSkewWarnUs = 1'000'000;
constexpr std::int64_t kSkewFailUs = 60'000'000;
constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kDiskFail = 100 * kMiB;
constexpr std::uint64_t kDiskWarn = 1024 * kMiB;

const char* grade_name(Grade grade) {
  switch (grade) {
    case Grade::kOk:
      return "ok";
    case Grade::kWarn:
      return "warn";
    case Grade::kFail:
      break;
  }
  return "fail";
}

std::string in_mib(std::uint64_t bytes) {
  return std::to_string(bytes / kMiB) + " MiB";
}

struct Listener {
  const char* name;
  const char* key;
  std::uint16_t port;
  std::string bind;  // empty: not known
};

/// What listens on this machine, as far as the configuration tells.
std::vector<Listener> listeners_here(const Config& config) {
  std::vector<Listener> listeners;
  if (config.nats.servers.empty() && is_loopback(config.nats.host)) {
    listeners.push_back({"broker", "[nats] port", config.nats.port, ""});
    listeners.push_back({"monitoring", "[monitor] port", config.monitor.port, ""});
  }
  if (config.mysql.socket.empty() && is_loopback(config.mysql.host)) {
    listeners.push_back({"database", "[mysql] port", config.mysql.port, ""});
  }
  listeners.push_back({"gateway", "[http] port", config.http.port, config.http.bind});
  listeners.push_back(
      {"controller", "[controller] port", config.controller.port, config.controller.bind});
  return listeners;
}

/// Two addresses of this machine may have listeners on one port.
bool clash(const Listener& a, const Listener& b) {
  const auto on_all = [](const Listener& listener) {
    return listener.bind.empty() || listener.bind == "0.0.0.0" || listener.bind == "::";
  };
  return a.port == b.port && (a.bind == b.bind || on_all(a) || on_all(b));
}

void examine_ports(const Config& config, Findings& findings) {
  const std::vector<Listener> listeners = listeners_here(config);
  bool distinct = true;
  std::string text;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    const Listener& one = listeners[i];
    text += (text.empty() ? "" : ", ") + std::string(one.name) + " " + std::to_string(one.port);
    for (std::size_t j = i + 1; j < listeners.size(); ++j) {
      if (clash(one, listeners[j])) {
        distinct = false;
        findings.fail("ports",
                      std::string(one.name) + " and " + listeners[j].name +
                          " are both to have port " + std::to_string(one.port),
                      std::string("change ") + listeners[j].key + " in " + config.path);
      }
    }
  }
  if (distinct) {
    findings.ok("ports", text);
  }
}

void print_findings(const Findings& findings) {
  std::size_t width = 0;
  for (const Finding& finding : findings.all()) {
    width = std::max(width, finding.check.size());
  }
  for (const Finding& finding : findings.all()) {
    std::printf("%-4s  %-*s  %s\n",
                grade_name(finding.grade),
                static_cast<int>(width),
                finding.check.c_str(),
                printable(finding.text, 2000).c_str());
    if (!finding.remedy.empty()) {
      std::printf("      %-*s  -> %s\n",
                  static_cast<int>(width),
                  "",
                  printable(finding.remedy, 2000).c_str());
    }
  }
  std::printf("%zu ok, %zu warn, %zu fail\n",
              findings.count(Grade::kOk),
              findings.count(Grade::kWarn),
              findings.count(Grade::kFail));
}

void print_findings_json(const Findings& findings) {
  using nlohmann::ordered_json;
  ordered_json checks = ordered_json::array();
  for (const Finding& finding : findings.all()) {
    checks.push_back({{"check", finding.check},
                      {"result", grade_name(finding.grade)},
                      {"text", finding.text},
                      {"remedy", finding.remedy}});
  }
  const ordered_json out = {{"ok", findings.count(Grade::kFail) == 0}, {"checks", checks}};
  std::printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

}  // namespace

std::size_t Findings::count(Grade grade) const {
  return static_cast<std::size_t>(std::count_if(
      all_.begin(), all_.end(), [&](const Finding& finding) { return finding.grade == grade; }));
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Finding judge_clock(const std::string& whose,
                    std::int64_t theirs_us,
                    std::int64_t before_us,
                    std::int64_t after_us) {
  // It was asked at some moment in between: only what lies outside is a difference for certain.
  const std::int64_t ahead = theirs_us > after_us
                                 ? theirs_us - after_us
                                 : std::min<std::int64_t>(0, theirs_us - before_us);
  const std::int64_t skew = std::abs(ahead);
  char seconds[48];
  std::snprintf(seconds, sizeof(seconds), "%.3f s", static_cast<double>(skew) / 1e6);
  const std::string text =
      "the " + whose + "'s is " +
      (skew == 0 ? "as this host's"
                 : seconds + std::string(ahead > 0 ? " ahead of" : " behind") + " this host's");
  Finding finding{Grade::kOk, "clock", text, ""};
  if (skew > kSkewWarnUs) {
    finding.grade = skew > kSkewFailUs ? Grade::kFail : Grade::kWarn;
    finding.remedy =
        "synchronise the clocks (chrony, systemd-timesyncd): times of messages are the broker's, "
        "and lag is told with this host's";
  }
  return finding;
}

Finding judge_disk(const std::string& what,
                   const std::string& folder,
                   std::uint64_t free,
                   std::uint64_t capacity) {
  Finding finding{
      Grade::kOk,
      "disk",
      what + " in " + folder + ": " + in_mib(free) + " of " + in_mib(capacity) + " free",
      ""};
  if (free < kDiskFail) {
    finding.grade = Grade::kFail;
    finding.remedy = "free some room now: when it is full nothing can be stored";
  } else if (free < kDiskWarn || free < capacity / 20) {
    finding.grade = Grade::kWarn;
    finding.remedy = "free some room, or move it to a larger disk";
  }
  return finding;
}

void examine_disk(const std::string& what, const std::string& folder, Findings& findings) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (!error) {
    findings.add(judge_disk(what, folder, space.available, space.capacity));
  }
}

void examine_configuration(const Config& config, Findings& findings) {
  std::string feeds;
  for (const FeedConfig& feed : config.feeds) {
    feeds += (feeds.empty() ? "" : ", ") + feed.name;
  }
  findings.ok("configuration", config.path + ", feeds " + feeds);
  struct stat status {};
  if (!config.secrets_in_file.empty() && ::stat(config.path.c_str(), &status) == 0 &&
      (status.st_mode & S_IROTH) != 0) {
    findings.warn("configuration",
                  fmt::format("everybody on this machine may read {}, which has {}",
                              config.path,
                              fmt::join(config.secrets_in_file, ", ")),
                  "chmod o-r " + config.path + ", or give secrets by environment variables only");
  }
  for (const FeedConfig& feed : config.feeds) {
    const auto schema = MessageSchema::load(feed.proto, feed.message);
    if (schema.has_value()) {
      findings.ok("feed " + feed.name, "message " + feed.message + " of " + feed.proto);
    } else {
      findings.fail("feed " + feed.name,
                    schema.error().message(),
                    "mend [[feed]] proto and message in " + config.path);
    }
  }
  if (!is_loopback(config.http.bind) && config.http.auth == "off") {
    findings.warn("configuration",
                  "the gateway listens on " + config.http.bind + " and asks nobody for a token",
                  "set [http] tokens and auth = \"auto\"");
  }
  examine_ports(config, findings);
}

int doctor(const Result<Config>& config, const DoctorOptions& options) {
  Findings findings;
  Place gateway;
  if (!options.gateway.empty()) {
    const auto given = parse_place(options.gateway);
    if (!given.has_value()) {
      return report("--gateway", given.error());
    }
    gateway = *given;
  } else if (config.has_value()) {
    gateway = {reachable_host(config->http.bind), config->http.port};
  }
  if (config.has_value()) {
    examine_configuration(*config, findings);
    const bool catalogue = examine_database(*config, findings);
    examine_broker(*config, catalogue, findings);
    examine_services(*config, gateway, findings);
  } else {
    findings.fail("configuration",
                  config.error().message(),
                  "correct it, or name another file with --config or FEEDVAULT_CONFIG");
  }
  if (options.json) {
    print_findings_json(findings);
  } else {
    print_findings(findings);
  }
  return finish_output(findings.count(Grade::kFail) == 0 ? kExitOk : kExitProblem);
}

}  // namespace feedvault::cli
