#include "gateway/assets.h"

#include <algorithm>

namespace feedvault::gateway {

const Asset* find_asset(std::string_view name) {
  const auto all = assets();
  const auto found = std::find_if(
      all.begin(), all.end(), [name](const Asset& asset) { return asset.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string_view content_type_of(std::string_view name) {
  const std::string_view ending = name.substr(name.rfind('.') + 1);
  if (ending == "json") {
    return "application/json";
  }
  if (ending == "html") {
    return "text/html; charset=utf-8";
  }
  if (ending == "js") {
    return "text/javascript; charset=utf-8";
  }
  if (ending == "css") {
    return "text/css; charset=utf-8";
  }
  return ending == "svg" ? "image/svg+xml" : "application/octet-stream";
}

}  // namespace feedvault::gateway
