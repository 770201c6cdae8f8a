#include "broker/websocket_frame.h"

#include <algorithm>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/broker/naive_websocket.h"

namespace feedvault::broker {
namespace {

using testing::client_frame;
using testing::NaiveFrame;
using Item = WebsocketDecoder::Item;

// What a decoder makes of the input in pieces: data as it is, the rest in words.
std::string decode(const std::string& input, std::size_t piece, bool compression = false) {
  WebsocketDecoder decoder;
  if (compression) {
    decoder.allow_compression();
  }
  std::string log;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    std::string part = input.substr(at, piece);  // of its own size, for the sanitizers
    std::span<char> left(part);
    while (!left.empty()) {
      const auto step = decoder.next(left);
      switch (step.item) {
        case Item::kNothing:
          EXPECT_EQ(step.consumed, left.size());
          break;
        case Item::kData:
          log += step.compressed ? "~" : "";
          log += step.bytes;
          break;
        case Item::kPing:
          log += "[ping " + std::string(step.bytes) + "]";
          break;
        case Item::kPong:
          log += "[pong " + std::string(step.bytes) + "]";
          break;
        case Item::kClose:
          return log + "[close " + std::string(step.bytes) + "]";
        case Item::kProblem:
          EXPECT_EQ(decoder.next(left).item, Item::kProblem);
          return log + "[" + std::string(decoder.problem()) + "]";
      }
      left = left.subspan(step.consumed);
    }
  }
  return log;
}

void expect_for_every_split(const std::string& input, const std::string& expected) {
  for (std::size_t piece = 1; piece <= input.size(); ++piece) {
    ASSERT_EQ(decode(input, piece), expected) << "in pieces of " << piece;
  }
}

TEST(WebsocketDecoder, TakesOneFrameHoweverItIsSplit) {
  expect_for_every_split(client_frame("PING\r\n"), "PING\r\n");
  expect_for_every_split(client_frame(std::string(300, 'x')), std::string(300, 'x'));
  expect_for_every_split(client_frame("text is taken, too", 1), "text is taken, too");
}

TEST(WebsocketDecoder, TakesFragmentsWithControlFramesBetweenThem) {
  expect_for_every_split(client_frame("one", 2, false) + client_frame("a", 9) +
                             client_frame("two", 0, false) + client_frame("b", 10) +
                             client_frame("", 0, false) + client_frame("three", 0, true) +
                             client_frame("next"),
                         "one[ping a]two[pong b]threenext");
}

TEST(WebsocketDecoder, EmptyFramesAreNothing) {
  expect_for_every_split(client_frame("") + client_frame("", 9) + client_frame("", 1, false) +
                             client_frame("", 0) + client_frame("x"),
                         "[ping ]x");
}

TEST(WebsocketDecoder, LengthsMayBeWrittenLongerThanNeeded) {
  for (const int bytes : {2, 8}) {
    NaiveFrame frame;
    frame.payload = "short";
    frame.length_bytes = bytes;
    expect_for_every_split(frame.encode(), "short");
  }
}

TEST(WebsocketDecoder, TheLongestControlFrameIsWhole) {
  const std::string text(kWebsocketControlBytesMax, 'p');
  expect_for_every_split(client_frame(text, 9) + client_frame("x"), "[ping " + text + "]x");
}

TEST(WebsocketDecoder, NothingFollowsAClose) {
  expect_for_every_split(client_frame("a") +
                             client_frame("\x03\xe8"
                                          "bye",
                                          8) +
                             client_frame("b"),
                         "a[close \x03\xe8"
                         "bye]");
}

TEST(WebsocketDecoder, RefusesWhatTheRulesForbid) {
  NaiveFrame unmasked;
  unmasked.masked = false;
  unmasked.payload = "x";
  expect_for_every_split(client_frame("a") + unmasked.encode(), "a[mask bit missing]");
  for (const unsigned reserved : {1U, 2U, 3U}) {
    NaiveFrame frame;
    frame.reserved = reserved;
    expect_for_every_split(frame.encode(), "[reserved bits are set]");
  }
  for (const unsigned opcode : {3U, 7U, 11U, 15U}) {
    expect_for_every_split(client_frame("x", opcode), "[unknown opcode]");
  }
  expect_for_every_split(client_frame("x", 9, false), "[fragmented control frame]");
  expect_for_every_split(client_frame(std::string(126, 'x'), 9), "[control frame too long]");
  expect_for_every_split(client_frame("x", 0), "[invalid continuation frame]");
  expect_for_every_split(client_frame("a", 2, false) + client_frame("b"),
                         "a[new message before the last one ended]");
  expect_for_every_split(client_frame("a", 2, false) + client_frame("b", 0) + client_frame("c", 0),
                         "ab[invalid continuation frame]");
  std::string endless = "\x82\xff";
  endless += std::string("\x80\0\0\0\0\0\0\x01", 8) + "mask" + "x";
  expect_for_every_split(endless, "[frame too long]");
}

TEST(WebsocketDecoder, CompressionIsAllowedOnlyWhereItWasAgreedUpon) {
  NaiveFrame first;
  first.reserved = 4;
  first.payload = "a";
  first.final = false;
  const std::string message = first.encode() + client_frame("b", 0) + client_frame("c");
  EXPECT_EQ(decode(message, 1000), "[unexpected compressed frame]");
  EXPECT_EQ(decode(message, 1000, true), "~a~bc");
  NaiveFrame later = first;
  later.opcode = 0;
  EXPECT_EQ(decode(first.encode() + later.encode(), 1000, true), "~a[unexpected compressed frame]");
  NaiveFrame ping = first;
  ping.opcode = 9;
  ping.final = true;
  EXPECT_EQ(decode(ping.encode(), 1000, true), "[compressed control frame]");
}

TEST(WebsocketDecoder, RandomFramesInRandomPiecesAreOneStream) {
  std::mt19937 random(29);
  for (int round = 0; round < 50; ++round) {
    std::string input;
    std::string expected;
    for (int i = 0; i < 20; ++i) {
      NaiveFrame frame;
      const std::size_t size = i % 7 == 0 ? random() % 70'000 : random() % 200;
      for (std::size_t at = 0; at < size; ++at) {
        frame.payload += static_cast<char>(random());
      }
      for (unsigned char& each : frame.mask) {
        each = static_cast<unsigned char>(random());
      }
      input += frame.encode();
      expected += frame.payload;
    }
    ASSERT_TRUE(decode(input, 1 + random() % 5000) == expected);
  }
}

TEST(WebsocketEncoder, WritesWhatTheNaiveOneWrites) {
  for (const std::size_t size : {std::size_t{0},
                                 std::size_t{1},
                                 std::size_t{125},
                                 std::size_t{126},
                                 std::size_t{127},
                                 std::size_t{65535},
                                 std::size_t{65536},
                                 std::size_t{100'000}}) {
    NaiveFrame frame;
    frame.masked = false;
    frame.payload = std::string(size, 'x');
    std::string header(kWebsocketHeaderBytesMax, '\0');
    header.resize(write_websocket_header(header.data(), WebsocketOpcode::kBinary, size));
    EXPECT_TRUE(header + frame.payload == frame.encode()) << size;
    frame.reserved = 4;
    header.resize(kWebsocketHeaderBytesMax);
    header.resize(write_websocket_header(header.data(), WebsocketOpcode::kBinary, size, true));
    EXPECT_TRUE(header + frame.payload == frame.encode()) << size;
  }
}

TEST(WebsocketEncoder, ControlFramesAreCutToFit) {
  std::string close = websocket_close_frame(1008, std::string(200, 'r'));
  const auto frames = testing::take_frames(close);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].opcode, 8U);
  EXPECT_EQ(frames[0].payload, "\x03\xf0" + std::string(123, 'r'));
}

TEST(WebsocketClose, StatusesForUseInsideOfProgramsAreNotTakenFromOutside) {
  const auto payload = [](unsigned status) {
    return std::string{static_cast<char>(status >> 8U), static_cast<char>(status & 0xffU)};
  };
  for (const unsigned good : {1000U, 1001U, 1003U, 1007U, 1011U, 1014U, 3000U, 4999U}) {
    EXPECT_TRUE(is_valid_close_payload(payload(good))) << good;
  }
  for (const unsigned bad : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 2999U, 5000U, 65535U}) {
    EXPECT_FALSE(is_valid_close_payload(payload(bad))) << bad;
  }
  EXPECT_TRUE(is_valid_close_payload(""));
  EXPECT_FALSE(is_valid_close_payload("x"));
}

}  // namespace
}  // namespace feedvault::broker
