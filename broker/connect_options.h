#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "broker/auth.h"

namespace feedvault::broker {

/// What a CONNECT asked for; the defaults are those of a client that said nothing.
struct ConnectOptions {
  bool verbose = true;
  bool pedantic = true;
  bool echo = true;
  bool headers = false;
  bool no_responders = false;
  int protocol = 0;
  std::string name;
  std::string lang;
  std::string version;
  std::string account;  // asking for one is a violation
  ConnectCredentials credentials;
};

/// Reads CONNECT's JSON over `options`, of which unmentioned ones stay. False when it is no JSON
/// object or a known field has the wrong type: nats-server closes without a word then.
bool read_connect_options(std::string_view json, ConnectOptions& options);

/// Is this JSON at all? (INFO from a client.)
bool is_json_object(std::string_view json);

/// `text` in double quotes as JSON wants it.
std::string json_quoted(std::string_view text);

/// `text` in double quotes as nats-server's error texts have it (Go's %q).
std::string go_quoted(std::string_view text);

}  // namespace feedvault::broker
