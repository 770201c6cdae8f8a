// The request for a WebSocket: whole and in pieces it must be taken to the same place and answered
// alike, with a well-formed answer. The first byte chooses options and pieces.

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "broker/websocket_upgrade.h"

namespace {

using feedvault::broker::UpgradeRequest;
using feedvault::broker::WebsocketOptions;

std::string answer(std::string_view input,
                   std::size_t piece_bytes,
                   const WebsocketOptions& options,
                   bool tls) {
  UpgradeRequest request;
  std::size_t taken = 0;
  for (std::size_t at = 0; at < input.size() && !request.complete(); at += piece_bytes) {
    const std::string_view view = input.substr(at, piece_bytes);
    const std::vector<char> piece(view.begin(), view.end());
    taken += request.take({piece.data(), piece.size()});
  }
  CHECK(taken <= feedvault::broker::kUpgradeBytesMax);
  if (!request.complete()) {
    CHECK(taken == input.size());
    return "";
  }
  const auto made = request.answer(options, tls);
  CHECK(made.accepted == made.problem.empty());
  CHECK(made.response.rfind(made.accepted ? "HTTP/1.1 101 " : "HTTP/1.1 4", 0) == 0);
  CHECK(made.response.find("\r\n\r\n") != std::string::npos);
  CHECK(!made.compression || options.compression);
  return std::to_string(taken) + made.response + made.problem;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  WebsocketOptions options;
  options.compression = (data[0] & 1U) != 0;
  options.same_origin = (data[0] & 2U) != 0;
  if ((data[0] & 4U) != 0) {
    options.allowed_origins = {"http://a.example", "https://b.example:8443"};
  }
  const bool tls = (data[0] & 8U) != 0;
  const std::string input(data + 1, data + size);
  const std::string whole = answer(input, input.size() + 1, options, tls);
  for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{data[0]} + 1}) {
    CHECK(answer(input, piece_bytes, options, tls) == whole);
  }
  return 0;
}
