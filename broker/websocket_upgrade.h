#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/limits.h"
#include "broker/options.h"

namespace feedvault::broker {

/// Reads a client's HTTP request for WebSocket (RFC 6455, section 4.2.1), however it is split.
/// Holds at most kUpgradeBytesMax. Knows no connection.
class UpgradeRequest {
 public:
  /// Takes bytes up to the blank line that ends the request; how many it took. complete() says
  /// whether that line was there; what follows is not HTTP any more.
  std::size_t take(std::string_view bytes);
  /// Nothing more is needed to answer: the request is here, or hopeless.
  bool complete() const { return complete_; }
  bool empty() const { return text_.empty(); }

  struct Answer {
    bool accepted = false;
    bool compression = false;  // permessage-deflate was agreed upon
    std::string response;      // HTTP, to be sent
    std::string problem;       // why not, for the log
  };
  /// Judges the request. `tls`: it came encrypted, for the comparison of origins. Requires:
  /// complete().
  Answer answer(const WebsocketOptions& options, bool tls) const;

 private:
  std::string text_;
  bool complete_ = false;
  bool too_long_ = false;
};

/// What Sec-WebSocket-Accept must be for a client's key.
std::string websocket_accept(std::string_view key);
/// The answer for a request that did not come in time or cannot be one.
std::string upgrade_refusal(int status, std::string_view reason);

}  // namespace feedvault::broker
