#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace feedvault::broker::store {

/// CRC-32C (Castagnoli; RFC 3720, B.4) of `bytes`, continued from `crc`: 0 for the start, or the
/// result of the bytes before. Uses the processor's instruction (SSE4.2) where there is one.
std::uint32_t crc32c(std::uint32_t crc, std::string_view bytes);

/// The same without that instruction: for other processors, and for tests to compare.
std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view bytes);

}  // namespace feedvault::broker::store
