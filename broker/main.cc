// feedvault-broker: reads its options, runs a Server, and turns signals into its life cycle.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include <fmt/format.h>

#include "base/log.h"
#include "broker/jetstream/check_streams.h"
#include "broker/jetstream/service.h"
#include "broker/log_file.h"
#include "broker/options.h"
#include "broker/server.h"
#include "broker/tls_context.h"

namespace feedvault::broker {
namespace {

constexpr int kExitDamaged = 1;  // of --check
constexpr int kExitConfiguration = 2;

// Sockets are files: the limit that most systems start programs with (1024) is for other times.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      std::perror("raising the limit of open files");
    }
  }
}

Server::MakeStreams streams_for(const Options& options) {
  if (!options.jetstream.enabled) {
    return {};
  }
  return
      [jetstream = options.jetstream](StreamHost& host) -> Result<std::unique_ptr<StreamHandler>> {
        auto service = jetstream::Service::open(host, jetstream, store::real_file_system());
        if (!service) {
          return service.error();
        }
        return std::unique_ptr<StreamHandler>(std::move(*service));
      };
}

Result<LoadedOptions> load(const CommandLine& command_line) {
  auto loaded = load_options(command_line, environ);
  if (loaded) {
    for (const auto& tls : {make_tls_context(loaded->options.tls, "tls"),
                            make_tls_context(loaded->options.websocket.tls, "websocket: tls")}) {
      if (!tls) {
        return loaded->placed(tls.error());
      }
    }
  }
  return loaded;
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return kExitConfiguration;
}

// Files that tell others about us; removed at the end.
class Announcement {
 public:
  ~Announcement() { remove_but({}); }
  Announcement() = default;
  Announcement(const Announcement&) = delete;
  Announcement& operator=(const Announcement&) = delete;

  /// Again after a reload: what was written elsewhere before goes.
  Status write(const Options& options, const std::string& program, const Server& server) {
    std::vector<std::string> paths;
    if (!options.pid_file.empty()) {
      RETURN_IF_ERROR(write_pid_file(options.pid_file));
      paths.push_back(options.pid_file);
    }
    if (!options.ports_file_dir.empty()) {
      auto path = write_ports_file(options.ports_file_dir, program, ports_of(options, server));
      if (!path) {
        return path.error();
      }
      paths.push_back(*path);
    }
    remove_but(paths);
    paths_ = std::move(paths);
    return {};
  }

 private:
  static BoundPorts ports_of(const Options& options, const Server& server) {
    BoundPorts ports;
    ports.nats = listener_urls(options.tls.enabled ? "tls" : "nats", options.host, server.port());
    if (server.websocket_port() != 0) {
      const WebsocketOptions& websocket = options.websocket;
      ports.websocket = listener_urls(
          websocket.tls.enabled ? "wss" : "ws", websocket.host, server.websocket_port());
    }
    if (server.monitoring_port() != 0) {
      const std::string& host = options.monitoring.host;
      ports.monitoring =
          listener_urls("http", host.empty() ? options.host : host, server.monitoring_port());
    }
    return ports;
  }

  void remove_but(const std::vector<std::string>& kept) const {
    for (const std::string& path : paths_) {
      if (std::find(kept.begin(), kept.end(), path) == kept.end()) {
        ::unlink(path.c_str());
      }
    }
  }

  std::vector<std::string> paths_;
};

// Launchers that were written for nats-server wait for these words.
void say_ready_as_nats_server(const Options& options, const Server& server) {
  const Logger log = logger("broker");
  log->info("Listening for client connections on {}:{}", options.host, server.port());
  log->info("Server is ready");
}

