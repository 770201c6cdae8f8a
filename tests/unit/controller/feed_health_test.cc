#include "controller/feed_health.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace feedvault::controller {
namespace {

FeedView feed(FeedPhase phase, bool stuck = false) {
  FeedView view;
  view.name = "events";
  view.phase = phase;
  view.stuck = stuck;
  return view;
}

bool ready(const std::vector<FeedView>& feeds, const std::string& reason = "") {
  return nlohmann::json::parse(readyz_json(feeds, reason)).at("ready").get<bool>();
}

TEST(Readyz, IsReadyWhenEveryFeedIsActiveOrStandby) {
  EXPECT_TRUE(ready({feed(FeedPhase::kActive), feed(FeedPhase::kStandby)}));
  EXPECT_FALSE(ready({feed(FeedPhase::kActive), feed(FeedPhase::kWaiting)}));
  EXPECT_FALSE(ready({feed(FeedPhase::kStarting)}));
  EXPECT_FALSE(ready({feed(FeedPhase::kStopped)}));
}

TEST(Readyz, IsNotReadyWhileStuckOrStarting) {
  EXPECT_FALSE(ready({feed(FeedPhase::kActive, true)}));
  EXPECT_FALSE(ready({feed(FeedPhase::kActive)}, "database: connection refused"));
  EXPECT_FALSE(ready({}));
}

TEST(Readyz, SaysTheReasonInAnyEncoding) {
  FeedHealth health("events");
  health.set_phase(FeedPhase::kWaiting, "caf\xe9 \"quoted\"");
  const auto body = nlohmann::json::parse(readyz_json({health.view()}, ""));
  EXPECT_EQ(body["feeds"][0]["state"], "waiting");
  EXPECT_NE(body["feeds"][0]["reason"].get<std::string>().find("quoted"), std::string::npos);
}

TEST(FeedHealth, ForgetsWhatWasMeasuredWhenItIsNoLongerActive) {
  FeedHealth health("events");
  health.update([](FeedView& view) {
    view.stuck = true;
    view.lag_seconds = 60;
    view.silent_seconds = 1;
  });
  health.set_phase(FeedPhase::kWaiting, "away");
  EXPECT_FALSE(health.view().stuck);
  EXPECT_EQ(health.view().lag_seconds, 0);
  EXPECT_EQ(health.view().silent_seconds, 0);
}

}  // namespace
}  // namespace feedvault::controller
