#include "base/config_keys.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "base/subject.h"

namespace feedvault {
namespace {

using Kind = ConfigValue::Kind;

constexpr std::int64_t kKibi = 1024;
constexpr std::int64_t kMebi = 1024 * kKibi;
// Hundred years: in nanoseconds it still fits the 63 bits that the broker keeps ages in.
constexpr std::int64_t kSecondsMax = 100LL * 365 * 24 * 3600;

std::string describe(const ConfigValue& value) {
  switch (value.kind) {
    case Kind::kText:
    case Kind::kEnvironment:
      return fmt::format("'{}'", value.text);
    case Kind::kInteger:
      return std::to_string(value.integer);
    case Kind::kBoolean:
      return value.boolean ? "true" : "false";
    case Kind::kTextList:
      return "a list";
    case Kind::kOther:
      break;
  }
  return value.text;
}

// Checks a text; returns what is wrong and the remedy, or nothing.
using TextCheck = std::string (*)(const std::string&);

std::string any_text(const std::string& /*text*/) {
  return {};
}

std::string not_empty(const std::string& text) {
  return text.empty() ? "is empty; give it a value or leave the key out" : "";
}

ConfigSetter text(std::string& target, TextCheck check = any_text) {
  return [&target, check](const ConfigValue& value) -> std::string {
    if (value.kind != Kind::kText && value.kind != Kind::kEnvironment) {
      return describe(value) + " is not a text; write it in quotes";
    }
    if (value.text.find('\0') != std::string::npos) {
      return "contains a zero byte; remove it";
    }
    if (std::string problem = check(value.text); !problem.empty()) {
      return problem;
    }
    target = value.text;
    return {};
  };
}

std::string ip_address(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  if (::inet_pton(AF_INET, text.c_str(), buffer) == 1 ||
      ::inet_pton(AF_INET6, text.c_str(), buffer) == 1) {
    return {};
  }
  return fmt::format("'{}' is not an IP address; write one like 127.0.0.1 or 0.0.0.0", text);
}

std::string database_name(const std::string& text) {
  const bool good = !text.empty() && text.size() <= 64 &&
                    text.find_first_not_of(
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_") == std::string::npos;
  return good ? ""
              : fmt::format("'{}' is not a database name; use 1 to 64 letters, digits and _", text);
}

std::string tls_mode(const std::string& text) {
  return text == "preferred" || text == "required" || text == "off"
             ? ""
             : fmt::format("'{}' is unknown; write preferred, required or off", text);
}

std::string log_level(const std::string& text) {
  for (const char* level : {"trace", "debug", "info", "warn", "error", "off"}) {
    if (text == level) {
      return {};
    }
  }
  return fmt::format("'{}' is unknown; write trace, debug, info, warn, error or off", text);
}

std::string feed_name(const std::string& text) {
  const bool good =
      !text.empty() && text.size() <= 32 &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
  return good ? "" : fmt::format("'{}' is not a feed name; use 1 to 32 of a-z, 0-9, _ and -", text);
}

std::string stream_subject(const std::string& text) {
  if (const auto problem = subject_problem(text); !problem.empty()) {
    return fmt::format("'{}' is not a subject: {}; write one like sport_event", text, problem);
  }
  if (text.front() == '$' || text.rfind("_INBOX", 0) == 0 || text.front() == '*' ||
      text.front() == '>') {
    return fmt::format(
        "'{}' would capture the broker's own subjects; begin with a token of your own", text);
  }
  return {};
}

std::string publish_subject(const std::string& text) {
  if (std::string problem = stream_subject(text); !problem.empty()) {
    return problem;
  }
  return has_wildcard(text)
             ? fmt::format("'{}' has a wildcard; name the one subject to publish on", text)
             : "";
}

std::string message_type(const std::string& text) {
  bool token_start = true;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool digit = c >= '0' && c <= '9';
    if (token_start ? !letter : !(letter || digit || c == '.')) {
      token_start = true;
      break;
    }
    token_start = c == '.';
  }
  return token_start
             ? fmt::format("'{}' is not a message type; write its name, with its package", text)
             : "";
}

std::string server_url(const std::string& text) {
  std::string_view host = text;
  if (const std::size_t scheme = host.find("://"); scheme != std::string_view::npos) {
    if (host.substr(0, scheme) != "nats" && host.substr(0, scheme) != "tls") {
      return fmt::format("'{}' is not a server; write it like nats://host:4222", text);
    }
    host.remove_prefix(scheme + 3);
  }
  if (host.find('@') != std::string_view::npos) {
    // The text itself stays out of the message: it holds a password.
    return "a server has credentials in its URL; put them in user and password, or token";
  }
  if (host.empty() || host.find_first_of(" \t\r\n,/") != std::string_view::npos) {
    return fmt::format("'{}' is not a server; write it like nats://host:4222", text);
  }
  return {};
}

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    if (comma != 0) {
      parts.emplace_back(text.substr(0, comma));
    }
    text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
  }
  return parts;
}

