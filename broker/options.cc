#include "broker/options.h"

#include <unistd.h>

#include <algorithm>

#include "base/ascii.h"
#include "broker/options_map.h"

namespace feedvault::broker {
namespace {

constexpr const char* kDefaultConfig = "config.toml";

bool is_toml(const std::string& path) {
  constexpr std::string_view kExtension = ".toml";
  return path.size() >= kExtension.size() &&
         path.compare(path.size() - kExtension.size(), kExtension.size(), kExtension) == 0;
}

void note_places(const ConfValue& root, LoadedOptions& loaded) {
  for (const ConfValue& entry : root.entries) {
    loaded.places.emplace_back(ascii_lower(entry.key), entry.place());
  }
}

// As nats-server, or with its configuration, we listen where it would: on all addresses. With our
// own configuration, or none, on loopback, and with monitoring.
Status apply_file(const std::string& path,
                  const CommandLine& command_line,
                  const char* const* environment,
                  LoadedOptions& loaded) {
  Options& options = loaded.options;
  if (!path.empty() && !is_toml(path)) {
    ASSIGN_OR_RETURN(const ConfValue root, load_nats_conf(path, environment));
    note_places(root, loaded);
    return apply_configuration(root, options, loaded.warnings);
  }
  if (path.empty() && command_line.program == "nats-server") {
    return {};
  }
  options.host = "127.0.0.1";
  if (!path.empty() || command_line.flags.empty()) {
    options.monitoring.port = 8222;
  }
  ASSIGN_OR_RETURN(
      TomlConfiguration toml,
      path.empty() ? parse_toml("", "defaults", environment) : load_toml(path, environment));
  loaded.warnings = std::move(toml.warnings);
  note_places(toml.broker, loaded);
  return apply_configuration(toml.broker, options, loaded.warnings);
}

}  // namespace

bool AuthorizationOptions::any() const {
  return !user.empty() || !token.empty() || !users.empty();
}

std::chrono::nanoseconds Options::auth_timeout() const {
  if (authorization.timeout) {
    return *authorization.timeout;
  }
  // The handshake happens in that time, too: a client that uses all of it must still have a second
  // for its CONNECT.
  return tls.enabled ? tls.timeout + std::chrono::seconds(1) : std::chrono::seconds(2);
}

Status LoadedOptions::placed(const Status& problem) const {
  const std::string& text = problem.message();
  const auto place_where = [&](auto&& is_it) -> const std::string* {
    // The last one counts where a key is given twice.
    const auto found = std::find_if(places.rbegin(), places.rend(), is_it);
    return found == places.rend() ? nullptr : &found->second;
  };
  const std::string* place = place_where([&](const auto& each) {
    return text.compare(0, each.first.size() + 1, each.first + ":") == 0;
  });
  if (place == nullptr) {
    place =
        place_where([&](const auto& each) { return text.find(each.first) != std::string::npos; });
  }
  if (place != nullptr) {
    return {problem.code(), *place + text};
  }
  return problem.with_context(options.config_file.empty() ? "command line" : options.config_file);
}

Result<LoadedOptions> load_options(const CommandLine& command_line,
                                   const char* const* environment) {
  LoadedOptions loaded;
  std::string path = command_line.config_file;
  if (path.empty() && command_line.program != "nats-server" &&
      ::access(kDefaultConfig, F_OK) == 0) {
    path = kDefaultConfig;
  }
  if (const Status bad = apply_file(path, command_line, environment, loaded); !bad.ok()) {
    return bad.code() == StatusCode::kNotFound
               ? invalid_argument(bad.message() + "; name an existing file")
               : bad;
  }
  Options& options = loaded.options;
  options.config_file = path;
  RETURN_IF_ERROR(apply_flags(command_line.flags, options, loaded.warnings));
  if (const Status bad = check_options(options); !bad.ok()) {
    return loaded.placed(bad);
  }
  return loaded;
}

}  // namespace feedvault::broker
