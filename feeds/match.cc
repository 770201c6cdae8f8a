#include "feeds/match.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace feedvault {
namespace {

constexpr const char* kCities[] = {"Albany",
                                   "Boise",
                                   "Charleston",
                                   "Duluth",
                                   "El Paso",
                                   "Fresno",
                                   "Gary",
                                   "Hartford",
                                   "Juneau",
                                   "Knoxville",
                                   "Lansing",
                                   "Madison",
                                   "Norfolk",
                                   "Omaha",
                                   "Ca\xC3\xB1on City"};
constexpr const char* kTeams[] = {
    "Comets", "Herons", "Miners", "Otters", "Pilots", "Ravens", "Stags", "Tides", "Voyagers"};
constexpr const char* kPeople[] = {"Abara",
                                   "Bj\xC3\xB6rk",
                                   "Castillo",
                                   "Dupont",
                                   "Eriksen",
                                   "Fournier",
                                   "Mart\xC3\xADnez",
                                   "Halloran",
                                   "Ito",
                                   "Jansen",
                                   "Kowalski",
                                   "L\xC3\xB3pez",
                                   "M\xC3\xBCller",
                                   "Novak",
                                   "Okafor"};

constexpr int kQuarters = 4;
constexpr int kInnings = 9;
constexpr int kOuts = 3;
constexpr int kRounds = 12;
constexpr int kHoles = 18;
constexpr int kLaps = 200;
constexpr int kSetsToWin = 2;

int period_seconds(event::sport_type sport) {
  return sport == event::BASKETBALL ? 12 * 60 : 15 * 60;
}

bool has_teams(event::sport_type sport) {
  return sport == event::BASEBALL || sport == event::BASKETBALL || sport == event::FOOTBALL;
}

struct Play {
  const char* what;
  int points;
  std::uint32_t weight;  // of 100
};

constexpr Play kBasketball[] = {{"two-point field goal", 2, 34},
                                {"three-point field goal", 3, 12},
                                {"free throw", 1, 12},
                                {"missed shot", 0, 26},
                                {"turnover", 0, 10},
                                {"timeout", 0, 6}};
constexpr Play kFootball[] = {{"rush", 0, 36},
                              {"completed pass", 0, 34},
                              {"incomplete pass", 0, 14},
                              {"field goal", 3, 5},
                              {"touchdown", 7, 5},
                              {"punt", 0, 6}};
constexpr Play kBaseball[] = {{"ball", 0, 30},
                              {"strike", 0, 30},
                              {"single", 0, 8},
                              {"run scored", 1, 5},
                              {"two-run homer", 2, 2},
                              {"out", 0, 25}};

template <std::size_t N>
const Play& draw(const Play (&plays)[N], Dice& dice) {
  std::uint32_t left = dice.below(100);
  for (const Play& play : plays) {
    if (left < play.weight) {
      return play;
    }
    left -= play.weight;
  }
  return plays[N - 1];
}

constexpr const char* kTennisPoints[] = {"0", "15", "30", "40", "Ad"};

}  // namespace

Match::Match(event::sport_type sport, std::uint64_t number, Dice& dice)
    : sport_(sport), seconds_(period_seconds(sport)) {
  if (has_teams(sport)) {
    for (std::string& side : sides_) {
      // One after the other: compilers evaluate arguments and operands in orders of their own.
      const char* city = dice.pick(kCities);
      side = fmt::format("{} {}", city, dice.pick(kTeams));
    }
  } else {
    sides_[0] = dice.pick(kPeople);
    sides_[1] = dice.pick(kPeople);
  }
  if (sides_[0] == sides_[1]) {
    sides_[1] += " Jr.";
  }
  title_ = fmt::format("{} v. {}, no. {}", sides_[0], sides_[1], number);
}

// Quarters with a clock that runs down: basketball and football.
const char* Match::play_timed(Dice& dice) {
  const Play& play = sport_ == event::BASKETBALL ? draw(kBasketball, dice) : draw(kFootball, dice);
  score_[side_] += play.points;
  seconds_ -= sport_ == event::BASKETBALL ? dice.between(5, 24) : dice.between(5, 40);
  if (seconds_ > 0) {
    return play.what;
  }
  seconds_ = 0;
  // A draw goes into overtime, one period after the other.
  if (period_ >= kQuarters && score_[0] != score_[1]) {
    over_ = true;
    return "final";
  }
  ++period_;
  seconds_ = period_seconds(sport_);
  return "end of the quarter";
}

const char* Match::play_baseball(Dice& dice) {
  const Play& play = draw(kBaseball, dice);
  side_ = half_;
  score_[side_] += play.points;
  const bool out = std::string_view(play.what) == "out";
  if (!out || ++outs_ < kOuts) {
    return play.what;
  }
  outs_ = 0;
  if (half_ == 0) {
    half_ = 1;
    return "middle of the inning";
  }
  if (period_ >= kInnings && score_[0] != score_[1]) {
    over_ = true;
    return "final";
  }
  half_ = 0;
  ++period_;
  return "end of the inning";
}

