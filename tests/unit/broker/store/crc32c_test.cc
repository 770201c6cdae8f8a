#include "broker/store/crc32c.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace feedvault::broker::store {
namespace {

TEST(Crc32c, HasThePublishedValues) {
  // RFC 3720, B.4, and the check value of every catalogue.
  std::string ascending;
  for (char c = 0; c < 32; ++c) {
    ascending += c;
  }
  for (const auto crc : {crc32c, crc32c_portable}) {
    EXPECT_EQ(crc(0, "123456789"), 0xE3069283U);
    EXPECT_EQ(crc(0, std::string(32, '\0')), 0x8A9136AAU);
    EXPECT_EQ(crc(0, std::string(32, '\xFF')), 0x62A8AB43U);
    EXPECT_EQ(crc(0, ascending), 0x46DD794EU);
    EXPECT_EQ(crc(0, ""), 0U);
  }
}

TEST(Crc32c, IsTheSameInPiecesAndWithoutTheInstruction) {
  std::mt19937 random(1);
  std::string text(300, '\0');
  for (char& c : text) {
    c = static_cast<char>(random());
  }
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const std::string_view part = std::string_view(text).substr(0, size);
    const std::uint32_t whole = crc32c(0, part);
    EXPECT_EQ(crc32c_portable(0, part), whole);
    EXPECT_EQ(crc32c(crc32c(0, part.substr(0, size / 3)), part.substr(size / 3)), whole);
  }
}

TEST(Crc32c, OfMuchIsTheSameAsOfItsPieces) {
  std::mt19937 random(2);
  std::string text(20000, '\0');
  for (char& c : text) {
    c = static_cast<char>(random());
  }
  for (int round = 0; round < 200; ++round) {
    const std::size_t size = random() % text.size();
    const std::string_view part = std::string_view(text).substr(random() % 9, size);
    const auto seed = static_cast<std::uint32_t>(random());
    ASSERT_EQ(crc32c(seed, part), crc32c_portable(seed, part)) << size;
  }
}

}  // namespace
}  // namespace feedvault::broker::store
