#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "feeds/dice.h"
#include "proto/event.pb.h"

namespace feedvault {

/// One match of any sport, play by play. Value type.
class Match {
 public:
  /// `number` makes the title unique.
  Match(event::sport_type sport, std::uint64_t number, Dice& dice);

  event::sport_type sport() const { return sport_; }
  const std::string& title() const { return title_; }
  bool over() const { return over_; }
  const int* score() const { return score_; }  // of both sides

  /// Plays on, and writes what happened in place of what `play` held: a JSON object. Requires:
  /// !over().
  void play(Dice& dice, std::string& play);

 private:
  // Each moves the match on by one play and says what happened; sets over_ after the last.
  const char* play_timed(Dice& dice);
  const char* play_baseball(Dice& dice);
  const char* play_boxing(Dice& dice);
  const char* play_golf(Dice& dice);
  const char* play_race(Dice& dice);
  const char* play_tennis(Dice& dice);
  const char* win_game(int side);
  void append_clock(std::string& text) const;

  event::sport_type sport_;
  std::string title_;
  std::array<std::string, 2> sides_;
  int period_ = 1;  // quarter, inning, round, hole, lap or set
  int seconds_;     // left in the period
  int half_ = 0;    // baseball: 0 top, 1 bottom of the inning
  int outs_ = 0;    // baseball
  int score_[2] = {0, 0};
  int games_[2] = {0, 0};   // tennis, of this set
  int points_[2] = {0, 0};  // tennis, of this game
  int side_ = 1;            // who made the last play
  bool over_ = false;
};

}  // namespace feedvault
