// The project's config.toml as the broker sees it: [broker], whose keys are spelled like
// nats-server's, and of the other programs' sections where they expect the broker.

#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "base/ascii.h"
#include "base/file.h"
#include "broker/options_map.h"
#include "broker/options_reader.h"

namespace feedvault::broker {
namespace {

using Kind = ConfValue::Kind;
using FileName = std::shared_ptr<const std::string>;

// Deeper than any setting; toml++ itself stops at 256.
constexpr int kTomlDepthMax = kConfDepthMax;

Result<ConfValue> convert(const toml::node& node,
                          std::string key,
                          const FileName& file,
                          int depth) {
  ConfValue value;
  value.key = std::move(key);
  value.file = file;
  value.line = static_cast<int>(node.source().begin.line);
  if (depth > kTomlDepthMax) {
    return bad_value(value, "is nested too deep; flatten it");
  }
  if (const auto* text = node.as_string()) {
    value.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.kind = Kind::kInteger;
    value.integer = integer->get();
    value.number = static_cast<double>(value.integer);
    value.text = std::to_string(value.integer);
  } else if (const auto* number = node.as_floating_point()) {
    value.kind = Kind::kFloat;
    value.number = number->get();
    value.text = fmt::format("{}", value.number);
  } else if (const auto* boolean = node.as_boolean()) {
    value.kind = Kind::kBool;
    value.boolean = boolean->get();
  } else if (const auto* array = node.as_array()) {
    value.kind = Kind::kArray;
    for (const toml::node& item : *array) {
      ASSIGN_OR_RETURN(ConfValue made, convert(item, "", file, depth + 1));
      value.items.push_back(std::move(made));
    }
  } else if (const auto* table = node.as_table()) {
    value.kind = Kind::kMap;
    for (auto&& [name, item] : *table) {
      ASSIGN_OR_RETURN(ConfValue made, convert(item, std::string(name.str()), file, depth + 1));
      value.entries.push_back(std::move(made));
    }
  } else {
    return bad_value(value, "is a date or time; no setting is one");
  }
  return value;
}

class Assembler {
 public:
  Assembler(const std::string& path, const char* const* environment)
      : file_(std::make_shared<const std::string>(path)), environment_(environment) {
    result_.broker.kind = Kind::kMap;
    result_.broker.file = file_;
  }

  Result<TomlConfiguration> assemble(const toml::table& root) {
    RETURN_IF_ERROR(read_broker(root));
    RETURN_IF_ERROR(read_listen(root));
    RETURN_IF_ERROR(read_monitor(root));
    RETURN_IF_ERROR(read_log(root));
    RETURN_IF_ERROR(read_broker_environment());
    return std::move(result_);
  }

 private:
  Status read_broker(const toml::table& root) {
    for (auto&& [name, node] : root) {
      if (name.str() == "broker") {
        ASSIGN_OR_RETURN(ConfValue made, convert(node, "broker", file_, 0));
        if (made.kind != Kind::kMap) {
          return bad_value(made, "is a section; write [broker] on a line of its own");
        }
        result_.broker = std::move(made);
      } else if (!node.is_table() && !node.is_array_of_tables() && name.str() != "listener") {
        ConfValue place;
        place.key = std::string(name.str());
        place.file = file_;
        place.line = static_cast<int>(node.source().begin.line);
        return bad_value(place, "unknown key; settings of the broker belong under [broker]");
      }
    }
    return {};
  }

  bool has(std::string_view key) const { return result_.broker.find(key) != nullptr; }
  void add(ConfValue value, std::string key) {
    value.key = std::move(key);
    result_.broker.entries.push_back(std::move(value));
  }

  // A key of another program's section, under the environment's override; nothing when neither is
  // there.
  Status find_foreign(const toml::table& root,
                      const std::string& section,
                      const std::string& key,
                      std::optional<ConfValue>& found) {
    const std::string variable = "FEEDVAULT_" + upper(section) + "_" + upper(key);
    if (const char* text = environment_value(variable); text != nullptr) {
      ASSIGN_OR_RETURN(found, parse_nats_conf_value(text, "environment " + variable));
      return {};
    }
    if (const toml::node* node = root[section][key].node(); node != nullptr) {
      ASSIGN_OR_RETURN(found, convert(*node, key, file_, 0));
    }
    return {};
  }

