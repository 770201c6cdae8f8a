#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "gateway/http/message.h"

namespace feedvault::gateway {

/// Who may do what: bearer tokens (RFC 6750), and which web pages may. Immutable; any thread.
class Access {
 public:
  /// kInvalidArgument for a `bind` wider than loopback without tokens, unless auth is "off".
  static Result<Access> create(const HttpConfig& config);

  bool asks_for_tokens() const { return !tokens_.empty(); }
  /// Everybody who reaches the port may do everything, from elsewhere too.
  bool wide_open() const { return wide_open_; }

  /// Was this request meant for us? A page can give its own host's name our address (DNS
  /// rebinding), and then read answers as if they were its own: only the names that we know of are
  /// answered, on loopback without tokens, and wherever [http] hosts lists some. nullopt, or 421.
  std::optional<Response> refuse_host(const Request& request) const;

  /// May this request read `feed`, or, with "", what belongs to no feed? nullopt, or the answer
  /// that refuses it: 401 or 403.
  std::optional<Response> refuse_reading(const Request& request, std::string_view feed) const;
  /// May it change something? Web pages of other origins may not, whatever token they have, unless
  /// they are on the list.
  std::optional<Response> refuse_writing(const Request& request) const;

  /// Adds what lets pages of listed origins read the answer, and answers their browsers' questions
  /// in advance (an OPTIONS request with Origin).
  void add_cors(const Request& request, Response& response) const;

 private:
  struct Token {
    std::string scope;
    std::string text;
  };
  std::optional<Response> refuse(const Request& request, std::string_view scope, bool any) const;
  bool origin_listed(std::string_view origin) const;

  std::vector<Token> tokens_;
  std::vector<std::string> origins_;
  std::vector<std::string> hosts_;
  bool check_host_ = false;
  bool wide_open_ = false;
};

}  // namespace feedvault::gateway
