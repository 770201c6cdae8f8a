#include "gateway/service_discovery.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace feedvault::gateway {
namespace {

ServiceDescription service() {
  ServiceDescription description;
  description.name = "feedvault-history";
  description.id = "abc";
  description.version = "0.1.0";
  description.description = "history";
  description.queue_group = "group";
  description.started = "2026-11-21T20:48:54.543721Z";
  description.endpoints.push_back({.name = "events",
                                   .subject = "feed.history.events",
                                   .requests = 3,
                                   .errors = 1,
                                   .last_error = "404:none",
                                   .processing_ns = 10});
  description.endpoints.push_back(
      {.name = "executions", .subject = "feed.history.executions", .last_error = {}});
  return description;
}

nlohmann::json answer(const std::string& subject) {
  return nlohmann::json::parse(answer_discovery(service(), subject));
}

TEST(ServiceDiscovery, AnswersForAllForItsNameAndForItsId) {
  for (const char* target : {"", ".feedvault-history", ".feedvault-history.abc"}) {
    const auto ping = answer(std::string("$SRV.PING") + target);
    EXPECT_EQ(ping.at("type"), "io.nats.micro.v1.ping_response");
    EXPECT_EQ(ping.at("name"), "feedvault-history");
    EXPECT_EQ(ping.at("id"), "abc");
    EXPECT_EQ(ping.at("version"), "0.1.0");
    EXPECT_TRUE(ping.at("metadata").is_object());
  }
}

TEST(ServiceDiscovery, KeepsSilentWhenAnotherIsMeant) {
  for (const char* subject : {"$SRV.PING.other",
                              "$SRV.PING.feedvault-history.abd",
                              "$SRV.PING.feedvault-history.abc.d",
                              "$SRV.PING.feedvault",
                              "$SRV.SCHEMA",
                              "$SRV.",
                              "$SRV",
                              "feed.history.events",
                              ""}) {
    EXPECT_EQ(answer_discovery(service(), subject), "") << subject;
  }
}

TEST(ServiceDiscovery, InfoNamesTheEndpoints) {
  const auto info = answer("$SRV.INFO");
  EXPECT_EQ(info.at("type"), "io.nats.micro.v1.info_response");
  EXPECT_EQ(info.at("description"), "history");
  ASSERT_EQ(info.at("endpoints").size(), 2U);
  const auto& events = info.at("endpoints")[0];
  EXPECT_EQ(events.at("name"), "events");
  EXPECT_EQ(events.at("subject"), "feed.history.events");
  EXPECT_EQ(events.at("queue_group"), "group");
  EXPECT_TRUE(events.at("metadata").is_object());
}

TEST(ServiceDiscovery, StatsCount) {
  const auto stats = answer("$SRV.STATS.feedvault-history");
  EXPECT_EQ(stats.at("type"), "io.nats.micro.v1.stats_response");
  EXPECT_EQ(stats.at("started"), "2026-11-21T20:48:54.543721Z");
  const auto& events = stats.at("endpoints")[0];
  EXPECT_EQ(events.at("num_requests"), 3);
  EXPECT_EQ(events.at("num_errors"), 1);
  EXPECT_EQ(events.at("last_error"), "404:none");
  EXPECT_EQ(events.at("processing_time"), 10);
  EXPECT_EQ(events.at("average_processing_time"), 3);
  EXPECT_EQ(stats.at("endpoints")[1].at("average_processing_time"), 0);
}

TEST(ServiceDiscovery, ListensOnNoMoreThanItAnswers) {
  EXPECT_EQ(discovery_subjects(service()),
            (std::vector<std::string>{
                "$SRV.*", "$SRV.*.feedvault-history", "$SRV.*.feedvault-history.abc"}));
}

}  // namespace
}  // namespace feedvault::gateway