  // Where to listen: [broker], else the top-level key, else where the other programs expect us.
  Status read_listen(const toml::table& root) {
    if (has("listen") || has("listener") || has("port")) {
      return {};
    }
    if (const toml::node* node = root["listener"].node(); node != nullptr) {
      ASSIGN_OR_RETURN(ConfValue listener, convert(*node, "listener", file_, 0));
      add(std::move(listener), "listener");
      return {};
    }
    std::optional<ConfValue> host;
    std::optional<ConfValue> port;
    RETURN_IF_ERROR(find_foreign(root, "nats", "host", host));
    RETURN_IF_ERROR(find_foreign(root, "nats", "port", port));
    if (host && !has("host") && !has("net")) {
      add(std::move(*host), "host");
    }
    if (port) {
      add(std::move(*port), "port");
    }
    return {};
  }

  Status read_monitor(const toml::table& root) {
    if (has("http") || has("http_port") || has("monitor_port")) {
      return {};
    }
    std::optional<ConfValue> port;
    RETURN_IF_ERROR(find_foreign(root, "monitor", "port", port));
    if (port) {
      add(std::move(*port), "http_port");
    }
    return {};
  }

  Status read_log(const toml::table& root) {
    std::optional<ConfValue> level;
    RETURN_IF_ERROR(find_foreign(root, "log", "level", level));
    if (!level || level->kind != Kind::kString) {
      return {};  // the other programs complain about it
    }
    ConfValue on;
    on.kind = Kind::kBool;
    on.boolean = true;
    on.file = level->file;
    on.line = level->line;
    if ((level->text == "debug" || level->text == "trace") && !has("debug")) {
      add(on, "debug");
    }
    if (level->text == "trace" && !has("trace")) {
      add(on, "trace");
    }
    return {};
  }

  // FEEDVAULT_BROKER_MAX_PAYLOAD=2mb: over the file, so put behind what it says.
  Status read_broker_environment() {
    constexpr std::string_view kPrefix = "FEEDVAULT_BROKER_";
    for (const char* const* at = environment_; at != nullptr && *at != nullptr; ++at) {
      const std::string_view entry = *at;
      const std::size_t equals = entry.find('=');
      if (entry.substr(0, kPrefix.size()) != kPrefix || equals == std::string_view::npos ||
          equals + 1 == entry.size()) {  // launchers pass what is unset as empty
        continue;
      }
      const std::string variable(entry.substr(0, equals));
      const std::string key = ascii_lower(variable.substr(kPrefix.size()));
      if (!is_configuration_key(key)) {
        result_.warnings.push_back("environment " + variable +
                                   ": names no setting of the broker; ignored");
        continue;
      }
      ASSIGN_OR_RETURN(ConfValue value,
                       parse_nats_conf_value(entry.substr(equals + 1), "environment " + variable));
      add(std::move(value), key);
    }
    return {};
  }

  const char* environment_value(const std::string& variable) const {
    for (const char* const* at = environment_; at != nullptr && *at != nullptr; ++at) {
      if (std::strncmp(*at, variable.c_str(), variable.size()) == 0 &&
          (*at)[variable.size()] == '=' && (*at)[variable.size() + 1] != '\0') {
        return *at + variable.size() + 1;
      }
    }
    return nullptr;
  }

  static std::string upper(std::string text) {
    for (char& c : text) {
      c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    }
    return text;
  }

  FileName file_;
  const char* const* environment_;
  TomlConfiguration result_;
};

}  // namespace

Result<TomlConfiguration> parse_toml(std::string_view text,
                                     const std::string& path,
                                     const char* const* environment) {
  toml::table root;
  try {
    root = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return invalid_argument(
        fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  return Assembler(path, environment).assemble(root);
}

Result<TomlConfiguration> load_toml(const std::string& path, const char* const* environment) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path, kConfBytesMax));
  return parse_toml(text, path, environment);
}

}  // namespace feedvault::broker
