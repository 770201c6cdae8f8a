#include "base/config.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "base/config_keys.h"
#include "base/file.h"
#include "base/subject.h"

namespace feedvault {
namespace {

constexpr std::size_t kConfigBytesMax = 1U << 20U;

ConfigValue value_of(const toml::node& node) {
  ConfigValue value;
  if (const auto* text = node.as_string()) {
    value.kind = ConfigValue::Kind::kText;
    value.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.kind = ConfigValue::Kind::kInteger;
    value.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    value.kind = ConfigValue::Kind::kBoolean;
    value.boolean = boolean->get();
  } else if (const auto* array = node.as_array();
             array != nullptr && (array->empty() || array->is_homogeneous<std::string>())) {
    value.kind = ConfigValue::Kind::kTextList;
    for (const toml::node& item : *array) {
      value.list.push_back(item.as_string()->get());
    }
  } else if (array != nullptr) {
    value.text = "a list of other things than texts";
  } else if (const auto* number = node.as_floating_point()) {
    value.text = fmt::format("{}", number->get());
  } else {
    value.text = node.is_table() ? "a table" : "a date or time";
  }
  return value;
}

/// Reads one configuration. Keeps the error that stands first in the file, and where each key was
/// set, so that a later check can name the place.
class Loader {
 public:
  Loader(std::string path, const char* const* environment)
      : environment_(environment), sections_(config_sections(config_)) {
    config_.path = std::move(path);
    std::error_code ignored;
    folder_ = std::filesystem::absolute(config_.path, ignored).parent_path();
  }

  Result<Config> load(std::string_view text) {
    toml::table root;
    try {
      root = toml::parse(text, config_.path);
    } catch (const toml::parse_error& error) {
      return invalid_argument(
          fmt::format("{}:{}: {}", config_.path, error.source().begin.line, error.description()));
    }
    read_tables(root);
    if (!error_) {
      read_environment();
    }
    if (!error_) {
      check_sections();
    }
    if (!error_) {
      check_feeds();
    }
    if (!error_) {
      check_token_scopes();
    }
    if (error_) {
      return invalid_argument(error_->text);
    }
    note_secrets();
    return std::move(config_);
  }

 private:
  struct Error {
    std::size_t line = 0;
    std::string text;
  };

  /// Where a value came from: a line of the file, or a variable.
  struct Place {
    std::size_t line = 0;
    std::string variable;
    bool empty = false;  // an empty value
  };

  static std::size_t line_of(const toml::node& node) { return node.source().begin.line; }

  void fail(const Place& place, const std::string& what) {
    if (error_ && error_->line <= place.line) {
      return;
    }
    const std::string where = !place.variable.empty() ? "environment " + place.variable
                              : place.line == 0       ? config_.path
                                                : fmt::format("{}:{}", config_.path, place.line);
    error_ = Error{place.line, fmt::format("{}: {}", where, what)};
  }

  std::vector<std::string> section_names() const {
    std::vector<std::string> names{"feed"};
    for (const ConfigSection& section : sections_) {
      names.push_back(section.name);
    }
    return names;
  }

  static std::vector<std::string> key_names(const ConfigSection& section) {
    std::vector<std::string> names;
    for (const ConfigKey& key : section.keys) {
      names.push_back(key.name);
    }
    return names;
  }

  void read_tables(const toml::table& root) {
    for (auto&& [name, node] : root) {
      const auto section =
          std::find_if(sections_.begin(), sections_.end(), [&n = name](const ConfigSection& s) {
            return s.name == n.str();
          });
      if (name.str() == "broker" || name.str() == "listener") {
        continue;  // the broker reads and checks these itself
      }
      if (name.str() == "feed") {
        read_feeds(node);
      } else if (section == sections_.end()) {
        fail({line_of(node), {}},
             fmt::format(
                 "[{}]: unknown section{}", name.str(), suggestion(name.str(), section_names())));
      } else if (!node.is_table()) {
        fail({line_of(node), {}},
             fmt::format(
                 "{}: is a section; write [{}] on a line of its own", name.str(), name.str()));
      } else {
        read_keys(*section, *node.as_table(), fmt::format("[{}]", name.str()));
      }
    }
  }

  void read_keys(const ConfigSection& section, const toml::table& table, const std::string& title) {
    for (auto&& [name, node] : table) {
      const ConfigValue value = value_of(node);
      const Place place{line_of(node), {}, value.text.empty() && value.list.empty()};
      const ConfigKey* key = section.find(name.str());
      if (key == nullptr) {
        fail(place,
             fmt::format("{} {}: unknown key{}",
                         title,
                         name.str(),
                         suggestion(name.str(), key_names(section))));
        continue;
      }
      if (const std::string problem = key->set(value); !problem.empty()) {
        fail(place, fmt::format("{} {}: {}", title, key->name, problem));
      }
      places_[section.name + "." + key->name] = place;
    }
  }

