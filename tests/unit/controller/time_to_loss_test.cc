#include <cmath>

#include <gtest/gtest.h>

#include "controller/feed_monitor.h"

namespace feedvault::controller {
namespace {

nats::StreamInfo ingest_with(std::int64_t nats::StreamConfig::*limit, std::int64_t value) {
  nats::StreamInfo info;
  info.config.*limit = value;
  info.messages = 1000;
  info.bytes = 100'000;
  return info;
}

TEST(TimeToLoss, IsInfiniteWithoutLimits) {
  EXPECT_TRUE(std::isinf(seconds_to_loss(nats::StreamInfo(), 1000, 60, 1e6)));
}

TEST(TimeToLoss, AnAgeRunsOutWhileMessagesWait) {
  const auto ingest = ingest_with(&nats::StreamConfig::max_age_ns, 600'000'000'000);
  EXPECT_DOUBLE_EQ(seconds_to_loss(ingest, 0, 0, 10), 600);
  EXPECT_DOUBLE_EQ(seconds_to_loss(ingest, 5, 200, 10), 400);
  EXPECT_DOUBLE_EQ(seconds_to_loss(ingest, 5, 700, 10), 0);
}

TEST(TimeToLoss, RoomIsUsedUpAtTheRateOfCapture) {
  const auto messages = ingest_with(&nats::StreamConfig::max_msgs, 5000);
  EXPECT_DOUBLE_EQ(seconds_to_loss(messages, 1000, 1, 100), 40);
  EXPECT_TRUE(std::isinf(seconds_to_loss(messages, 1000, 1, 0)));
  EXPECT_DOUBLE_EQ(seconds_to_loss(messages, 5000, 1, 0), 0);
  // In the worst case all of them are of one subject.
  const auto one_each = ingest_with(&nats::StreamConfig::max_msgs_per_subject, 1);
  EXPECT_DOUBLE_EQ(seconds_to_loss(one_each, 1, 1, 0), 0);
  EXPECT_DOUBLE_EQ(seconds_to_loss(one_each, 0, 0, 0.5), 2);
  // 100 bytes each: room for 2000 of them.
  const auto bytes = ingest_with(&nats::StreamConfig::max_bytes, 200'000);
  EXPECT_DOUBLE_EQ(seconds_to_loss(bytes, 1000, 1, 10), 100);
}

}  // namespace
}  // namespace feedvault::controller
