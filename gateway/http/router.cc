#include "gateway/http/router.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "gateway/http/problem.h"
#include "gateway/http/target.h"

namespace feedvault::gateway {
namespace {

// Cut at '/', then decoded: an encoded slash belongs to its segment.
std::optional<std::vector<std::string>> split_path(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    auto segment = percent_decode(path.substr(0, end), /*plus_is_space=*/false);
    if (!segment) {
      return std::nullopt;
    }
    segments.push_back(std::move(*segment));
    path.remove_prefix(end);
  }
  return segments;
}

}  // namespace

void Router::add(std::string method, std::string_view pattern, Handler handler) {
  auto segments = split_path(pattern);
  routes_.push_back({std::move(method),
                     std::move(segments).value_or(std::vector<std::string>{}),
                     std::move(handler)});
  const std::string listed(pattern);
  if (patterns_.find(" " + listed + ",") == std::string::npos) {
    patterns_ += " " + listed + ",";
  }
}

bool Router::matches(const Route& route,
                     const std::vector<std::string>& segments,
                     PathParameters& parameters) {
  parameters.clear();
  if (route.segments.size() != segments.size()) {
    return false;
  }
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::string& pattern = route.segments[i];
    if (!pattern.empty() && pattern.front() == '{') {
      if (segments[i].empty()) {
        return false;
      }
      parameters.push_back(segments[i]);
    } else if (pattern != segments[i]) {
      return false;
    }
  }
  return true;
}

void Router::route(const Request& request, Respond respond) const {
  const auto segments = split_path(request.path);
  if (!segments) {
    respond(problem(400, "the path is not well-formed: %XX must make UTF-8 without zero bytes"));
    return;
  }
  const std::string method = request.is_head() ? "GET" : request.method;
  std::string allowed;
  PathParameters parameters;
  for (const Route& route : routes_) {
    if (!matches(route, *segments, parameters)) {
      continue;
    }
    if (route.method == method) {
      route.handler(request, parameters, std::move(respond));
      return;
    }
    allowed += (allowed.empty() ? "" : ", ") + route.method;
    allowed += route.method == "GET" ? ", HEAD" : "";
  }
  if (allowed.empty()) {
    respond(problem(404,
                    "there is nothing at this path; there are" +
                        patterns_.substr(0, patterns_.empty() ? 0 : patterns_.size() - 1)));
    return;
  }
  allowed += ", OPTIONS";
  if (method == "OPTIONS") {
    respond(
        Response{.status = 204, .headers = {{"Allow", allowed}}, .body = {}, .stream = nullptr});
    return;
  }
  Response refused = problem(405, "this path takes " + allowed);
  respond(std::move(refused.set("Allow", allowed)));
}

}  // namespace feedvault::gateway
