#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace feedvault::testing {

struct HttpAnswer {
  int status = 0;  // 0: nobody answered
  std::string content_type;
  std::string body;
};

/// GET of `target` ("/connz?subs=1") on loopback. `patience`: how long the answer may be silent.
HttpAnswer http_get(std::uint16_t port,
                    const std::string& target,
                    std::chrono::seconds patience = std::chrono::seconds(10));

}  // namespace feedvault::testing
