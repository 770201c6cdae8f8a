#include "gateway/http/access.h"

#include <arpa/inet.h>

#include <algorithm>

#include "gateway/http/problem.h"

namespace feedvault::gateway {
namespace {

bool is_loopback(const std::string& address) {
  in_addr v4{};
  if (::inet_pton(AF_INET, address.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24U) == 127;
  }
  in6_addr v6{};
  return ::inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/// A Host header's value without port, in lower case, without brackets and the root's dot.
std::string host_name_of(std::string_view host) {
  std::string name(host.substr(0, host.find(':')));
  if (!host.empty() && host.front() == '[') {
    name = host.substr(1, host.find(']') - 1);
  }
  if (!name.empty() && name.back() == '.') {
    name.pop_back();
  }
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return name;
}

/// RFC 6761, 6.3: never looked up elsewhere.
bool is_localhost(std::string_view name) {
  constexpr std::string_view kEnding = ".localhost";
  return name == "localhost" ||
         (name.size() > kEnding.size() && name.substr(name.size() - kEnding.size()) == kEnding);
}

/// Nobody can give an address another meaning.
bool is_address(const std::string& name) {
  in6_addr address{};  // large enough for both
  return ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

// As long for a wrong token as for a right one, so that its time tells nothing about it.
bool same_secret(std::string_view given, std::string_view token) {
  unsigned difference = given.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < token.size(); ++i) {
    const char c = given.empty() ? '\0' : given[i % given.size()];
    difference |= static_cast<unsigned>(static_cast<unsigned char>(c ^ token[i]));
  }
  return difference == 0;
}

std::string_view bearer_of(const Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view value = request.header("authorization");
  if (value.size() < kScheme.size()) {
    return {};
  }
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    if ((value[i] | 0x20) != kScheme[i]) {
      return {};
    }
  }
  const std::string_view token = value.substr(kScheme.size());
  return token.substr(std::min(token.find_first_not_of(' '), token.size()));
}

Response unauthorized(std::string_view error, std::string_view detail) {
  Response response = problem(401, detail);
  return std::move(
      response.set("WWW-Authenticate", "Bearer realm=\"feedvault\"" + std::string(error)));
}

}  // namespace

Result<Access> Access::create(const HttpConfig& config) {
  Access access;
  access.origins_ = config.cors_origins;
  access.hosts_ = config.hosts;
  const bool loopback = is_loopback(config.bind);
  const bool open = config.tokens.empty() || config.auth == "off";
  access.check_host_ = !config.hosts.empty() || (loopback && open);
  if (config.auth == "off") {
    access.wide_open_ = !loopback;
    return access;
  }
  if (config.tokens.empty() && !loopback) {
    return invalid_argument("[http] tokens: there are none, and bind = " + config.bind +
                            " lets other machines in; give some, or set auth = \"off\" to let "
                            "everybody read and requeue");
  }
  for (const std::string& token : config.tokens) {
    const std::size_t colon = token.find(':');
    access.tokens_.push_back({token.substr(0, colon), token.substr(colon + 1)});
  }
  return access;
}

std::optional<Response> Access::refuse_host(const Request& request) const {
  // Without Host it is HTTP/1.0, which no browser speaks.
  const std::string_view given = request.header("host");
  if (!check_host_ || given.empty()) {
    return std::nullopt;
  }
  const std::string name = host_name_of(given);
  const bool listed = std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
  if (listed || is_localhost(name) || is_address(name)) {
    return std::nullopt;
  }
  return problem(421,
                 "this gateway is not known as '" + name +
                     "': use its IP address or localhost, or list the name in [http] hosts");
}

std::optional<Response> Access::refuse(const Request& request,
                                       std::string_view scope,
                                       bool any) const {
  if (tokens_.empty()) {
    return std::nullopt;
  }
  const std::string_view given = bearer_of(request);
  bool known = false;
  bool allowed = false;
  for (const Token& token : tokens_) {
    const bool same = same_secret(given, token.text);
    known = known || same;
    const bool all_feeds = token.scope == "*" && scope != "write";
    allowed = allowed || (same && (any || token.scope == scope || all_feeds));
  }
  if (allowed) {
    return std::nullopt;
  }
  if (given.empty()) {
    return unauthorized("", "a token is needed; send it as Authorization: Bearer TOKEN");
  }
  if (!known) {
    return unauthorized(", error=\"invalid_token\"", "this token is not known here");
  }
  return problem(403, "this token is not for '" + std::string(scope) + "'; ask for one that is");
}

std::optional<Response> Access::refuse_reading(const Request& request,
                                               std::string_view feed) const {
  return refuse(request, feed, feed.empty());
}

std::optional<Response> Access::refuse_writing(const Request& request) const {
  // A page of any site can make its visitor's browser send a POST to loopback, without reading the
  // answer; browsers say then whose page it is.
  const std::string_view origin = request.header("origin");
  const std::string_view host = request.header("host");
  const bool own =
      origin == "http://" + std::string(host) || origin == "https://" + std::string(host);
  const bool foreign =
      (!origin.empty() && !own) || request.header("sec-fetch-site") == "cross-site";
  if (foreign && !origin_listed(origin)) {
    return problem(403,
                   "pages of other origins may change nothing here; list theirs in [http] "
                   "cors_origins");
  }
  return refuse(request, "write", false);
}

bool Access::origin_listed(std::string_view origin) const {
  return std::find(origins_.begin(), origins_.end(), origin) != origins_.end();
}

void Access::add_cors(const Request& request, Response& response) const {
  if (origins_.empty()) {
    return;
  }
  response.set("Vary", "Origin");
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !origin_listed(origin)) {
    return;
  }
  response.set("Access-Control-Allow-Origin", std::string(origin));
  response.set("Access-Control-Expose-Headers",
               "Feedvault-Start, Feedvault-Position, Feedvault-Timestamp, Link");
  if (request.method == "OPTIONS") {
    response.set("Access-Control-Allow-Methods", "GET, HEAD, POST");
    response.set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID, Accept");
    response.set("Access-Control-Max-Age", "600");
  }
}

}  // namespace feedvault::gateway
