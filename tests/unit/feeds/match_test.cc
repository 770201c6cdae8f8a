#include "feeds/match.h"

#include <string>

#include <gtest/gtest.h>

namespace feedvault {
namespace {

struct Expected {
  event::sport_type sport;
  int least_plays;
  int most_plays;
  const char* last;  // what ends it
};

class Sports : public ::testing::TestWithParam<Expected> {};
INSTANTIATE_TEST_SUITE_P(All,
                         Sports,
                         ::testing::Values(Expected{event::BASEBALL, 54, 2000, "final"},
                                           Expected{event::BASKETBALL, 120, 2000, "final"},
                                           Expected{event::FOOTBALL, 90, 2000, "final"},
                                           Expected{event::BOXING, 1, 300, "\"play\":\"decision\""},
                                           Expected{event::GOLF, 36, 36, "hole 18"},
                                           Expected{event::NASCAR, 200, 200, "checkered flag"},
                                           Expected{
                                               event::TENNIS, 48, 1000, "game, set and match"}));

TEST_P(Sports, ArePlayedToTheirEnd) {
  Dice dice(5);
  const Expected& expected = GetParam();
  bool ended_as_expected = false;
  for (std::uint64_t number = 1; number <= 50; ++number) {
    Match match(expected.sport, number, dice);
    std::string play;
    int plays = 0;
    while (!match.over() && plays < 10'000) {
      match.play(dice, play);
      ++plays;
    }
    EXPECT_GE(plays, expected.least_plays);
    EXPECT_LE(plays, expected.most_plays);
    ended_as_expected = ended_as_expected || play.find(expected.last) != std::string::npos;
    EXPECT_NE(play.find("\"over\":true"), std::string::npos);
  }
  EXPECT_TRUE(ended_as_expected);
}

TEST(Match, TeamGamesHaveAWinner) {
  Dice dice(6);
  for (const auto sport : {event::BASEBALL, event::BASKETBALL, event::FOOTBALL, event::TENNIS}) {
    Match match(sport, 1, dice);
    std::string play;
    while (!match.over()) {
      match.play(dice, play);
    }
    EXPECT_NE(match.score()[0], match.score()[1]) << play;
  }
}

TEST(Match, TwoSidesAreNeverTheSame) {
  Dice dice(7);
  for (std::uint64_t number = 0; number < 2000; ++number) {
    const Match match(number % 2 == 0 ? event::TENNIS : event::BASEBALL, number, dice);
    const std::size_t middle = match.title().find(" v. ");
    ASSERT_NE(match.title().substr(0, middle),
              match.title().substr(middle + 4, match.title().find(", no. ") - middle - 4));
  }
}

}  // namespace
}  // namespace feedvault
