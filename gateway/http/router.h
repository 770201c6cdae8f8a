#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/message.h"

namespace feedvault::gateway {

/// Values of a pattern's {names}, decoded, in their order.
using PathParameters = std::vector<std::string>;

/// Finds the handler for a method and path. Immutable once its routes are added; then any thread.
class Router {
 public:
  using Handler = std::function<void(const Request&, const PathParameters&, Respond)>;

  /// `pattern`: "/feeds/{feed}/live"; a {name} stands for one segment that is not empty. A GET
  /// answers HEAD too.
  void add(std::string method, std::string_view pattern, Handler handler);

  /// Calls the handler, or answers with 404 and the paths there are, 405 with Allow, 400 for a path
  /// that is not well-formed, 204 for OPTIONS.
  void route(const Request& request, Respond respond) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  static bool matches(const Route& route,
                      const std::vector<std::string>& segments,
                      PathParameters& parameters);

  std::vector<Route> routes_;
  std::string patterns_;  // for the 404
};

}  // namespace feedvault::gateway
