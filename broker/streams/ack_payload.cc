#include "broker/streams/ack_payload.h"

#include <cstddef>

#include "broker/streams/go_duration.h"

namespace feedvault::broker::streams {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

}  // namespace

AckPayload parse_ack_payload(std::string_view payload) {
  AckPayload parsed;
  if (payload.empty() || payload == "+ACK" || payload == "+OK") {
    parsed.kind = AckKind::kAck;
  } else if (payload == "+WPI") {
    parsed.kind = AckKind::kProgress;
  } else if (payload.starts_with("+NXT")) {
    parsed.kind = AckKind::kNext;
    parsed.argument = trim(payload.substr(4));
  } else if (payload.starts_with("+TERM")) {
    parsed.kind = AckKind::kTerm;
    parsed.argument = trim(payload.substr(5));
  } else if (payload.starts_with("-NAK")) {
    parsed.kind = AckKind::kNak;
    const std::string_view argument = trim(payload.substr(4));
    if (argument.starts_with('{')) {
      parsed.argument = argument;
    } else {
      parsed.delay_ns = parse_go_duration(argument).value_or(0);
    }
  }
  return parsed;
}

}  // namespace feedvault::broker::streams
