#include "feeds/generator.h"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "proto/event.pb.h"
#include "proto/execution.pb.h"
#include "proto/message_schema.h"
#include "tests/support/sanitized.h"

namespace feedvault {
namespace {

using Json = nlohmann::json;

std::vector<std::string> messages(const std::string& feed, std::uint64_t seed, int count) {
  const auto generator = new_generator(feed, seed);
  std::vector<std::string> all(static_cast<std::size_t>(count));
  for (std::string& message : all) {
    message = generator->next();
  }
  return all;
}

// FNV-1a over all messages and their lengths.
std::uint64_t fingerprint(const std::vector<std::string>& all) {
  std::uint64_t hash = 14'695'981'039'346'656'037ULL;
  for (const std::string& message : all) {
    for (const char c : message + static_cast<char>(message.size())) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211ULL;
    }
  }
  return hash;
}

class Generators : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Feeds, Generators, ::testing::Values("events", "executions"));

TEST_P(Generators, TheSameSeedGivesTheSameBytes) {
  EXPECT_EQ(messages(GetParam(), 7, 5000), messages(GetParam(), 7, 5000));
  EXPECT_NE(messages(GetParam(), 7, 10), messages(GetParam(), 8, 10));
}

TEST_P(Generators, MakeMessagesThatTheSchemaTakes) {
  const std::string type = GetParam() == std::string("events") ? "event" : "execution";
  const auto schema =
      MessageSchema::load(std::string(FEEDVAULT_PROTO_DIR) + "/" + type + ".proto", type);
  ASSERT_TRUE(schema.has_value()) << schema.error().to_string();
  const auto decoder = (*schema)->new_decoder();
  for (const std::string& message : messages(GetParam(), 3, 20'000)) {
    ASSERT_TRUE(decoder->check(message).ok()) << decoder->check(message).to_string();
  }
}

// On every machine and with every compiler. Changing what a seed gives is allowed, but on purpose.
TEST(Generator, SeedsKeepTheirMeaning) {
  EXPECT_EQ(fingerprint(messages("events", 1, 10'000)), 11'530'286'298'247'598'754U);
  EXPECT_EQ(fingerprint(messages("executions", 1, 10'000)), 3'832'231'792'565'324'359U);
}

TEST(Generator, UnknownFeedsHaveNone) {
  EXPECT_EQ(new_generator("weather", 1), nullptr);
}

TEST(EventGenerator, ScoresNeverFallAndMatchesEndOnce) {
  std::map<std::string, std::pair<int, int>> scores;
  std::set<std::string> over;
  std::set<int> sports;
  for (const std::string& bytes : messages("events", 11, testing::kSanitized ? 15'000 : 50'000)) {
    event message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    sports.insert(message.sport());
    const std::string& title = message.match_title();
    ASSERT_EQ(over.count(title), 0U) << title << " went on after its end";
    const Json play = Json::parse(message.data_event());
    auto& [home, away] = scores[title];
    ASSERT_GE(play["score"][0], home) << title;
    ASSERT_GE(play["score"][1], away) << title;
    home = play["score"][0];
    away = play["score"][1];
    ASSERT_FALSE(play["clock"].get<std::string>().empty());
    ASSERT_FALSE(play["play"].get<std::string>().empty());
    ASSERT_NE(title.find(play["side"].get<std::string>()), std::string::npos);
    if (play["over"]) {
      over.insert(title);
    }
  }
  EXPECT_EQ(sports.size(), 7U);
  EXPECT_GT(over.size(), testing::kSanitized ? 15U : 50U) << "matches end, and others begin";
  EXPECT_EQ(scores.size(), over.size() + 14) << "two of each sport are always going on";
}

TEST(ExecutionGenerator, PricesWalkAndTimeRises) {
  std::map<std::string, double> prices;
  std::map<std::string, std::string> markets;
  std::set<std::string> states;
  std::int64_t epoch = 0;
  for (const std::string& bytes : messages("executions", 11, 50'000)) {
    execution message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    ASSERT_GT(message.price(), 0);
    ASSERT_GT(message.quantity(), 0);
    ASSERT_EQ(message.quantity(), std::floor(message.quantity()));
    ASSERT_GE(message.executionepoch(), epoch);
    epoch = message.executionepoch();
    ASSERT_EQ(message.statesymbol().size(), 2U);
    states.insert(message.statesymbol());
    const auto [market, first] = markets.emplace(message.symbol(), message.market());
    ASSERT_EQ(market->second, message.market()) << "a symbol is listed on one market";
    if (!first) {
      const double before = prices[message.symbol()];
      ASSERT_LE(std::abs(message.price() - before), 0.001 * before + 0.03) << message.symbol();
    }
    prices[message.symbol()] = message.price();
  }
  EXPECT_EQ(prices.size(), 12U);
  EXPECT_EQ(states.size(), 50U);
}

}  // namespace
}  // namespace feedvault
