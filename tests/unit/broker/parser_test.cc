#include "broker/parser.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/broker/recording_sink.h"

namespace feedvault::broker {
namespace {

using testing::RecordingSink;

struct Parsed {
  std::string log;
  ParseStop stop;
};

Parser::Limits with_headers() {
  Parser::Limits limits;
  limits.headers = true;
  return limits;
}

// Feeds `input` in pieces that end at `cuts`.
Parsed parse_in_pieces(std::string_view input,
                       const std::vector<std::size_t>& cuts,
                       Parser::Limits limits = with_headers()) {
  Parser parser;
  parser.limits() = limits;
  RecordingSink sink;
  std::size_t at = 0;
  ParseStop stop = ParseStop::kInputConsumed;
  auto feed = [&](std::size_t end) {
    if (stop == ParseStop::kInputConsumed) {
      // A copy of exactly this size, so that the address sanitizer sees a read past its end.
      const std::vector<char> piece(input.begin() + static_cast<std::ptrdiff_t>(at),
                                    input.begin() + static_cast<std::ptrdiff_t>(end));
      stop = parser.parse({piece.data(), piece.size()}, sink).stop;
      at = end;
    }
  };
  for (const std::size_t cut : cuts) {
    feed(cut);
  }
  feed(input.size());
  EXPECT_EQ(sink.wrong_tails, 0);
  return {sink.log, stop};
}

Parsed parse(std::string_view input, Parser::Limits limits = with_headers()) {
  return parse_in_pieces(input, {}, limits);
}

struct Case {
  const char* shows;
  std::string input;
  std::string log;
  ParseStop stop = ParseStop::kInputConsumed;
};

std::string times(std::size_t count, char c) {
  return std::string(count, c);
}

const std::vector<Case>& cases() {
  using enum ParseStop;
  static const std::vector<Case> all = {
      {"a subscription and a message",
       "SUB foo 1\r\nPUB foo 2\r\nhi\r\n",
       "SUB|foo||1\nPUB|foo|||2|0|hi\n"},
      {"connect and ping", "CONNECT {}\r\nPING\r\n", "CONNECT|{}\nPING\n"},
      {"any case",
       "connect {\"verbose\":false}\r\npInG\r\nsub foo 1\r\nPub foo 2\r\nhi\r\n",
       "CONNECT|{\"verbose\":false}\nPING\nSUB|foo||1\nPUB|foo|||2|0|hi\n"},
      {"bare line feeds, also after the payload",
       "PING\nSUB foo 1\nPUB foo 2\nhi\nPUB foo 2\nho\r\n",
       "PING\nSUB|foo||1\nPUB|foo|||2|0|hi\nPUB|foo|||2|0|ho\n"},
      {"blanks of any kind",
       "SUB\t\tfoo  \t 1  \r\nPUB   foo    2 \r\nhi\r\n",
       "SUB|foo||1\nPUB|foo|||2|0|hi\n"},
      {"no blank after CONNECT", "CONNECT{}\r\nINFO{}\r\n", "CONNECT|{}\nINFO|{}\n"},
      {"queue and reply",
       "SUB foo.* workers a7\r\nPUB foo.x inbox.1 0\r\n\r\n",
       "SUB|foo.*|workers|a7\nPUB|foo.x|inbox.1||0|0|\n"},
      {"headers",
       "HPUB a r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nHPUB a 0 2\r\nhi\r\n",
       "HPUB|a|r|18|20|18|NATS/1.0\r\nA: b\r\n\r\nhi\nHPUB|a||0|2|0|hi\n"},
      {"replies that look like sizes",
       "PUB a 5 2\r\nhi\r\nPUB a 12ab 2\r\nho\r\nHPUB a 3 0 2\r\nhe\r\nHPUB a 3 4 1 2\r\n",
       "PUB|a|5||2|0|hi\nPUB|a|12ab||2|0|ho\nHPUB|a|3|0|2|0|he\n",
       kBadArguments},
      {"bytes around the blank in subjects",
       "PUB a!\x1f!b 1\r\nx\r\nPUB !\xff\x80\xa0\xa1!!! 1\r\ny\r\n",
       "PUB|a!\x1f!b|||1|0|x\nPUB|!\xff\x80\xa0\xa1!!!|||1|0|y\n"},
      {"unsubscribe",
       "UNSUB 1\r\nUNSUB 1 5\r\nUNSUB 1 x\r\n",
       "UNSUB|1|-1\nUNSUB|1|5\nUNSUB|1|-1\n"},
      {"sizes go out as they came in", "PUB a 002\r\nhi\r\n", "PUB|a|||002|0|hi\n"},
      {"what follows PING is ignored", "PINGxyz\nPONG now\r\n+OK whatever\r\n", "PING\nPONG\n"},
      {"line ends inside a payload",
       "PUB a 4\r\n\r\n\r\n\r\nPING\r\n",
       "PUB|a|||4|0|\r\n\r\n\nPING\n"},
      {"a \\r among bare arguments costs the last byte, as in the reference",
       "SUB a\rb 12\n",
       "SUB|a|b|1\n"},
      {"payload longer than said", "PUB foo 1\r\nhi\r\n", "", kUnknownOperation},
      {"payload shorter than said", "PUB foo 5\r\nhi\r\nPING\r\n", "", kUnknownOperation},
      {"half an end after the payload", "PUB foo 2\r\nhi\rx", "", kUnknownOperation},
      {"no size", "PUB foo\r\n", "", kBadArguments},
      {"size is no number", "PUB foo abc\r\n", "", kBadArguments},
      {"negative size", "PUB foo -1\r\n", "", kBadArguments},
      {"ten digits", "PUB foo 0000000001\r\n", "", kBadArguments},
      {"nine digits", "PUB foo 000000001\r\nx\r\n", "PUB|foo|||000000001|0|x\n"},
      {"a billion digits begin", "PUB foo " + times(5000, '9'), "", kControlLineTooLong},
      {"too many arguments", "PUB a b c 1\r\n", "", kBadArguments},
      {"SUB without sid", "SUB foo\r\n", "", kBadArguments},
      {"SUB with too much", "SUB a b c d\r\n", "", kBadArguments},
      {"UNSUB without sid", "UNSUB \r\n", "", kBadArguments},
      {"header larger than all", "HPUB a 5 4\r\n", "", kBadArguments},
      {"HPUB without header size", "HPUB a 5\r\n", "", kBadArguments},
      {"payload over the limit", "PUB foo 1048577\r\n", "", kPayloadTooLarge},
      {"payload at the limit begins", "PUB foo 1048576\r\nabc", ""},
      {"empty line", "\r\n", "", kUnknownOperation},
      {"leading blank", " PING\r\n", "", kUnknownOperation},
      {"an operation of servers", "MSG a 1 2\r\nhi\r\n", "", kUnknownOperation},
      {"half a name", "PIN\r\n", "", kUnknownOperation},
      {"no blank after SUB", "SUBfoo 1\r\n", "", kUnknownOperation},
      {"no arguments at all", "PUB\r\n", "", kUnknownOperation},
      {"what came before an error counts", "PING\r\nGARBAGE\r\n", "PING\n", kUnknownOperation},
      {"a client's error ends it", "-ERR 'x'\r\nPING\r\n", "", kBadArguments},
      {"longest control line",
       "SUB " + times(4094, 'a') + " 1\r\nPING\r\n",
       "SUB|" + times(4094, 'a') + "||1\nPING\n"},
      {"control line one too long", "SUB " + times(4095, 'a') + " 1\r\n", "", kControlLineTooLong},
      {"CONNECT counts, too", "CONNECT {" + times(4096, ' ') + "}\r\n", "", kControlLineTooLong},
      {"blanks before the arguments do not count",
       "SUB " + times(9000, ' ') + "a 1\r\n",
       "SUB|a||1\n"},
      {"PING may go on for ever", "PING" + times(9000, 'x') + "\r\n", "PING\n"},
  };
  return all;
}

TEST(Parser, SaysWhatEachDialogueMeans) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.shows);
    const Parsed parsed = parse(c.input);
    EXPECT_EQ(parsed.log, c.log);
    EXPECT_EQ(parsed.stop, c.stop);
  }
}

