// What a history request may ask for, and how messages are written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gateway/feed_list_json.h"
#include "gateway/history_query.h"
#include "gateway/message_writer.h"
#include "gateway/quarantine_json.h"
#include "proto/execution.pb.h"

namespace feedvault::gateway {
namespace {

using ::testing::HasSubstr;

Feed make_feed(const std::string& name, const std::string& message) {
  Feed feed;
  feed.config.name = name;
  feed.config.number = 2;
  feed.config.republish = "feed." + name;
  feed.schema =
      MessageSchema::load(std::string(FEEDVAULT_PROTO_DIR "/") + message + ".proto", message)
          .value();
  return feed;
}

class HistoryTest : public ::testing::Test {
 protected:
  Result<HistoryQuery> parse(const std::string& query) {
    return parse_history_query(executions_, parse_query(query).value());
  }
  std::string error(const std::string& query) {
    const auto parsed = parse(query);
    return parsed.has_value() ? "no error" : parsed.error().message();
  }
  static std::string bytes() {
    execution message;
    message.set_symbol("ACME,\"x\"");
    message.set_market("NYSE");
    message.set_price(12.34F);
    message.set_quantity(5);
    message.set_executionepoch(1234567890123);
    message.set_statesymbol("=cmd\n");
    return message.SerializeAsString();
  }

