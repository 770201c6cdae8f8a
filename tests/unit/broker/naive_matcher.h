#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace feedvault::broker::testing {

inline std::vector<std::string> tokens_of(std::string_view subject) {
  std::vector<std::string> tokens(1);
  for (const char c : subject) {
    if (c == '.') {
      tokens.emplace_back();
    } else {
      tokens.back().push_back(c);
    }
  }
  return tokens;
}

/// The definition of matching, token by token; what the index must agree with.
inline bool naive_match(std::string_view filter, std::string_view subject) {
  const auto want = tokens_of(filter);
  const auto have = tokens_of(subject);
  for (const std::string& token : have) {
    if (token.empty()) {
      return false;
    }
  }
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == ">" && i + 1 == want.size()) {
      return have.size() > i;
    }
    if (i >= have.size() || (want[i] != "*" && want[i] != have[i])) {
      return false;
    }
  }
  return want.size() == have.size();
}

}  // namespace feedvault::broker::testing