  void read_feeds(const toml::node& node) {
    const toml::array* feeds = node.as_array();
    if (feeds == nullptr || !feeds->is_array_of_tables()) {
      fail({line_of(node), {}}, "feed: is not a list of tables; write [[feed]] before each feed");
      return;
    }
    for (const toml::node& item : *feeds) {
      FeedConfig feed;
      const ConfigSection section = feed_section(feed);
      read_keys(section, *item.as_table(), "[[feed]]");
      for (const ConfigKey& key : section.keys) {
        if (!item.as_table()->contains(key.name)) {
          fail({line_of(item), {}},
               fmt::format("[[feed]] {}: is missing; every feed needs it", key.name));
        }
      }
      config_.feeds.push_back(std::move(feed));
      feed_lines_.push_back(line_of(item));
    }
  }

  void read_environment() {
    constexpr std::string_view kPrefix = "FEEDVAULT_";
    for (const char* const* entry = environment_; entry != nullptr && *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::size_t equals = text.find('=');
      if (text.substr(0, kPrefix.size()) != kPrefix || equals == std::string_view::npos ||
          equals + 1 == text.size()) {  // launchers pass what is unset as empty
        continue;
      }
      const std::string variable(text.substr(0, equals));
      std::string name = variable.substr(kPrefix.size());
      std::transform(name.begin(), name.end(), name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      for (const ConfigSection& section : sections_) {
        if (name.rfind(section.name + "_", 0) == 0) {
          override_key(section,
                       name.substr(section.name.size() + 1),
                       variable,
                       std::string(text.substr(equals + 1)));
        }
      }
    }
  }

  void override_key(const ConfigSection& section,
                    const std::string& name,
                    const std::string& variable,
                    std::string text) {
    const Place place{0, variable};
    const ConfigKey* key = section.find(name);
    if (key == nullptr) {
      fail(place,
           fmt::format(
               "[{}] {}: unknown key{}", section.name, name, suggestion(name, key_names(section))));
      return;
    }
    ConfigValue value;
    value.kind = ConfigValue::Kind::kEnvironment;
    value.text = std::move(text);
    if (const std::string problem = key->set(value); !problem.empty()) {
      fail(place, fmt::format("[{}] {}: {}", section.name, name, problem));
    }
    places_[section.name + "." + name] = place;
  }

  // What the environment gives instead is no secret of the file's.
  void note_secrets() {
    for (const ConfigSection& section : sections_) {
      for (const ConfigKey& key : section.keys) {
        const auto place = places_.find(section.name + "." + key.name);
        if (key.secret && place != places_.end() && place->second.line > 0 &&
            !place->second.empty) {
          config_.secrets_in_file.push_back(fmt::format("[{}] {}", section.name, key.name));
        }
      }
    }
  }

  void fail_key(const std::string& section, const std::string& key, const std::string& what) {
    const auto place = places_.find(section + "." + key);
    fail(place == places_.end() ? Place{} : place->second,
         fmt::format("[{}] {}: {}", section, key, what));
  }

  // What no key can tell alone.
  void check_sections() {
    NatsConfig& nats = config_.nats;
    if (!nats.password.empty() && nats.user.empty()) {
      fail_key("nats", "password", "is given without user; set both or neither");
    }
    if (nats.tls_cert_file.empty() != nats.tls_key_file.empty()) {
      const bool cert = !nats.tls_cert_file.empty();
      fail_key("nats",
               cert ? "tls_cert_file" : "tls_key_file",
               fmt::format("needs {} beside it; set both or neither",
                           cert ? "tls_key_file" : "tls_cert_file"));
    }
    if (!config_.mysql.schema_password.empty() && config_.mysql.schema_user.empty()) {
      fail_key("mysql", "schema_password", "is given without schema_user; set both or neither");
    }
    if (config_.controller.queue_bytes_max < config_.ingest.message_bytes_max) {
      fail_key("controller",
               "queue_bytes_max",
               fmt::format("{} is less than one message may have; set it above [ingest] "
                           "message_bytes_max = {}",
                           config_.controller.queue_bytes_max,
                           config_.ingest.message_bytes_max));
    }
    find_file("nats", "credentials_file", nats.credentials_file);
    find_file("nats", "tls_ca_file", nats.tls_ca_file);
    find_file("nats", "tls_cert_file", nats.tls_cert_file);
    find_file("nats", "tls_key_file", nats.tls_key_file);
    find_file("mysql", "tls_ca_file", config_.mysql.tls_ca_file);
    check_http();
  }

  void check_http() {
    HttpConfig& http = config_.http;
    if (http.tls_cert_file.empty() != http.tls_key_file.empty()) {
      const bool cert = !http.tls_cert_file.empty();
      fail_key("http",
               cert ? "tls_cert_file" : "tls_key_file",
               fmt::format("needs {} beside it; set both or neither",
                           cert ? "tls_key_file" : "tls_cert_file"));
    }
    if (http.auth == "required" && http.tokens.empty()) {
      fail_key("http", "auth", "is required, and there are no tokens; give some in tokens");
    }
    find_file("http", "tls_cert_file", http.tls_cert_file);
    find_file("http", "tls_key_file", http.tls_key_file);
  }

  // Behind check_feeds(): their names are known to be good.
  void check_token_scopes() {
    for (const std::string& token : config_.http.tokens) {
      const std::string scope = token.substr(0, token.find(':'));
      if (scope != "*" && scope != "write" && config_.find_feed(scope) == nullptr) {
        fail_key("http",
                 "tokens",
                 fmt::format("'{}' is no scope; write a feed's name, * or write", scope));
      }
    }
  }

  // Makes a path absolute; false when no file is there.
  bool resolve(std::string& path) const {
    const std::filesystem::path absolute = (folder_ / path).lexically_normal();
    path = absolute.string();
    std::error_code ignored;
    return std::filesystem::is_regular_file(absolute, ignored);
  }

  void find_file(const std::string& section, const std::string& key, std::string& path) {
    if (!path.empty() && !resolve(path)) {
      fail_key(section, key, path + ": no such file; name an existing one");
    }
  }

  void check_feeds() {
    if (config_.feeds.empty()) {
      fail({}, "[[feed]]: there is none; describe at least one feed");
      return;
    }
    for (std::size_t i = 0; i < config_.feeds.size(); ++i) {
      FeedConfig& feed = config_.feeds[i];
      if (feed.subjects.empty()) {
        fail_feed(i, "subjects", "is empty; name at least one subject to capture");
      }
      if (!resolve(feed.proto)) {
        fail_feed(i, "proto", feed.proto + ": no such file; name an existing .proto file");
      }
      for (std::size_t k = 0; k < i; ++k) {
        check_pair(config_.feeds[k], feed, i);
      }
      check_subjects(i);
    }
  }

  void fail_feed(std::size_t index, std::string_view key, const std::string& what) {
    fail({feed_lines_[index], {}},
         fmt::format("[[feed]] {} ('{}'): {}", key, config_.feeds[index].name, what));
  }

  void check_pair(const FeedConfig& earlier, const FeedConfig& feed, std::size_t index) {
    if (earlier.name == feed.name) {
      fail_feed(index, "name", "is taken by an earlier feed; give each its own");
    }
    if (earlier.number == feed.number) {
      fail_feed(index,
                "number",
                fmt::format("{} is the number of '{}'; give each feed its own, and never reuse one",
                            feed.number,
                            earlier.name));
    }
    if (earlier.republish == feed.republish) {
      fail_feed(index,
                "republish",
                fmt::format(
                    "'{}' is also that of '{}'; give each its own", feed.republish, earlier.name));
    }
  }

  // A message must be captured once, and what we publish never.
  void check_subjects(std::size_t index) {
    const FeedConfig& feed = config_.feeds[index];
    for (std::size_t s = 0; s < feed.subjects.size(); ++s) {
      const std::string& subject = feed.subjects[s];
      for (std::size_t k = 0; k <= index; ++k) {
        const FeedConfig& other = config_.feeds[k];
        const std::size_t count = k == index ? s : other.subjects.size();
        for (std::size_t o = 0; o < count; ++o) {
          if (subjects_overlap(subject, other.subjects[o])) {
            fail_feed(index,
                      "subjects",
                      fmt::format("'{}' overlaps '{}' of '{}'; a message must belong to one feed",
                                  subject,
                                  other.subjects[o],
                                  other.name));
          }
        }
      }
      for (const FeedConfig& other : config_.feeds) {
        if (subjects_overlap(subject, other.republish)) {
          fail_feed(index,
                    "subjects",
                    fmt::format("'{}' would capture what '{}' republishes on '{}'; publish it "
                                "elsewhere",
                                subject,
                                other.name,
                                other.republish));
        }
      }
    }
  }

  const char* const* environment_;
  Config config_;
  std::vector<ConfigSection> sections_;  // write into config_
  std::filesystem::path folder_;
  std::map<std::string, Place> places_;
  std::vector<std::size_t> feed_lines_;
  std::optional<Error> error_;
};

}  // namespace

std::vector<std::string> NatsConfig::urls() const {
  if (servers.empty()) {
    // An IPv6 address needs brackets before a port can follow.
    const bool bare_ipv6 = host.find(':') != std::string::npos && host.front() != '[';
    return {bare_ipv6 ? fmt::format("nats://[{}]:{}", host, port)
                      : fmt::format("nats://{}:{}", host, port)};
  }
  std::vector<std::string> result;
  for (const std::string& server : servers) {
    result.push_back(server.find("://") == std::string::npos ? "nats://" + server : server);
  }
  return result;
}

const FeedConfig* Config::find_feed(std::string_view name) const {
  for (const FeedConfig& feed : feeds) {
    if (feed.name == name) {
      return &feed;
    }
  }
  return nullptr;
}

Result<Config> load_config(const std::string& path, const char* const* environment) {
  auto text = read_file(path, kConfigBytesMax);
  if (!text.has_value()) {
    return invalid_argument(text.error().code() == StatusCode::kNotFound
                                ? path + ": no such file; name one with --config"
                                : text.error().message());
  }
  return parse_config(*text, path, environment);
}

Result<Config> parse_config(std::string_view text,
                            const std::string& path,
                            const char* const* environment) {
  return Loader(path, environment).load(text);
}

}  // namespace feedvault
