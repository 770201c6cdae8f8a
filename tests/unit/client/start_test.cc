#include <gtest/gtest.h>

#include "base/clock.h"
#include "client/decode.h"
#include "client/stream_service.h"

namespace feedvault {
namespace {

TEST(Start, ReadsWords) {
  EXPECT_EQ(Start::parse("new")->kind(), Start::Kind::kNew);
  EXPECT_EQ(Start::parse("first")->kind(), Start::Kind::kFirst);
}

TEST(Start, ReadsASeq) {
  const auto start = Start::parse("4711");
  ASSERT_TRUE(start);
  EXPECT_EQ(start->kind(), Start::Kind::kSeq);
  EXPECT_EQ(start->seq(), 4711U);
}

TEST(Start, ReadsATime) {
  const auto start = Start::parse("2026-11-21T20:48:54.543721Z");
  ASSERT_TRUE(start) << start.error().to_string();
  EXPECT_EQ(start->kind(), Start::Kind::kTime);
  EXPECT_EQ(format_rfc3339_us(start->time_us()), "2026-11-21T20:48:54.543721Z");
  // Never before what was asked for.
  EXPECT_EQ(Start::parse("2026-11-21T20:48:54.543721001Z")->time_us(), start->time_us() + 1);
}

TEST(Start, RefusesEverythingElseAndSaysWhatIsWanted) {
  for (const char* text : {"", "New", "-1", "12x", " 12", "99999999999999999999", "yesterday"}) {
    const auto start = Start::parse(text);
    ASSERT_FALSE(start) << text;
    EXPECT_EQ(start.error().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(start.error().message().find("new, first"), std::string::npos);
  }
}

TEST(Position, PrintsAsFeedAndSeq) {
  EXPECT_EQ((Position{.feed = "events", .seq = 7}).to_string(), "events:7");
}

TEST(Decode, GivesTypedMessages) {
  event out;
  out.set_sport(event::TENNIS);
  out.set_match_title("A - B");
  out.set_data_event("15:0");
  const auto in = decode_event(out.SerializeAsString());
  ASSERT_TRUE(in) << in.error().to_string();
  EXPECT_EQ(in->sport(), event::TENNIS);
  EXPECT_EQ(in->match_title(), "A - B");
}

TEST(Decode, RefusesWhatIsNotAMessage) {
  event out;
  out.set_match_title("A - B");
  for (const std::string& bytes :
       {std::string(), std::string("\xff\xff\xff"), out.SerializePartialAsString()}) {
    EXPECT_EQ(decode_event(bytes).status().code(), StatusCode::kCorruption);
    EXPECT_EQ(decode_execution(bytes).status().code(), StatusCode::kCorruption);
  }
}

}  // namespace
}  // namespace feedvault
