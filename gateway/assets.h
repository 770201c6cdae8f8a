#pragma once

#include <span>
#include <string_view>

namespace feedvault::gateway {

/// A file that is built into the program and served to everybody. A new one is added in
/// gateway/CMakeLists.txt.
struct Asset {
  std::string_view name;  // "openapi.json"
  std::string_view text;
  std::string_view etag;  // changes with the text; with its quotes
};

std::span<const Asset> assets();
/// nullptr when there is none of that name.
const Asset* find_asset(std::string_view name);

/// By the name's ending: what a browser is told that it is.
std::string_view content_type_of(std::string_view name);

}  // namespace feedvault::gateway
