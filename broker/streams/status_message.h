#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace feedvault::broker::streams {

// Header blocks of messages that have nothing else: how a consumer talks to its clients besides
// messages. Texts are nats-server's; clients compare some of them.

/// `NATS/1.0 <status>` and the empty line, such as "404 No Messages".
std::string status_block(std::string_view status);
/// Besides, what a pull request still wanted.
std::string status_block(std::string_view status, std::int64_t messages, std::int64_t bytes);

/// Sequence numbers of the last delivery. `stalled`: reply subject of the flow control request that
/// is not answered yet, or "".
std::string heartbeat_block(std::uint64_t consumer_seq,
                            std::uint64_t stream_seq,
                            std::string_view stalled);

/// `headers` ("" or a whole block) and the size of the payload that is left out, into `out`.
void headers_only_block(std::string_view headers, std::size_t payload_bytes, std::string& out);

}  // namespace feedvault::broker::streams
