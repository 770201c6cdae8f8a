#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace feedvault::storage {

/// `name` as an identifier, in backticks.
std::string quote_identifier(std::string_view name);

/// Valid UTF-8 of at most bytes_max bytes: what is no UTF-8 becomes '?', the end is cut at a
/// character. Errors quote outside bytes, and a TEXT column takes nothing else.
std::string clean_text(std::string_view text, std::size_t bytes_max);
/// The same, of the length that the columns for errors and reasons get.
std::string clean_error(std::string_view text);

/// FNV-1a, 64 bits: a fingerprint against accidents, not against attackers.
std::uint64_t fingerprint(std::string_view text);

/// The integer that a result column of that type holds as text; NULL is 0.
template <typename Number>
Number number_in(const std::optional<std::string>& text) {
  Number value = 0;
  if (text.has_value()) {
    std::from_chars(text->data(), text->data() + text->size(), value);
  }
  return value;
}

}  // namespace feedvault::storage
