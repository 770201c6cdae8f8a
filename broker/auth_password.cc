#include "broker/auth_password.h"

#include <crypt.h>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace feedvault::broker {
namespace {

using Digest = std::array<unsigned char, 32>;

Digest sha256(std::string_view text) {
  Digest digest{};
  unsigned size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  CHECK(size == digest.size());
  return digest;
}

// "$2a$05$" and 53 characters of salt and hash.
constexpr std::size_t kBcryptChars = 60;

bool looks_like_bcrypt(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() >= 7 && text[0] == '$' && text[1] == '2' &&
         (text[2] == 'a' || text[2] == 'b' || text[2] == 'y') && text[3] == '$' &&
         is_digit(text[4]) && is_digit(text[5]) && text[6] == '$';
}

// libxcrypt's work area is 32 KB: not for the stack of a thread that may be small.
bool bcrypt_matches(const std::string& hash, std::string_view given) {
  // crypt() would stop at a zero byte, and take what follows for right whatever it is.
  if (given.find('\0') != std::string_view::npos) {
    return false;
  }
  const auto work = std::make_unique<crypt_data>();
  const std::string phrase(given);
  const char* computed =
      crypt_rn(phrase.c_str(), hash.c_str(), work.get(), static_cast<int>(sizeof(crypt_data)));
  if (computed == nullptr) {
    return false;
  }
  const std::string_view text(computed);
  return text.size() == hash.size() && CRYPTO_memcmp(text.data(), hash.data(), hash.size()) == 0;
}

}  // namespace

Secret::Secret(std::string text) : text_(std::move(text)), bcrypt_(looks_like_bcrypt(text_)) {}

Status Secret::check() const {
  if (!bcrypt_) {
    return {};
  }
  constexpr std::string_view kAlphabet =
      "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const int cost = (text_[4] - '0') * 10 + (text_[5] - '0');
  if (text_.size() != kBcryptChars || cost < 4 || cost > 31 ||
      text_.find_first_not_of(kAlphabet, 7) != std::string::npos) {
    return invalid_argument(
        "it begins like a bcrypt hash but is not one (60 characters, cost 04 to 31); "
        "was it cut off, or does it need quotes?");
  }
  return {};
}

bool Secret::matches(std::string_view given) const {
  if (bcrypt_) {
    return bcrypt_matches(text_, given);
  }
  // Digests have one length: the time tells nothing about the secret's.
  const Digest a = sha256(text_);
  const Digest b = sha256(given);
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string Secret::fingerprint(std::string_view scope) const {
  std::string both(scope);
  both += '\0';
  both += text_;
  const Digest digest = sha256(both);
  return {digest.begin(), digest.end()};
}

}  // namespace feedvault::broker
