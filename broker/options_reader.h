#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "broker/nats_conf.h"

namespace feedvault::broker {

// Private to the options: from values of a configuration to settings. Every error names file, line
// and key, and says what to write instead.

/// "nats.conf:12: max_payload: <text>", kInvalidArgument.
Status bad_value(const ConfValue& value, std::string_view text);

Status read_text(const ConfValue& value, std::string& target);
Status read_bool(const ConfValue& value, bool& target);
/// A list of strings, or one string.
Status read_texts(const ConfValue& value, std::vector<std::string>& target);
/// An integer, with or without a size's suffix, or such a thing in quotes.
Status read_integer(const ConfValue& value,
                    std::int64_t least,
                    std::int64_t most,
                    std::int64_t& target);
template <typename T>
Status read_number(const ConfValue& value,
                   T& target,
                   std::int64_t least = 0,
                   std::int64_t most = std::numeric_limits<T>::max()) {
  std::int64_t number = 0;
  RETURN_IF_ERROR(read_integer(value, least, most, number));
  target = static_cast<T>(number);
  return {};
}
/// "1h2m3.5s", or a number of seconds. Never negative.
Status read_duration(const ConfValue& value, std::chrono::nanoseconds& target);
/// Go's notation; false when it is none.
bool parse_go_duration(std::string_view text, std::chrono::nanoseconds& duration);
/// "host:port", ":port", "[::1]:port" or only a port, as text or number; -1: any. `host` stays as
/// it is where none is given.
Status read_address(const ConfValue& value, std::string& host, int& port);
Status read_port(const ConfValue& value, int& port);

/// One key of a map: its names ("pass|password"; any case of letters) and what it does.
struct ConfKey {
  std::string_view names;
  std::function<Status(const ConfValue&)> set;
};

/// A key that nats-server knows and we do not.
struct UnsupportedKey {
  enum class Then : std::uint8_t { kWarn, kRefuse };
  std::string_view names;
  Then then;
  std::string_view why;  // ends the sentence "cluster: is not supported; ..."
};

/// Applies the keys of a map in the order they are written; unknown ones are errors, unless they
/// are variables that were used.
Status read_map(const ConfValue& map,
                const std::vector<ConfKey>& keys,
                const std::vector<UnsupportedKey>& unsupported,
                std::vector<std::string>& warnings);

bool is_known_key(const std::vector<ConfKey>& keys, std::string_view name);

/// All keys of a map by pointer, so that setters can be one-liners: key_text("user", user).
ConfKey key_text(std::string_view names, std::string& target);
ConfKey key_bool(std::string_view names, bool& target);
ConfKey key_texts(std::string_view names, std::vector<std::string>& target);
ConfKey key_duration(std::string_view names, std::chrono::nanoseconds& target);
template <typename T>
ConfKey key_number(std::string_view names,
                   T& target,
                   std::int64_t least = 0,
                   std::int64_t most = std::numeric_limits<T>::max()) {
  return {names, [&target, least, most](const ConfValue& value) {
            return read_number(value, target, least, most);
          }};
}

}  // namespace feedvault::broker
