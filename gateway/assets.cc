#include "gateway/assets.h"

namespace feedvault::gateway {

std::string_view content_type_of(std::string_view path) {
  const std::string_view ending = path.substr(path.rfind('.') + 1);
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
