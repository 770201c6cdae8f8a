#include "gateway/http/problem.h"

#include "proto/message_check.h"

namespace feedvault::gateway {
namespace {

// What stands in a JSON string as it is.
bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

void append_escaped(std::string& json, unsigned char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  json.append("\\u00");
  json.push_back(kDigits[c >> 4U]);
  json.push_back(kDigits[c & 15U]);
}

// Length of the UTF-8 character at `at`, 0 when there is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  for (std::size_t length = 1; length <= 4 && at + length <= text.size(); ++length) {
    if (is_utf8(text.substr(at, length))) {
      return length;
    }
  }
  return 0;
}

}  // namespace

void append_json_string(std::string& json, std::string_view text) {
  json.push_back('"');
  for (std::size_t at = 0; at < text.size();) {
    std::size_t plain = at;
    while (plain < text.size() && is_plain(static_cast<unsigned char>(text[plain]))) {
      ++plain;
    }
    json.append(text.substr(at, plain - at));
    at = plain;
    if (at == text.size()) {
      break;
    }
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x80) {
      const std::size_t length = utf8_length(text, at);
      const std::string_view character = length == 0 ? "\xEF\xBF\xBD" : text.substr(at, length);
      if (character == "\xE2\x80\xA8" || character == "\xE2\x80\xA9") {
        json.append(character == "\xE2\x80\xA8" ? "\\u2028" : "\\u2029");
      } else {
        json.append(character);
      }
      at += length == 0 ? 1 : length;
      continue;
    }
    if (c == '"' || c == '\\') {
      json.push_back('\\');
      json.push_back(static_cast<char>(c));
    } else {
      append_escaped(json, c);
    }
    ++at;
  }
  json.push_back('"');
}

Response problem(int status, std::string_view detail) {
  Response response;
  response.status = status;
  response.set("Content-Type", "application/problem+json");
  response.body = "{\"type\":\"about:blank\",\"title\":";
  append_json_string(response.body, reason_phrase(status));
  response.body += ",\"status\":" + std::to_string(status) + ",\"detail\":";
  append_json_string(response.body, detail);
  response.body += "}\n";
  if (status == 503) {
    response.set("Retry-After", "1");
  }
  return response;
}

Response problem(const Status& status) {
  switch (status.code()) {
    case StatusCode::kNotFound:
      return problem(404, status.message());
    case StatusCode::kInvalidArgument:
      return problem(400, status.message());
    case StatusCode::kDuplicate:
      return problem(409, status.message());
    case StatusCode::kTimeout:
    case StatusCode::kUnavailable:
    case StatusCode::kExhausted:
    case StatusCode::kCancelled:
    case StatusCode::kUnknownOutcome:
      return problem(503, status.message());
    default:
      return problem(500, status.message());
  }
}

Response json_response(std::string json) {
  Response response;
  response.set("Content-Type", "application/json");
  response.body = std::move(json);
  return response;
}

}  // namespace feedvault::gateway
