#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "client/history_source.h"

namespace feedvault::gateway {

/// What one request may have at most, whatever it asks for.
inline constexpr std::size_t kHistoryMessagesMax = 16384;
inline constexpr std::size_t kHistoryBytesMax = 4U << 20U;
/// What it gets when it does not say.
inline constexpr std::size_t kHistoryMessagesDefault = 1024;
inline constexpr std::size_t kHistoryBytesDefault = 1U << 20U;

/// A request to feed.history.<feed>: docs/history.md.
struct HistoryAsk {
  HistoryRequest page;
  /// Instead of the range's ends, where given; Unix microseconds.
  std::optional<std::int64_t> from_time_us;
  std::optional<std::int64_t> to_time_us;
  bool packed = false;  // many messages in one, as client/history_pack.h has it
};

/// Reads the JSON of a request; nothing at all asks for the first page. kInvalidArgument with what
/// would be right, in one line without control characters.
Result<HistoryAsk> parse_history_request(std::string_view payload);

}  // namespace feedvault::gateway
