#pragma once

#include <chrono>
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
/// connections (a further one takes the place of the one that has been idle longest), one thread of
/// its own. Not for the public network.
class HttpServer {
 public:
  /// Called on the server's thread with the path without its query. Return 404 for what is not
  /// there. What it throws is answered with 500.
  using Handler = std::function<HttpResponse(std::string_view path)>;
  /// The same with the query, as it came ("limit=10&subs=1"), "" for none.
  using QueryHandler = std::function<HttpResponse(std::string_view path, std::string_view query)>;

  /// Listens on bind:port (0: any free one). A client has `idle_max` to send a whole request, and
  /// again to take the answer. kUnavailable when the port is in use.
  static Result<std::unique_ptr<HttpServer>> start(
      const std::string& bind,
      std::uint16_t port,
      Handler handler,
      std::chrono::milliseconds idle_max = std::chrono::seconds(10));
  static Result<std::unique_ptr<HttpServer>> start_with_query(
      const std::string& bind,
      std::uint16_t port,
      QueryHandler handler,
      std::chrono::milliseconds idle_max = std::chrono::seconds(10));
  virtual ~HttpServer() = default;  // stops, closes every connection, joins

  virtual std::uint16_t port() const = 0;
};

}  // namespace feedvault
