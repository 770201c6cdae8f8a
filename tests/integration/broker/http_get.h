#pragma once

#include <cstdint>
#include <string>

namespace feedvault::broker::testing {

struct HttpAnswer {
  int status = 0;  // 0: no answer
  std::string content_type;
  std::string body;
};

/// GET of `target` ("/connz?subs=1") on loopback; waits 10 s at most.
HttpAnswer http_get(std::uint16_t port, const std::string& target);

}  // namespace feedvault::broker::testing
