#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace feedvault::broker::streams {

/// What a publisher asks of the stream by headers. Views into the block.
struct PublishHeaders {
  std::string_view message_id;       // Nats-Msg-Id
  std::string_view expected_stream;  // Nats-Expected-Stream
  std::string_view expected_last_id;
  std::optional<std::uint64_t> expected_last_seq;
  std::optional<std::uint64_t> expected_last_subject_seq;
  std::string_view rollup;  // "sub", "all" or something wrong
};

/// Reads a whole header block ("NATS/1.0\r\n...\r\n\r\n"). Names are compared exactly, as
/// nats-server does; of several the first counts. A number that is none becomes 2^64-1, which no
/// stream ever has.
PublishHeaders read_publish_headers(std::string_view block);

}  // namespace feedvault::broker::streams
