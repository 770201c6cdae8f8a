#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace feedvault::broker::streams {

// Numbers in as few bytes as they need: seven bits a byte, the lowest first, and the highest bit
// set in all but the last byte.

inline void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80U));
    value >>= 7U;
  }
  out.push_back(static_cast<char>(value));
}

/// Signed numbers with small ones of either sign in few bytes: 0, -1, 1, -2 ... as 0, 1, 2, 3 ...
inline void put_signed(std::string& out, std::int64_t value) {
  put_varint(out,
             (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63));
}

/// Reads them back. After the first thing that is no number, everything reads as 0 and ok() is
/// false.
class VarintReader {
 public:
  explicit VarintReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }
  std::size_t bytes_left() const { return bytes_.size(); }

  std::uint64_t next() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      if (shift == 63 && byte > 1) {
        break;
      }
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
    ok_ = false;
    bytes_ = {};
    return 0;
  }

  std::int64_t next_signed() {
    const std::uint64_t value = next();
    return static_cast<std::int64_t>(value >> 1U) ^ -static_cast<std::int64_t>(value & 1U);
  }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace feedvault::broker::streams
