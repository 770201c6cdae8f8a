// Feeds, history and quarantine over HTTP, with the whole installation behind.

#include <algorithm>
#include <numeric>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "tests/integration/gateway/gateway_process.h"

namespace feedvault::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::size_t kMessages = 300;

class GatewayHistory : public ::testing::Test {
 protected:
  // What the tests read is the same for all.
  static void SetUpTestSuite() {
    installation = new Installation;
    installation->start_ready("a");
    FeedUnderTest& executions = installation->executions();
    executions.producer.acknowledged(kMessages / 2);
    executions.producer.publish("poison");
    executions.producer.acknowledged(kMessages - kMessages / 2);
    if (!executions.wait_until_published(kMessages)) {
      throw std::runtime_error("the messages do not come through");
    }
    // The rows of a time when bodies were not kept.
    installation->sql("UPDATE Messages SET body=NULL WHERE feed=2 AND seq%3=0");
    gateway = new GatewayProcess(*installation);
    if (!gateway->wait_until_ready()) {
      throw std::runtime_error("the gateway does not get ready:\n" + gateway->log());
    }
  }
  static void TearDownTestSuite() {
    delete gateway;
    delete installation;
  }

  static std::vector<json> ndjson(const std::string& query) {
    const auto answer =
        gateway->get("/feeds/executions/messages?" + query, {"Accept: application/x-ndjson"});
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(answer.whole);
    std::vector<json> lines;
    std::istringstream text(answer.body);
    for (std::string line; std::getline(text, line);) {
      lines.push_back(json::parse(line));
    }
    return lines;
  }
  static std::vector<std::uint64_t> seqs(const std::vector<json>& lines) {
    std::vector<std::uint64_t> seqs;
    for (const json& line : lines) {
      seqs.push_back(line["seq"].get<std::uint64_t>());
    }
    return seqs;
  }

  static inline Installation* installation = nullptr;
  static inline GatewayProcess* gateway = nullptr;
};

TEST_F(GatewayHistory, FeedsAreListedWithWhatTheyHold) {
  json feed;
  EXPECT_TRUE(eventually([&] {
    feed = json::parse(gateway->get("/feeds").body)["feeds"][1];
    return feed["messages"] == kMessages && feed["lag"]["unpublished"] == 0;
  })) << feed.dump(1);
  EXPECT_EQ(feed["name"], "executions");
  EXPECT_EQ(feed["first"], "executions:1");
  EXPECT_EQ(feed["last"], "executions:300");
  EXPECT_EQ(feed["quarantined"], 1);
  EXPECT_EQ(feed["schema"]["fields"][2]["name"], "price");
}

TEST_F(GatewayHistory, NdjsonIsTheTable) {
  const std::vector<json> lines = ndjson("limit=1000000");
  const std::vector<Delivered> rows = installation->executions().checker.table();
  ASSERT_EQ(lines.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(lines[i]["seq"], rows[i].seq);
    EXPECT_EQ(lines[i]["id"], rows[i].id);
    EXPECT_EQ(lines[i]["timestamp"], format_rfc3339_us(rows[i].timestamp_us));
    EXPECT_TRUE(lines[i]["body"]["symbol"].is_string()) << lines[i].dump();
  }
}

TEST_F(GatewayHistory, PagesLinkToTheNextAndCoverEverything) {
  std::vector<std::uint64_t> read;
  std::string target = "/feeds/executions/messages?limit=7&from=first";
  while (!target.empty()) {
    const auto answer = gateway->get(target);
    ASSERT_EQ(answer.status, 200);
    const json page = json::parse(answer.body);
    for (const json& message : page["messages"]) {
      read.push_back(message["seq"].get<std::uint64_t>());
    }
    target = page.value("next", "");
    EXPECT_EQ(answer.header("link"), target.empty() ? "" : "<" + target + ">; rel=\"next\"");
  }
  std::vector<std::uint64_t> all(kMessages);
  std::iota(all.begin(), all.end(), 1U);
  EXPECT_EQ(read, all);
}

