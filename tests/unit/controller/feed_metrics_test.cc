#include "controller/feed_metrics.h"

#include <cmath>

#include <gtest/gtest.h>

namespace feedvault::controller {
namespace {

TEST(FeedMetrics, NothingIsLostWhereTheFeedHasNeverRun) {
  Metrics metrics;
  const FeedMetrics feed(metrics, "events");
  EXPECT_TRUE(std::isinf(feed.time_to_loss.value()));
  EXPECT_EQ(feed.active.value(), 0);
}

TEST(FeedMetrics, ASessionThatEndsTakesItsFiguresAlong) {
  Metrics metrics;
  const FeedMetrics feed(metrics, "events");
  for (const Gauge* gauge : {&feed.active,
                             &feed.lag_messages,
                             &feed.lag_seconds,
                             &feed.unpublished,
                             &feed.silent_seconds,
                             &feed.time_to_loss,
                             &feed.last_seq}) {
    gauge->set(60);
  }
  feed.end_session();
  for (const Gauge* gauge : {&feed.active,
                             &feed.lag_messages,
                             &feed.lag_seconds,
                             &feed.unpublished,
                             &feed.silent_seconds}) {
    EXPECT_EQ(gauge->value(), 0);
  }
  EXPECT_TRUE(std::isinf(feed.time_to_loss.value()));
  EXPECT_EQ(feed.last_seq.value(), 60);  // what is catalogued stays so
}

}  // namespace
}  // namespace feedvault::controller
