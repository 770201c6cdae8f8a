#include "gateway/history_request.h"

#include <gtest/gtest.h>

namespace feedvault::gateway {
namespace {

HistoryAsk parsed(std::string_view text) {
  const auto ask = parse_history_request(text);
  EXPECT_TRUE(ask.has_value()) << text << ": " << ask.status().to_string();
  return ask.has_value() ? *ask : HistoryAsk();
}

std::string refused(std::string_view text) {
  const auto ask = parse_history_request(text);
  EXPECT_EQ(ask.status().code(), StatusCode::kInvalidArgument) << text;
  return ask.status().message();
}

TEST(HistoryRequest, NothingAsksForTheFirstPage) {
  for (const char* text : {"", "{}", R"({"from_seq":0})"}) {
    const HistoryAsk ask = parsed(text);
    EXPECT_EQ(ask.page.range.first, 1U);
    EXPECT_GT(ask.page.range.last, 1ULL << 62U);
    EXPECT_EQ(ask.page.messages_max, kHistoryMessagesDefault);
    EXPECT_EQ(ask.page.bytes_max, kHistoryBytesDefault);
    EXPECT_FALSE(ask.from_time_us || ask.to_time_us || ask.page.with_body);
  }
}

TEST(HistoryRequest, TakesARangeOfPositionsOrTimes) {
  const HistoryAsk seqs = parsed(R"({"from_seq":7,"to_seq":9,"max_messages":5,"max_bytes":1000})");
  EXPECT_EQ(seqs.page.range, (SeqRange{7, 9}));
  EXPECT_EQ(seqs.page.messages_max, 5U);
  EXPECT_EQ(seqs.page.bytes_max, 1000U);
  const HistoryAsk times =
      parsed(R"({"from_time":"1970-01-01T00:00:01Z","to_time":"1970-01-01T00:00:02.000001Z"})");
  EXPECT_EQ(times.from_time_us, 1'000'000);
  EXPECT_EQ(times.to_time_us, 2'000'001);
}

TEST(HistoryRequest, PacksOnRequestOnly) {
  EXPECT_FALSE(parsed("{}").packed);
  EXPECT_FALSE(parsed(R"({"packed":false})").packed);
  EXPECT_TRUE(parsed(R"({"packed":true})").packed);
  EXPECT_NE(refused(R"({"packed":1})").find("packed must be true or false"), std::string::npos);
}

TEST(HistoryRequest, NobodyGetsMoreThanTheMost) {
  const HistoryAsk ask =
      parsed(R"({"max_messages":18446744073709551615,"max_bytes":18446744073709551615})");
  EXPECT_EQ(ask.page.messages_max, kHistoryMessagesMax);
  EXPECT_EQ(ask.page.bytes_max, kHistoryBytesMax);
}

TEST(HistoryRequest, ARefusalSaysWhatWouldBeRight) {
  EXPECT_NE(refused("events").find("JSON object"), std::string::npos);
  EXPECT_NE(refused("[1]").find("from_seq"), std::string::npos);
  EXPECT_NE(refused(R"({"form_seq":1})").find("unknown key 'form_seq'"), std::string::npos);
  EXPECT_NE(refused(R"({"from_seq":-1})").find("from_seq"), std::string::npos);
  EXPECT_NE(refused(R"({"from_seq":1.5})").find("whole number"), std::string::npos);
  EXPECT_NE(refused(R"({"to_seq":"9"})").find("to_seq"), std::string::npos);
  EXPECT_NE(refused(R"({"from_time":"yesterday"})").find("2026-11-21T"), std::string::npos);
  EXPECT_NE(refused(R"({"from_time":5})").find("from_time"), std::string::npos);
  EXPECT_NE(refused(R"({"from_seq":1,"from_time":"1970-01-01T00:00:01Z"})").find("not both"),
            std::string::npos);
  EXPECT_NE(refused(R"({"to_seq":1,"to_time":"1970-01-01T00:00:01Z"})").find("not both"),
            std::string::npos);
}

TEST(HistoryRequest, ARefusalIsFitForAHeader) {
  const std::string text = refused("{\"a\\r\\nb\\u0000\\u00e4\":1}");
  for (const char c : text) {
    EXPECT_TRUE(c >= 0x20 && c < 0x7F) << text;
  }
  EXPECT_LT(refused("{\"" + std::string(5000, 'k') + "\":1}").size(), 300U);
}

}  // namespace
}  // namespace feedvault::gateway
