#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace feedvault::broker {

// NKeys: ed25519 keys in base32, with a kind in front and a checksum behind:
//
//   byte   0        1 .. 32       33 .. 34
//          kind     public key    CRC-16/XMODEM of what precedes, little-endian
//
// 35 bytes are 56 characters of base32 without padding, and the kind is chosen such that the first
// character says it: 'U' a user, 'N' a server.
enum class NkeyKind : std::uint8_t { kUser = 20 << 3, kServer = 13 << 3 };

using Ed25519PublicKey = std::array<std::uint8_t, 32>;

/// Text to key. kInvalidArgument for anything but a public key of that kind with a right checksum;
/// the text is not repeated in the message, since it might be a seed by mistake.
Result<Ed25519PublicKey> decode_nkey(std::string_view text, NkeyKind kind);
std::string encode_nkey(const Ed25519PublicKey& key, NkeyKind kind);

/// Is `signature` that of `message` under `key`? About 100 us of CPU.
bool verify_ed25519(const Ed25519PublicKey& key,
                    std::string_view message,
                    std::span<const std::uint8_t> signature);

/// Base64, the URL alphabet or the standard one, with or without padding; nullopt when malformed.
std::optional<std::string> decode_base64(std::string_view text);
std::string encode_base64url(std::span<const std::uint8_t> bytes);

/// A name that no other server has: a random public server key, "N...", 56 characters.
std::string make_server_id();

}  // namespace feedvault::broker
