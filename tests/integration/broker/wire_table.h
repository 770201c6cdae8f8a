#pragma once

#include <string>
#include <vector>

namespace feedvault::broker::testing {

/// A dialogue of one client with a fresh server of default configuration: bytes in, bytes out.
struct WireCase {
  std::string shows;     // a claim
  std::string sent;      // after INFO was read
  std::string received;  // after INFO
  bool closed = false;   // the server closes the connection
  /// Where nats-server does something else on purpose: what it sends, whether it closes, and why we
  /// differ. Empty reason: it does the same.
  std::string reason_to_differ = {};
  std::string reference_received = {};
  bool reference_closed = false;
};

const std::vector<WireCase>& wire_table();

}  // namespace feedvault::broker::testing
