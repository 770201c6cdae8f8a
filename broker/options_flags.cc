// The command line: nats-server's flags, in Go's notation (-name, --name, -name value, -name=value;
// a switch takes a value only behind '='), which no library for getopt's notation reads.

#include <algorithm>

#include <fmt/format.h>

#include "base/version.h"
#include "broker/options_map.h"
#include "broker/options_reader.h"

namespace feedvault::broker {
namespace {

struct Flag {
  std::string_view names;  // the last one is what it is called afterwards
  bool is_switch;
};

constexpr Flag kFlags[] = {
    {"a|net|addr", false},
    {"p|port", false},
    {"n|server_name|name", false},
    {"P|pid", false},
    {"m|http_port", false},
    {"ms|https_port", false},
    {"c|config", false},
    {"t", true},
    {"sl|signal", false},
    {"client_advertise", false},
    {"ports_file_dir", false},
    {"l|log", false},
    {"T|logtime", true},
    {"s|syslog", true},
    {"r|remote_syslog", false},
    {"D|debug", true},
    {"V|trace", true},
    {"VV", true},
    {"DV", true},
    {"DVV", true},
    {"log_size_limit", false},
    {"max_traced_msg_len", false},
    {"js|jetstream", true},
    {"sd|store_dir", false},
    {"user", false},
    {"pass", false},
    {"auth", false},
    {"tls", true},
    {"tlscert", false},
    {"tlskey", false},
    {"tlsverify", true},
    {"tlscacert", false},
    {"routes", false},
    {"cluster", false},
    {"cluster_name", false},
    {"no_advertise", true},
    {"cluster_advertise", false},
    {"connect_retries", false},
    {"cluster_listen", false},
    {"profile", false},
    {"loops", false},
    {"check", false},
    {"h|help", true},
    {"help_tls", true},
    {"v|version", true},
};

constexpr std::string_view kHelp = R"(
Usage: {0} [options] [config.toml]

Configuration: command line over file over defaults. *.toml is TOML (keys of section [broker]),
anything else nats-server's own format. Without -c or an argument: ./config.toml, if it is there.

Server:
    -a, --addr, --net HOST        address to listen on
    -p, --port PORT               port for clients; -1: any free one
    -n, --name, --server_name N   server's name (default: its id)
    -P, --pid FILE                write the process id there
    -m, --http_port PORT          port for monitoring; -1: any free one
    -c, --config FILE             configuration
    -t                            test the configuration and exit
    -sl, --signal SIGNAL[=PID]    send ldm, stop, quit, term, reopen or reload; PID: number or file
        --client_advertise ADDR   address that clients are told to use
        --ports_file_dir DIR      write the ports to DIR/PROGRAM_PID.ports
        --loops N                 event loops (threads); 0: as many as useful

Logging:
    -l, --log FILE                log to a file
    -T, --logtime                 log with time (default: true)
    -s, --syslog                  log to syslog
    -D, --debug   -V, --trace     more; -DV: both; -VV, -DVV: with the system account's
        --log_size_limit BYTES    rename the file away when it is larger
        --max_traced_msg_len N    longest part of a message that is traced

Streams:
    -js, --jetstream              enable them
    -sd, --store_dir DIR          where they are stored
        --check DIR               verify the streams of a broker that is stopped, and print what is
                                  found; changes nothing. Exit code 0: clean, 1: damaged

Authorization:
        --user USER --pass PASSWORD
        --auth TOKEN

TLS:
        --tls                     enable
        --tlscert FILE --tlskey FILE
        --tlsverify               clients must show a certificate
        --tlscacert FILE          ... from this authority

