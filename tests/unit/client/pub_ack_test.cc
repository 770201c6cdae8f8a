#include <gtest/gtest.h>

#include "client/nats/jetstream.h"

namespace feedvault::nats {
namespace {

TEST(PubAck, ReadsWhatServersSend) {
  const auto ack = parse_pub_ack(R"({"stream":"FEED_events", "seq":4711})");
  ASSERT_TRUE(ack) << ack.error().to_string();
  EXPECT_EQ(ack->stream, "FEED_events");
  EXPECT_EQ(ack->seq, 4711U);
  EXPECT_FALSE(ack->duplicate);
  EXPECT_EQ(ack->error_code, 0);
}

TEST(PubAck, ReadsDuplicateDomainAndAnyOrder) {
  for (const char* text : {R"({"stream":"S", "seq":2,"duplicate": true})",
                           R"({"stream":"S", "domain":"hub", "seq":2,"duplicate":true})",
                           R"( { "duplicate" : true , "seq" : 2 , "stream" : "S" } )",
                           R"({"stream":"S","seq":2,"duplicate":true,"batch":{"n":[1,"}"]}})"}) {
    const auto ack = parse_pub_ack(text);
    ASSERT_TRUE(ack) << text;
    EXPECT_EQ(ack->stream, "S") << text;
    EXPECT_EQ(ack->seq, 2U) << text;
    EXPECT_TRUE(ack->duplicate) << text;
  }
}

TEST(PubAck, UnescapesTheStreamName) {
  const auto ack = parse_pub_ack(R"({"stream":"a\u0062\"c","seq":1})");
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->stream, "ab\"c");
}

TEST(PubAck, WrongLastSequenceNamesTheActualOne) {
  const auto ack = parse_pub_ack(
      R"({"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 29"},)"
      R"("stream":"S","seq":0})");
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->error_code, 10071);
  EXPECT_EQ(ack->actual_last_seq, 29U);
  EXPECT_EQ(ack->error_text, "wrong last sequence: 29");
}

TEST(PubAck, OtherErrorsHaveNoActualSequence) {
  const auto ack = parse_pub_ack(
      R"({"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}})");
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->error_code, 10077);
  EXPECT_FALSE(ack->actual_last_seq.has_value());
}

TEST(PubAck, AnErrorWithoutItsOwnCodeFallsBackToTheHttpOne) {
  const auto ack = parse_pub_ack(R"({"error":{"code":503,"description":"no suitable peers"}})");
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->error_code, 503);
}

TEST(PubAck, RefusesWhatIsNeither) {
  for (const char* text : {"",
                           "hello",
                           "{}",
                           "[]",
                           "7",
                           R"({"stream":"S"})",
                           R"({"seq":7})",
                           R"({"stream":"S","seq":-7})",
                           R"({"stream":"S","seq":"7"})",
                           R"({"stream":"S","seq":7)",
                           R"({"stream":"S","seq":7}x)",
                           R"({"stream":7,"seq":7})",
                           R"({"stream":"S","seq":18446744073709551616})",
                           R"({"error":{}})",
                           R"({"error":"x"})"}) {
    const auto ack = parse_pub_ack(text);
    EXPECT_FALSE(ack) << text;
    if (!ack) {
      EXPECT_EQ(ack.error().code(), StatusCode::kProtocol) << text;
    }
  }
}

}  // namespace
}  // namespace feedvault::nats
