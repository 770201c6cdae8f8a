#include <cstdio>

#include "cli/commands.h"

namespace feedvault::cli {

int report(const std::string& what, const Status& problem) {
  std::fprintf(stderr, "feedvault: %s: %s\n", what.c_str(), problem.message().c_str());
  return problem.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitProblem;
}

const FeedConfig* find_feed(const Config& config, const std::string& name) {
  const FeedConfig* feed = config.find_feed(name);
  if (feed == nullptr) {
    std::string names;
    for (const FeedConfig& known : config.feeds) {
      names += (names.empty() ? "" : ", ") + known.name;
    }
    std::fprintf(stderr,
                 "feedvault: there is no feed '%s'; %s has: %s\n",
                 printable(name).c_str(),
                 config.path.c_str(),
                 names.c_str());
  }
  return feed;
}

std::string printable(const std::string& text, std::size_t bytes_max) {
  std::string out;
  for (const char c : text.substr(0, bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      char escaped[5];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<unsigned>(byte));
      out += escaped;
    } else {
      out.push_back(c);
    }
  }
  return text.size() > bytes_max ? out + "..." : out;
}

}  // namespace feedvault::cli
