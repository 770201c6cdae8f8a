#include "client/history_pack.h"

#include <vector>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

std::string packed(const PackedMessage& message) {
  std::string pack;
  append_packed(message, pack);
  return pack;
}

TEST(HistoryPack, GivesBackWhatWasPutIn) {
  const std::string large(70'000, 'd');
  const std::vector<PackedMessage> messages = {
      {.seq = 1, .timestamp_us = 0, .id = "", .data = ""},
      {.seq = UINT64_MAX,
       .timestamp_us = INT64_MIN,
       .id = "a",
       .data = std::string_view("\0\n", 2)},
      {.seq = 3, .timestamp_us = -1, .id = std::string_view(large).substr(0, 255), .data = large}};
  std::string pack;
  std::size_t bytes = 0;
  for (const PackedMessage& message : messages) {
    append_packed(message, pack);
    bytes += packed_bytes(message);
    EXPECT_EQ(pack.size(), bytes);
  }
  std::string_view rest = pack;
  for (const PackedMessage& message : messages) {
    const auto taken = take_packed(rest);
    ASSERT_TRUE(taken.has_value()) << message.seq;
    EXPECT_EQ(taken->seq, message.seq);
    EXPECT_EQ(taken->timestamp_us, message.timestamp_us);
    EXPECT_EQ(taken->id, message.id);
    EXPECT_EQ(taken->data, message.data);
  }
  EXPECT_TRUE(rest.empty());
}

// Programs in other languages read it: as docs/history.md has it.
TEST(HistoryPack, HasTheDocumentedLayout) {
  EXPECT_EQ(packed({.seq = 0x0807060504030201, .timestamp_us = 0x1211, .id = "id", .data = "abc"}),
            std::string("\1\2\3\4\5\6\7\10"
                        "\x11\x12\0\0\0\0\0\0"
                        "\3\0\0\0"
                        "\2\0"
                        "idabc",
                        27));
}

TEST(HistoryPack, RefusesEveryPrefix) {
  const std::string pack = packed({.seq = 7, .timestamp_us = 8, .id = "id", .data = "abc"});
  for (std::size_t size = 1; size < pack.size(); ++size) {
    // A copy of its own, so that reading beyond it is seen.
    const std::vector<char> prefix(pack.begin(), pack.begin() + static_cast<std::ptrdiff_t>(size));
    std::string_view rest(prefix.data(), prefix.size());
    EXPECT_FALSE(take_packed(rest).has_value()) << size;
  }
}

TEST(HistoryPack, RefusesSizesThatNothingHas) {
  std::string pack = packed({.seq = 7, .timestamp_us = 8, .id = "id", .data = "abc"});
  pack.replace(16, 6, 6, '\xFF');
  std::string_view rest = pack;
  EXPECT_FALSE(take_packed(rest).has_value());
}

}  // namespace
}  // namespace feedvault