    -h, --help     -v, --version
)";

const Flag* find_flag(std::string_view name, std::string_view& canonical) {
  for (const Flag& flag : kFlags) {
    std::string_view names = flag.names;
    canonical = names.substr(names.rfind('|') + 1);
    for (;;) {
      const std::size_t bar = names.find('|');
      if (names.substr(0, bar) == name) {
        return &flag;
      }
      if (bar == std::string_view::npos) {
        break;
      }
      names.remove_prefix(bar + 1);
    }
  }
  return nullptr;
}

std::string version_line(const std::string& program) {
  return program == "nats-server"
             ? fmt::format("nats-server: v{}\n", kNatsVersion)
             : fmt::format("{} {} (speaks as nats-server {})\n", program, kVersion, kNatsVersion);
}

Status set_signal(std::string_view text, CommandLine& result) {
  const std::size_t equals = text.find('=');
  result.signal = std::string(text.substr(0, equals));
  if (equals != std::string_view::npos) {
    result.signal_target = std::string(text.substr(equals + 1));
  }
  for (const char* known : {"ldm", "stop", "quit", "term", "reopen", "reload"}) {
    if (result.signal == known) {
      result.action = CommandLine::Action::kSignal;
      return {};
    }
  }
  return invalid_argument(fmt::format(
      "--signal: '{}' is unknown; use ldm, stop, quit, term, reopen or reload", result.signal));
}

// Those that are about the command itself; false for the others, which are settings.
Result<bool> take_command(std::string_view name, const std::string& value, CommandLine& result) {
  using Action = CommandLine::Action;
  if (name == "help" || name == "help_tls") {
    result.action = Action::kPrint;
    result.text = fmt::format(fmt::runtime(kHelp), result.program);
  } else if (name == "version") {
    result.action = Action::kPrint;
    result.text = version_line(result.program);
  } else if (name == "config") {
    result.config_file = value;
  } else if (name == "t") {
    result.action = Action::kTestConfig;
  } else if (name == "check") {
    result.action = CommandLine::Action::kCheck;
    result.check_dir = value;
  } else if (name == "signal") {
    RETURN_IF_ERROR(set_signal(value, result));
  } else {
    return false;
  }
  return true;
}

/// A flag's text as if it stood in a configuration, so that it is read and checked the same way.
ConfValue as_value(std::string_view name, std::string_view text) {
  ConfValue value;
  value.key = "--" + std::string(name);
  value.text = std::string(text);
  value.file = std::make_shared<const std::string>("command line");
  return value;
}

Status read_switch(const ConfValue& value, bool& target) {
  const std::string& text = value.text;
  const bool on = text == "true" || text == "1" || text == "t" || text == "T" || text == "TRUE";
  if (!on && text != "false" && text != "0" && text != "f" && text != "F" && text != "FALSE") {
    return bad_value(value, "'" + text + "' is neither true nor false; write one of them");
  }
  target = on;
  return {};
}

Status set_trace(std::string_view name, const ConfValue& value, LoggingOptions& logging) {
  bool on = false;
  RETURN_IF_ERROR(read_switch(value, on));
  if (name.front() == 'D') {
    logging.debug = on;
  }
  logging.trace = on;
  if (name.size() >= 2 && name.substr(name.size() - 2) == "VV") {
    logging.trace_verbose = on;
  }
  return {};
}

std::vector<ConfKey> server_flags(Options& options) {
  const auto key_switch = [](std::string_view name, bool& target) {
    return ConfKey{name, [&target](const ConfValue& v) { return read_switch(v, target); }};
  };
  LoggingOptions& logging = options.logging;
  return {key_text("addr", options.host),
          {"port", [&](const ConfValue& v) { return read_port(v, options.port); }},
          key_text("name", options.server_name),
          key_text("pid", options.pid_file),
          {"http_port", [&](const ConfValue& v) { return read_port(v, options.monitoring.port); }},
          {"https_port",
           [](const ConfValue& v) {
             return bad_value(v, "monitoring has no TLS; use -m on a loopback address");
           }},
          key_text("client_advertise", options.client_advertise),
          key_text("ports_file_dir", options.ports_file_dir),
          key_number("loops", options.loops, 0, 256),
          key_text("log", logging.file),
          key_switch("logtime", logging.timestamps),
          key_switch("syslog", logging.syslog),
          key_switch("debug", logging.debug),
          key_switch("trace", logging.trace),
          key_number("log_size_limit", logging.file_bytes_max),
          key_number("max_traced_msg_len", logging.traced_bytes_max),
          key_switch("jetstream", options.jetstream.enabled),
          key_text("store_dir", options.jetstream.store_dir)};
}

std::vector<ConfKey> security_flags(Options& options) {
  AuthorizationOptions& authorization = options.authorization;
  TlsOptions& tls = options.tls;
  return {{"user",
           [&](const ConfValue& v) {
             authorization.token.clear();  // they exclude each other, and the flag wins
             return read_text(v, authorization.user);
           }},
          key_text("pass", authorization.password),
          {"auth",
           [&](const ConfValue& v) {
             authorization.user.clear();
             authorization.password.clear();
             return read_text(v, authorization.token);
           }},
          {"tls", [&](const ConfValue& v) { return read_switch(v, tls.enabled); }},
          {"tlsverify",
           [&](const ConfValue& v) -> Status {
             RETURN_IF_ERROR(read_switch(v, tls.verify));
             tls.enabled = tls.enabled || tls.verify;
             return {};
           }},
          key_text("tlscert", tls.cert_file),
          key_text("tlskey", tls.key_file),
          key_text("tlscacert", tls.ca_file)};
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
  CommandLine result;
  result.program = argc > 0 ? argv[0] : "feedvault-broker";
  result.program.erase(0, result.program.rfind('/') + 1);
  const std::string hint = "; see " + result.program + " --help";
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (argument == "help" || argument == "version") {
      RETURN_IF_ERROR(take_command(argument, "true", result).status());
      return result;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      if (!result.config_file.empty() || result.program == "nats-server") {
        // Not its text: it may be a password that lost its flag.
        return invalid_argument(
            fmt::format("argument {}: unexpected; give one configuration file{}", i, hint));
      }
      result.config_file = std::string(argument);
      continue;
    }
    argument.remove_prefix(argument[1] == '-' ? 2 : 1);
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    std::string_view canonical;
    const Flag* flag = find_flag(name, canonical);
    if (flag == nullptr) {
      return invalid_argument(fmt::format("-{}: unknown flag{}", name, hint));
    }
    std::string value = "true";
    if (equals != std::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (!flag->is_switch) {
      if (i + 1 == argc) {
        return invalid_argument(fmt::format("-{}: needs a value{}", name, hint));
      }
      value = argv[++i];
    }
    ASSIGN_OR_RETURN(const bool command, take_command(canonical, value, result));
    if (result.action == CommandLine::Action::kPrint) {
      return result;
    }
    if (!command) {
      result.flags.push_back(std::string(canonical) + "=" + value);
    }
  }
  return result;
}

Status apply_flags(const std::vector<std::string>& flags,
                   Options& options,
                   std::vector<std::string>& warnings) {
  std::vector<ConfKey> keys = server_flags(options);
  const std::vector<ConfKey> more = security_flags(options);
  keys.insert(keys.end(), more.begin(), more.end());
  for (const std::string& flag : flags) {
    const std::size_t equals = flag.find('=');
    const std::string_view name = std::string_view(flag).substr(0, equals);
    const ConfValue value = as_value(name, std::string_view(flag).substr(equals + 1));
    const auto key = std::find_if(
        keys.begin(), keys.end(), [&](const ConfKey& known) { return known.names == name; });
    if (key != keys.end()) {
      RETURN_IF_ERROR(key->set(value));
    } else if (name == "VV" || name == "DV" || name == "DVV") {
      RETURN_IF_ERROR(set_trace(name, value, options.logging));
    } else {
      warnings.push_back(
          bad_value(value, "does nothing here: no clusters, profiling or remote syslog").message());
    }
  }
  return {};
}

}  // namespace feedvault::broker
