#include "client/nats/header_block.h"

#include <gtest/gtest.h>

#include "client/nats/jetstream.h"

namespace feedvault::nats {
namespace {

constexpr const char* kBlock =
    "NATS/1.0\r\nFeed-Id-Other: x\r\nEmpty:\r\nFeed-Id: events-7\r\nPadded:   a b \t\r\n"
    "Feed-Id: second\r\nColons: a:b: c\r\n\r\n";

TEST(HeaderBlock, FindsTheFirstValueOfAnExactName) {
  EXPECT_EQ(find_header(kBlock, "Feed-Id"), "events-7");
  EXPECT_EQ(find_header(kBlock, "Empty"), "");
  EXPECT_EQ(find_header(kBlock, "Padded"), "a b");
  EXPECT_EQ(find_header(kBlock, "Colons"), "a:b: c");
  EXPECT_EQ(find_header(kBlock, "feed-id"), std::nullopt);
  EXPECT_EQ(find_header(kBlock, "Feed"), std::nullopt);
  EXPECT_EQ(find_header(kBlock, "NATS/1.0"), std::nullopt);
}

TEST(HeaderBlock, ReadsBrokenBlocksAsFarAsTheyGo) {
  EXPECT_EQ(find_header("", "A"), std::nullopt);
  EXPECT_EQ(find_header("A: b", "A"), std::nullopt);  // that is the status line
  EXPECT_EQ(find_header("NATS/1.0\r\nA", "A"), std::nullopt);
  EXPECT_EQ(find_header("NATS/1.0\r\nA:", "A"), "");
  EXPECT_EQ(find_header("NATS/1.0\r\nA: b", "A"), "b");
  EXPECT_EQ(find_header("\r\n\r\n\r\nA:b\r\n", "A"), "b");
}

TEST(HeaderBlock, ReadsTheStatusLine) {
  EXPECT_EQ(read_status_line("NATS/1.0 503\r\n\r\n").status, "503");
  EXPECT_EQ(read_status_line("NATS/1.0 503\r\n\r\n").description, "");
  EXPECT_EQ(read_status_line("NATS/1.0  409  Consumer Deleted \r\n\r\n").status, "409");
  EXPECT_EQ(read_status_line("NATS/1.0 409 Consumer Deleted\r\n\r\n").description,
            "Consumer Deleted");
  EXPECT_EQ(read_status_line("NATS/1.0\r\nA: b\r\n\r\n").status, "");
  EXPECT_EQ(read_status_line("HTTP/1.1 200\r\n").status, "");
  EXPECT_EQ(read_status_line("").status, "");
}

TEST(StoredMessage, LooksItsHeadersUp) {
  StoredMessage message;
  message.headers = kBlock;
  EXPECT_EQ(message.header("Feed-Id"), "events-7");
  EXPECT_EQ(message.header("None"), std::nullopt);
  EXPECT_EQ(StoredMessage().header("Feed-Id"), std::nullopt);
}

}  // namespace
}  // namespace feedvault::nats
