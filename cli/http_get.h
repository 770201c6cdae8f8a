#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace feedvault::cli {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// GET http://<host>:<port><path>, from a server that closes after its answer. kUnavailable when
/// nobody answers, kProtocol when it is no HTTP.
Result<HttpAnswer> http_get(const std::string& host,
                            std::uint16_t port,
                            const std::string& path,
                            std::chrono::milliseconds timeout);

}  // namespace feedvault::cli
