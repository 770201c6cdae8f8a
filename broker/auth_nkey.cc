#include "broker/auth_nkey.h"

#include <memory>

#include <openssl/evp.h>

#include "base/random.h"

namespace feedvault::broker {
namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::size_t kNkeyBytes = 35;
constexpr std::size_t kNkeyChars = 56;
static_assert(kNkeyBytes * 8 == kNkeyChars * 5);
constexpr std::size_t kSignatureBytes = 64;

using NkeyBytes = std::array<std::uint8_t, kNkeyBytes>;

std::uint16_t crc16(std::span<const std::uint8_t> bytes) {
  std::uint16_t crc = 0;
  for (const std::uint8_t byte : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ (byte << 8U));
    for (int bit = 0; bit < 8; ++bit) {
      const bool carry = (crc & 0x8000U) != 0;
      crc = static_cast<std::uint16_t>(crc << 1U);
      if (carry) {
        crc ^= 0x1021U;
      }
    }
  }
  return crc;
}

bool decode_base32(std::string_view text, NkeyBytes& bytes) {
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  std::size_t out = 0;
  for (const char c : text) {
    const std::size_t digit = kBase32.find(c);
    if (digit == std::string_view::npos) {
      return false;
    }
    bits = (bits << 5U) | static_cast<std::uint32_t>(digit);
    bit_count += 5;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes[out++] = static_cast<std::uint8_t>(bits >> bit_count);
    }
  }
  return true;
}

std::string encode_base32(const NkeyBytes& bytes) {
  std::string text;
  text.reserve(kNkeyChars);
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  for (const std::uint8_t byte : bytes) {
    bits = (bits << 8U) | byte;
    bit_count += 8;
    while (bit_count >= 5) {
      bit_count -= 5;
      text += kBase32[(bits >> bit_count) & 31U];
    }
  }
  return text;
}

constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

Result<Ed25519PublicKey> decode_nkey(std::string_view text, NkeyKind kind) {
  NkeyBytes bytes{};
  if (text.size() != kNkeyChars || !decode_base32(text, bytes)) {
    return invalid_argument("not a public NKey: that is 56 characters of A-Z and 2-7");
  }
  const std::uint16_t stored = static_cast<std::uint16_t>(bytes[33] | (bytes[34] << 8U));
  if (crc16(std::span(bytes).first(33)) != stored) {
    return invalid_argument("not a public NKey: its checksum is wrong");
  }
  if (bytes[0] != static_cast<std::uint8_t>(kind)) {
    return invalid_argument(kind == NkeyKind::kUser
                                ? "not the public NKey of a user: that begins with 'U'"
                                : "not the public NKey of a server: that begins with 'N'");
  }
  Ed25519PublicKey key{};
  std::copy(bytes.begin() + 1, bytes.begin() + 33, key.begin());
  return key;
}

std::string encode_nkey(const Ed25519PublicKey& key, NkeyKind kind) {
  NkeyBytes bytes{};
  bytes[0] = static_cast<std::uint8_t>(kind);
  std::copy(key.begin(), key.end(), bytes.begin() + 1);
  const std::uint16_t crc = crc16(std::span(bytes).first(33));
  bytes[33] = static_cast<std::uint8_t>(crc & 0xffU);
  bytes[34] = static_cast<std::uint8_t>(crc >> 8U);
  return encode_base32(bytes);
}

bool verify_ed25519(const Ed25519PublicKey& key,
                    std::string_view message,
                    std::span<const std::uint8_t> signature) {
  if (signature.size() != kSignatureBytes) {
    return false;
  }
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()),
      &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  if (pkey == nullptr || context == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1) {
    return false;
  }
  const auto* text = reinterpret_cast<const unsigned char*>(message.data());
  return EVP_DigestVerify(
             context.get(), signature.data(), signature.size(), text, message.size()) == 1;
}

std::optional<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') {
    text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) {
    return std::nullopt;
  }
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  for (char c : text) {
    c = c == '+' ? '-' : (c == '/' ? '_' : c);
    const std::size_t digit = kBase64Url.find(c);
    if (digit == std::string_view::npos) {
      return std::nullopt;
    }
    bits = (bits << 6U) | static_cast<std::uint32_t>(digit);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes += static_cast<char>((bits >> bit_count) & 0xffU);
    }
  }
  return bytes;
}

std::string encode_base64url(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  for (const std::uint8_t byte : bytes) {
    bits = (bits << 8U) | byte;
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      text += kBase64Url[(bits >> bit_count) & 63U];
    }
  }
  if (bit_count > 0) {
    text += kBase64Url[(bits << (6 - bit_count)) & 63U];
  }
  return text;
}

std::string make_server_id() {
  // Nobody ever signs with it, so 32 random bytes serve as well as a real public key. The kernel's:
  // OpenSSL's would cost a server that needs nothing else of it some megabytes.
  Ed25519PublicKey key{};
  fill_random(key.data(), key.size());
  return encode_nkey(key, NkeyKind::kServer);
}

}  // namespace feedvault::broker
