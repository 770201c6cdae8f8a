// The dashboard and the alerts in deploy/ ask for metrics and labels that the programs really have.

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/integration/gateway/gateway_process.h"
#include "tests/support/installation.h"

namespace feedvault::testing {
namespace {

using Labels = std::set<std::string>;
using Exported = std::map<std::string, Labels>;

/// Names in Prometheus' text, with the labels that their samples have.
void add_exported(const std::string& text, Exported& exported) {
  static const std::regex kSample(R"(^([a-z_]+)(\{[^}]*\})? )");
  static const std::regex kLabel(R"re(([a-z_]+)="[^"]*")re");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch sample;
    if (!std::regex_search(line, sample, kSample)) {
      continue;
    }
    Labels& labels = exported[sample[1]];
    const std::string block = sample[2];
    for (std::sregex_iterator it(block.begin(), block.end(), kLabel), end; it != end; ++it) {
      labels.insert((*it)[1]);
    }
  }
}

/// What an expression asks for: metrics, and the labels it names for all of them.
struct Asked {
  std::map<std::string, Labels> metrics;
  Labels grouped;
};

Asked read_expression(const std::string& expression) {
  static const std::regex kMetric(R"((\b(?:feedvault_[a-z_]+|up)\b)(\{[^}]*\})?)");
  static const std::regex kMatcher(R"(([a-z_]+)(?:=~|!~|!=|=))");
  static const std::regex kGroup(R"(\b(?:by|on|without|ignoring) \(([a-z_, ]*)\))");
  static const std::regex kWord("[a-z_]+");
  Asked asked;
  for (std::sregex_iterator it(expression.begin(), expression.end(), kMetric), end; it != end;
       ++it) {
    Labels& labels = asked.metrics[(*it)[1]];
    const std::string block = (*it)[2];
    for (std::sregex_iterator label(block.begin(), block.end(), kMatcher); label != end; ++label) {
      labels.insert((*label)[1]);
    }
  }
  for (std::sregex_iterator it(expression.begin(), expression.end(), kGroup), end; it != end;
       ++it) {
    const std::string words = (*it)[1];
    for (std::sregex_iterator word(words.begin(), words.end(), kWord); word != end; ++word) {
      asked.grouped.insert((*word)[0]);
    }
  }
  return asked;
}

std::string source_file(const std::string& name) {
  const auto text = read_file(std::string(FEEDVAULT_SOURCE_DIR) + "/" + name);
  return text.has_value() ? *text : "";
}

class MonitoringFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    ControllerProcess& controller = installation_.start_ready("controller");
    GatewayProcess gateway(installation_);
    ASSERT_TRUE(gateway.wait_until_ready()) << gateway.log();
    add_exported(controller.get("/metrics").body, exported_);
    add_exported(gateway.get("/metrics").body, exported_);
    add_exported(http_get(installation_.broker().monitor_port(), "/metrics").body, exported_);
    exported_["up"] = {"job", "part"};  // Prometheus' own; `part` is set in prometheus.yml
    ASSERT_GT(exported_.size(), 50U);
  }

  void check(const std::string& expression, const std::string& where) {
    const Asked asked = read_expression(expression);
    EXPECT_FALSE(asked.metrics.empty()) << where << ": " << expression;
    for (const auto& [name, labels] : asked.metrics) {
      const auto found = exported_.find(name);
      ASSERT_NE(found, exported_.end()) << where << ": nobody exports " << name;
      for (const Labels* wanted : {&labels, &asked.grouped}) {
        for (const std::string& label : *wanted) {
          EXPECT_TRUE(label == "instance" || label == "job" || found->second.contains(label))
              << where << ": " << name << " has no label " << label;
        }
      }
    }
  }

  Installation installation_;
  Exported exported_;
};

TEST_F(MonitoringFiles, AskForWhatTheProgramsExport) {
  const auto dashboard = nlohmann::json::parse(source_file("deploy/grafana/feedvault.json"));
  std::size_t expressions = 0;
  std::set<int> ids;
  for (const auto& panel : dashboard.at("panels")) {
    EXPECT_TRUE(ids.insert(panel.at("id").get<int>()).second) << panel.at("title");
    if (!panel.contains("targets")) {
      continue;
    }
    for (const auto& target : panel.at("targets")) {
      const auto expression = target.at("expr").get<std::string>();
      check(expression, panel.at("title"));
      ++expressions;
      // A label in the legend is one that the expression leaves.
      static const std::regex kLegend(R"(\{\{([a-z]+)\}\})");
      const auto legend = target.at("legendFormat").get<std::string>();
      for (std::sregex_iterator it(legend.begin(), legend.end(), kLegend), end; it != end; ++it) {
        const std::string label = (*it)[1];
        const bool aggregated = expression.find(" by (") != std::string::npos;
        EXPECT_TRUE(aggregated ? read_expression(expression).grouped.contains(label)
                               : label == "instance" || label == "feed")
            << panel.at("title") << ": " << legend;
      }
    }
  }
  EXPECT_GT(expressions, 25U);

  std::istringstream alerts(source_file("deploy/prometheus/alerts.yml"));
  std::size_t rules = 0;
  std::string alert;
  for (std::string line; std::getline(alerts, line);) {
    if (const std::size_t at = line.find("- alert: "); at != std::string::npos) {
      alert = line.substr(at + 9);
    } else if (const std::size_t expr = line.find("expr: "); expr != std::string::npos) {
      check(line.substr(expr + 6), alert);
      ++rules;
    }
  }
  EXPECT_EQ(rules, 14U);
}

}  // namespace
}  // namespace feedvault::testing
