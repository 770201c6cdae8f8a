// What the options say about the process: its pid file, its ports file, signals to others like it.

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <net/if.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/unique_fd.h"
#include "broker/options.h"

namespace feedvault::broker {
namespace {

std::string url(const std::string& scheme, const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

// Addresses of all interfaces that are up, but those that mean nothing without the interface.
std::vector<std::string> interface_addresses(bool with_v6) {
  std::vector<std::string> addresses;
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) != 0) {
    return addresses;
  }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(raw, &::freeifaddrs);
  for (const ifaddrs* at = list.get(); at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) {
      continue;
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = at->ifa_addr->sa_family;
    const void* address = nullptr;
    if (family == AF_INET) {
      address = &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
    } else if (family == AF_INET6 && with_v6) {
      const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
      address = IN6_IS_ADDR_LINKLOCAL(&v6) ? nullptr : &v6;
    }
    if (address != nullptr &&
        ::inet_ntop(family, address, text.data(), static_cast<socklen_t>(text.size())) != nullptr) {
      addresses.emplace_back(text.data());
    }
  }
  return addresses;
}

bool has_ipv6() {
  return UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid();
}

bool parse_pid(std::string_view text, pid_t& pid) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  return error == std::errc() && end == text.data() + text.size() && pid > 0;
}

// Other processes that were started under this name.
std::vector<pid_t> running(const std::string& program) {
  std::vector<pid_t> found;
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> proc(::opendir("/proc"));
  for (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr; entry != nullptr;
       entry = ::readdir(proc.get())) {
    pid_t pid = 0;
    if (!parse_pid(entry->d_name, pid) || pid == ::getpid()) {
      continue;
    }
    const auto command = read_file(fmt::format("/proc/{}/cmdline", pid));
    if (!command.has_value()) {
      continue;  // it has gone
    }
    const std::string name = command->substr(0, command->find('\0'));
    if (name.substr(name.rfind('/') + 1) == program) {
      found.push_back(pid);
    }
  }
  return found;
}

Result<pid_t> find_target(const CommandLine& command_line) {
  const std::string& target = command_line.signal_target;
  pid_t pid = 0;
  if (!target.empty()) {
    if (parse_pid(target, pid)) {
      return pid;
    }
    ASSIGN_OR_RETURN(const std::string text, read_file(target));
    if (!parse_pid(text, pid)) {
      return invalid_argument("--signal: " + target +
                              " holds no process id; name a pid file or a process id");
    }
    return pid;
  }
  const std::vector<pid_t> found = running(command_line.program);
  if (found.empty()) {
    return invalid_argument("--signal: no " + command_line.program +
                            " is running; start one, or name its process id");
  }
  if (found.size() > 1) {
    return invalid_argument(fmt::format("--signal: several {} are running ({}); name one: {}={}",
                                        command_line.program,
                                        fmt::join(found, ", "),
                                        command_line.signal,
                                        found.front()));
  }
  return found.front();
}

int signal_number(const std::string& name) {
  constexpr std::pair<const char*, int> kSignals[] = {{"stop", SIGKILL},
                                                      {"quit", SIGINT},
                                                      {"term", SIGTERM},
                                                      {"reload", SIGHUP},
                                                      {"reopen", SIGUSR1},
                                                      {"ldm", SIGUSR2}};
  const auto* found = std::find_if(std::begin(kSignals),
                                   std::end(kSignals),
                                   [&](const auto& known) { return name == known.first; });
  return found == std::end(kSignals) ? 0 : found->second;
}

}  // namespace

Result<std::string> listening_address(const std::string& host) {
  if (host.empty() || host == "0.0.0.0" || host == "::") {
    return std::string(has_ipv6() ? "::" : "0.0.0.0");
  }
  const auto unknown = [&](int error) {
    return invalid_argument(
        fmt::format("cannot listen on {}: {}; check the host", host, ::gai_strerror(error)));
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &raw); error != 0) {
    return unknown(error);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(raw, ::freeaddrinfo);
  const addrinfo* chosen = addresses.get();
  for (const addrinfo* at = chosen; at != nullptr; at = at->ai_next) {
    if (at->ai_family == AF_INET) {
      chosen = at;
      break;
    }
  }
  std::array<char, NI_MAXHOST> text{};
  if (const int error = ::getnameinfo(chosen->ai_addr,
                                      chosen->ai_addrlen,
                                      text.data(),
                                      static_cast<socklen_t>(text.size()),
                                      nullptr,
                                      0,
                                      NI_NUMERICHOST);
      error != 0) {
    return unknown(error);
  }
  return std::string(text.data());
}

std::vector<std::string> listener_urls(const std::string& scheme,
                                       const std::string& host,
                                       int port) {
  const auto known = listening_address(host);
  const std::string& address = known.has_value() ? *known : host;
  std::vector<std::string> urls;
  if (address == "0.0.0.0" || address == "::") {
    for (const std::string& each : interface_addresses(/*with_v6=*/address == "::")) {
      urls.push_back(url(scheme, each, port));
    }
  }
  if (urls.empty()) {
    urls.push_back(url(scheme, address, port));
  }
  return urls;
}

Result<std::string> write_ports_file(const std::string& dir,
                                     const std::string& program,
                                     const BoundPorts& ports) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  const auto add = [&](const char* key, const std::vector<std::string>& urls) {
    if (!urls.empty()) {
      json[key] = urls;
    }
  };
  add("nats", ports.nats);
  add("monitoring", ports.monitoring);
  add("websocket", ports.websocket);
  std::string path = fmt::format("{}/{}_{}.ports", dir, program, ::getpid());
  if (const Status bad = replace_file(path, json.dump()); !bad.ok()) {
    return bad.with_context("ports_file_dir");
  }
  return path;
}

Status write_pid_file(const std::string& path) {
  const Status written = replace_file(path, std::to_string(::getpid()));
  return written.ok() ? written : written.with_context("pid_file");
}

Status send_signal(const CommandLine& command_line) {
  ASSIGN_OR_RETURN(const pid_t pid, find_target(command_line));
  const int number = signal_number(command_line.signal);
  if (number == 0) {
    return invalid_argument("--signal: '" + command_line.signal + "' is unknown");
  }
  if (::kill(pid, number) != 0) {
    return invalid_argument(fmt::format("--signal: process {}: {}", pid, std::strerror(errno)));
  }
  return {};
}

}  // namespace feedvault::broker
