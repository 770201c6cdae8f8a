// The subject index against the naive matcher. Input: lines; "+filter" subscribes, "-" drops the
// oldest subscription, anything else is published.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/check.h"
#include "broker/subject_index.h"
#include "tests/unit/broker/naive_matcher.h"

using feedvault::broker::MatchCache;
using feedvault::broker::SubjectIndex;
using feedvault::broker::Subscription;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) {
    return 0;
  }
  SubjectIndex index(1);
  MatchCache cache(index);
  std::deque<std::unique_ptr<Subscription>> present;
  const std::string input(data, data + size);
  std::size_t at = 0;
  while (at < input.size()) {
    const std::size_t line_end = std::min(input.find('\n', at), input.size());
    const std::string line = input.substr(at, line_end - at);
    at = line_end + 1;
    if (line.empty()) {
      continue;
    }
    if (line[0] == '-') {
      if (!present.empty()) {
        index.remove(*present.front());
        present.pop_front();
      }
    } else if (line[0] == '+') {
      const std::string filter = line.substr(1);
      if (feedvault::broker::is_valid_filter(filter)) {
        present.push_back(std::make_unique<Subscription>(nullptr, 0, filter, "", "1"));
        index.insert(*present.back());
      }
    } else {
      std::size_t expected = 0;
      for (const auto& each : present) {
        expected += feedvault::broker::testing::naive_match(each->subject(), line) ? 1U : 0U;
      }
      CHECK(cache.match(line).plain.size() == expected);
      CHECK(cache.match(line).plain.size() == expected);
      CHECK(cache.match(line).plain.size() == expected);
    }
  }
  return 0;
}
