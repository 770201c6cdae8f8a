// Any text as config.toml, and any text as the environment: a configuration or one line of error.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  // Behind a zero byte stands the environment, one variable a line.
  const std::size_t zero = all.find('\0');
  const std::string_view text = all.substr(0, zero);
  std::vector<std::string> variables;
  std::string_view rest = zero == std::string_view::npos ? "" : all.substr(zero + 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    variables.emplace_back(rest.substr(0, end));
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
  }
  std::vector<const char*> environment;
  environment.reserve(variables.size() + 1);
  for (const std::string& variable : variables) {
    environment.push_back(variable.c_str());
  }
  environment.push_back(nullptr);

  const std::string path = FEEDVAULT_SOURCE_DIR "/config.toml";
  const auto config = feedvault::parse_config(text, path, environment.data());
  if (!config.has_value()) {
    CHECK(config.error().code() == feedvault::StatusCode::kInvalidArgument);
    CHECK(!config.error().message().empty());
    return 0;
  }
  CHECK(!config->feeds.empty());
  CHECK(!config->nats.urls().empty());
  for (const feedvault::FeedConfig& feed : config->feeds) {
    CHECK(feed.number > 0 && !feed.name.empty() && !feed.subjects.empty());
    CHECK(config->find_feed(feed.name) == &feed);
  }
  return 0;
}
