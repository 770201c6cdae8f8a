#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "broker/options.h"
#include "broker/permissions.h"

namespace feedvault::broker {

/// What a CONNECT said about who the client is. Owns its strings, so that a check can run
/// elsewhere.
struct ConnectCredentials {
  std::string user;
  std::string password;
  std::string token;
  std::string nkey;       // public key, base32
  std::string signature;  // base64url of ed25519 over the nonce's text
  std::string jwt;        // not supported; a client that sends only this is refused
  bool websocket = false;

  bool empty() const {
    return user.empty() && password.empty() && token.empty() && nkey.empty() && jwt.empty();
  }
  /// Overwrites the secrets, then empties all.
  void wipe();
};

/// Who a connection is, from its CONNECT on. Immutable, any thread.
struct User {
  std::string name;                                // user name or public NKey; "" for others
  std::string account;                             // for monitoring: "$G", "$SYS"
  bool system = false;                             // may use $SYS.REQ.>
  std::shared_ptr<const Permissions> permissions;  // null: everything is allowed
  std::uint8_t connection_kinds = kAnyConnection;  // kStandard, kWebsocket
  std::string fingerprint;                         // of the secret; for recheck() only
};

/// Decides who may connect. An immutable snapshot: loops share one and swap it at reload. Any
/// thread. No credential ever appears in a Status or a log line.
class Authenticator {
 public:
  /// Checks the options as a whole: patterns, NKeys, duplicates, no_auth_user.
  static Result<std::shared_ptr<const Authenticator>> make(const AuthorizationOptions& options,
                                                           const WebsocketOptions& websocket = {});
  virtual ~Authenticator() = default;

  /// INFO's auth_required.
  virtual bool auth_required() const = 0;
  /// INFO needs a nonce: there are NKey users.
  virtual bool nonce_required() const = 0;
  /// True when authenticate() would take milliseconds of CPU for these (bcrypt): do not call it on
  /// a loop, hand it to an AuthWorkers.
  virtual bool is_slow(const ConnectCredentials& credentials) const = 0;
  /// The user; or why not, for the log (never for the client, who gets 'Authorization Violation').
  /// `nonce` is the text that INFO carried, "" if none. Never null.
  virtual Result<std::shared_ptr<const User>> authenticate(const ConnectCredentials& credentials,
                                                           std::string_view nonce) const = 0;
  /// After a reload, asked of the new snapshot: what this connected user is now, or null when he is
  /// gone or his secret has changed, and the connection must go.
  virtual std::shared_ptr<const User> recheck(const User& user) const = 0;
};

/// A fresh nonce for INFO: 11 random bytes as 15 characters of base64url.
std::string make_nonce();

}  // namespace feedvault::broker
