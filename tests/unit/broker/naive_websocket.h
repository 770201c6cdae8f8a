#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace feedvault::broker::testing {

/// One frame, as plainly as RFC 6455 draws it.
struct NaiveFrame {
  unsigned opcode = 2;
  std::string payload;
  bool final = true;
  unsigned reserved = 0;  // RSV1 to RSV3: 4, 2, 1
  bool masked = true;
  std::array<unsigned char, 4> mask{0x12, 0x34, 0x56, 0x78};
  int length_bytes = 0;  // 2 or 8: a longer form than needed

  std::string encode() const {
    std::string frame;
    const auto put = [&](std::uint64_t byte) {
      frame += static_cast<char>(static_cast<unsigned char>(byte & 0xffU));
    };
    const std::uint64_t size = payload.size();
    put((final ? 0x80U : 0U) | reserved << 4U | opcode);
    const unsigned masked_bit = masked ? 0x80U : 0U;
    const int bytes = length_bytes > 0 ? length_bytes : size < 126 ? 0 : size < 65536 ? 2 : 8;
    put(masked_bit | (bytes == 0 ? size : bytes == 2 ? 126U : 127U));
    for (int i = bytes - 1; i >= 0; --i) {
      put(size >> (8U * static_cast<unsigned>(i)));
    }
    if (masked) {
      frame.append(mask.begin(), mask.end());
    }
    for (std::size_t i = 0; i < payload.size(); ++i) {
      put(static_cast<unsigned char>(payload[i]) ^ (masked ? mask[i % 4] : 0U));
    }
    return frame;
  }
};

inline std::string client_frame(std::string_view payload, unsigned opcode = 2, bool final = true) {
  NaiveFrame frame;
  frame.opcode = opcode;
  frame.payload = payload;
  frame.final = final;
  return frame.encode();
}

/// All whole frames that a server sent; takes them out of `bytes`.
inline std::vector<NaiveFrame> take_frames(std::string& bytes) {
  std::vector<NaiveFrame> frames;
  for (;;) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() < 2) {
      return frames;
    }
    std::uint64_t size = at(1) & 0x7fU;
    const std::size_t more = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (bytes.size() < 2 + more) {
      return frames;
    }
    for (std::size_t i = 0; i < more; ++i) {
      size = (i == 0 ? 0 : size << 8U) | at(2 + i);
    }
    if (bytes.size() - 2 - more < size) {
      return frames;
    }
    NaiveFrame frame;
    frame.final = (at(0) & 0x80U) != 0;
    frame.reserved = at(0) >> 4U & 7U;
    frame.opcode = at(0) & 0x0fU;
    frame.masked = (at(1) & 0x80U) != 0;
    frame.payload = bytes.substr(2 + more, size);
    bytes.erase(0, 2 + more + size);
    frames.push_back(frame);
  }
}

}  // namespace feedvault::broker::testing
