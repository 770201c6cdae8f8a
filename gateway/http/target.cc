#include "gateway/http/target.h"

#include <algorithm>

#include "proto/message_check.h"

namespace feedvault::gateway {
namespace {

constexpr std::size_t kQueryItemsMax = 64;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return std::nullopt;
      }
      decoded.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      decoded.push_back(text[i] == '+' && plus_is_space ? ' ' : text[i]);
    }
    if (decoded.back() == '\0') {
      return std::nullopt;
    }
  }
  return is_utf8(decoded) ? std::optional(std::move(decoded)) : std::nullopt;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded.push_back('%');
      encoded.push_back(kDigits[byte >> 4U]);
      encoded.push_back(kDigits[byte & 15U]);
    }
  }
  return encoded;
}

Result<QueryItems> parse_query(std::string_view query) {
  QueryItems items;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view item = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (item.empty()) {
      continue;
    }
    if (items.size() == kQueryItemsMax) {
      return invalid_argument("the query has too many parameters; give at most " +
                              std::to_string(kQueryItemsMax));
    }
    const std::size_t equals = std::min(item.find('='), item.size());
    auto name = percent_decode(item.substr(0, equals), true);
    auto value =
        percent_decode(equals < item.size() ? item.substr(equals + 1) : std::string_view(), true);
    if (!name || !value || name->empty()) {
      return invalid_argument(
          "the query is not well-formed; write it like from=1&limit=10, with UTF-8 and what is "
          "neither letter nor digit as %XX");
    }
    items.emplace_back(std::move(*name), std::move(*value));
  }
  return items;
}

}  // namespace feedvault::gateway
