#include "broker/store/crc32c.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace feedvault::broker::store {
namespace {

// Slicing by eight: tables[k][b] is the CRC of byte b followed by k zero bytes.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  constexpr std::uint32_t kPolynomial = 0x82F63B78U;  // reflected
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kPolynomial : 0U);
    }
    tables[0][byte] = crc;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t k = 1; k < 8; ++k) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8U) ^ tables[0][before & 0xFFU];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t load32(const char* at) {
  std::uint32_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

#if defined(__x86_64__)
// The instruction's result takes three cycles, and one can begin in each: three lanes at once.
constexpr std::size_t kLaneBytes = 1024;
static_assert(std::has_single_bit(kLaneBytes));

// What kLaneBytes of zeros make of a state, which is linear: for each value of each of its bytes.
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr Shift make_shift() {
  // Of single bits: at first for one byte of zeros, then each time for twice as many.
  std::array<std::uint32_t, 32> bits{};
  for (std::size_t i = 0; i < 32; ++i) {
    const std::uint32_t bit = 1U << i;
    bits[i] = (bit >> 8U) ^ kTables[0][bit & 0xFFU];
  }
  for (std::size_t bytes = 1; bytes < kLaneBytes; bytes *= 2) {
    const std::array<std::uint32_t, 32> once = bits;
    for (std::uint32_t& each : bits) {
      std::uint32_t twice = 0;
      for (std::size_t i = 0; i < 32; ++i) {
        twice ^= ((each >> i) & 1U) != 0 ? once[i] : 0U;
      }
      each = twice;
    }
  }
  Shift shift{};
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t byte = 1; byte < 256; ++byte) {
      const auto lowest = static_cast<std::size_t>(std::countr_zero(byte));
      shift[k][byte] = shift[k][byte & (byte - 1)] ^ bits[8 * k + lowest];
    }
  }
  return shift;
}

constexpr Shift kShift = make_shift();

std::uint64_t shifted(std::uint64_t state) {
  return kShift[0][state & 0xFFU] ^ kShift[1][(state >> 8U) & 0xFFU] ^
         kShift[2][(state >> 16U) & 0xFFU] ^ kShift[3][(state >> 24U) & 0xFFU];
}

std::uint64_t load64(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_hardware(std::uint32_t crc,
                                                                std::string_view bytes) {
  std::uint64_t state = ~crc;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * kLaneBytes; at += 3 * kLaneBytes, left -= 3 * kLaneBytes) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kLaneBytes; i += 8) {
      state = __builtin_ia32_crc32di(state, load64(at + i));
      second = __builtin_ia32_crc32di(second, load64(at + kLaneBytes + i));
      third = __builtin_ia32_crc32di(third, load64(at + 2 * kLaneBytes + i));
    }
    state = shifted(shifted(state) ^ second) ^ third;
  }
  for (; left >= 8; at += 8, left -= 8) {
    state = __builtin_ia32_crc32di(state, load64(at));
  }
  auto short_state = static_cast<std::uint32_t>(state);
  for (; left > 0; ++at, --left) {
    short_state = __builtin_ia32_crc32qi(short_state, static_cast<unsigned char>(*at));
  }
  return ~short_state;
}

const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view bytes) {
  crc = ~crc;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint32_t low = load32(at) ^ crc;
    const std::uint32_t high = load32(at + 4);
    crc = kTables[7][low & 0xFFU] ^ kTables[6][(low >> 8U) & 0xFFU] ^
          kTables[5][(low >> 16U) & 0xFFU] ^ kTables[4][low >> 24U] ^ kTables[3][high & 0xFFU] ^
          kTables[2][(high >> 8U) & 0xFFU] ^ kTables[1][(high >> 16U) & 0xFFU] ^
          kTables[0][high >> 24U];
  }
  for (; left > 0; ++at, --left) {
    crc = (crc >> 8U) ^ kTables[0][(crc ^ static_cast<unsigned char>(*at)) & 0xFFU];
  }
  return ~crc;
}

std::uint32_t crc32c(std::uint32_t crc, std::string_view bytes) {
#if defined(__x86_64__)
  if (kHasInstruction) {
    return crc32c_hardware(crc, bytes);
  }
#endif
  return crc32c_portable(crc, bytes);
}

}  // namespace feedvault::broker::store
