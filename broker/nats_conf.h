#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace feedvault::broker {

/// A value of a configuration file and where it stands. Value type.
struct ConfValue {
  enum class Kind : std::uint8_t { kString, kInteger, kFloat, kBool, kArray, kMap };

  Kind kind = Kind::kString;
  std::string text;          // kString: its contents; kInteger, kFloat: as written ("64mb")
  std::int64_t integer = 0;  // suffix multiplied in
  double number = 0;
  bool boolean = false;
  std::vector<ConfValue> items;    // kArray
  std::vector<ConfValue> entries;  // kMap: as written, each with a `key` of its own

  std::string key;  // of an entry of a map

  std::shared_ptr<const std::string> file;
  int line = 0;
  bool variable = false;  // some $reference used it: an unknown key is no mistake then

  /// "nats.conf:12: ".
  std::string place() const;
  /// By key, in any case of letters; null when absent.
  const ConfValue* find(std::string_view name) const;
};

// nats-server's configuration grammar: comments (# and //), `k: v`, `k = v`, `k v`, maps, arrays,
// strings bare, quoted and (blocks), sizes (1k is 1000, 1kb and 1ki are 1024), on/off words,
// $VARIABLES from enclosing maps and then the environment, `include "file"`.
//
// Bounds, against configurations that would eat all memory: file size, nesting and includes, and
// what variables expand to. All errors are kInvalidArgument, "file:line: what is wrong; remedy",
// but kNotFound and kIo for the file itself.
constexpr std::size_t kConfBytesMax = 16U << 20U;
constexpr int kConfDepthMax = 64;
constexpr int kConfIncludesMax = 256;
constexpr std::size_t kConfExpandedBytesMax = 64U << 20U;

/// The file as a map; `environment` is like `environ`, null for none.
Result<ConfValue> load_nats_conf(const std::string& path, const char* const* environment);

/// The same from text; `path` serves messages and relative includes.
Result<ConfValue> parse_nats_conf(std::string_view text,
                                  const std::string& path,
                                  const char* const* environment);

/// A single value as it could stand behind a key, for flags and environment variables.
Result<ConfValue> parse_nats_conf_value(std::string_view text, const std::string& source);

}  // namespace feedvault::broker
