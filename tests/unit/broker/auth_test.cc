#include "broker/auth.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <string>

#include <gtest/gtest.h>

#include "broker/auth_nkey.h"
#include "broker/auth_password.h"
#include "broker/auth_workers.h"

namespace feedvault::broker {
namespace {

// Made with OpenSSL from the seed 01 02 .. 20 (hex); nats.c signs this nonce with the same bytes.
constexpr const char* kPublicKey = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";
constexpr const char* kServerKey = "NB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJYZP";
constexpr const char* kNonce = "PXoWU7zWAMt75FY";
constexpr const char* kSignature =
    "RkyUfhj0hZV4SGosA4w8Z2jQjAdZCALBJzhNdhfW6581WHG7tdqsG6pGlr5MATr_YsnnyJOjpr9o2S3IT6iUBA";
// Of "s3cret pass"; the other variants differ in one letter.
constexpr const char* kBcrypt = "$2a$05$abcdefghijklmnopqrstuu1qdcFaS0PtqFUPzaCxLQ8/0lspH0ZEW";

UserOptions user(const std::string& name, const std::string& password) {
  UserOptions made;
  made.user = name;
  made.password = password;
  return made;
}

std::shared_ptr<const Authenticator> make(const AuthorizationOptions& options,
                                          const WebsocketOptions& websocket = {}) {
  auto made = Authenticator::make(options, websocket);
  EXPECT_TRUE(made.has_value()) << made.status().message();
  return made.value();
}

ConnectCredentials with_password(const std::string& name, const std::string& password) {
  ConnectCredentials made;
  made.user = name;
  made.password = password;
  return made;
}

std::string refusal(const Authenticator& auth,
                    const ConnectCredentials& credentials,
                    std::string_view nonce = "") {
  const auto result = auth.authenticate(credentials, nonce);
  return result.has_value() ? "" : result.error().message();
}

std::string problem(const AuthorizationOptions& options) {
  return Authenticator::make(options).status().message();
}

TEST(Secret, PlainAndBcrypt) {
  EXPECT_TRUE(Secret("abc").matches("abc"));
  EXPECT_FALSE(Secret("abc").matches("abcd"));
  EXPECT_FALSE(Secret("abc").matches(""));
  for (const char variant : {'a', 'b', 'y'}) {
    std::string hash = kBcrypt;
    hash[2] = variant;
    const Secret secret(hash);
    EXPECT_TRUE(secret.is_bcrypt());
    EXPECT_TRUE(secret.check().ok());
    EXPECT_TRUE(secret.matches("s3cret pass")) << variant;
    EXPECT_FALSE(secret.matches("s3cret pas")) << variant;
    EXPECT_FALSE(secret.matches(hash)) << variant;
  }
}

TEST(Secret, AZeroByteDoesNotEndABcryptPassword) {
  EXPECT_FALSE(Secret(kBcrypt).matches(std::string("s3cret pass\0x", 13)));
}

TEST(Secret, ACutOffHashIsNotAPassword) {
  EXPECT_FALSE(Secret("$2a$05$abcdef").check().ok());
  EXPECT_FALSE(Secret(std::string(kBcrypt) + "x").check().ok());
  EXPECT_TRUE(Secret("$2 dollars").check().ok());
}

TEST(Nkey, DecodesAndEncodes) {
  const auto key = decode_nkey(kPublicKey, NkeyKind::kUser);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(encode_nkey(*key, NkeyKind::kUser), kPublicKey);
  EXPECT_EQ(encode_nkey(*key, NkeyKind::kServer), kServerKey);
  EXPECT_FALSE(decode_nkey(kServerKey, NkeyKind::kUser).has_value());
  std::string wrong = kPublicKey;
  wrong[20] = wrong[20] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(decode_nkey(wrong, NkeyKind::kUser).has_value());
  EXPECT_FALSE(decode_nkey("U", NkeyKind::kUser).has_value());
  EXPECT_FALSE(decode_nkey(std::string(56, '1'), NkeyKind::kUser).has_value());
}

TEST(Nkey, ServerIdsAreDifferentKeys) {
  const std::string id = make_server_id();
  EXPECT_EQ(id.size(), 56U);
  EXPECT_EQ(id[0], 'N');
  EXPECT_TRUE(decode_nkey(id, NkeyKind::kServer).has_value());
  EXPECT_NE(id, make_server_id());
}

TEST(Base64, BothAlphabets) {
  EXPECT_EQ(decode_base64("-_-_"), decode_base64("+/+/"));
  EXPECT_EQ(decode_base64("aGk="), "hi");
  EXPECT_EQ(decode_base64("aGk"), "hi");
  EXPECT_FALSE(decode_base64("a").has_value());
  EXPECT_FALSE(decode_base64("a b=").has_value());
}

TEST(Authenticator, WithoutUsersEverybodyMayDoEverything) {
  const auto auth = make({});
  EXPECT_FALSE(auth->auth_required());
  const auto anyone = auth->authenticate(with_password("x", "y"), "");
  ASSERT_TRUE(anyone.has_value());
  EXPECT_EQ((*anyone)->permissions, nullptr);
  EXPECT_EQ((*anyone)->account, "$G");
  EXPECT_FALSE((*anyone)->system);
}

TEST(Authenticator, UsersWithPasswords) {
  AuthorizationOptions options;
  options.users = {user("a", "plain"), user("b", kBcrypt)};
  options.users[0].permissions.emplace().publish.allow = std::vector<std::string>{"x"};
  const auto auth = make(options);
  EXPECT_TRUE(auth->auth_required());
  EXPECT_FALSE(auth->nonce_required());
  const auto a = auth->authenticate(with_password("a", "plain"), "");
  ASSERT_TRUE(a.has_value());
  EXPECT_EQ((*a)->name, "a");
  ASSERT_NE((*a)->permissions, nullptr);
  EXPECT_FALSE((*a)->permissions->can_publish("y"));
  EXPECT_FALSE(auth->is_slow(with_password("a", "plain")));
  EXPECT_TRUE(auth->is_slow(with_password("b", "")));
  EXPECT_EQ(refusal(*auth, with_password("b", "s3cret pass")), "");
  EXPECT_NE(refusal(*auth, with_password("a", "")), "");
  EXPECT_NE(refusal(*auth, {}), "");
}

TEST(Authenticator, RefusalsHoldNoCredentials) {
  AuthorizationOptions options;
  options.users = {user("a", "plain-secret")};
  options.users.emplace_back().nkey = kPublicKey;
  const auto auth = make(options);
  ConnectCredentials token;
  token.token = "given-secret";
  ConnectCredentials nkey;
  nkey.nkey = kPublicKey;
  nkey.signature = "given-secret";
  ConnectCredentials jwt;
  jwt.jwt = "given-secret";
  for (const ConnectCredentials& given :
       {with_password("a", "given-secret"), with_password("given-secret", "x"), token, nkey, jwt}) {
    const std::string text = refusal(*auth, given, kNonce);
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(text.find("secret"), std::string::npos) << text;
  }
}

TEST(Authenticator, Tokens) {
  AuthorizationOptions options;
  options.token = "t0ken";
  const auto auth = make(options);
  ConnectCredentials given;
  given.token = "t0ken";
  ASSERT_EQ(refusal(*auth, given), "");
  EXPECT_EQ((*auth->authenticate(given, ""))->name, "");
  EXPECT_FALSE(auth->is_slow(given));
  given.token = "other";
  EXPECT_NE(refusal(*auth, given), "");
  options.token = kBcrypt;
  given.token = "s3cret pass";
  EXPECT_TRUE(make(options)->is_slow(given));
  EXPECT_EQ(refusal(*make(options), given), "");
}

TEST(Authenticator, Nkeys) {
  AuthorizationOptions options;
  options.users.emplace_back().nkey = kPublicKey;
  const auto auth = make(options);
  EXPECT_TRUE(auth->nonce_required());
  ConnectCredentials given;
  given.nkey = kPublicKey;
  given.signature = kSignature;
  ASSERT_EQ(refusal(*auth, given, kNonce), "");
  EXPECT_EQ((*auth->authenticate(given, kNonce))->name, kPublicKey);
  EXPECT_NE(refusal(*auth, given, "another nonce"), "");
  EXPECT_NE(refusal(*auth, given, ""), "");
  given.signature[0] = 'S';
  EXPECT_NE(refusal(*auth, given, kNonce), "");
  given.signature = "!";
  EXPECT_NE(refusal(*auth, given, kNonce), "");
  given.nkey = kServerKey;
  EXPECT_NE(refusal(*auth, given, kNonce), "");
}

TEST(Authenticator, NoAuthUserAndSystemUsers) {
  AuthorizationOptions options;
  options.users = {user("guest", "x"), user("sys", "y")};
  options.users[1].system = true;
  options.no_auth_user = "guest";
  const auto auth = make(options);
  const auto guest = auth->authenticate({}, "");
  ASSERT_TRUE(guest.has_value());
  EXPECT_EQ((*guest)->name, "guest");
  const auto system = auth->authenticate(with_password("sys", "y"), "");
  ASSERT_TRUE(system.has_value());
  EXPECT_TRUE((*system)->system);
  EXPECT_EQ((*system)->account, "$SYS");
  EXPECT_NE(refusal(*auth, with_password("nobody", "")), "");
  options.no_auth_user = "sys";
  EXPECT_NE(problem(options).find("system user"), std::string::npos);
  options.no_auth_user = "who";
  EXPECT_NE(problem(options).find("'who'"), std::string::npos);
}

TEST(Authenticator, WithSystemUsersOnlyOthersNeedNoCredentials) {
  AuthorizationOptions options;
  options.users = {user("sys", "y")};
  options.users[0].system = true;
  const auto auth = make(options);
  EXPECT_TRUE(auth->auth_required());  // as nats-server says it
  EXPECT_EQ(refusal(*auth, {}), "");
  EXPECT_NE(refusal(*auth, with_password("x", "y")), "");
}

TEST(Authenticator, ConnectionKinds) {
  AuthorizationOptions options;
  options.users = {user("web", "x"), user("any", "x")};
  options.users[0].connection_kinds = kWebsocket;
  WebsocketOptions websocket;
  websocket.no_auth_user = "any";
  const auto auth = make(options, websocket);
  ConnectCredentials given = with_password("web", "x");
  EXPECT_NE(refusal(*auth, given), "");
  given.websocket = true;
  EXPECT_EQ(refusal(*auth, given), "");
  ConnectCredentials none;
  EXPECT_NE(refusal(*auth, none), "");
  none.websocket = true;
  EXPECT_EQ(refusal(*auth, none), "");
}

TEST(Authenticator, RefusesConfigurationsThatContradictThemselves) {
  AuthorizationOptions options;
  options.users = {user("a", "x"), user("a", "y")};
  EXPECT_NE(problem(options).find("twice"), std::string::npos);
  options.users = {user("a", "")};
  EXPECT_NE(problem(options).find("needs"), std::string::npos);
  options.users = {user("a", "$2a$11$cut")};
  EXPECT_NE(problem(options).find("bcrypt"), std::string::npos);
  options.users = {user("a", "x")};
  options.token = "t";
  EXPECT_NE(problem(options).find("both"), std::string::npos);
  options.users.clear();
  options.user = "u";
  EXPECT_NE(problem(options).find("both"), std::string::npos);
  options = {};
  options.users.emplace_back().nkey = "UABC";
  EXPECT_NE(problem(options).find("NKey"), std::string::npos);
  options.users = {user("a", "x")};
  options.users[0].permissions.emplace().publish.deny = {"a..b"};
  EXPECT_NE(problem(options).find("'a..b'"), std::string::npos);
}

TEST(Authenticator, RecheckAfterAReload) {
  AuthorizationOptions options;
  options.users = {user("stays", "x"), user("changes", "x"), user("goes", "x")};
  options.no_auth_user = "stays";
  const auto before = make(options);
  const auto stays = *before->authenticate(with_password("stays", "x"), "");
  const auto changes = *before->authenticate(with_password("changes", "x"), "");
  const auto goes = *before->authenticate(with_password("goes", "x"), "");
  const auto guest = *before->authenticate({}, "");
  options.users = {user("stays", "x"), user("changes", "y")};
  options.users[0].permissions.emplace().publish.deny = {">"};
  options.no_auth_user.clear();
  const auto after = make(options);
  const auto now = after->recheck(*stays);
  ASSERT_NE(now, nullptr);
  EXPECT_NE(now->permissions, nullptr);
  EXPECT_EQ(after->recheck(*changes), nullptr);
  EXPECT_EQ(after->recheck(*goes), nullptr);
  EXPECT_EQ(after->recheck(*guest), nullptr);
  const auto anonymous = *make({})->authenticate({}, "");
  EXPECT_EQ(after->recheck(*anonymous), nullptr);
  EXPECT_NE(make({})->recheck(*anonymous), nullptr);
}

TEST(Nonce, IsFreshAndFifteenCharacters) {
  EXPECT_EQ(make_nonce().size(), 15U);
  EXPECT_NE(make_nonce(), make_nonce());
}

TEST(ConnectCredentials, AreOverwritten) {
  ConnectCredentials credentials;
  credentials.user = "somebody";
  credentials.password = std::string(100, 'p');
  credentials.token = "token";
  const char* const text = credentials.password.data();
  credentials.wipe();
  EXPECT_TRUE(credentials.empty());
  // Emptied, not given back: the bytes are still the string's.
  EXPECT_TRUE(std::all_of(text, text + 100, [](char c) { return c == 0; }));
}

TEST(AuthWorkers, RunJobsAndRefuseWhenFull) {
  std::promise<void> release;
  std::shared_future<void> released(release.get_future());
  std::promise<void> started;
  std::atomic<int> ran{0};
  {
    AuthWorkers workers;
    ASSERT_TRUE(workers.submit([&] {
      started.set_value();
      released.wait();
    }));
    started.get_future().wait();
    for (std::size_t i = 0; i < AuthWorkers::kJobsMax; ++i) {
      ASSERT_TRUE(workers.submit([&] { ++ran; }));
    }
    EXPECT_FALSE(workers.submit([] {}));
    release.set_value();
    std::promise<void> last;
    while (!workers.submit([&] { last.set_value(); })) {
      std::this_thread::yield();
    }
    last.get_future().wait();
    EXPECT_EQ(ran.load(), static_cast<int>(AuthWorkers::kJobsMax));
  }
}

}  // namespace
}  // namespace feedvault::broker
