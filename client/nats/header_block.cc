#include "client/nats/header_block.h"

namespace feedvault::nats {
namespace {

constexpr std::string_view kVersion = "NATS/1.0";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

std::optional<std::string_view> find_header(std::string_view block, std::string_view name) {
  for (std::size_t end = block.find("\r\n"); end != std::string_view::npos;
       end = block.find("\r\n")) {
    block.remove_prefix(end + 2);
    if (block.size() > name.size() && block[name.size()] == ':' && block.starts_with(name)) {
      const std::string_view line = block.substr(0, block.find("\r\n"));
      return line.size() > name.size() ? trim(line.substr(name.size() + 1)) : std::string_view();
    }
  }
  return std::nullopt;
}

StatusLine read_status_line(std::string_view block) {
  if (!block.starts_with(kVersion)) {
    return {};
  }
  const std::string_view line =
      trim(block.substr(kVersion.size(), block.find("\r\n") - kVersion.size()));
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos) {
    return {.status = line, .description = {}};
  }
  return {.status = line.substr(0, blank), .description = trim(line.substr(blank))};
}

}  // namespace feedvault::nats
