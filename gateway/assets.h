#pragma once

#include <span>
#include <string_view>

namespace feedvault::gateway {

/// A file of gateway/assets, built into the program and served at its path to everybody. A new one
/// is added in gateway/CMakeLists.txt.
struct Asset {
  std::string_view path;  // "/openapi.json"
  std::string_view text;
};

std::span<const Asset> assets();

/// By the name's ending: what a browser is told that it is.
std::string_view content_type_of(std::string_view path);

}  // namespace feedvault::gateway
