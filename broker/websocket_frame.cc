#include "broker/websocket_frame.h"

#include <algorithm>
#include <cstring>

namespace feedvault::broker {
namespace {

//   0 1 2 3  4..7    8        9..15
//  |F|R R R|opcode|masked|  length  | 16 or 64 bits more of it | mask, 4 bytes |
//  |I|S S S|      |      | 126, 127 |                          |               |
//  |N|V V V|      |      |          |                          |               |
constexpr unsigned kFinalBit = 0x80;
constexpr unsigned kCompressedBit = 0x40;  // RSV1, RFC 7692
constexpr unsigned kReservedBits = 0x30;
constexpr unsigned kOpcodeBits = 0x0f;
constexpr unsigned kControlBit = 0x08;
constexpr unsigned kMaskedBit = 0x80;
constexpr unsigned kLengthBits = 0x7f;
constexpr unsigned kLength16 = 126;
constexpr unsigned kLength64 = 127;

}  // namespace

std::size_t WebsocketDecoder::header_size() const {
  if (have_ < 2) {
    return 2;
  }
  const unsigned length = header_[1] & kLengthBits;
  return 2U + (length == kLength16 ? 2U : length == kLength64 ? 8U : 0U) + 4U;
}

// What the first two bytes allow no doubt about; empty: nothing is wrong.
std::string_view WebsocketDecoder::check_header() const {
  const unsigned first = header_[0];
  const unsigned opcode = first & kOpcodeBits;
  const unsigned length = header_[1] & kLengthBits;
  if ((header_[1] & kMaskedBit) == 0) {
    return "mask bit missing";
  }
  if ((first & kReservedBits) != 0) {
    return "reserved bits are set";
  }
  if ((opcode & kControlBit) != 0) {
    if (opcode > static_cast<unsigned>(WebsocketOpcode::kPong)) {
      return "unknown opcode";
    }
    if ((first & kFinalBit) == 0) {
      return "fragmented control frame";
    }
    if (length > kWebsocketControlBytesMax) {
      return "control frame too long";
    }
    return (first & kCompressedBit) != 0 ? "compressed control frame" : "";
  }
  if (opcode > static_cast<unsigned>(WebsocketOpcode::kBinary)) {
    return "unknown opcode";
  }
  const bool continues = opcode == static_cast<unsigned>(WebsocketOpcode::kContinuation);
  if (continues != in_message_) {
    return continues ? "invalid continuation frame" : "new message before the last one ended";
  }
  if ((first & kCompressedBit) != 0 && (!compression_ || continues)) {
    return "unexpected compressed frame";
  }
  return "";
}

void WebsocketDecoder::begin_payload() {
  const unsigned length = header_[1] & kLengthBits;
  left_ = length;
  if (length >= kLength16) {
    left_ = 0;
    for (unsigned i = 0; i < (length == kLength16 ? 2U : 8U); ++i) {
      left_ = left_ << 8U | header_[2 + i];
    }
  }
  opcode_ = static_cast<WebsocketOpcode>(header_[0] & kOpcodeBits);
  final_ = (header_[0] & kFinalBit) != 0;
  mask_at_ = 0;
  control_size_ = 0;
  if (opcode_ == WebsocketOpcode::kText || opcode_ == WebsocketOpcode::kBinary) {
    compressed_ = (header_[0] & kCompressedBit) != 0;
  }
  if (opcode_ <= WebsocketOpcode::kBinary) {
    in_message_ = !final_;
  }
  part_ = Part::kPayload;
}

WebsocketDecoder::Step WebsocketDecoder::fail(std::size_t consumed, std::string_view problem) {
  problem_ = problem;
  return {Item::kProblem, consumed, {}, false, false};
}

WebsocketDecoder::Step WebsocketDecoder::next(std::span<char> input) {
  if (!problem_.empty()) {
    return fail(0, problem_);
  }
  std::size_t at = 0;
  while (part_ == Part::kHeader) {
    const std::size_t wanted = header_size();
    const std::size_t taken = std::min(wanted - have_, input.size() - at);
    std::memcpy(header_.data() + have_, input.data() + at, taken);
    have_ = static_cast<std::uint8_t>(have_ + taken);
    at += taken;
    if (have_ < wanted) {
      return {Item::kNothing, at, {}, false, false};
    }
    if (wanted == 2) {
      if (const std::string_view problem = check_header(); !problem.empty()) {
        return fail(at, problem);
      }
      continue;
    }
    begin_payload();
    if ((left_ >> 63U) != 0) {
      return fail(at, "frame too long");
    }
  }
  if (opcode_ > WebsocketOpcode::kBinary) {
    return take_control(input, at);
  }
  const std::size_t size =
      static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size() - at));
  unmask(input.data() + at, size);
  left_ -= size;
  if (left_ > 0 && size == 0) {
    return {Item::kNothing, at, {}, false, false};
  }
  const Step step{
      Item::kData, at + size, {input.data() + at, size}, compressed_, left_ == 0 && final_};
  if (left_ == 0) {
    part_ = Part::kHeader;
    have_ = 0;
  }
  return step;
}