// A list of texts; in the environment separated by commas.
ConfigSetter text_list(std::vector<std::string>& target, TextCheck check) {
  return [&target, check](const ConfigValue& value) -> std::string {
    if (value.kind != Kind::kTextList && value.kind != Kind::kEnvironment) {
      return describe(value) + " is not a list of texts; write it like [\"a\", \"b\"]";
    }
    auto list = value.kind == Kind::kTextList ? value.list : split_commas(value.text);
    for (const std::string& item : list) {
      if (std::string problem = check(item); !problem.empty()) {
        return problem;
      }
    }
    target = std::move(list);
    return {};
  };
}

// Reads a whole number within bounds; otherwise says what is wrong.
std::string read_integer(const ConfigValue& value,
                         std::int64_t least,
                         std::int64_t most,
                         std::int64_t& number) {
  number = value.integer;
  bool whole = value.kind == Kind::kInteger;
  if (value.kind == Kind::kEnvironment) {
    const char* end = value.text.data() + value.text.size();
    const auto [stop, error] = std::from_chars(value.text.data(), end, number);
    whole = error == std::errc() && stop == end;
  }
  if (!whole) {
    return fmt::format(
        "{} is not a whole number; write one from {} to {}", describe(value), least, most);
  }
  return number < least || number > most
             ? fmt::format("{} is out of range; write a number from {} to {}", number, least, most)
             : "";
}

template <typename T>
ConfigSetter integer(T& target, std::int64_t least, std::int64_t most) {
  return [&target, least, most](const ConfigValue& value) {
    std::int64_t number = 0;
    std::string problem = read_integer(value, least, most, number);
    if (problem.empty()) {
      target = static_cast<T>(number);
    }
    return problem;
  };
}

ConfigSetter port(std::uint16_t& target) {
  return integer(target, 1, std::numeric_limits<std::uint16_t>::max());
}

ConfigSetter seconds(std::chrono::seconds& target, std::int64_t least) {
  return [&target, least](const ConfigValue& value) {
    std::int64_t number = 0;
    std::string problem = read_integer(value, least, kSecondsMax, number);
    if (problem.empty()) {
      target = std::chrono::seconds(number);
    }
    return problem;
  };
}

ConfigSetter boolean(bool& target) {
  return [&target](const ConfigValue& value) -> std::string {
    if (value.kind == Kind::kEnvironment && (value.text == "true" || value.text == "false")) {
      target = value.text == "true";
      return {};
    }
    if (value.kind != Kind::kBoolean) {
      return describe(value) + " is not a boolean; write true or false";
    }
    target = value.boolean;
    return {};
  };
}

constexpr bool kSecret = true;  // of a key: not for everybody's eyes

ConfigSection nats_section(NatsConfig& c) {
  return {"nats",
          {{"host", text(c.host, not_empty)},
           {"port", port(c.port)},
           {"servers", text_list(c.servers, server_url)},
           {"user", text(c.user)},
           {"password", text(c.password), kSecret},
           {"token", text(c.token), kSecret},
           {"credentials_file", text(c.credentials_file)},
           {"tls_ca_file", text(c.tls_ca_file)},
           {"tls_cert_file", text(c.tls_cert_file)},
           {"tls_key_file", text(c.tls_key_file)}}};
}

ConfigSection mysql_section(MysqlConfig& c) {
  return {"mysql",
          {{"host", text(c.host, not_empty)},
           {"port", port(c.port)},
           {"socket", text(c.socket)},
           {"user", text(c.user, not_empty)},
           {"password", text(c.password), kSecret},
           {"database", text(c.database, database_name)},
           {"schema_user", text(c.schema_user)},
           {"schema_password", text(c.schema_password), kSecret},
           {"tls", text(c.tls, tls_mode)},
           {"tls_ca_file", text(c.tls_ca_file)}}};
}

