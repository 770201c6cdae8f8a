#include "client/history_pack.h"

namespace feedvault {
namespace {

// Byte by byte, which compilers turn into one move where the machine is little endian.
template <typename Number>
void append_number(Number value, std::string& to) {
  char bytes[sizeof(Number)];
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xFFU);
    value = static_cast<Number>(std::uint64_t{value} >> 8U);
  }
  to.append(bytes, sizeof(bytes));
}

template <typename Number>
Number take_number(std::string_view& from) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  from.remove_prefix(sizeof(Number));
  return static_cast<Number>(value);
}

std::string_view take_bytes(std::string_view& from, std::size_t size) {
  const std::string_view bytes = from.substr(0, size);
  from.remove_prefix(size);
  return bytes;
}

}  // namespace

void append_packed(const PackedMessage& message, std::string& pack) {
  append_number(message.seq, pack);
  append_number(static_cast<std::uint64_t>(message.timestamp_us), pack);
  append_number(static_cast<std::uint32_t>(message.data.size()), pack);
  append_number(static_cast<std::uint16_t>(message.id.size()), pack);
  pack.append(message.id).append(message.data);
}

std::optional<PackedMessage> take_packed(std::string_view& pack) {
  if (pack.size() < packed_bytes({})) {
    return std::nullopt;
  }
  PackedMessage message;
  message.seq = take_number<std::uint64_t>(pack);
  message.timestamp_us = static_cast<std::int64_t>(take_number<std::uint64_t>(pack));
  const std::size_t data_bytes = take_number<std::uint32_t>(pack);
  const std::size_t id_bytes = take_number<std::uint16_t>(pack);
  if (pack.size() < id_bytes || pack.size() - id_bytes < data_bytes) {
    return std::nullopt;
  }
  message.id = take_bytes(pack, id_bytes);
  message.data = take_bytes(pack, data_bytes);
  return message;
}

}  // namespace feedvault
