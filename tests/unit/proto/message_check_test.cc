#include "proto/message_check.h"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

TEST(Utf8, EveryCodePointThatIsOne) {
  for (std::uint32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string text;
    if (c < 0x80) {
      text = {static_cast<char>(c)};
    } else if (c < 0x800) {
      text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      text = {static_cast<char>(0xE0 | c >> 12),
              static_cast<char>(0x80 | (c >> 6 & 0x3F)),
              static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      text = {static_cast<char>(0xF0 | c >> 18),
              static_cast<char>(0x80 | (c >> 12 & 0x3F)),
              static_cast<char>(0x80 | (c >> 6 & 0x3F)),
              static_cast<char>(0x80 | (c & 0x3F))};
    }
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    ASSERT_EQ(is_utf8(text), !surrogate) << std::hex << c;
    // At every offset of the eight bytes that one step skips.
    if (c % 257 == 0) {
      for (std::size_t before = 0; before < 9; ++before) {
        ASSERT_EQ(is_utf8(std::string(before, 'a') + text + "tail"), !surrogate);
      }
    }
  }
}

TEST(Utf8, RefusesWhatOnlyLooksLikeIt) {
  EXPECT_FALSE(is_utf8("\x80"));              // a follower alone
  EXPECT_FALSE(is_utf8("\xC3"));              // cut off
  EXPECT_FALSE(is_utf8("abcdefgh\xE2\x82"));  // cut off behind whole words
  EXPECT_FALSE(is_utf8("\xC0\xAF"));          // overlong '/'
  EXPECT_FALSE(is_utf8("\xE0\x80\xAF"));
  EXPECT_FALSE(is_utf8("\xF0\x80\x80\xAF"));
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));  // past U+10FFFF
  EXPECT_FALSE(is_utf8("\xC3("));             // followed by ASCII
  EXPECT_FALSE(is_utf8("\xFF"));
  EXPECT_TRUE(is_utf8(""));
}

}  // namespace
}  // namespace feedvault
