// The broker's parser, differentially: the input as a whole, cut in two, and byte by byte must
// yield the same operations and the same end. The first byte chooses limits and the place of the
// cut.

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "broker/parser.h"
#include "tests/unit/broker/recording_sink.h"

namespace {

using feedvault::broker::Parser;
using feedvault::broker::ParseStop;
using feedvault::broker::testing::RecordingSink;

struct Parsed {
  std::string log;
  ParseStop stop = ParseStop::kInputConsumed;
};

Parsed parse(std::string_view input, std::size_t piece_bytes, const Parser::Limits& limits) {
  Parser parser;
  parser.limits() = limits;
  RecordingSink sink;
  Parsed parsed;
  for (std::size_t at = 0; at < input.size() && parsed.stop == ParseStop::kInputConsumed;
       at += piece_bytes) {
    const std::string_view view = input.substr(at, piece_bytes);
    const std::vector<char> piece(view.begin(), view.end());
    parsed.stop = parser.parse({piece.data(), piece.size()}, sink).stop;
    CHECK(parser.scratch_bytes() <= 2 * (limits.max_control_line + limits.max_payload) + 1024);
  }
  CHECK(sink.wrong_tails == 0);
  parsed.log = sink.log;
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  Parser::Limits limits;
  limits.max_control_line = 64;
  limits.max_payload = 256;
  limits.headers = (data[0] & 1U) == 0;
  const std::string input(data + 1, data + size);
  const Parsed whole = parse(input, input.size() + 1, limits);
  for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{2}, std::size_t{data[0]} + 1}) {
    const Parsed pieces = parse(input, piece_bytes, limits);
    CHECK(pieces.log == whole.log);
    CHECK(pieces.stop == whole.stop);
  }
  return 0;
}
