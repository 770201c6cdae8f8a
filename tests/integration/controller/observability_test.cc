// What the controller tells over HTTP while it works.

#include <gtest/gtest.h>

#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

// Value of a metric's line in Prometheus text, or -1.
double metric(ControllerProcess& controller, const std::string& series) {
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

TEST(Observability, UnknownPathsAreNotFound) {
  Installation installation;
  const ControllerProcess& a = installation.start_ready("a");
  EXPECT_EQ(a.get("/livez").status, 200);
  EXPECT_EQ(a.get("/nothing").status, 404);
}

}  // namespace
}  // namespace feedvault::testing