TEST_F(GatewayHistory, CsvHasALineAMessage) {
  const auto answer = gateway->get("/feeds/executions/messages?to=11", {"Accept: text/csv"});
  EXPECT_EQ(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
  EXPECT_THAT(answer.body, ::testing::StartsWith("seq,id,timestamp,symbol,"));
  EXPECT_EQ(std::count(answer.body.begin(), answer.body.end(), '\n'), 11);
}

TEST_F(GatewayHistory, FieldsFilterWhetherThereIsABodyOrNot) {
  const std::vector<json> all = ndjson("limit=1000000");
  for (const char* field : {"symbol", "price", "executionEpoch"}) {
    const json wanted = all[100]["body"][field];
    const std::string text = wanted.is_string() ? wanted.get<std::string>() : wanted.dump();
    std::vector<std::uint64_t> expected;
    for (const json& message : all) {
      if (message["body"][field] == wanted) {
        expected.push_back(message["seq"].get<std::uint64_t>());
      }
    }
    EXPECT_EQ(seqs(ndjson("limit=1000000&" + std::string(field) + "=" + text)), expected) << field;
  }
  EXPECT_TRUE(ndjson("symbol=none").empty());
  const auto page = json::parse(gateway
                                    ->get("/feeds/executions/messages?limit=1&symbol=" +
                                          all[100]["body"]["symbol"].get<std::string>())
                                    .body);
  EXPECT_EQ(page["messages"].size(), 1U);
}

TEST_F(GatewayHistory, TimesBoundARange) {
  const std::vector<Delivered> rows = installation->executions().checker.table();
  const std::int64_t from = rows[99].timestamp_us;
  const std::int64_t to = rows[199].timestamp_us;
  std::vector<std::uint64_t> expected;
  for (const Delivered& row : rows) {
    if (row.timestamp_us >= from && row.timestamp_us < to) {
      expected.push_back(row.seq);
    }
  }
  EXPECT_EQ(seqs(ndjson("from=" + format_rfc3339_us(from) + "&to=" + format_rfc3339_us(to))),
            expected);
  EXPECT_TRUE(ndjson("from=2200-01-01T00:00:00Z").empty());
  EXPECT_TRUE(ndjson("to=2000-01-01T00:00:00Z").empty());
  EXPECT_TRUE(ndjson("from=400").empty());
  EXPECT_TRUE(ndjson("from=10&to=10").empty());
}

TEST_F(GatewayHistory, OneMessageComesAsJsonOrAsItsBytes) {
  const std::vector<Delivered> rows = installation->executions().checker.table();
  const auto message = gateway->get("/feeds/executions/messages/12");
  EXPECT_EQ(json::parse(message.body)["id"], rows[11].id);
  EXPECT_EQ(message.header("feedvault-position"), "executions:12");
  const auto raw =
      gateway->get("/feeds/executions/messages/12", {"Accept: application/octet-stream"});
  EXPECT_EQ(raw.header("content-type"), "application/octet-stream");
  EXPECT_EQ(raw.body, rows[11].payload);
  EXPECT_EQ(gateway->get("/feeds/executions/messages/301").status, 404);
  EXPECT_EQ(gateway->get("/feeds/executions/messages/0").status, 400);
  EXPECT_EQ(gateway->get("/feeds/executions/messages/x").status, 400);
}

TEST_F(GatewayHistory, WrongRequestsAreToldWhatWouldBeRight) {
  const auto feed = gateway->get("/feeds/nosuch/messages");
  EXPECT_EQ(feed.status, 404);
  EXPECT_EQ(feed.header("content-type"), "application/problem+json");
  EXPECT_EQ(json::parse(feed.body)["detail"],
            "there is no feed 'nosuch'; there are events, executions");
  EXPECT_EQ(gateway->get("/feeds/executions/messages?from=x").status, 400);
  EXPECT_EQ(gateway->get("/feeds/executions/messages?nosuch=1").status, 400);
  EXPECT_EQ(gateway->get("/feeds/executions/messages", {"Accept: image/png"}).status, 406);
  EXPECT_EQ(gateway->get("/quarantine?limit=0").status, 400);
  EXPECT_EQ(gateway->get("/quarantine?feed=nosuch").status, 404);
  EXPECT_EQ(gateway->get("/quarantine/x").status, 400);
  EXPECT_EQ(gateway->get("/quarantine/999999").status, 404);
  EXPECT_EQ(gateway->post("/feeds").status, 405);
}

TEST_F(GatewayHistory, SqlAndScriptsAreJustText) {
  const std::vector<std::string> evils{"%27%20OR%20%271%27=%271",
                                       "1%3BDROP%20TABLE%20Messages",
                                       "%22%3E%3Cscript%3Ealert(1)",
                                       "%27%20UNION%20SELECT%20password--",
                                       "%0d%0aSet-Cookie:x=y",
                                       "..%2f..%2fetc%2fpasswd",
                                       "%25s%25n",
                                       "%5c%27"};
  for (const std::string& evil : evils) {
    for (const std::string& target : {"/feeds/" + evil + "/messages",
                                      "/feeds/executions/messages?from=" + evil,
                                      "/feeds/executions/messages?to=" + evil,
                                      "/feeds/executions/messages?limit=" + evil,
                                      "/feeds/executions/messages?" + evil + "=1",
                                      "/feeds/executions/messages?symbol=" + evil,
                                      "/feeds/executions/messages/" + evil,
                                      "/quarantine/" + evil,
                                      "/quarantine?feed=" + evil,
                                      "/quarantine?limit=" + evil,
                                      "/" + evil}) {
      const auto answer = gateway->get(target);
      const bool filter = target.find("symbol=") != std::string::npos;
      EXPECT_TRUE(filter ? answer.status == 200 : answer.status == 400 || answer.status == 404)
          << target << " " << answer.status;
      EXPECT_EQ(answer.body.find("<script"), std::string::npos) << target;
      EXPECT_EQ(answer.header("set-cookie"), "") << target;
      if (filter) {
        EXPECT_TRUE(json::parse(answer.body)["messages"].empty()) << target;
      }
    }
  }
  EXPECT_EQ(ndjson("limit=1000000").size(), kMessages);
}

TEST_F(GatewayHistory, TheQuarantineIsListedAndRequeued) {
  const json list = json::parse(gateway->get("/quarantine?feed=executions").body)["quarantine"];
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["feed"], "executions");
  EXPECT_TRUE(json::parse(gateway->get("/quarantine?feed=events").body)["quarantine"].empty());
  const std::string target = "/quarantine/" + std::to_string(list[0]["id"].get<int>());
  const json message = json::parse(gateway->get(target).body);
  EXPECT_EQ(message["data"], "cG9pc29u");
  EXPECT_EQ(gateway->post(target + "/requeue", {"Origin: https://evil.example"}).status, 403);
  EXPECT_EQ(gateway->get(target + "/requeue").status, 405);
  const auto asked = gateway->post(target + "/requeue");
  EXPECT_EQ(asked.status, 202) << asked.body;
  EXPECT_TRUE(eventually([&] {
    return json::parse(gateway->get(target).body)["state"] == "failed";
  })) << "the controller tries, and it is poison still";
  EXPECT_EQ(gateway->post("/quarantine/999999/requeue").status, 404);
}