  const Feed executions_ = make_feed("executions", "execution");
};

TEST_F(HistoryTest, DefaultsAreTheFirstThousand) {
  const HistoryQuery query = parse("").value();
  EXPECT_EQ(query.from.seq, 1U);
  EXPECT_FALSE(query.to.has_value());
  EXPECT_EQ(query.limit, 1000U);
  EXPECT_FALSE(query.has_conditions());
}

TEST_F(HistoryTest, PositionsAndTimesBoundIt) {
  const HistoryQuery query =
      parse("from=17&to=2026-11-21T20:48:54.000000001Z&limit=5&symbol=ACME").value();
  EXPECT_EQ(query.from.seq, 17U);
  EXPECT_EQ(query.to->time_us % 1'000'000, 1) << "upwards to whole microseconds";
  EXPECT_EQ(query.limit, 5U);
  const storage::Scan scan = query.scan();
  EXPECT_EQ(scan.to_us, query.to->time_us);
  ASSERT_EQ(scan.equal.size(), 1U);
  EXPECT_EQ(scan.equal[0].path, "$.\"symbol\"");
  EXPECT_EQ(scan.equal[0].value, "ACME");
}

TEST_F(HistoryTest, WrongQueriesSayWhatWouldBeRight) {
  EXPECT_THAT(error("from=yesterday"), HasSubstr("give first, a seq (4711) or a time"));
  EXPECT_THAT(error("from=-1"), HasSubstr("give first, a seq"));
  EXPECT_THAT(error("to=first"), HasSubstr("is no position; give a seq"));
  EXPECT_THAT(error("limit=0"), HasSubstr("give a number from 1 to"));
  EXPECT_THAT(error("limit=99999999999999999999"), HasSubstr("give a number from 1 to"));
  EXPECT_THAT(error("symbl=x"), HasSubstr("its fields are symbol, market, price"));
  EXPECT_THAT(error("body.from=x"), HasSubstr("its fields are"));
  EXPECT_THAT(error("price=cheap"), HasSubstr("of type float; give a number"));
  EXPECT_THAT(error("executionEpoch=1.5"), HasSubstr("give a whole number"));
  EXPECT_THAT(error("from=1&from=2"), HasSubstr("given twice"));
  EXPECT_THAT(error("symbol=a&body.symbol=b&market=c&price=1&quantity=2&stateSymbol=d"),
              HasSubstr("too many conditions"));
}

TEST_F(HistoryTest, WhatLooksLikeSqlIsAValue) {
  const std::string evil = "x' OR 1=1; DROP TABLE Messages; -- <script>";
  const HistoryQuery query = parse("symbol=" + percent_encode(evil)).value();
  EXPECT_EQ(query.scan().equal[0].value, evil);
  EXPECT_THAT(error(percent_encode("symbol' OR '1'='1") + "=x"), HasSubstr("nor a field of feed"));
}

TEST_F(HistoryTest, FiltersCompareAsTheFieldsTypeDoes) {
  MessageWriter writer(executions_);
  const std::string data = bytes();
  const std::string body(writer.body_of({.data = data}).value());
  const auto matches = [&](const std::string& query) {
    const HistoryQuery parsed = parse(query).value();
    return parsed.filters.front().matches(body);
  };
  EXPECT_TRUE(matches("symbol=" + percent_encode("ACME,\"x\"")));
  EXPECT_FALSE(matches("symbol=ACME"));
  EXPECT_TRUE(matches("price=12.34"));
  EXPECT_TRUE(matches("price=12.340"));
  EXPECT_TRUE(matches("price=1.234e1"));
  EXPECT_FALSE(matches("price=12.35"));
  EXPECT_TRUE(matches("executionEpoch=1234567890123"));
  EXPECT_TRUE(matches("executionEpoch=001234567890123"));
  EXPECT_FALSE(matches("price=NaN"));
  EXPECT_FALSE(parse("market=NYSE")->filters.front().matches("not json"));
}

TEST(FormatTest, TheAcceptHeaderChooses) {
  EXPECT_EQ(choose_format(""), Format::kJson);
  EXPECT_EQ(choose_format("*/*"), Format::kJson);
  EXPECT_EQ(choose_format("text/csv"), Format::kCsv);
  EXPECT_EQ(choose_format("TEXT/*;q=0.5, application/x-ndjson"), Format::kNdjson);
  EXPECT_EQ(choose_format("application/json;q=0.1, text/csv;q=0.2"), Format::kCsv);
  EXPECT_EQ(choose_format("text/html,application/xhtml+xml,*/*;q=0.8"), Format::kJson);
  EXPECT_EQ(choose_format("application/json;q=0,*/*"), Format::kNdjson);
  EXPECT_EQ(choose_format("application/ndjson"), Format::kNdjson);
  EXPECT_EQ(choose_format("image/png"), std::nullopt);
  EXPECT_EQ(choose_format(",;,q=,;;"), std::nullopt);
  EXPECT_TRUE(accepts_explicitly("application/octet-stream;q=1", "application/octet-stream"));
  EXPECT_FALSE(accepts_explicitly("*/*", "application/octet-stream"));
}

TEST_F(HistoryTest, TheNextPageKeepsTheConditions) {
  EXPECT_EQ(next_target(executions_, {{"from", "1"}, {"limit", "5"}, {"symbol", "a b&"}}, 6),
            "/feeds/executions/messages?from=6&limit=5&symbol=a%20b%26");
}

TEST_F(HistoryTest, JsonIsOneLineAMessage) {
  MessageWriter writer(executions_);
  const std::string data = bytes();
  std::string line;
  writer.append_json({.seq = 7, .timestamp_us = 1, .id = "\xff<", .data = data}, line);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["seq"], 7);
  EXPECT_EQ(json["id"], "\xEF\xBF\xBD<");
  EXPECT_EQ(json["timestamp"], "1970-01-01T00:00:00.000001Z");
  EXPECT_EQ(json["body"]["symbol"], "ACME,\"x\"");
  EXPECT_EQ(json["body"]["executionEpoch"], "1234567890123");
}

TEST_F(HistoryTest, TimesOfOneSecondAndTheNextAreRight) {
  MessageWriter writer(executions_);
  std::string lines;
  for (const std::int64_t us : {1763758134543721L, 1763758134000000L, 1763758135999999L, -1L}) {
    writer.append_json({.timestamp_us = us, .body = "{}"}, lines);
  }
  EXPECT_THAT(lines, HasSubstr("\"2025-11-21T20:48:54.543721Z\""));
  EXPECT_THAT(lines, HasSubstr("\"2025-11-21T20:48:54.000000Z\""));
  EXPECT_THAT(lines, HasSubstr("\"2025-11-21T20:48:55.999999Z\""));
  EXPECT_THAT(lines, HasSubstr("\"1969-12-31T23:59:59.999999Z\""));
}

TEST_F(HistoryTest, AnEventStaysOneEvent) {
  MessageWriter writer(executions_);
  std::string event;
  writer.append_event({.seq = 7, .id = "a\n\nid: 9", .body = "{\n\"a\":\r1}"}, event);
  EXPECT_THAT(event, ::testing::StartsWith("id: executions:7\ndata: {\"seq\":7,"));
  EXPECT_EQ(std::count(event.begin(), event.end(), '\n'), 3);
  EXPECT_EQ(event.find('\r'), std::string::npos);
  std::string gap;
  writer.append_gap_event(3, 9, gap);
  EXPECT_EQ(gap, "id: executions:9\nevent: gap\ndata: {\"first\":3,\"last\":9}\n\n");
}

TEST_F(HistoryTest, BytesThatAreNoMessageAreSaidToBeNone) {
  MessageWriter writer(executions_);
  std::string line;
  writer.append_json({.seq = 1, .data = "poison"}, line);
  const auto json = nlohmann::json::parse(line);
  EXPECT_TRUE(json["body"].is_null());
  EXPECT_TRUE(json["error"].is_string());
}

TEST_F(HistoryTest, CsvQuotesWhatItMust) {
  MessageWriter writer(executions_);
  const std::string data = bytes();
  std::string csv;
  writer.append_csv_header(csv);
  writer.append_csv({.seq = 7, .timestamp_us = 0, .id = "i", .data = data}, csv);
  EXPECT_EQ(csv,
            "seq,id,timestamp,symbol,market,price,quantity,executionEpoch,stateSymbol\r\n"
            "7,i,1970-01-01T00:00:00.000000Z,\"ACME,\"\"x\"\"\",NYSE,12.34,5,1234567890123,"
            "\"=cmd\n\"\r\n");
}

TEST_F(HistoryTest, FeedsAreDescribed) {
  std::string text;
  append_feed_json(executions_, {.first_seq = 3, .last_seq = 7, .rate = 1.5, .waiting = 4}, text);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["name"], "executions");
  EXPECT_EQ(json["messages"], 5);
  EXPECT_EQ(json["first"], "executions:3");
  EXPECT_EQ(json["last"], "executions:7");
  EXPECT_EQ(json["lag"]["uncatalogued"], 4);
  EXPECT_TRUE(json["lag"]["unpublished"].is_null());
  EXPECT_EQ(json["schema"]["message"], "execution");
  EXPECT_EQ(json["schema"]["fields"][2]["type"], "float");
  std::string empty;
  append_feed_json(executions_, {}, empty);
  EXPECT_TRUE(nlohmann::json::parse(empty)["first"].is_null());
}

TEST(Base64Test, IsThatOfTheRfc) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xff\0\xfe", 3)), "/wD+");
}

}  // namespace
}  // namespace feedvault::gateway
