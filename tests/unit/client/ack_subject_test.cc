#include "client/nats/ack_subject.h"

#include <string>

#include <gtest/gtest.h>

namespace feedvault::nats {
namespace {

TEST(AckSubject, ReadsTheFormOfNineTokens) {
  AckSubject ack;
  ASSERT_TRUE(parse_ack_subject("$JS.ACK.S.C.1.20.3.1795294169806346437.4", ack));
  EXPECT_EQ(ack.deliveries, 1U);
  EXPECT_EQ(ack.stream_seq, 20U);
  EXPECT_EQ(ack.consumer_seq, 3U);
  EXPECT_EQ(ack.time_ns, 1795294169806346437);
  EXPECT_EQ(ack.pending, 4U);
}

TEST(AckSubject, ReadsTheFormWithDomainAndAccount) {
  for (const std::string tail : {"", ".x7Gd"}) {
    AckSubject ack;
    ASSERT_TRUE(parse_ack_subject("$JS.ACK._.ACCHASH.S.C.2.21.5.17.9" + tail, ack)) << tail;
    EXPECT_EQ(ack.deliveries, 2U);
    EXPECT_EQ(ack.stream_seq, 21U);
    EXPECT_EQ(ack.consumer_seq, 5U);
    EXPECT_EQ(ack.time_ns, 17);
    EXPECT_EQ(ack.pending, 9U);
  }
}

TEST(AckSubject, ReadsTheLargestSequence) {
  AckSubject ack;
  ASSERT_TRUE(parse_ack_subject("$JS.ACK.S.C.1.18446744073709551615.1.1.0", ack));
  EXPECT_EQ(ack.stream_seq, 18446744073709551615U);
}

TEST(AckSubject, RefusesEverythingElse) {
  for (const char* subject : {"",
                              "_INBOX.abc.1",
                              "$JS.ACK.",
                              "$JS.ACK.S.C.1.20.3.17",
                              "$JS.ACK.S.C.1.20.3.17.4.5",
                              "$JS.ACK.S.C.1.20.3.17.",
                              "$JS.ACK.S..1.20.3.17.4",
                              "$JS.ACK.S.C.1.x.3.17.4",
                              "$JS.ACK.S.C.1.20.3.17.4x",
                              "$JS.ACK.S.C.1.-20.3.17.4",
                              "$JS.ACK.S.C.1.18446744073709551616.3.17.4",
                              "$JS.ACK.a.b.S.C.1.20.3.17.4.5.6"}) {
    AckSubject ack;
    EXPECT_FALSE(parse_ack_subject(subject, ack)) << subject;
  }
}

}  // namespace
}  // namespace feedvault::nats
