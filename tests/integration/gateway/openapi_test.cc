// The answers are what /openapi.json says, and it says all there is.

#include <algorithm>
#include <cctype>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/integration/gateway/gateway_process.h"

namespace feedvault::testing {
namespace {

using nlohmann::json;

/// As much of JSON Schema as the document uses.
class Validator {
 public:
  explicit Validator(const json& document) : document_(document) {}

  const json& resolve(const json& node) const {
    return node.contains("$ref")
               ? resolve(
                     document_.at(json::json_pointer(node["$ref"].get<std::string>().substr(1))))
               : node;
  }

  /// What is wrong with the value, or "".
  std::string problem(const json& value, const json& node, const std::string& at = "$") const {
    const json& schema = resolve(node);
    if (value.is_null() && schema.value("nullable", false)) {
      return {};
    }
    if (!has_type(value, schema.value("type", ""))) {
      return at + " is not of type " + schema.value("type", "?") + ": " + value.dump();
    }
    if (schema.contains("enum") && !contains(schema["enum"], value)) {
      return at + " is not one of " + schema["enum"].dump();
    }
    if (value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (auto found = problem(value[i], schema["items"], at + "[" + std::to_string(i) + "]");
            !found.empty()) {
          return found;
        }
      }
    }
    return value.is_object() && schema.contains("properties") ? object_problem(value, schema, at)
                                                              : "";
  }

 private:
  static bool contains(const json& list, const json& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  }
  static bool has_type(const json& value, const std::string& type) {
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
           (type == "integer" && value.is_number_integer()) ||
           (type == "number" && value.is_number());
  }
  std::string object_problem(const json& value, const json& schema, const std::string& at) const {
    for (const json& name : schema["required"]) {
      if (!value.contains(name.get<std::string>())) {
        return at + " has no " + name.dump();
      }
    }
    for (const auto& [name, member] : value.items()) {
      if (!schema["properties"].contains(name)) {
        return at + " has a member that is not described: " + name;
      }
      if (auto found = problem(member, schema["properties"][name], at + "." + name);
          !found.empty()) {
        return found;
      }
    }
    return {};
  }

  const json& document_;
};

class GatewayOpenApi : public ::testing::Test {
 protected:
  GatewayOpenApi() {
    installation_.start_ready("a");
    installation_.executions().producer.acknowledged(5);
    installation_.executions().producer.publish("poison");
    installation_.executions().producer.acknowledged(1);
    EXPECT_TRUE(installation_.executions().wait_until_published(6));
    gateway_ = std::make_unique<GatewayProcess>(installation_);
    EXPECT_TRUE(gateway_->wait_until_ready());
    document_ = json::parse(gateway_->get("/openapi.json").body);
  }

  /// Asks, and holds the answer against what `path` says.
  void check(const std::string& method,
             const std::string& path,
             const std::string& target,
             int status,
             const std::vector<std::string>& headers = {}) {
    SCOPED_TRACE(method + " " + target);
    const Validator validator(document_);
    HttpExchange answer;
    std::string body;
    if (path == "/feeds/{feed}/live" && status == 200) {
      EventReader reader(gateway_->port(), target, headers);
      answer = reader.head();
      body = reader.next().value_or(SentEvent{}).data;
      EXPECT_EQ(validator.problem(json::parse(body), schema("Message")), "");
    } else {
      answer = http_request(gateway_->port(), method, target, headers);
      body = answer.body;
    }
    ASSERT_EQ(answer.status, status) << answer.body;
    const json& responses = document_["paths"][path][method == "GET" ? "get" : "post"]["responses"];
    const std::string key = std::to_string(status);
    const json& response =
        validator.resolve(responses.contains(key) ? responses[key] : responses.at("default"));
    const std::string content_type = answer.header("content-type");
    const std::string type = content_type.substr(0, content_type.find(';'));
    ASSERT_TRUE(response["content"].contains(type)) << type;
    const json headers_said = response.value("headers", json::object());
    for (const auto& [name, ignored] : headers_said.items()) {
      std::string lower = name;
      std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
        return static_cast<char>(std::tolower(c));
      });
      EXPECT_NE(answer.header(lower), "") << name;
    }
    if (type.find("json") != std::string::npos && type.find("nd") == std::string::npos) {
      EXPECT_EQ(validator.problem(json::parse(body), response["content"][type]["schema"]), "");
    }
    checked_.insert(path);
  }
  json schema(const std::string& name) const { return {{"$ref", "#/components/schemas/" + name}}; }

  Installation installation_;
  std::unique_ptr<GatewayProcess> gateway_;
  json document_;
  std::set<std::string> checked_;
};

TEST_F(GatewayOpenApi, DescribesEveryAnswer) {
  const std::string messages = "/feeds/{feed}/messages";
  check("GET", "/feeds", "/feeds", 200);
  check("GET", "/activity", "/activity?since=1", 200);
  check("GET", "/activity", "/activity?since=x", 400);
  check("GET", "/feeds/{feed}/live", "/feeds/executions/live?from=1", 200);
  check("GET", "/feeds/{feed}/live", "/feeds/executions/live?from=x", 400);
  check("GET", messages, "/feeds/executions/messages?limit=2", 200);
  check("GET", messages, "/feeds/executions/messages?limit=2", 200, {"Accept: text/csv"});
  check(
      "GET", messages, "/feeds/executions/messages?limit=2", 200, {"Accept: application/x-ndjson"});
  check("GET", messages, "/feeds/none/messages", 404);
  check("GET", messages + "/{seq}", "/feeds/executions/messages/2", 200);
  check("GET",
        messages + "/{seq}",
        "/feeds/executions/messages/2",
        200,
        {"Accept: application/octet-stream"});
  check("GET", messages + "/{seq}", "/feeds/executions/messages/x", 400);
  check("GET", "/quarantine", "/quarantine", 200);
  check("GET", "/quarantine", "/quarantine?x", 400);
  const std::string id = std::to_string(
      json::parse(gateway_->get("/quarantine").body)["quarantine"][0]["id"].get<int>());
  check("GET", "/quarantine/{id}", "/quarantine/" + id, 200);
  check("POST", "/quarantine/{id}/requeue", "/quarantine/" + id + "/requeue", 202);
  check("POST", "/quarantine/{id}/requeue", "/quarantine/999999/requeue", 404);
  check("GET", "/openapi.json", "/openapi.json", 200);
  check("GET", "/", "/", 200);
  check("GET", "/assets/{file}", "/assets/app.js", 200);
  check("GET", "/assets/{file}", "/assets/style.css", 200);
  check("GET", "/assets/{file}", "/assets/none.js", 404);
  check("GET", "/livez", "/livez", 200);
  check("GET", "/readyz", "/readyz", 200);
  check("GET", "/metrics", "/metrics", 200);

  // What is described is what there is, and each was looked at.
  std::set<std::string> described;
  const std::string detail = json::parse(gateway_->get("/none").body)["detail"];
  for (const auto& [path, ignored] : document_["paths"].items()) {
    described.insert(path);
    EXPECT_THAT(detail + ",", ::testing::HasSubstr(" " + path + ","));
  }
  EXPECT_EQ(checked_, described);
  EXPECT_EQ(std::count(detail.begin(), detail.end(), '/'),
            std::accumulate(described.begin(),
                            described.end(),
                            std::ptrdiff_t{0},
                            [](std::ptrdiff_t sum, const std::string& path) {
                              return sum + std::count(path.begin(), path.end(), '/');
                            }))
      << "nothing is served that is not described: " << detail;
}

}  // namespace
}  // namespace feedvault::testing