TEST_F(GatewayHistory, HealthAndMetricsTell) {
  EXPECT_EQ(gateway->get("/livez").body, "ok\n");
  EXPECT_TRUE(json::parse(gateway->get("/readyz").body)["ready"]);
  const auto metrics = gateway->get("/metrics");
  EXPECT_THAT(metrics.header("content-type"), HasSubstr("version=0.0.4"));
  EXPECT_THAT(metrics.body, HasSubstr("feedvault_gateway_answers_total{status=\"2xx\"}"));
  EXPECT_THAT(metrics.body, HasSubstr("feedvault_gateway_last_seq{feed=\"executions\"}"));
}

TEST_F(GatewayHistory, TheDashboardRunsItsOwnFilesOnly) {
  const auto page = gateway->get("/");
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.header("content-security-policy"),
              ::testing::AllOf(HasSubstr("default-src 'none'; script-src 'self';"),
                               HasSubstr("require-trusted-types-for 'script'"),
                               ::testing::Not(HasSubstr("unsafe"))));
  EXPECT_THAT(page.body, ::testing::Not(HasSubstr("://"))) << "nothing from other hosts";
  const auto script = gateway->get("/assets/uplot.js");
  EXPECT_EQ(script.header("content-type"), "text/javascript; charset=utf-8");
  EXPECT_THAT(script.body, HasSubstr("Permission is hereby granted")) << "its licence";
  const auto again = gateway->get("/assets/uplot.js", {"If-None-Match: " + script.header("etag")});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  const auto page_again = gateway->get("/", {"If-None-Match: " + page.header("etag")});
  EXPECT_EQ(page_again.status, 304);
  EXPECT_EQ(page_again.header("content-security-policy"), page.header("content-security-policy"))
      << "a browser puts it in the place of the one that it kept";
  EXPECT_EQ(gateway->get("/assets/..%2fopenapi.json").status, 404);
}

