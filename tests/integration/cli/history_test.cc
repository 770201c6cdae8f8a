#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "proto/event.pb.h"
#include "tests/integration/cli/config_file.h"
#include "tests/integration/storage/fixture.h"
#include "tests/support/feed_stream.h"
#include "tests/support/nats_server.h"

namespace feedvault {
namespace {

using testing::FeedStream;
using testing::Finished;

/// Feed `events` in table and stream, as FeedStream publishes it, and the program.
class HistoryCommandTest : public storage::StorageTest {
 protected:
  void SetUp() override {
    storage::StorageTest::SetUp();
    stream_.create();
    testing::write_config(folder_.file("config.toml"), broker_.config(), config_, 8081);
  }
  void catalogue(std::uint64_t first, std::uint64_t last) {
    storage::TestBatch batch(first);
    for (std::uint64_t seq = first; seq <= last; ++seq) {
      batch.message_at(FeedStream::id_of(seq),
                       FeedStream::payload_of(seq),
                       FeedStream::timestamp_us_of(seq),
                       /*generated=*/false);
    }
    commit(*writer(), batch);
  }
  Finished feedvault(std::vector<std::string> arguments) {
    arguments.insert(
        arguments.begin(),
        {testing::built_program("feedvault"), "--config", folder_.file("config.toml")});
    return testing::run(arguments);
  }

  testing::TempDir folder_;
  testing::NatsServer broker_;
  FeedStream stream_{broker_.config(), "events"};
};

std::vector<std::string> lines_in(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

TEST_F(HistoryCommandTest, PrintsARangeInItsFormatsAndFilters) {
  storage::TestBatch batch;
  for (int i = 1; i <= 6; ++i) {
    event message;
    message.set_sport(i % 2 == 0 ? event::GOLF : event::TENNIS);
    message.set_match_title("A, \"B\" " + std::to_string(i));
    message.set_data_event("par");
    batch.message("id" + std::to_string(i), message.SerializeAsString());
  }
  batch.message("bad", "\xff");
  commit(*writer(), batch);

  const auto rows = lines_in(feedvault({"history", "events", "--from", "6"}).output);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(nlohmann::json::parse(rows[0]).at("seq"), 6);
  EXPECT_EQ(nlohmann::json::parse(rows[0]).at("body").at("sport"), "GOLF");
  EXPECT_TRUE(nlohmann::json::parse(rows[1]).at("body").is_null());
  EXPECT_TRUE(nlohmann::json::parse(rows[1]).contains("error"));

  const auto csv = lines_in(
      feedvault({"history", "events", "--to", "4", "--format", "csv", "sport=GOLF"}).output);
  ASSERT_EQ(csv.size(), 3U);
  EXPECT_EQ(csv[0], "seq,id,timestamp,sport,match_title,data_event\r");
  EXPECT_TRUE(csv[1].starts_with("2,id2,")) << csv[1];
  EXPECT_TRUE(csv[1].ends_with("Z,GOLF,\"A, \"\"B\"\" 2\",par\r")) << csv[1];

  const auto from = format_rfc3339_us(storage::TestBatch::kTimeUs + 3);
  const auto table = lines_in(
      feedvault({"history", "events", "--from", from, "--to", from, "--format", "table"}).output);
  ASSERT_EQ(table.size(), 2U);
  EXPECT_TRUE(table[1].starts_with("3    id3  2025-")) << table[1];

  const Finished wrong = feedvault({"history", "events", "colour=red"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_NE(wrong.output.find("match_title"), std::string::npos) << wrong.output;
  EXPECT_EQ(feedvault({"history", "events", "--from", "new"}).exit_code, 2);
}

TEST_F(HistoryCommandTest, VerifyFindsWhatIsWrong) {
  catalogue(1, 50);
  stream_.publish(1, 50);
  ASSERT_TRUE(stream_.jetstream().purge_below(stream_.name(), 11).ok());
  catalogue(51, 52);
  const Finished good = feedvault({"verify", "events"});
  EXPECT_EQ(good.exit_code, 0) << good.output;
  EXPECT_NE(good.output.find("table   52 messages"), std::string::npos) << good.output;
  EXPECT_NE(good.output.find("stream  40 messages compared"), std::string::npos) << good.output;
  EXPECT_NE(good.output.find("2 at the end are catalogued and not published"), std::string::npos);

  server().sql(
      "DELETE FROM Messages WHERE seq IN (5,6,7,20);"
      "UPDATE Messages SET data='other' WHERE seq=30;"
      "UPDATE Messages SET id='other' WHERE seq=31",
      config_.database);
  ASSERT_TRUE(stream_.connection().request({.subject = "$JS.API.STREAM.MSG.DELETE.FEED_events",
                                            .reply = {},
                                            .headers = {},
                                            .payload = R"({"seq":40})"},
                                           std::chrono::seconds(20)));
  const Finished bad = feedvault({"verify", "events"});
  EXPECT_EQ(bad.exit_code, 1) << bad.output;
  for (const char* line : {"  5 to 7: not in the table",
                           "  20: in the stream, not in the table",
                           "  30: stream and table differ in bytes",
                           "  31: stream and table differ in id",
                           "  40: in the table, not in the stream",
                           "WRONG: 7 messages"}) {
    EXPECT_NE(bad.output.find(line), std::string::npos) << line << "\n" << bad.output;
  }
  EXPECT_EQ(feedvault({"verify", "events", "--from", "41", "--to", "50"}).exit_code, 0);
}

}  // namespace
}  // namespace feedvault
