#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace feedvault::broker {

// WebSocket's frames (RFC 6455, section 5), as a state machine over bytes that knows no connection
// and allocates nothing. NATS is a stream of bytes inside: where messages and frames begin and end
// means nothing to it, and text is taken as well as binary.

enum class WebsocketOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

/// Status codes of close frames (RFC 6455, section 7.4).
namespace websocket_close {
inline constexpr std::uint16_t kNormal = 1000;
inline constexpr std::uint16_t kGoingAway = 1001;
inline constexpr std::uint16_t kProtocolError = 1002;
inline constexpr std::uint16_t kPolicyViolation = 1008;
inline constexpr std::uint16_t kMessageTooBig = 1009;
inline constexpr std::uint16_t kInternalError = 1011;
}  // namespace websocket_close

/// A control frame's payload is at most this long.
inline constexpr std::size_t kWebsocketControlBytesMax = 125;
/// The longest header of a frame that a server sends: no mask.
inline constexpr std::size_t kWebsocketHeaderBytesMax = 10;

/// Reads a client's frames: every one masked, control frames whole and short, fragments in order.
class WebsocketDecoder {
 public:
  enum class Item : std::uint8_t {
    kNothing,  // all input is consumed
    kData,     // `bytes`, unmasked where they lie in the input
    kPing,     // `bytes`, the decoder's own: until the next call
    kPong,     // ... nothing is asked for in answer
    kClose,    // ... the peer's status and reason; nothing may follow
    kProblem,  // the peer broke a rule: problem() says which. Nothing may follow
  };
  struct Step {
    Item item = Item::kNothing;
    std::size_t consumed = 0;  // of the input
    std::string_view bytes;
    bool compressed = false;   // of kData: part of a compressed message (RFC 7692)
    bool message_end = false;  // of kData, which may be empty then
  };

  /// Compressed messages are allowed: permessage-deflate was agreed upon.
  void allow_compression() { compression_ = true; }
  /// The first thing in `input`, which is changed by unmasking.
  Step next(std::span<char> input);
  /// A sentence for the close frame.
  std::string_view problem() const { return problem_; }

 private:
  enum class Part : std::uint8_t { kHeader, kPayload };

  Step fail(std::size_t consumed, std::string_view problem);
  std::string_view check_header() const;
  std::size_t header_size() const;
  void begin_payload();
  Step take_control(std::span<char> input, std::size_t consumed);
  void unmask(char* bytes, std::size_t size);

  std::array<unsigned char, 14> header_{};
  std::array<char, kWebsocketControlBytesMax> control_{};
  std::uint64_t left_ = 0;  // of the frame's payload
  std::string_view problem_;
  std::uint32_t mask_at_ = 0;  // which byte of the mask is next
  std::uint8_t have_ = 0;      // bytes of the header
  std::uint8_t control_size_ = 0;
  WebsocketOpcode opcode_ = WebsocketOpcode::kContinuation;
  Part part_ = Part::kHeader;
  bool final_ = false;
  bool in_message_ = false;  // a fragmented one has begun
  bool compressed_ = false;  // ... the message in progress
  bool compression_ = false;
};

/// Writes the header of a server's frame for `payload` bytes; how long it is.
std::size_t write_websocket_header(char* into,
                                   WebsocketOpcode opcode,
                                   std::uint64_t payload,
                                   bool compressed = false);
/// A whole control frame. `payload` is cut at kWebsocketControlBytesMax.
std::string websocket_control_frame(WebsocketOpcode opcode, std::string_view payload);
/// A close frame with a status and, cut to fit, a reason.
std::string websocket_close_frame(std::uint16_t status, std::string_view reason);
/// Whether a close frame's payload is one that RFC 6455 allows to be sent.
bool is_valid_close_payload(std::string_view payload);

}  // namespace feedvault::broker