TEST(Parser, SplitAnywhereMeansTheSame) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.shows);
    const std::size_t step = c.input.size() > 500 ? 37 : 1;
    for (std::size_t cut = 0; cut <= c.input.size(); cut += step) {
      const Parsed parsed = parse_in_pieces(c.input, {cut});
      ASSERT_EQ(parsed.log, c.log) << "cut at " << cut;
      ASSERT_EQ(parsed.stop, c.stop) << "cut at " << cut;
    }
  }
}

TEST(Parser, SplitTwiceMeansTheSame) {
  for (const Case& c : cases()) {
    if (c.input.size() > 100) {
      continue;
    }
    for (std::size_t first = 0; first <= c.input.size(); ++first) {
      for (std::size_t second = first; second <= c.input.size(); ++second) {
        const Parsed parsed = parse_in_pieces(c.input, {first, second});
        ASSERT_EQ(parsed.log, c.log) << c.shows << ": cut at " << first << " and " << second;
        ASSERT_EQ(parsed.stop, c.stop) << c.shows << ": cut at " << first << " and " << second;
      }
    }
  }
}

TEST(Parser, ByteByByteMeansTheSame) {
  for (const Case& c : cases()) {
    std::vector<std::size_t> cuts;
    for (std::size_t i = 1; i < c.input.size(); ++i) {
      cuts.push_back(i);
    }
    const Parsed parsed = parse_in_pieces(c.input, cuts);
    ASSERT_EQ(parsed.log, c.log) << c.shows;
    ASSERT_EQ(parsed.stop, c.stop) << c.shows;
  }
}

