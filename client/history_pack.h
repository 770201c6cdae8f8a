#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace feedvault {

// Many messages of a page of history in one NATS message: between broker and client a message costs
// much the same whether it is of 100 bytes or of some thousand. Without padding, numbers little
// endian (docs/history.md):
//
//   | seq: 8 | timestamp, Unix us: 8 | size of data: 4 | size of id: 2 | id | data | seq: 8 ...

/// A message in a pack; views into it.
struct PackedMessage {
  std::uint64_t seq = 0;
  std::int64_t timestamp_us = 0;
  std::string_view id;    // 65,535 bytes at most; the table's have 255
  std::string_view data;  // below 4 GiB; the table's below 16 MiB
};

/// What a message takes in a pack.
inline std::size_t packed_bytes(const PackedMessage& message) {
  return 22 + message.id.size() + message.data.size();
}

void append_packed(const PackedMessage& message, std::string& pack);

/// Takes the first message off `pack`; nullopt when those bytes are none.
std::optional<PackedMessage> take_packed(std::string_view& pack);

}  // namespace feedvault