TEST_F(GatewayHistory, OtherNamesOfThisAddressAreNotAnswered) {
  for (const char* path : {"/", "/feeds", "/feeds/executions/live"}) {
    HttpClient client(gateway->port());
    ASSERT_TRUE(
        client.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
    const auto refused = client.receive();
    EXPECT_EQ(refused.status, 421) << path;
    EXPECT_THAT(json::parse(refused.body)["detail"], HasSubstr("[http] hosts"));
  }
}

TEST_F(GatewayHistory, ActivityIsToldSinceAGivenTime) {
  const auto feeds = [](const std::string& query) {
    return json::parse(gateway->get("/activity" + query).body)["feeds"];
  };
  ASSERT_TRUE(eventually([&] { return feeds("")[1]["at"].size() >= 2; }));
  const json executions = feeds("")[1];
  EXPECT_EQ(executions["name"], "executions");
  for (const char* figure : {"rate", "uncatalogued", "unpublished", "p50_ms", "p99_ms"}) {
    EXPECT_EQ(executions[figure].size(), executions["at"].size()) << figure;
  }
  const auto second = executions["at"][1].get<std::int64_t>();
  const json later = feeds("?since=" + std::to_string(second - 1))[1];
  EXPECT_EQ(later["at"][0], second);
}

TEST_F(GatewayHistory, TokensGuardTheirFeeds) {
  GatewayProcess guarded(*installation,
                         {{"FEEDVAULT_HTTP_TOKENS", "events:eeeeeeeeeeeeeeee,*:aaaaaaaaaaaaaaaa"}});
  EXPECT_EQ(guarded.get("/livez").status, 200);
  const auto refused = guarded.get("/feeds");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.header("www-authenticate"), HasSubstr("Bearer"));
  const std::vector<std::string> events{"Authorization: Bearer eeeeeeeeeeeeeeee"};
  const std::vector<std::string> all{"Authorization: Bearer aaaaaaaaaaaaaaaa"};
  EXPECT_EQ(json::parse(guarded.get("/feeds", events).body)["feeds"].size(), 1U);
  EXPECT_EQ(guarded.get("/feeds/executions/messages", events).status, 403);
  EXPECT_EQ(guarded.get("/feeds/executions/messages/1", events).status, 403);
  EXPECT_EQ(guarded.get("/quarantine", events).status, 403);
  EXPECT_EQ(guarded.get("/metrics").status, 401);
  EXPECT_EQ(guarded.get("/metrics", events).status, 200);
  EXPECT_EQ(guarded.get("/feeds/executions/messages", all).status, 200);
  EXPECT_EQ(guarded.post("/quarantine/1/requeue", all).status, 403) << "no token is for writing";
}

TEST_F(GatewayHistory, RefusesToStandOpenWithoutBeingTold) {
  Process gateway_process(
      {.command = {built_program("feedvault-gateway"), "--config", installation->config_file()},
       .environment = {{"FEEDVAULT_HTTP_BIND", "0.0.0.0"}},
       .output_file = installation->folder() + "/refused.log",
       .working_folder = {}});
  EXPECT_EQ(gateway_process.wait_for_exit(std::chrono::seconds(20)), 2);
  EXPECT_THAT(gateway_process.output(), HasSubstr("[http] tokens: there are none"));
}

TEST_F(GatewayHistory, EndsWhenItIsAskedTo) {
  GatewayProcess second(*installation);
  EXPECT_EQ(second.terminate(), 0) << second.log();
}

}  // namespace
}  // namespace feedvault::testing
