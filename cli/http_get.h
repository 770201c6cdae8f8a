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

/// GET http://<host>:<port><path> in HTTP/1.0 and without Host: the answer comes in one piece, and
/// no list of names refuses it. `timeout` is for all of it, but for looking up the name.
/// kUnavailable when nobody answers, kProtocol when it is no HTTP.
Result<HttpAnswer> http_get(const std::string& host,
                            std::uint16_t port,
                            const std::string& path,
                            std::chrono::milliseconds timeout);

/// "127.0.0.1:8080", "[::1]:8080".
std::string place_of(const std::string& host, std::uint16_t port);

/// What place_of() makes, taken apart; kInvalidArgument for anything else.
struct Place {
  std::string host;
  std::uint16_t port = 0;
};
Result<Place> parse_place(const std::string& text);

}  // namespace feedvault::cli