const char* Match::play_boxing(Dice& dice) {
  seconds_ -= dice.between(60, 150);
  if (dice.chance(1)) {
    over_ = true;
    return "knockout";
  }
  if (seconds_ > 0) {
    return dice.chance(30) ? "combination" : dice.chance(50) ? "jab" : "clinch";
  }
  // Ten points for the winner of the round, nine for the other.
  score_[side_] += 10;
  score_[1 - side_] += 9;
  seconds_ = 0;
  if (period_ == kRounds) {
    over_ = true;
    return "decision";
  }
  ++period_;
  seconds_ = period_seconds(sport_);
  return "end of the round";
}

const char* Match::play_golf(Dice& dice) {
  int strokes = 3 + static_cast<int>(dice.below(3));
  strokes += dice.chance(10) ? 1 : 0;
  score_[side_] += strokes;
  const char* what = strokes == 3 ? "birdie" : strokes == 4 ? "par" : "bogey";
  if (side_ == 1) {
    over_ = period_ == kHoles;
    period_ = std::min(period_ + 1, kHoles);
  }
  return what;
}

// The score is laps led.
const char* Match::play_race(Dice& dice) {
  const bool caution = dice.chance(4);
  ++score_[side_];
  over_ = period_ == kLaps;
  period_ = std::min(period_ + 1, kLaps);
  return over_             ? "checkered flag"
         : caution         ? "caution"
         : dice.chance(10) ? "pit stop"
                           : "leads the lap";
}

const char* Match::win_game(int side) {
  points_[0] = 0;
  points_[1] = 0;
  const int mine = ++games_[side];
  const int theirs = games_[1 - side];
  if (mine < 6 || (mine - theirs < 2 && mine < 7)) {
    return "game";
  }
  ++score_[side];
  games_[0] = 0;
  games_[1] = 0;
  if (score_[side] == kSetsToWin) {
    over_ = true;
    return "game, set and match";
  }
  ++period_;
  return "game and set";
}

const char* Match::play_tennis(Dice& dice) {
  const int other = 1 - side_;
  if (points_[side_] == 4 || (points_[side_] == 3 && points_[other] < 3)) {
    return win_game(side_);
  }
  if (points_[other] == 4) {
    points_[other] = 3;  // from advantage back to deuce
  } else {
    ++points_[side_];
  }
  return dice.chance(15) ? "ace" : dice.chance(40) ? "winner" : "forced error";
}

void Match::append_clock(std::string& text) const {
  const auto out = std::back_inserter(text);
  switch (sport_) {
    case event::BASEBALL:
      fmt::format_to(out, "{} {}, {} out", half_ == 0 ? "top" : "bottom", period_, outs_);
      break;
    case event::BASKETBALL:
    case event::FOOTBALL:
      if (period_ > kQuarters) {
        fmt::format_to(out, "OT{} {}:{:02}", period_ - kQuarters, seconds_ / 60, seconds_ % 60);
      } else {
        fmt::format_to(out, "Q{} {}:{:02}", period_, seconds_ / 60, seconds_ % 60);
      }
      break;
    case event::BOXING:
      fmt::format_to(out, "round {}", period_);
      break;
    case event::GOLF:
      fmt::format_to(out, "hole {}", period_);
      break;
    case event::NASCAR:
      fmt::format_to(out, "lap {}/{}", period_, kLaps);
      break;
    case event::TENNIS:
      fmt::format_to(out,
                     "set {}, {}-{}, {}:{}",
                     period_,
                     games_[0],
                     games_[1],
                     kTennisPoints[points_[0]],
                     kTennisPoints[points_[1]]);
      break;
  }
}

void Match::play(Dice& dice, std::string& play) {
  // Who acts: taken in turns in golf, else by chance. Baseball knows from the half-inning.
  side_ = sport_ == event::GOLF ? 1 - side_ : static_cast<int>(dice.below(2));
  const char* what = nullptr;
  switch (sport_) {
    case event::BASEBALL:
      what = play_baseball(dice);
      break;
    case event::BASKETBALL:
    case event::FOOTBALL:
      what = play_timed(dice);
      break;
    case event::BOXING:
      what = play_boxing(dice);
      break;
    case event::GOLF:
      what = play_golf(dice);
      break;
    case event::NASCAR:
      what = play_race(dice);
      break;
    case event::TENNIS:
      what = play_tennis(dice);
      break;
  }
  play.assign("{\"clock\":\"");
  append_clock(play);
  fmt::format_to(std::back_inserter(play),
                 "\",\"score\":[{},{}],\"play\":\"{}\",\"side\":\"{}\",\"over\":{}}}",
                 score_[0],
                 score_[1],
                 what,
                 sides_[static_cast<std::size_t>(side_)],
                 over_);
}

}  // namespace feedvault
