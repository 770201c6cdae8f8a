#include <vector>

#include "feeds/dice.h"
#include "feeds/generator.h"
#include "feeds/match.h"
#include "proto/event.pb.h"

namespace feedvault {
namespace {

// Of every sport so many matches go on at the same time.
constexpr int kMatchesPerSport = 2;

class EventGenerator final : public Generator {
 public:
  explicit EventGenerator(std::uint64_t seed) : dice_(seed) {
    for (int sport = event::sport_type_MIN; sport <= event::sport_type_MAX; ++sport) {
      for (int i = 0; i < kMatchesPerSport; ++i) {
        matches_.emplace_back(static_cast<event::sport_type>(sport), ++started_, dice_);
      }
    }
  }

  void next(std::string& bytes) override {
    Match& match = matches_[dice_.below(static_cast<std::uint32_t>(matches_.size()))];
    if (match.over()) {
      match = Match(match.sport(), ++started_, dice_);
    }
    match.play(dice_, *message_.mutable_data_event());
    message_.set_sport(match.sport());
    message_.set_match_title(match.title());
    message_.SerializeToString(&bytes);
  }

 private:
  Dice dice_;
  std::vector<Match> matches_;
  std::uint64_t started_ = 0;
  event message_;  // reused: its strings keep their memory
};

}  // namespace

std::unique_ptr<Generator> new_event_generator(std::uint64_t seed) {
  return std::make_unique<EventGenerator>(seed);
}

}  // namespace feedvault
