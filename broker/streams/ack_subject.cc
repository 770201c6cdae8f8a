#include "broker/streams/ack_subject.h"

#include <charconv>
#include <limits>

namespace feedvault::broker::streams {
namespace {

constexpr std::string_view kAckPrefix = "$JS.ACK.";
constexpr std::size_t kShortTokens = 9;
constexpr std::size_t kLongTokens = 11;
// Five numbers of at most 20 digits and four dots.
constexpr std::size_t kNumbersBytesMax = 5 * 20 + 4;

/// Digits only, in range; nothing else is a number here.
template <typename T>
bool parse_number(std::string_view text, T& value) {
  if (text.empty() || text[0] < '0' || text[0] > '9') {
    return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<AckSubject> parse_ack_subject(std::string_view subject) {
  if (!subject.starts_with(kAckPrefix)) {
    return std::nullopt;
  }
  std::array<std::string_view, kLongTokens> tokens;
  std::size_t count = 0;
  for (std::size_t at = 0; at <= subject.size(); ++count) {
    const std::size_t dot = std::min(subject.find('.', at), subject.size());
    if (count < tokens.size()) {
      tokens[count] = subject.substr(at, dot - at);
    }
    at = dot + 1;
  }
  if (count != kShortTokens && count < kLongTokens) {
    return std::nullopt;
  }
  const std::size_t first = count == kShortTokens ? 2 : 4;
  AckSubject parsed;
  parsed.stream = tokens[first];
  parsed.consumer = tokens[first + 1];
  if (parsed.stream.empty() || parsed.consumer.empty() ||
      !parse_number(tokens[first + 2], parsed.deliveries) ||
      !parse_number(tokens[first + 3], parsed.stream_seq) ||
      !parse_number(tokens[first + 4], parsed.consumer_seq) ||
      !parse_number(tokens[first + 5], parsed.time_ns) ||
      !parse_number(tokens[first + 6], parsed.pending)) {
    return std::nullopt;
  }
  return parsed;
}

AckSubjectWriter::AckSubjectWriter(std::string_view stream, std::string_view consumer)
    : text_(std::string(kAckPrefix).append(stream).append(".").append(consumer).append(".")),
      prefix_(text_.size()) {
  text_.resize(prefix_ + kNumbersBytesMax);
}

std::string_view AckSubjectWriter::write(const AckSubject& subject) {
  char* at = text_.data() + prefix_;
  char* const end = text_.data() + text_.size();
  at = std::to_chars(at, end, subject.deliveries).ptr;
  *at++ = '.';
  at = std::to_chars(at, end, subject.stream_seq).ptr;
  *at++ = '.';
  at = std::to_chars(at, end, subject.consumer_seq).ptr;
  *at++ = '.';
  at = std::to_chars(at, end, subject.time_ns).ptr;
  *at++ = '.';
  at = std::to_chars(at, end, subject.pending).ptr;
  return {text_.data(), static_cast<std::size_t>(at - text_.data())};
}

}  // namespace feedvault::broker::streams