// Upper bounds keep a slip of the pen (a byte count where rows belong) from eating the memory.
ConfigSection controller_section(ControllerConfig& c) {
  return {"controller",
          {{"bind", text(c.bind, ip_address)},
           {"port", port(c.port)},
           {"batch_rows_max", integer(c.batch_rows_max, 1, 65'536)},
           {"batch_bytes_max", integer(c.batch_bytes_max, kKibi, 256 * kMebi)},
           {"queue_rows_max", integer(c.queue_rows_max, 1, 1'000'000)},
           {"queue_bytes_max", integer(c.queue_bytes_max, kKibi, 1024 * kMebi)},
           {"publish_window", integer(c.publish_window, 1, 65'536)},
           {"stop_after_bad_messages", integer(c.stop_after_bad_messages, 1, 1'000'000'000)},
           {"stuck_after_s", seconds(c.stuck_after_s, 1)}}};
}

std::string auth_mode(const std::string& text) {
  return text == "auto" || text == "required" || text == "off"
             ? ""
             : fmt::format("'{}' is unknown; write auto, required or off", text);
}

// The token itself stays out of the messages.
std::string bearer_token(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string_view token =
      colon == std::string::npos ? "" : std::string_view(text).substr(colon + 1);
  const std::string_view characters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";
  if (colon == 0 || token.size() < 16 || token.size() > 512 ||
      token.find_first_not_of(characters) != std::string_view::npos) {
    return "an entry is not SCOPE:TOKEN with a feed's name, * or write as the scope and a token of "
           "16 to 512 letters, digits and -._~+/=; make one with: openssl rand -hex 24";
  }
  return {};
}

std::string web_origin(const std::string& text) {
  const std::size_t scheme = text.find("://");
  const bool known = text.rfind("http://", 0) == 0 || text.rfind("https://", 0) == 0;
  const std::string_view host = known ? std::string_view(text).substr(scheme + 3) : "";
  return host.empty() || host.find_first_of("/ \t\r\n,?#@*\"'<>") != std::string_view::npos
             ? fmt::format("'{}' is not an origin; write it like https://desk.example.org", text)
             : "";
}

std::string host_name(const std::string& text) {
  const std::string_view characters = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
  return text.empty() || text.find_first_not_of(characters) != std::string::npos
             ? fmt::format(
                   "'{}' is not a host's name; write it like feeds.example.org, in lower "
                   "case and without port",
                   text)
             : "";
}

ConfigSection http_section(HttpConfig& c) {
  return {"http",
          {{"bind", text(c.bind, ip_address)},
           {"port", port(c.port)},
           {"auth", text(c.auth, auth_mode)},
           {"tokens", text_list(c.tokens, bearer_token), kSecret},
           {"cors_origins", text_list(c.cors_origins, web_origin)},
           {"hosts", text_list(c.hosts, host_name)},
           {"tls_cert_file", text(c.tls_cert_file)},
           {"tls_key_file", text(c.tls_key_file)},
           {"connections_max", integer(c.connections_max, 1, 1'000'000)},
           {"header_timeout_s", seconds(c.header_timeout_s, 1)},
           {"idle_timeout_s", seconds(c.idle_timeout_s, 1)},
           {"write_timeout_s", seconds(c.write_timeout_s, 1)},
           {"database_connections", integer(c.database_connections, 1, 64)}}};
}

ConfigSection ingest_section(IngestConfig& c) {
  return {"ingest",
          {{"keep_s", seconds(c.keep_s, 0)},
           {"message_bytes_max", integer(c.message_bytes_max, 1, 64 * kMebi)},
           {"replicas", integer(c.replicas, 1, 5)}}};
}

ConfigSection published_section(PublishedConfig& c) {
  return {"published",
          {{"keep_s", seconds(c.keep_s, 0)},
           {"bytes_max", integer(c.bytes_max, -1, std::numeric_limits<std::int64_t>::max())},
           {"replicas", integer(c.replicas, 1, 5)}}};
}

}  // namespace

const ConfigKey* ConfigSection::find(std::string_view key) const {
  const auto it =
      std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& k) { return k.name == key; });
  return it == keys.end() ? nullptr : &*it;
}

std::vector<ConfigSection> config_sections(Config& config) {
  return {
      nats_section(config.nats),
      {"monitor", {{"port", port(config.monitor.port)}}},
      mysql_section(config.mysql),
      controller_section(config.controller),
      http_section(config.http),
      {"catalogue", {{"json", boolean(config.catalogue.json)}}},
      ingest_section(config.ingest),
      published_section(config.published),
      {"log", {{"level", text(config.log.level, log_level)}}},
  };
}

ConfigSection feed_section(FeedConfig& feed) {
  return {"feed",
          {{"name", text(feed.name, feed_name)},
           {"number", integer(feed.number, 1, 255)},
           {"subjects", text_list(feed.subjects, stream_subject)},
           {"proto", text(feed.proto, not_empty)},
           {"message", text(feed.message, message_type)},
           {"republish", text(feed.republish, publish_subject)}}};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows of the usual table: the one before last serves swapped neighbours.
  std::vector<std::size_t> two_back(b.size() + 1);
  std::vector<std::size_t> back(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    back[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = back[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({back[j] + 1, row[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_back[j - 2] + 1);
      }
    }
    two_back.swap(back);
    back.swap(row);
  }
  return back[b.size()];
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  constexpr std::size_t kLongestWord = 64;  // the table grows with the square
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  const std::string* nearest = nullptr;
  for (const std::string& candidate : known) {
    const std::size_t distance =
        word.size() > kLongestWord ? least : edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      nearest = &candidate;
    }
  }
  return nearest != nullptr ? fmt::format("; did you mean '{}'?", *nearest)
                            : fmt::format("; known: {}", fmt::join(known, ", "));
}

}  // namespace feedvault
