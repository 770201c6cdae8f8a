#include "broker/auth.h"

#include <array>
#include <cstring>  // explicit_bzero
#include <map>
#include <span>
#include <unordered_map>
#include <utility>

#include "base/random.h"
#include "broker/auth_nkey.h"
#include "broker/auth_password.h"

namespace feedvault::broker {
namespace {

using UserPtr = std::shared_ptr<const User>;

struct PasswordEntry {
  Secret secret;
  UserPtr user;
};

struct NkeyEntry {
  Ed25519PublicKey key{};
  UserPtr user;
};

class ConfiguredUsers final : public Authenticator {
 public:
  Status build(const AuthorizationOptions& options, const WebsocketOptions& websocket);

  bool auth_required() const override { return auth_required_; }
  bool nonce_required() const override { return !by_nkey_.empty(); }
  bool is_slow(const ConnectCredentials& credentials) const override;
  Result<UserPtr> authenticate(const ConnectCredentials& credentials,
                               std::string_view nonce) const override;
  UserPtr recheck(const User& user) const override;

 private:
  Status add_user(const AuthorizationOptions& options, const UserOptions& user);
  Status add_single(const AuthorizationOptions& options);
  Status set_no_auth_user(const AuthorizationOptions& options,
                          const std::string& name,
                          bool websocket);
  UserPtr remember(User user);
  Result<UserPtr> check_password(const ConnectCredentials& credentials) const;
  Result<UserPtr> check_nkey(const ConnectCredentials& credentials, std::string_view nonce) const;

