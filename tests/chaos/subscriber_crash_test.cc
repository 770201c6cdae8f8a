// C16: the subscriber's process dies between its effect and the saved position. With a position
// that is saved beside the effect, the message comes again, with the same seq, so that it can be
// known; with a position store that saves both at once, it does not.

#include <csignal>
#include <fstream>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

constexpr std::uint64_t kMessages = 60;

class SubscriberCrash {
 public:
  explicit SubscriberCrash(std::string positions) : positions_(std::move(positions)) {
    installation_.start_ready("a");
    installation_.events().producer.acknowledged(kMessages);
    EXPECT_TRUE(installation_.events().verify());
  }

  // One life, until it is killed right behind its nth effect.
  void live_until_effect(int n) {
    Process life(options(crash_at("subscriber.effect", n)));
    EXPECT_EQ(life.wait_for_exit(std::chrono::seconds(20)), 128 + SIGKILL) << life.output();
  }

  // The last life, until everything is there.
  void live() {
    Process life(options({}));
    EXPECT_TRUE(eventually([&] {
      const auto seqs = effects();
      return !seqs.empty() && seqs.back() == kMessages;
    })) << life.output();
  }

  std::vector<std::uint64_t> effects() {
    std::vector<std::uint64_t> seqs;
    std::ifstream in(effects_file_);
    for (std::string line; std::getline(in, line);) {
      seqs.push_back(std::strtoull(line.c_str(), nullptr, 10));
    }
    return seqs;
  }

  std::string position_folder() const { return installation_.folder() + "/its-positions"; }

 private:
  Process::Options options(const Environment& environment) {
    return {.command = {built_program("chaos_subscriber"),
                        std::to_string(installation_.broker().port()),
                        "events",
                        effects_file_,
                        positions_ == "with-effect" ? positions_ : position_folder()},
            .environment = environment,
            .output_file = installation_.folder() + "/subscriber.log",
            .working_folder = {}};
  }

  const std::string positions_;
  Installation installation_;
  const std::string effects_file_ = installation_.folder() + "/effects";
};

TEST(CrashMatrix, C16_PositionSavedWithTheEffectIsExactlyOnce) {
  SubscriberCrash subscriber("with-effect");
  for (const int effect : {1, 2, 17}) {
    subscriber.live_until_effect(effect);
  }
  subscriber.live();
  std::vector<std::uint64_t> expected(kMessages);
  std::iota(expected.begin(), expected.end(), std::uint64_t{1});
  EXPECT_EQ(subscriber.effects(), expected);
}

TEST(CrashMatrix, C16_PositionSavedBesideTheEffectRepeatsOneMessageKnowably) {
  SubscriberCrash subscriber("beside");
  for (const int effect : {1, 2, 17}) {
    subscriber.live_until_effect(effect);
  }
  subscriber.live();
  // Each crash repeats exactly the message whose position was not saved, under the same seq; what
  // knows the last seq it dealt with drops it.
  std::vector<std::uint64_t> once;
  std::size_t repeats = 0;
  for (const std::uint64_t seq : subscriber.effects()) {
    if (!once.empty() && seq == once.back()) {
      ++repeats;
    } else {
      once.push_back(seq);
    }
  }
  std::vector<std::uint64_t> expected(kMessages);
  std::iota(expected.begin(), expected.end(), std::uint64_t{1});
  EXPECT_EQ(once, expected);
  EXPECT_EQ(repeats, 3U);
}

}  // namespace
}  // namespace feedvault::testing
