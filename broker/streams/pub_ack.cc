#include "broker/streams/pub_ack.h"

#include <charconv>
#include <cstdint>

namespace feedvault::broker::streams {
namespace {

/// Bytes of the UTF-8 character that `text` begins with; 0 when it begins with none.
std::size_t utf8_bytes(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (size == 1) {
    return 1;
  }
  if (first < 0xC2 || first > 0xF4 || text.size() < size) {
    return 0;
  }
  std::uint32_t code = first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) {
      return 0;
    }
    code = code << 6U | (byte(i) & 0x3FU);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  return surrogate || overlong || code > 0x10FFFF ? 0 : size;
}

}  // namespace

std::string json_quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t size = utf8_bytes(text);
    if (size == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < ' ' || c == '<' || c == '>' || c == '&') {
      const auto byte = static_cast<unsigned char>(c);
      out += "\\u00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 0xFU];
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out + '"';
}

PubAckWriter::PubAckWriter(std::string_view stream, std::string_view domain)
    : stream_(json_quoted(stream)),
      domain_(domain.empty() ? std::string() : "\"domain\":" + json_quoted(domain)),
      start_("{\"stream\":" + stream_ + ", " + (domain_.empty() ? "" : domain_ + ", ") +
             "\"seq\":") {}

std::string_view PubAckWriter::acknowledge(StreamSeq seq, bool duplicate) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof(digits), seq).ptr;
  text_.assign(start_);
  text_.append(digits, end);
  text_ += duplicate ? ",\"duplicate\": true}" : "}";
  return text_;
}

std::string PubAckWriter::refuse(const ApiError& error) const {
  return "{\"error\":{\"code\":" + std::to_string(error.code) +
         ",\"err_code\":" + std::to_string(error.err_code) +
         ",\"description\":" + json_quoted(error.description) + "},\"stream\":" + stream_ +
         (domain_.empty() ? "" : "," + domain_) + ",\"seq\":0}";
}

}  // namespace feedvault::broker::streams