TEST(Parser, GarbageIsNoticedWithoutItsLineEnd) {
  EXPECT_EQ(parse("GAR").stop, ParseStop::kUnknownOperation);
  EXPECT_EQ(parse("PX").stop, ParseStop::kUnknownOperation);
  EXPECT_EQ(parse("SUB" + times(3, 'x')).stop, ParseStop::kUnknownOperation);
}

TEST(Parser, NothingButConnectWhereThatIsRequired) {
  Parser::Limits limits;
  limits.connect_required = true;
  EXPECT_EQ(parse("P", limits).stop, ParseStop::kConnectRequired);
  EXPECT_EQ(parse("CONNECT {}\r\n", limits).log, "CONNECT|{}\n");
}

TEST(Parser, HeadersNeedToBeAllowed) {
  EXPECT_EQ(parse("HPUB a 0 1\r\n", {}).stop, ParseStop::kBadArguments);
}

TEST(Parser, WholeMessagesCarryTheirTail) {
  Parser parser;
  RecordingSink sink;
  EXPECT_EQ(parser.parse("PUB a 1\r\nx\r\nPUB a r 1\r\ny\r\nPUB a  1\r\nz\r\n", sink).stop,
            ParseStop::kInputConsumed);
  EXPECT_EQ(sink.tails, 2);  // not the one with two blanks
}

TEST(Parser, MessagesOfAnyLengthArriveWhole) {
  for (std::size_t length = 1; length < 40; ++length) {
    const std::string name = times(length, 'n');
    const std::string digits = times(length, '7');  // a reply, however much like a size
    for (const std::string& reply : {std::string(), name, digits}) {
      const std::string before_size = "PUB " + name + " " + reply + (reply.empty() ? "" : " ");
      RecordingSink sink;
      Parser parser;
      const std::string input = before_size + "3\r\nabc\r\n";
      // Nothing lies behind it that could be read by mistake.
      const std::vector<char> exact(input.begin(), input.end());
      ASSERT_EQ(parser.parse({exact.data(), exact.size()}, sink).stop, ParseStop::kInputConsumed);
      ASSERT_EQ(sink.log, "PUB|" + name + "|" + reply + "||3|0|abc\n");
      ASSERT_EQ(sink.tails, 1) << "in one pass";
      ASSERT_EQ(sink.wrong_tails, 0);
    }
  }
}

TEST(Parser, StopsWhereTheSinkSaysAndGoesOnThere) {
  const std::string input = "PING\r\nPUB a 1\r\nx\r\nPONG\r\n";
  Parser parser;
  RecordingSink sink;
  sink.stop_after = 2;
  const auto outcome = parser.parse(input, sink);
  EXPECT_EQ(outcome.stop, ParseStop::kSinkStopped);
  EXPECT_EQ(outcome.consumed, input.find("PONG"));
  sink.stop_after = -1;
  EXPECT_EQ(parser.parse(std::string_view(input).substr(outcome.consumed), sink).stop,
            ParseStop::kInputConsumed);
  EXPECT_EQ(sink.log, "PING\nPUB|a|||1|0|x\nPONG\n");
}

TEST(Parser, HoldsOnlyWhatHasArrived) {
  Parser parser;
  RecordingSink sink;
  ASSERT_EQ(parser.parse("PUB a 1000000\r\nabc", sink).stop, ParseStop::kInputConsumed);
  EXPECT_LT(parser.scratch_bytes(), 256U);
  const std::string rest(1000000 - 3, 'x');
  ASSERT_EQ(parser.parse(rest + "\r\n", sink).stop, ParseStop::kInputConsumed);
  EXPECT_EQ(sink.tails, 1);
  EXPECT_LT(parser.scratch_bytes(), 600U) << "freed after use";
}

TEST(ParseSize, TakesOneToNineDigits) {
  EXPECT_EQ(parse_size("0"), 0);
  EXPECT_EQ(parse_size("999999999"), 999999999);
  EXPECT_EQ(parse_size(""), -1);
  EXPECT_EQ(parse_size("1000000000"), -1);
  EXPECT_EQ(parse_size("+1"), -1);
  EXPECT_EQ(parse_size("1 "), -1);
}

}  // namespace
}  // namespace feedvault::broker