WebsocketDecoder::Step WebsocketDecoder::take_control(std::span<char> input, std::size_t consumed) {
  const std::size_t size =
      std::min<std::size_t>(static_cast<std::size_t>(left_), input.size() - consumed);
  std::memcpy(control_.data() + control_size_, input.data() + consumed, size);
  unmask(control_.data() + control_size_, size);
  control_size_ = static_cast<std::uint8_t>(control_size_ + size);
  left_ -= size;
  if (left_ > 0) {
    return {Item::kNothing, consumed + size, {}, false, false};
  }
  part_ = Part::kHeader;
  have_ = 0;
  Item item = Item::kPong;
  if (opcode_ == WebsocketOpcode::kPing) {
    item = Item::kPing;
  } else if (opcode_ == WebsocketOpcode::kClose) {
    item = Item::kClose;
  }
  return {item, consumed + size, {control_.data(), control_size_}, false, false};
}

void WebsocketDecoder::unmask(char* bytes, std::size_t size) {
  const unsigned char* const mask = header_.data() + header_size() - 4;
  std::array<unsigned char, 8> turned{};  // the mask, twice, from where the next byte needs it
  for (std::size_t i = 0; i < turned.size(); ++i) {
    turned[i] = mask[(mask_at_ + i) % 4];
  }
  std::uint64_t wide = 0;
  std::memcpy(&wide, turned.data(), sizeof wide);
  std::size_t i = 0;
  for (; i + sizeof wide <= size; i += sizeof wide) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, sizeof word);
    word ^= wide;
    std::memcpy(bytes + i, &word, sizeof word);
  }
  for (; i < size; ++i) {
    bytes[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]) ^ turned[i % 8]);
  }
  mask_at_ = static_cast<std::uint32_t>((mask_at_ + size) % 4);
}

std::size_t write_websocket_header(char* into,
                                   WebsocketOpcode opcode,
                                   std::uint64_t payload,
                                   bool compressed) {
  const auto put = [&](std::size_t at, std::uint64_t value) {
    into[at] = static_cast<char>(static_cast<unsigned char>(value));
  };
  put(0, kFinalBit | (compressed ? kCompressedBit : 0U) | static_cast<unsigned>(opcode));
  if (payload < kLength16) {
    put(1, payload);
    return 2;
  }
  const std::size_t bytes = payload <= 0xffff ? 2 : 8;
  put(1, bytes == 2 ? kLength16 : kLength64);
  for (std::size_t i = 0; i < bytes; ++i) {
    put(2 + i, payload >> (8 * (bytes - 1 - i)));
  }
  return 2 + bytes;
}

std::string websocket_control_frame(WebsocketOpcode opcode, std::string_view payload) {
  payload = payload.substr(0, kWebsocketControlBytesMax);
  std::string frame(kWebsocketHeaderBytesMax, '\0');
  frame.resize(write_websocket_header(frame.data(), opcode, payload.size()));
  return frame.append(payload);
}

std::string websocket_close_frame(std::uint16_t status, std::string_view reason) {
  std::string payload;
  payload += static_cast<char>(static_cast<unsigned char>(status >> 8U));
  payload += static_cast<char>(static_cast<unsigned char>(status & 0xffU));
  payload += reason;
  return websocket_control_frame(WebsocketOpcode::kClose, payload);
}

bool is_valid_close_payload(std::string_view payload) {
  if (payload.empty()) {
    return true;
  }
  if (payload.size() == 1) {
    return false;
  }
  const unsigned status =
      static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1]);
  // 1004 to 1006 and 1015 are for use inside of programs only; below 3000 the rest is the RFC's.
  return (status >= 1000 && status <= 1014 && (status < 1004 || status > 1006)) ||
         (status >= 3000 && status <= 4999);
}

}  // namespace feedvault::broker