  bool auth_required_ = false;
  std::map<std::string, PasswordEntry, std::less<>> by_name_;
  std::map<std::string, NkeyEntry, std::less<>> by_nkey_;
  Secret token_;
  UserPtr token_user_;
  UserPtr no_auth_user_;            // who comes without credentials; null: must not
  UserPtr websocket_no_auth_user_;  // the same on the WebSocket listener
  std::unordered_map<std::string, UserPtr> by_fingerprint_;
};

UserPtr ConfiguredUsers::remember(User user) {
  auto made = std::make_shared<const User>(std::move(user));
  by_fingerprint_[made->fingerprint] = made;
  return made;
}

Status ConfiguredUsers::add_user(const AuthorizationOptions& options, const UserOptions& from) {
  const std::string what = from.nkey.empty() ? "user '" + from.user + "'" : "an NKey user";
  User made;
  made.account = from.system ? options.system_account : options.account;
  made.system = from.system;
  made.connection_kinds = from.connection_kinds;
  const PermissionRules* rules = from.permissions ? &*from.permissions : nullptr;
  if (rules == nullptr && options.default_permissions && !from.system) {
    rules = &*options.default_permissions;
  }
  if (rules != nullptr) {
    auto permissions = Permissions::make(*rules);
    if (!permissions) {
      return permissions.error().with_context("permissions of " + what);
    }
    made.permissions = std::move(permissions).value();
  }
  if (!from.nkey.empty()) {
    if (!from.user.empty() || !from.password.empty()) {
      return invalid_argument("an NKey user has no user name and no password; remove them");
    }
    auto key = decode_nkey(from.nkey, NkeyKind::kUser);
    if (!key) {
      return key.error().with_context("nkey");
    }
    made.name = from.nkey;
    made.fingerprint = "nkey " + from.nkey;
    if (by_nkey_.count(from.nkey) > 0) {
      return invalid_argument("NKey user " + from.nkey + " is there twice; remove one");
    }
    by_nkey_[from.nkey] = {*key, remember(std::move(made))};
    return {};
  }
  Secret secret(from.password);
  if (from.user.empty() || secret.empty()) {
    return invalid_argument(what + " needs a user name and a password (or an nkey)");
  }
  if (const Status bad = secret.check(); !bad.ok()) {
    return bad.with_context("password of " + what);
  }
  if (by_name_.count(from.user) > 0) {
    return invalid_argument(what + " is there twice; remove one");
  }
  made.name = from.user;
  made.fingerprint = secret.fingerprint("user " + from.user);
  UserPtr user = remember(std::move(made));
  by_name_[from.user] = {std::move(secret), std::move(user)};
  return {};
}

Status ConfiguredUsers::add_single(const AuthorizationOptions& options) {
  if (!options.token.empty()) {
    if (!options.user.empty()) {
      return invalid_argument("a token and a user cannot both be given; choose one, or list users");
    }
    token_ = Secret(options.token);
    if (const Status bad = token_.check(); !bad.ok()) {
      return bad.with_context("token");
    }
    User made;
    made.account = options.account;
    made.fingerprint = token_.fingerprint("token");
    token_user_ = remember(std::move(made));
  }
  if (!options.user.empty()) {
    UserOptions single;
    single.user = options.user;
    single.password = options.password;
    return add_user(options, single);
  }
  return {};
}

Status ConfiguredUsers::set_no_auth_user(const AuthorizationOptions& options,
                                         const std::string& name,
                                         bool websocket) {
  UserPtr found;
  if (const auto by_name = by_name_.find(name); by_name != by_name_.end()) {
    found = by_name->second.user;
  } else if (const auto by_nkey = by_nkey_.find(name); by_nkey != by_nkey_.end()) {
    found = by_nkey->second.user;
  }
  if (!found) {
    return invalid_argument("no_auth_user '" + name + "' is not among the users; add it to them");
  }
  if (found->account == options.system_account) {
    return invalid_argument("no_auth_user '" + name +
                            "' is a system user; name an ordinary one, or everybody could "
                            "supervise this server");
  }
  // A separate identity: at reload such a connection stays only if the setting does.
  User made = *found;
  made.fingerprint = (websocket ? "websocket " : "") + ("no_auth_user " + name);
  (websocket ? websocket_no_auth_user_ : no_auth_user_) = remember(std::move(made));
  return {};
}

Status ConfiguredUsers::build(const AuthorizationOptions& options,
                              const WebsocketOptions& websocket) {
  bool ordinary = !options.user.empty() || !options.token.empty();
  for (const UserOptions& user : options.users) {
    if (!user.system && ordinary && (!options.user.empty() || !options.token.empty())) {
      return invalid_argument("a single user or token and a list of users cannot both be given");
    }
    RETURN_IF_ERROR(add_user(options, user));
    ordinary = ordinary || !user.system;
  }
  RETURN_IF_ERROR(add_single(options));
  auth_required_ = options.any();
  if (!options.no_auth_user.empty()) {
    RETURN_IF_ERROR(set_no_auth_user(options, options.no_auth_user, /*websocket=*/false));
  } else if (!ordinary) {
    // Nobody but system users has to show credentials, or nobody at all.
    User anonymous;
    anonymous.account = options.account;
    anonymous.fingerprint = "anonymous";
    no_auth_user_ = remember(std::move(anonymous));
  }
  websocket_no_auth_user_ = no_auth_user_;
  if (!websocket.no_auth_user.empty()) {
    RETURN_IF_ERROR(set_no_auth_user(options, websocket.no_auth_user, /*websocket=*/true));
  }
  return {};
}

bool ConfiguredUsers::is_slow(const ConnectCredentials& credentials) const {
  if (!credentials.nkey.empty()) {
    return false;
  }
  if (!credentials.user.empty()) {
    const auto found = by_name_.find(credentials.user);
    return found != by_name_.end() && found->second.secret.is_bcrypt();
  }
  return token_user_ != nullptr && token_.is_bcrypt() && !credentials.token.empty();
}

Result<UserPtr> ConfiguredUsers::check_password(const ConnectCredentials& credentials) const {
  const auto found = by_name_.find(credentials.user);
  if (found == by_name_.end()) {
    // The name is not repeated: people type their password there.
    return invalid_argument("unknown user");
  }
  if (!found->second.secret.matches(credentials.password)) {
    return invalid_argument("wrong password for user '" + found->first + "'");
  }
  return found->second.user;
}

Result<UserPtr> ConfiguredUsers::check_nkey(const ConnectCredentials& credentials,
                                            std::string_view nonce) const {
  const auto found = by_nkey_.find(credentials.nkey);
  if (found == by_nkey_.end()) {
    return invalid_argument("unknown NKey");
  }
  const std::optional<std::string> signature = decode_base64(credentials.signature);
  if (nonce.empty() || !signature) {
    return invalid_argument("no usable signature for NKey " + found->first);
  }
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(signature->data());
  if (!verify_ed25519(found->second.key, nonce, std::span(bytes, signature->size()))) {
    return invalid_argument("wrong signature for NKey " + found->first);
  }
  return found->second.user;
}

Result<UserPtr> ConfiguredUsers::authenticate(const ConnectCredentials& credentials,
                                              std::string_view nonce) const {
  if (!auth_required_) {
    return no_auth_user_;  // whatever he says
  }
  Result<UserPtr> user = invalid_argument("no credentials");
  if (!credentials.nkey.empty()) {
    user = check_nkey(credentials, nonce);
  } else if (!credentials.user.empty()) {
    user = check_password(credentials);
  } else if (!credentials.token.empty()) {
    if (token_user_ != nullptr && token_.matches(credentials.token)) {
      user = token_user_;
    } else {
      user = invalid_argument(token_user_ != nullptr ? "wrong token" : "tokens are not in use");
    }
  } else if (credentials.empty()) {
    const UserPtr& none = credentials.websocket ? websocket_no_auth_user_ : no_auth_user_;
    if (none != nullptr) {
      user = none;
    }
  } else if (!credentials.jwt.empty()) {
    user = invalid_argument("JWTs are not supported; use users, tokens or NKeys");
  }
  const std::uint8_t kind = credentials.websocket ? kWebsocket : kStandard;
  if (user && ((*user)->connection_kinds & kind) == 0) {
    return invalid_argument("user '" + (*user)->name + "' may not connect this way");
  }
  return user;
}

UserPtr ConfiguredUsers::recheck(const User& user) const {
  const auto found = by_fingerprint_.find(user.fingerprint);
  return found == by_fingerprint_.end() ? nullptr : found->second;
}

}  // namespace

void ConnectCredentials::wipe() {
  for (std::string* const each : {&user, &password, &token, &nkey, &signature, &jwt}) {
    explicit_bzero(each->data(), each->size());
    each->clear();
  }
  websocket = false;
}

Result<std::shared_ptr<const Authenticator>> Authenticator::make(
    const AuthorizationOptions& options, const WebsocketOptions& websocket) {
  auto made = std::make_shared<ConfiguredUsers>();
  RETURN_IF_ERROR(made->build(options, websocket));
  return std::shared_ptr<const Authenticator>(std::move(made));
}

std::string make_nonce() {
  std::array<std::uint8_t, 11> bytes{};
  fill_random(bytes.data(), bytes.size());
  return encode_base64url(bytes);
}

}  // namespace feedvault::broker