// Returns the options that are in force afterwards.
Options reload(Server& server,
               const CommandLine& command_line,
               Announcement& announcement,
               const Options& running) {
  const Logger log = logger("broker");
  auto loaded = load(command_line);
  if (!loaded) {
    log->error("reload refused error=\"{}\"", loaded.error().message());
    return running;
  }
  const OptionsChange change = compare_options(running, loaded->options);
  if (!change.refused.empty()) {
    log->error("reload refused needs_restart=\"{}\"", fmt::join(change.refused, ", "));
    return running;
  }
  if (const Status status = server.reload(loaded->options, change.authorization); !status.ok()) {
    log->error("reload refused error=\"{}\"", status.message());
    return running;
  }
  if (change.logging) {
    if (const Status status = set_up_log(loaded->options.logging); !status.ok()) {
      log->error("reload log error=\"{}\"", status.message());
    }
  }
  if (const Status status = announcement.write(loaded->options, command_line.program, server);
      !status.ok()) {
    log->error("reload error=\"{}\"", status.message());
  }
  log->info("reloaded changed=\"{}\"", fmt::join(change.applied, ", "));
  return loaded->options;
}

int serve(Server& server,
          const CommandLine& command_line,
          Announcement& announcement,
          Options options,
          const sigset_t& set) {
  const Logger log = logger("broker");
  while (true) {
    int signal = 0;
    if (::sigwait(&set, &signal) != 0) {
      continue;
    }
    switch (signal) {
      case SIGHUP:
        options = reload(server, command_line, announcement, options);
        break;
      case SIGUSR1:
        if (const Status status = reopen_log(options.logging); !status.ok()) {
          log->error("reopen log error=\"{}\"", status.message());
        }
        log->info("log reopened");
        break;
      case SIGUSR2:
        server.begin_lame_duck([] { ::kill(::getpid(), SIGTERM); });
        break;
      default:
        log->info("stopping signal={}", signal);
        server.stop();
        return 0;
    }
  }
}

int run(const CommandLine& command_line) {
  auto loaded = load(command_line);
  if (!loaded) {
    return fail(loaded.error());
  }
  for (const std::string& warning : loaded->warnings) {
    std::fprintf(stderr, "%s\n", warning.c_str());
  }
  const Options& options = loaded->options;
  if (command_line.action == CommandLine::Action::kTestConfig) {
    std::printf("configuration is good\n");
    return 0;
  }
  if (const Status status = set_up_log(options.logging); !status.ok()) {
    return fail(status);
  }
  raise_file_limit();
  // Before the first thread, so that all of them leave signals to sigwait().
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
    sigaddset(&set, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  auto server = Server::start(options, Clock::system(), streams_for(options));
  if (!server) {
    return fail(server.error());
  }
  Announcement announcement;
  if (const Status status = announcement.write(options, command_line.program, **server);
      !status.ok()) {
    return fail(status);
  }
  if (command_line.program == "nats-server") {
    say_ready_as_nats_server(options, **server);
  }
  return serve(**server, command_line, announcement, options, set);
}

int check(const std::string& dir) {
  auto checked = jetstream::check_streams(dir, store::read_only_file_system());
  if (!checked) {
    return fail(checked.error());
  }
  std::fputs(checked->text.c_str(), stdout);
  return checked->damaged ? kExitDamaged : 0;
}

int run_program(int argc, const char* const* argv) {
  const auto command_line = parse_command_line(argc, argv);
  if (!command_line) {
    return fail(command_line.error());
  }
  switch (command_line->action) {
    case CommandLine::Action::kPrint:
      std::printf("%s\n", command_line->text.c_str());
      return 0;
    case CommandLine::Action::kSignal: {
      const Status status = send_signal(*command_line);
      return status.ok() ? 0 : fail(status);
    }
    case CommandLine::Action::kCheck:
      return check(command_line->check_dir);
    case CommandLine::Action::kRun:
    case CommandLine::Action::kTestConfig:
      return run(*command_line);
  }
  return kExitConfiguration;
}

}  // namespace
}  // namespace feedvault::broker

int main(int argc, char** argv) {
  return feedvault::broker::run_program(argc, argv);
}
