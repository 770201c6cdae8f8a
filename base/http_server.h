#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace feedvault {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

/// A small HTTP/1.1 server for health and metrics: GET and HEAD only, no request bodies, at most 64
/// connections, idle ones closed after 10 s, one thread of its own. Not for the public network.
class HttpServer {
 public:
  /// Called on the server's thread with the path without its query. Return 404 for what is not
  /// there.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  /// Listens on bind:port (0: any free one). kUnavailable when the port is in use.
  static Result<std::unique_ptr<HttpServer>> start(const std::string& bind,
                                                   std::uint16_t port,
                                                   Handler handler);
  virtual ~HttpServer() = default;  // stops, closes every connection, joins

  virtual std::uint16_t port() const = 0;
};

}  // namespace feedvault
