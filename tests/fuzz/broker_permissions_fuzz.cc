// Sets of subject patterns against a naive matcher that splits into tokens. The input is lines: two
// patterns, then subjects.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "broker/permissions.h"

namespace {

using Tokens = std::vector<std::string_view>;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + 1);
  }
}

bool naive_match(const Tokens& pattern, const Tokens& subject) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == ">") {
      return subject.size() > i;
    }
    if (i >= subject.size() || (pattern[i] != "*" && pattern[i] != subject[i])) {
      return false;
    }
  }
  return pattern.size() == subject.size();
}

void require(bool condition, const char* what) {
  if (!condition) {
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using feedvault::broker::SubjectSet;
  const auto lines = split({reinterpret_cast<const char*>(data), size}, '\n');
  SubjectSet first;
  SubjectSet both;
  if (lines.size() < 3 || !first.add(lines[0]).ok() || !both.add(lines[0]).ok() ||
      !both.add(lines[1]).ok()) {
    return 0;
  }
  const Tokens a = split(lines[0], '.');
  const Tokens b = split(lines[1], '.');
  const bool covers = first.covers(lines[1]);
  const bool overlaps = first.overlaps(lines[1]);
  require(!covers || overlaps, "covers without overlapping");
  for (std::size_t i = 2; i < lines.size() && i < 64; ++i) {
    const Tokens subject = split(lines[i], '.');
    if (std::find(subject.begin(), subject.end(), "") != subject.end()) {
      continue;  // matched by no subscription, so the answer does not matter
    }
    const bool in_a = naive_match(a, subject);
    const bool in_b = naive_match(b, subject);
    require(first.matches(lines[i]) == in_a, "matches");
    require(both.matches(lines[i]) == (in_a || in_b), "matches either");
    bool literal = true;
    for (const std::string_view token : subject) {
      literal = literal && token != "*" && token != ">";
    }
    if (literal) {
      require(!in_b || !covers || in_a, "covers");
      require(!(in_a && in_b) || overlaps, "overlaps");
    }
  }
  return 0;
}
