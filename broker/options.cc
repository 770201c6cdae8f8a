#include "broker/options.h"

namespace feedvault::broker {

bool AuthorizationOptions::any() const {
  return !user.empty() || !token.empty() || !users.empty();
}

std::chrono::nanoseconds Options::auth_timeout() const {
  if (authorization.timeout) {
    return *authorization.timeout;
  }
  // The handshake happens in that time, too: a client that uses all of it must still have a second
  // for its CONNECT.
  return tls.enabled ? tls.timeout + std::chrono::seconds(1) : std::chrono::seconds(2);
}

}  // namespace feedvault::broker
