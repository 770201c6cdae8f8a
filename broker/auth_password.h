#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace feedvault::broker {

/// A configured secret, plain or a bcrypt hash ("$2a$11$...", also $2b$ and $2y$). Value type; any
/// thread. Nothing here ever prints it.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text);

  /// Something that starts like a bcrypt hash must be one: else a cut-off hash would become a
  /// password.
  Status check() const;
  bool empty() const { return text_.empty(); }
  bool is_bcrypt() const { return bcrypt_; }
  /// Compares in constant time (plain), or takes the hash's 50 to 500 ms of CPU (bcrypt).
  bool matches(std::string_view given) const;
  /// SHA-256 over `scope` and the secret, to find out later whether it changed.
  std::string fingerprint(std::string_view scope) const;

 private:
  std::string text_;
  bool bcrypt_ = false;
};

}  // namespace feedvault::broker
