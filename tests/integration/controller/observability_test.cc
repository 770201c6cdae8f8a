// What the controller tells over HTTP while it works.

#include <cmath>

#include <gtest/gtest.h>

#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

// Value of a metric's line in Prometheus text, or -1.
double metric(const ControllerProcess& controller, const std::string& series) {
  const std::string text = "\n" + controller.get("/metrics").body;
  const std::size_t at = text.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::atof(text.c_str() + at + series.size() + 2);
}

TEST(Observability, CountersSayWhatBecameOfEachMessage) {
  Installation installation;
  FeedUnderTest& events = installation.events();
  ControllerProcess& a = installation.start_ready("a");
  events.producer.acknowledged(5);
  events.producer.publish("poison");
  const Sent first = events.producer.sent().front();
  std::this_thread::sleep_for(std::chrono::milliseconds(150));  // the broker's duplicate window
  events.producer.publish(first.payload, first.id);
  events.producer.publish(events.producer.fresh_payload(), events.producer.sent().back().id);
  events.producer.plain(1);
  ASSERT_TRUE(installation.verify());
  const std::string label = "{feed=\"events\"}";
  EXPECT_TRUE(eventually([&] {
    return metric(a, "feedvault_controller_published_total" + label) == 6 &&
           metric(a, "feedvault_controller_duplicates_total" + label) == 1;
  })) << a.get("/metrics").body;
  EXPECT_EQ(metric(a, "feedvault_controller_received_total" + label), 9);
  EXPECT_EQ(metric(a, "feedvault_controller_catalogued_total" + label), 6);
  EXPECT_EQ(metric(a, "feedvault_controller_conflicts_total" + label), 1);
  EXPECT_EQ(metric(a, "feedvault_controller_quarantined_total" + label), 2);
  EXPECT_EQ(metric(a, "feedvault_controller_ready" + label), 1);
}

// Alerts look at all controllers: what one shows that does not run the feed would fire for ever.
TEST(Observability, OnlyASessionThatRunsTellsHowTheFeedDoes) {
  Installation installation;
  const std::string label = "{feed=\"events\"}";
  const std::string active = "feedvault_controller_active" + label;
  const std::string silent = "feedvault_controller_silent_seconds" + label;
  const std::string to_loss = "feedvault_controller_time_to_loss_seconds" + label;
  installation.broker().stop();
  const ControllerProcess& a = installation.start_controller("a");
  EXPECT_TRUE(eventually([&] { return std::isinf(metric(a, to_loss)); })) << a.log();

  installation.broker().start();
  ASSERT_TRUE(eventually([&] { return metric(a, active) == 1; })) << a.log();
  installation.events().producer.acknowledged(1);
  ASSERT_TRUE(eventually([&] { return metric(a, silent) > 0; })) << a.get("/metrics").body;

  installation.broker().stop();
  EXPECT_TRUE(eventually([&] { return metric(a, active) == 0 && metric(a, silent) == 0; }))
      << a.get("/metrics").body;
}

TEST(Observability, UnknownPathsAreNotFound) {
  Installation installation;
  const ControllerProcess& a = installation.start_ready("a");
  EXPECT_EQ(a.get("/livez").status, 200);
  EXPECT_EQ(a.get("/nothing").status, 404);
}

}  // namespace
}  // namespace feedvault::testing
