#include "storage/sql_text.h"

#include <gtest/gtest.h>

namespace feedvault::storage {
namespace {

TEST(SqlText, QuotesIdentifiers) {
  EXPECT_EQ(quote_identifier("nss_db"), "`nss_db`");
  EXPECT_EQ(quote_identifier("a`b"), "`a``b`");
}

TEST(SqlText, CleanTextKeepsValidUtf8) {
  const std::string text = "plain, \xc3\xa4, \xe2\x82\xac, \xf0\x9f\x8f\x8c";
  EXPECT_EQ(clean_text(text, 100), text);
}

TEST(SqlText, CleanTextReplacesWhatIsNone) {
  EXPECT_EQ(clean_text("a\xff"
                       "b",
                       100),
            "a?b");
  EXPECT_EQ(clean_text("\xc0\xaf", 100), "??") << "overlong";
  EXPECT_EQ(clean_text("\xed\xa0\x80", 100), "???") << "surrogate";
  EXPECT_EQ(clean_text("\xf4\x90\x80\x80", 100), "????") << "beyond Unicode";
  EXPECT_EQ(clean_text("\xe2\x82", 100), "??") << "cut";
}

TEST(SqlText, CleanTextCutsAtACharacter) {
  EXPECT_EQ(clean_text("abc", 2), "ab");
  EXPECT_EQ(clean_text("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(clean_text("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
}

TEST(SqlText, NumberInReadsColumns) {
  EXPECT_EQ(number_in<std::uint64_t>("18446744073709551615"), 18446744073709551615U);
  EXPECT_EQ(number_in<std::int64_t>("-5"), -5);
  EXPECT_EQ(number_in<std::int64_t>(std::nullopt), 0);
}

TEST(SqlText, FingerprintsDiffer) {
  EXPECT_EQ(fingerprint("a"), 0xaf63dc4c8601ec8cU);  // FNV-1a's published value
  EXPECT_NE(fingerprint("ab"), fingerprint("ba"));
}

}  // namespace
}  // namespace feedvault::storage
