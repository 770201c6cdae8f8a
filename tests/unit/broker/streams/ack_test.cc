#include <limits>

#include <gtest/gtest.h>

#include "broker/streams/ack_payload.h"
#include "broker/streams/ack_subject.h"
#include "broker/streams/go_duration.h"
#include "broker/streams/status_message.h"

namespace feedvault::broker::streams {
namespace {

TEST(AckSubjects, AreWrittenAsNatsServerWritesThem) {
  AckSubjectWriter writer("S", "C1");
  EXPECT_EQ(writer.write({{}, {}, 1, 1, 1, 1795294169806346437, 4}),
            "$JS.ACK.S.C1.1.1.1.1795294169806346437.4");
  EXPECT_EQ(writer.write({{}, {}, 2, 3, 4, 5, 0}), "$JS.ACK.S.C1.2.3.4.5.0");
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const auto parsed = parse_ack_subject(
      writer.write({{}, {}, most, most, most, std::numeric_limits<std::int64_t>::max(), most}));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->pending, most);
}

TEST(AckSubjects, AreReadInBothForms) {
  const auto ack = parse_ack_subject("$JS.ACK.S.C1.2.30.4.500.6");
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->stream, "S");
  EXPECT_EQ(ack->consumer, "C1");
  EXPECT_EQ(ack->deliveries, 2U);
  EXPECT_EQ(ack->stream_seq, 30U);
  EXPECT_EQ(ack->consumer_seq, 4U);
  EXPECT_EQ(ack->time_ns, 500);
  EXPECT_EQ(ack->pending, 6U);
  for (const char* const longer : {"$JS.ACK._.hash.S.C1.2.30.4.500.6",
                                   "$JS.ACK.domain.hash.S.C1.2.30.4.500.6.random",
                                   "$JS.ACK.domain.hash.S.C1.2.30.4.500.6.random.more"}) {
    const auto same = parse_ack_subject(longer);
    ASSERT_TRUE(same.has_value()) << longer;
    EXPECT_EQ(same->stream, "S");
    EXPECT_EQ(same->stream_seq, 30U);
    EXPECT_EQ(same->pending, 6U);
  }
}

TEST(AckSubjects, AreNothingElse) {
  for (const char* const other : {"",
                                  "$JS.ACK.",
                                  "$JS.ACK.S.C1.2.30.4.500",
                                  "$JS.ACK.S.C1.2.30.4.500.6.7",
                                  "$JS.ACK.S.C1.2.30.4.500.x",
                                  "$JS.ACK.S.C1.2.30.4.500.-6",
                                  "$JS.ACK.S.C1.2.30.4.500.",
                                  "$JS.ACK..C1.2.30.4.500.6",
                                  "$JS.ACK.S.C1.2.99999999999999999999.4.500.6",
                                  "$JS.FC.S.C1.2.30.4.500.6"}) {
    EXPECT_FALSE(parse_ack_subject(other).has_value()) << other;
  }
}

TEST(AckPayloads, AreReadAsNatsServerReadsThem) {
  const auto kind = [](std::string_view payload) { return parse_ack_payload(payload).kind; };
  EXPECT_EQ(kind(""), AckKind::kAck);
  EXPECT_EQ(kind("+ACK"), AckKind::kAck);
  EXPECT_EQ(kind("+OK"), AckKind::kAck);
  EXPECT_EQ(kind("+WPI"), AckKind::kProgress);
  EXPECT_EQ(kind("+TERM"), AckKind::kTerm);
  EXPECT_EQ(kind("-NAK"), AckKind::kNak);
  EXPECT_EQ(kind("+NXT"), AckKind::kNext);
  EXPECT_EQ(kind("+ack"), AckKind::kUnknown);
  EXPECT_EQ(kind("+ACK "), AckKind::kUnknown);
  EXPECT_EQ(kind("hello"), AckKind::kUnknown);
  EXPECT_EQ(parse_ack_payload("+TERM  bad order ").argument, "bad order");
  EXPECT_EQ(parse_ack_payload("+NXT 10").argument, "10");
  EXPECT_EQ(parse_ack_payload("+NXT {\"batch\":2}").argument, "{\"batch\":2}");
  EXPECT_EQ(parse_ack_payload("-NAK 10s").delay_ns, 10'000'000'000);
  EXPECT_EQ(parse_ack_payload("-NAK 10s").argument, "");
  EXPECT_EQ(parse_ack_payload("-NAK nonsense").delay_ns, 0);
  EXPECT_EQ(parse_ack_payload("-NAK {\"delay\": 5}").argument, "{\"delay\": 5}");
}

TEST(GoDurations, AreRead) {
  EXPECT_EQ(parse_go_duration("0"), 0);
  EXPECT_EQ(parse_go_duration("10ns"), 10);
  EXPECT_EQ(parse_go_duration("1.5us"), 1'500);
  EXPECT_EQ(parse_go_duration("2\xC2\xB5s"), 2'000);
  EXPECT_EQ(parse_go_duration("1h2m3.25s"), 3'723'250'000'000);
  EXPECT_EQ(parse_go_duration("-1m"), -60'000'000'000);
  EXPECT_EQ(parse_go_duration(".5s"), 500'000'000);
  for (const char* const bad : {"", "1", "s", "1 s", "1x", "--1s", "1s2", ".s", "9999999999999h"}) {
    EXPECT_FALSE(parse_go_duration(bad).has_value()) << bad;
  }
}

TEST(GoDurations, AreWritten) {
  EXPECT_EQ(format_go_duration(0), "0s");
  EXPECT_EQ(format_go_duration(7), "7ns");
  EXPECT_EQ(format_go_duration(1'500), "1.5\xC2\xB5s");
  EXPECT_EQ(format_go_duration(50'000'000), "50ms");
  EXPECT_EQ(format_go_duration(1'050'000'000), "1.05s");
  EXPECT_EQ(format_go_duration(60'000'000'000), "1m0s");
  EXPECT_EQ(format_go_duration(3'723'250'000'000), "1h2m3.25s");
  EXPECT_EQ(format_go_duration(-2'000'000), "-2ms");
}

TEST(StatusMessages, HaveNatsServersBytes) {
  EXPECT_EQ(status_block("404 No Messages"), "NATS/1.0 404 No Messages\r\n\r\n");
  EXPECT_EQ(status_block("404 No Messages").size(), 28U);
  EXPECT_EQ(status_block("408 Request Timeout", 4, 0),
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 4\r\n"
            "Nats-Pending-Bytes: 0\r\n\r\n");
  EXPECT_EQ(status_block("408 Request Timeout", 4, 0).size(), 81U);
  EXPECT_EQ(heartbeat_block(5, 7, ""),
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\nNats-Last-Stream: 7\r\n\r\n");
  EXPECT_EQ(heartbeat_block(5, 7, "$JS.FC.S.C.x"),
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\nNats-Last-Stream: 7\r\n"
            "Nats-Consumer-Stalled: $JS.FC.S.C.x\r\n\r\n");
  std::string block;
  headers_only_block("", 2, block);
  EXPECT_EQ(block, "NATS/1.0\r\nNats-Msg-Size: 2\r\n\r\n");
  EXPECT_EQ(block.size(), 30U);
  headers_only_block("NATS/1.0\r\nA: b\r\n\r\n", 0, block);
  EXPECT_EQ(block, "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 0\r\n\r\n");
  headers_only_block("junk", 1, block);
  EXPECT_EQ(block, "NATS/1.0\r\nNats-Msg-Size: 1\r\n\r\n");
}

}  // namespace
}  // namespace feedvault::broker::streams
