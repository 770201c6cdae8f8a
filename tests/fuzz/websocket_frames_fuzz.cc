// WebSocket's decoder, differentially: the input as a whole and in pieces must yield the same data,
// control frames and end; and what a server writes must be what the naive encoder writes. The first
// byte chooses the size of the pieces and whether compression was agreed upon.

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "broker/websocket_deflate.h"
#include "broker/websocket_frame.h"
#include "tests/unit/broker/naive_websocket.h"

namespace {

using feedvault::broker::WebsocketDecoder;
using Item = WebsocketDecoder::Item;

// Data as it is, control frames and the end in words; "~" where compression begins, "|" where a
// message ends.
std::string decode(const std::string& input, std::size_t piece_bytes, bool compression) {
  WebsocketDecoder decoder;
  if (compression) {
    decoder.allow_compression();
  }
  std::string log;
  bool compressed = false;
  for (std::size_t at = 0; at < input.size(); at += piece_bytes) {
    const std::string_view view = std::string_view(input).substr(at, piece_bytes);
    std::vector<char> piece(view.begin(), view.end());
    std::span<char> left(piece);
    while (!left.empty()) {
      const auto step = decoder.next(left);
      CHECK(step.consumed <= left.size());
      CHECK(step.consumed > 0 || step.item == Item::kProblem);
      left = left.subspan(step.consumed);
      if (step.item == Item::kProblem) {
        return log + "[problem " + std::string(decoder.problem()) + "]";
      }
      if (step.item == Item::kData) {
        log += step.compressed && !compressed && !step.bytes.empty() ? "~" : "";
        compressed = step.compressed && !step.message_end;
        log += step.bytes;
        log += step.message_end ? "|" : "";
      } else if (step.item != Item::kNothing) {
        CHECK(step.bytes.size() <= feedvault::broker::kWebsocketControlBytesMax);
        log += "[" + std::to_string(static_cast<int>(step.item)) + std::string(step.bytes) + "]";
      }
      if (step.item == Item::kClose) {
        return log;
      }
    }
  }
  return log;
}

void check_encoder(const std::string& payload) {
  feedvault::broker::testing::NaiveFrame frame;
  frame.masked = false;
  frame.payload = payload;
  std::string header(feedvault::broker::kWebsocketHeaderBytesMax, '\0');
  header.resize(feedvault::broker::write_websocket_header(
      header.data(), feedvault::broker::WebsocketOpcode::kBinary, payload.size()));
  CHECK(header + payload == frame.encode());
}

// Outside bytes end in an error or not, but within the room that there is.
void check_inflater(const std::string& input) {
  feedvault::broker::WebsocketInflater inflater;
  std::string_view left = input;
  for (int i = 0; i < 64 && !left.empty(); ++i) {
    std::vector<char> room(257);
    const auto progress = inflater.inflate(left, room.data(), room.size());
    CHECK(progress.consumed <= left.size() && progress.produced <= room.size());
    if (!progress.good) {
      return;
    }
    CHECK(progress.consumed > 0 || progress.produced > 0);
    left.remove_prefix(progress.consumed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const bool compression = (data[0] & 1U) != 0;
  const std::string input(data + 1, data + size);
  const std::string whole = decode(input, input.size() + 1, compression);
  for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{2}, std::size_t{data[0]} + 1}) {
    CHECK(decode(input, piece_bytes, compression) == whole);
  }
  check_encoder(input);
  check_inflater(input);
  return 0;
}
