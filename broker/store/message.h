#pragma once

#include <cstdint>
#include <string_view>

namespace feedvault::broker::store {

/// Number of a message in its stream; the first is 1, and 0 is none.
using StreamSeq = std::uint64_t;

/// A stored message. The texts belong to whoever filled it, who says for how long.
struct MessageView {
  StreamSeq seq = 0;
  std::int64_t time_ns = 0;  // Unix time at which it was stored
  std::string_view subject;
  std::string_view headers;  // whole block with "NATS/1.0" and the empty line, or ""
  std::string_view payload;
};

/// What a message counts as in `bytes` and against max_bytes: nats-server's formula for file
/// storage, so that limits mean the same in both. (On disk it takes a few bytes more.)
constexpr std::uint64_t accounted_bytes(std::uint64_t subject,
                                        std::uint64_t headers,
                                        std::uint64_t payload) {
  return 30 + subject + (headers == 0 ? 0 : 4 + headers) + payload;
}

}  // namespace feedvault::broker::store
