#include "client/nats/ack_subject.h"

#include <array>
#include <charconv>

namespace feedvault::nats {
namespace {

constexpr std::size_t kTokensV1 = 9;
constexpr std::size_t kTokensV2 = 11;  // and one more with the random token
constexpr std::size_t kTokensMax = 12;

template <typename Number>
bool read(std::string_view token, Number& number) {
  const char* end = token.data() + token.size();
  const auto [after, error] = std::from_chars(token.data(), end, number);
  return error == std::errc() && after == end;
}

}  // namespace

bool parse_ack_subject(std::string_view subject, AckSubject& out) {
  if (!subject.starts_with("$JS.ACK.")) {
    return false;
  }
  std::array<std::string_view, kTokensMax> tokens;
  std::size_t count = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= subject.size(); ++i) {
    if (i != subject.size() && subject[i] != '.') {
      continue;
    }
    if (count == kTokensMax || i == start) {
      return false;
    }
    tokens[count++] = subject.substr(start, i - start);
    start = i + 1;
  }
  if (count != kTokensV1 && count < kTokensV2) {
    return false;
  }
  const std::size_t numbers = count == kTokensV1 ? 4 : 6;  // index of <deliveries>
  return read(tokens[numbers], out.deliveries) && read(tokens[numbers + 1], out.stream_seq) &&
         read(tokens[numbers + 2], out.consumer_seq) && read(tokens[numbers + 3], out.time_ns) &&
         read(tokens[numbers + 4], out.pending);
}

}  // namespace feedvault::nats
