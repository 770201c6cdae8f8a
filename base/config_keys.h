#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace feedvault {

// Private to the configuration: what keys there are, and what each may be set to.

/// What stands behind a key, out of the file or the environment, without toml++'s types.
struct ConfigValue {
  enum class Kind : std::uint8_t { kText, kInteger, kBoolean, kTextList, kOther, kEnvironment };
  Kind kind = Kind::kOther;
  std::string text;  // kText, kEnvironment; of kOther what it is ("a date")
  std::int64_t integer = 0;
  bool boolean = false;
  std::vector<std::string> list;
};

/// Puts a value where it belongs, or returns what is wrong with it and the remedy.
using ConfigSetter = std::function<std::string(const ConfigValue&)>;

struct ConfigKey {
  std::string name;
  ConfigSetter set;
  bool secret = false;
};

struct ConfigSection {
  std::string name;
  std::vector<ConfigKey> keys;

  const ConfigKey* find(std::string_view key) const;
};

/// Every [section]; the setters write into `config`, which must outlive them.
std::vector<ConfigSection> config_sections(Config& config);

/// The keys of one [[feed]]; the setters write into `feed`.
ConfigSection feed_section(FeedConfig& feed);

/// "; did you mean 'port'?" or, where nothing is near, "; known: host, port".
std::string suggestion(std::string_view word, const std::vector<std::string>& known);

/// Least number of inserted, removed, changed or swapped neighbouring letters.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace feedvault
