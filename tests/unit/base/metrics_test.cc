#include "base/metrics.h"

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace feedvault {
namespace {

using ::testing::HasSubstr;
using Kind = Metrics::Kind;

TEST(Metrics, ArePrintedForPrometheus) {
  Metrics metrics;
  metrics.counter("feedvault_test_rows_total", "Rows.", {{"feed", "events"}}).increment(3);
  metrics.gauge("feedvault_test_lag_messages", "Lag.").set(-1.5);
  const auto histogram = metrics.histogram("feedvault_test_commit_seconds", "Commit.", {0.1, 1});
  histogram.observe(0.05);
  histogram.observe(0.5);
  histogram.observe(5);
  const std::string text = metrics.to_prometheus_text();
  EXPECT_THAT(text, HasSubstr("# HELP feedvault_test_rows_total Rows.\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE feedvault_test_rows_total counter\n"));
  EXPECT_THAT(text, HasSubstr("feedvault_test_rows_total{feed=\"events\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("feedvault_test_lag_messages -1.5\n"));
  EXPECT_THAT(text, HasSubstr("feedvault_test_commit_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("feedvault_test_commit_seconds_bucket{le=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("feedvault_test_commit_seconds_bucket{le=\"+Inf\"} 3\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameMetric) {
  Metrics metrics;
  const auto a = metrics.counter("feedvault_test_rows_total", "Rows.", {{"feed", "a"}});
  const auto again = metrics.counter("feedvault_test_rows_total", "Rows.", {{"feed", "a"}});
  const auto b = metrics.counter("feedvault_test_rows_total", "Rows.", {{"feed", "b"}});
  a.increment();
  again.increment(std::uint64_t{2});
  EXPECT_EQ(a.value(), 3);
  EXPECT_EQ(b.value(), 0);
}

TEST(Metrics, TwoSetsAreIndependent) {
  Metrics a;
  Metrics b;
  a.counter("feedvault_test_rows_total", "Rows.").increment();
  EXPECT_EQ(b.counter("feedvault_test_rows_total", "Rows.").value(), 0);
}

TEST(Metrics, LoseNothingBetweenThreads) {
  Metrics metrics;
  const auto counter = metrics.counter("feedvault_test_rows_total", "Rows.");
  std::vector<std::thread> threads(4);
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (int k = 0; k < 10'000; ++k) {
        counter.increment();
        if (k % 1000 == 0) {
          (void)metrics.to_prometheus_text();
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(counter.value(), 40'000);
}

TEST(Metrics, HandlesOfNothingCountNothing) {
  const Counter counter;
  counter.increment(5);
  EXPECT_EQ(counter.value(), 0);
  Gauge().set(1);
  Histogram().observe(1);
}

TEST(Metrics, NamesFollowTheRule) {
  EXPECT_EQ(Metrics::name_problem("feedvault_controller_rows_total", Kind::kCounter), "");
  EXPECT_EQ(Metrics::name_problem("feedvault_controller_ready", Kind::kGauge), "");
  EXPECT_EQ(Metrics::name_problem("feedvault_controller_commit_seconds", Kind::kHistogram), "");

  EXPECT_EQ(Metrics::name_problem("controller_rows_total", Kind::kCounter),
            "it is not feedvault_<part>_<what>");
  EXPECT_EQ(Metrics::name_problem("feedvault_total", Kind::kCounter),
            "it is not feedvault_<part>_<what>");
  EXPECT_EQ(Metrics::name_problem("feedvault_controller_rows", Kind::kCounter),
            "a counter ends in _total");
  EXPECT_EQ(Metrics::name_problem("feedvault_controller_rows_total", Kind::kGauge),
            "only a counter ends in _total");
  EXPECT_EQ(Metrics::name_problem("feedvault_controller_commit", Kind::kHistogram),
            "a histogram ends in its unit: _seconds, _bytes or _messages");
  for (const char* name :
       {"feedvault_Controller_rows_total", "feedvault_a-b_rows_total", "feedvault_a__rows_total"}) {
    EXPECT_EQ(Metrics::name_problem(name, Kind::kCounter),
              "it is not small letters and digits in words with _ between them");
  }
}

TEST(MetricsDeathTest, NamesAgainstTheRuleAbort) {
  Metrics metrics;
  EXPECT_DEATH(metrics.counter("feedvault_test_rows", "Rows."),
               "metric feedvault_test_rows: a counter ends in _total");
  EXPECT_DEATH(metrics.gauge("feedvault_test_rows", ""), "it has no help text");
  EXPECT_DEATH(metrics.gauge("feedvault_test_rows", "Rows.", {{"a-b", "x"}}), "CheckLabelName");
}

}  // namespace
}  // namespace feedvault
