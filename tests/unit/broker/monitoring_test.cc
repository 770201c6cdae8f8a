#include "broker/monitoring.h"

#include <chrono>
#include <ctime>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/monitoring_format.h"
#include "tests/support/http_get.h"

namespace feedvault::broker {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000'000;
// 2026-11-21T22:27:55.916480833Z
constexpr std::int64_t kStart = 1795300075'916480833;

/// A server at one moment, as a test wants it.
class FakeSource : public MonitoringSource {
 public:
  FakeSource() {
    auto set = std::make_shared<Options>();
    set->host = "127.0.0.1";
    set->port = 14622;
    options = set;
    server.server_id = "NBPSQ6NDERN22H5XNVRGEHAPL4YHYXYJNVWQ5UXRJIQKPOSP5AXDBWK7";
    server.server_name = "refsrv";
    server.version = "2.9.10";
    server.options = options;
    server.port = 14622;
    server.monitoring_port = 18622;
    server.auth_required = true;
    server.start_ns = kStart;
    server.now_ns = kStart + 2'082'512'084;
    server.config_load_ns = kStart;
    server.resident_bytes = 12529664;
    server.cpu_percent = 1;
    server.cores = 2;
    server.loops = 2;
    server.connections = 3;
    server.total_connections = 4;
    server.traffic = {4, 3, 5, 4};
    server.subscriptions = 50;
    server.accounts = {{"$G", 2, 2, {4, 3, 5, 4}, 0, 9}, {"$SYS", 1, 1, {10, 8, 0, 5075}, 0, 41}};
  }

  ConnectionSnapshot& add(std::uint64_t cid) {
    ConnectionSnapshot& c = connections.emplace_back();
    c.cid = cid;
    c.ip = "127.0.0.1";
    c.port = static_cast<int>(51000 + cid);
    c.start_ns = kStart + static_cast<std::int64_t>(cid) * 1000;
    c.last_activity_ns = c.start_ns;
    c.account = "$G";
    return c;
  }

  ServerSnapshot server_snapshot() override { return server; }
  std::vector<ConnectionSnapshot> connection_snapshots(const ConnectionQuery& asked) override {
    query = asked;
    return connections;
  }
  SubjectIndexSnapshot subject_index_snapshot() override { return index; }
  std::vector<SubscriptionSnapshot> subscription_snapshots() override { return subscriptions; }
  std::string health_problem(bool streams) override {
    return problem.empty() && streams ? streams_problem : problem;
  }

  std::shared_ptr<const Options> options;
  ServerSnapshot server;
  std::vector<ConnectionSnapshot> connections;
  SubjectIndexSnapshot index;
  std::vector<SubscriptionSnapshot> subscriptions;
  std::string problem;
  std::string streams_problem;
  ConnectionQuery query;
};

class MonitoringTest : public ::testing::Test {
 protected:
  HttpResponse get(const std::string& target) {
    const std::size_t mark = target.find('?');
    return monitoring_.handle(target.substr(0, mark),
                              mark == std::string::npos ? "" : target.substr(mark + 1));
  }
  json ok(const std::string& target) {
    const HttpResponse response = get(target);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.content_type, "application/json");
    return json::parse(response.body);
  }
  std::string refused(const std::string& target) {
    const HttpResponse response = get(target);
    EXPECT_EQ(response.status, 400) << response.body;
    return response.body;
  }
  std::vector<std::uint64_t> cids(const std::string& query) {
    std::vector<std::uint64_t> result;
    const json list = ok("/connz?" + query)["connections"];
    for (const auto& connection : list) {
      result.push_back(connection["cid"]);
    }
    return result;
  }
  std::optional<std::string> ask(const std::string& subject,
                                 const SystemRequester& who,
                                 const std::string& payload = "") {
    return monitoring_.answer_system_request("$SYS.REQ." + subject, payload, who);
  }

  const SystemRequester system_{true, "sys", "$SYS"};
  const SystemRequester user_{false, "u", "$G"};
  FakeSource source_;
  Monitoring monitoring_{source_};
};

TEST(MonitoringFormat, IsGos) {
  EXPECT_EQ(format_time(kStart), "2026-11-21T22:27:55.916480833Z");
  EXPECT_EQ(format_time(1795300075'600000000), "2026-11-21T22:27:55.6Z");
  EXPECT_EQ(format_time(1795300075'000000000), "2026-11-21T22:27:55Z");
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_uptime(179 * kSecond), "2m59s");
  EXPECT_EQ(format_uptime(kSecond - 1), "0s");
  EXPECT_EQ(format_uptime(-5), "0s");
  EXPECT_EQ(format_uptime(26LL * 3600 * kSecond), "1d2h0m0s");
  EXPECT_EQ(format_uptime(366LL * 86400 * kSecond), "1y1d0h0m0s");
  EXPECT_EQ(format_go_duration(332'999), "332\xc2\xb5s");
  EXPECT_EQ(format_go_duration(1'250'000), "1.25ms");
  EXPECT_EQ(format_go_duration(999), "999ns");
  EXPECT_EQ(format_go_duration(2 * kSecond), "2s");
  EXPECT_EQ(format_go_duration(120 * kSecond + kSecond / 2), "2m0.5s");
  EXPECT_EQ(format_go_duration(3661 * kSecond), "1h1m1s");
  EXPECT_EQ(format_go_duration(0), "0s");
}

TEST(MonitoringFormat, QueriesAreDecoded) {
  const HttpQuery query("a=1&b=x%2Ey+z&a=2&c&%zz=1&d=%2");
  EXPECT_EQ(query.get("a"), "1");
  EXPECT_EQ(query.get("b"), "x.y z");
  EXPECT_EQ(query.get("c"), "");
  EXPECT_EQ(query.get("%zz"), "1");
  EXPECT_EQ(query.get("d"), "%2");
  EXPECT_EQ(query.get("e"), "");
}

// What nats-server 2.9.10 answered in this state, but for "go".
TEST_F(MonitoringTest, VarzIsNatsServers) {
  EXPECT_EQ(get("/varz").body, R"({
  "server_id": "NBPSQ6NDERN22H5XNVRGEHAPL4YHYXYJNVWQ5UXRJIQKPOSP5AXDBWK7",
  "server_name": "refsrv",
  "version": "2.9.10",
  "proto": 1,
  "go": "c++20",
  "host": "127.0.0.1",
  "port": 14622,
  "auth_required": true,
  "max_connections": 65536,
  "ping_interval": 120000000000,
  "ping_max": 2,
  "http_host": "127.0.0.1",
  "http_port": 18622,
  "http_base_path": "",
  "https_port": 0,
  "auth_timeout": 2,
  "max_control_line": 4096,
  "max_payload": 1048576,
  "max_pending": 67108864,
  "cluster": {},
  "gateway": {},
  "leaf": {},
  "mqtt": {},
  "websocket": {},
  "jetstream": {},
  "tls_timeout": 2,
  "write_deadline": 10000000000,
  "start": "2026-11-21T22:27:55.916480833Z",
  "now": "2026-11-21T22:27:57.998992917Z",
  "uptime": "2s",
  "mem": 12529664,
  "cores": 2,
  "gomaxprocs": 2,
  "cpu": 1,
  "connections": 3,
  "total_connections": 4,
  "routes": 0,
  "remotes": 0,
  "leafnodes": 0,
  "in_msgs": 4,
  "out_msgs": 3,
  "in_bytes": 5,
  "out_bytes": 4,
  "slow_consumers": 0,
  "subscriptions": 50,
  "http_req_stats": {
    "/varz": 1
  },
  "config_load_time": "2026-11-21T22:27:55.916480833Z",
  "system_account": "$SYS"
})");
}

TEST_F(MonitoringTest, VarzTellsSettings) {
  auto options = std::make_shared<Options>(*source_.options);
  options->client_advertise = "1.2.3.4:55";
  options->tls.enabled = true;
  options->tls.verify = true;
  options->websocket.enabled = true;
  options->websocket.port = -1;
  source_.server.websocket_port = 14625;
  options->websocket.no_tls = true;
  options->server_tags = {"x"};
  options->limits.max_subscriptions = 5;
  source_.server.options = options;
  source_.server.cpu_percent = 2.5;
  const json varz = ok("/varz");
  EXPECT_EQ(varz["host"], "1.2.3.4");
  EXPECT_EQ(varz["port"], 55);
  EXPECT_EQ(varz["tls_required"], true);
  EXPECT_EQ(varz["tls_verify"], true);
  EXPECT_EQ(varz["auth_timeout"], 3);
  EXPECT_EQ(varz["websocket"], json::parse(R"({"host":"0.0.0.0","port":14625,"no_tls":true,
                                             "handshake_timeout":2000000000})"));
  EXPECT_EQ(varz["tags"], json::array({"x"}));
  EXPECT_EQ(varz["max_subscriptions"], 5);
  EXPECT_EQ(varz["cpu"], 2.5);
}

TEST_F(MonitoringTest, ConnzIsNatsServers) {
  ConnectionSnapshot& c = source_.add(4);
  c.port = 51144;
  c.start_ns = kStart + 644'763'474;
  c.last_activity_ns = kStart + 1'547'541'029;
  c.rtt_ns = 552'000;
  c.traffic = {3, 1, 4, 2};
  c.subscriptions = 2;
  c.name = "n1";
  c.lang = "go";
  c.version = "1.2.3";
  c.user = "u";
  c.subscription_list = {{"$G", "foo", "", "1", 0, 0, 4}, {"$G", "bar.>", "q", "2", 0, 0, 4}};
  source_.server.now_ns = kStart + 2'083'731'432;
  EXPECT_EQ(get("/connz?subs=1&auth=1").body, R"({
  "server_id": "NBPSQ6NDERN22H5XNVRGEHAPL4YHYXYJNVWQ5UXRJIQKPOSP5AXDBWK7",
  "now": "2026-11-21T22:27:58.000212265Z",
  "num_connections": 1,
  "total": 1,
  "offset": 0,
  "limit": 1024,
  "connections": [
    {
      "cid": 4,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 51144,
      "start": "2026-11-21T22:27:56.561244307Z",
      "last_activity": "2026-11-21T22:27:57.464021862Z",
      "rtt": "552µs",
      "uptime": "1s",
      "idle": "0s",
      "pending_bytes": 0,
      "in_msgs": 3,
      "out_msgs": 1,
      "in_bytes": 4,
      "out_bytes": 2,
      "subscriptions": 2,
      "name": "n1",
      "lang": "go",
      "version": "1.2.3",
      "authorized_user": "u",
      "subscriptions_list": [
        "foo",
        "bar.\u003e"
      ]
    }
  ]
})");
  EXPECT_TRUE(source_.query.with_subscriptions);
  const json detail = ok("/connz?subs=detail")["connections"][0];
  EXPECT_EQ(detail["subscriptions_list_detail"][1],
            json::parse(R"({"subject":"bar.>","qgroup":"q","sid":"2","msgs":0,"cid":4})"));
  EXPECT_FALSE(detail.contains("authorized_user"));
}

TEST_F(MonitoringTest, ConnzSortsByEveryOption) {
  // Each field has its own order, so that no sort can pass for another.
  const auto add = [&](std::uint64_t cid, std::uint64_t base) {
    ConnectionSnapshot& c = source_.add(cid);
    c.start_ns = kStart - static_cast<std::int64_t>(cid) * 5 * kSecond;
    c.last_activity_ns = kStart + static_cast<std::int64_t>((base * 3) % 7) * kSecond;
    c.subscriptions = static_cast<std::uint32_t>((base * 2) % 7);
    c.pending_bytes = static_cast<std::int64_t>((base * 4) % 7);
    c.traffic = {(base * 5) % 7, (base * 6) % 7, (base * 3 + 1) % 7, (base * 2 + 3) % 7};
  };
  add(1, 1);
  add(2, 2);
  add(3, 3);
  source_.server.now_ns = kStart + 10 * kSecond;
  using Order = std::vector<std::uint64_t>;
  EXPECT_EQ(cids(""), (Order{1, 2, 3}));
  EXPECT_EQ(cids("sort=cid"), (Order{1, 2, 3}));
  EXPECT_EQ(cids("sort=start"), (Order{3, 2, 1}));
  EXPECT_EQ(cids("sort=subs"), (Order{3, 2, 1}));        // 2 4 6
  EXPECT_EQ(cids("sort=pending"), (Order{3, 1, 2}));     // 4 1 5
  EXPECT_EQ(cids("sort=msgs_to"), (Order{1, 2, 3}));     // out 6 5 4
  EXPECT_EQ(cids("sort=msgs_from"), (Order{1, 2, 3}));   // in 5 3 1
  EXPECT_EQ(cids("sort=bytes_to"), (Order{1, 3, 2}));    // out 5 0 2
  EXPECT_EQ(cids("sort=bytes_from"), (Order{1, 3, 2}));  // in 4 0 3
  EXPECT_EQ(cids("sort=last"), (Order{2, 1, 3}));        // 3 6 2
  EXPECT_EQ(cids("sort=idle"), (Order{2, 1, 3}));
  EXPECT_EQ(cids("sort=uptime"), (Order{1, 2, 3}));
  EXPECT_EQ(refused("/connz?sort=bogus"), "invalid sorting option: bogus");
  EXPECT_EQ(refused("/connz?sort=stop"), "sort by stop only valid on closed connections");
  EXPECT_EQ(refused("/connz?sort=reason"), "sort by reason only valid on closed connections");
}

TEST_F(MonitoringTest, ConnzFiltersAndPages) {
  for (std::uint64_t cid = 1; cid <= 5; ++cid) {
    ConnectionSnapshot& c = source_.add(cid);
    c.user = cid % 2 == 0 ? "even" : "odd";
    c.account = cid == 5 ? "$SYS" : "$G";
    c.subscription_list = {{"$G", cid == 2 ? "foo.*" : "bar", "", "1", 0, 0, cid}};
  }
  EXPECT_THAT(cids("limit=2&offset=1"), ElementsAre(2, 3));
  EXPECT_THAT(cids("limit=-1&offset=-1"), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(cids("offset=9"), ElementsAre());
  EXPECT_THAT(cids("cid=3&offset=2"), ElementsAre(3));
  EXPECT_THAT(cids("cid=99"), ElementsAre());
  EXPECT_THAT(cids("user=even"), ElementsAre(2, 4));
  EXPECT_THAT(cids("acc=$SYS"), ElementsAre(5));
  EXPECT_THAT(cids("filter_subject=foo.x"), ElementsAre(2));
  const json page = ok("/connz?limit=2&offset=4");
  EXPECT_EQ(page["num_connections"], 1);
  EXPECT_EQ(page["total"], 5);
  EXPECT_EQ(page["limit"], 2);
  EXPECT_EQ(ok("/connz?cid=3")["limit"], 1);
  EXPECT_EQ(source_.query.cid, std::optional<std::uint64_t>(3));
}

TEST_F(MonitoringTest, ConnzShowsClosedConnections) {
  source_.add(1);
  ConnectionSnapshot& first = source_.add(2);
  first.stop_ns = first.start_ns + 3 * kSecond;
  first.reason = close_reasons::kStaleConnection;
  ConnectionSnapshot& second = source_.add(3);
  second.stop_ns = second.start_ns + 5 * kSecond;
  second.reason = close_reasons::kClientClosed;
  EXPECT_THAT(cids(""), ElementsAre(1));
  EXPECT_THAT(cids("state=closed"), ElementsAre(2, 3));
  EXPECT_FALSE(source_.query.open);
  EXPECT_THAT(cids("state=any"), ElementsAre(1, 2, 3));
  EXPECT_THAT(cids("state=closed&sort=stop"), ElementsAre(3, 2));
  EXPECT_THAT(cids("state=closed&sort=reason"), ElementsAre(3, 2));
  const json closed = ok("/connz?state=closed")["connections"][0];
  EXPECT_EQ(closed["reason"], "Stale Connection");
  EXPECT_EQ(closed["uptime"], "3s");
  EXPECT_TRUE(closed.contains("stop"));
  EXPECT_EQ(refused("/connz?state=foo"), "Error decoding state for foo");
}

TEST_F(MonitoringTest, BadQueriesAreAnsweredAsNatsServerDoes) {
  EXPECT_EQ(refused("/connz?limit=x"),
            "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax");
  EXPECT_EQ(refused("/connz?cid=x"),
            "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"x\": invalid syntax");
  EXPECT_EQ(refused("/connz?auth=x"),
            "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"x\": invalid syntax");
  EXPECT_EQ(refused("/subsz?test=foo..x"),
            "invalid test subject, must be valid publish subject: foo..x");
  EXPECT_EQ(refused("/healthz?js-enabled-only=x"),
            "Error decoding boolean for 'js-enabled-only': strconv.ParseBool: parsing \"x\": "
            "invalid syntax");
}

TEST_F(MonitoringTest, Subsz) {
  source_.index = {50, 12, 50, 0, 15, 0.2, 2, 0.5};
  source_.subscriptions = {{"$G", "foo.>", "", "2", 1, 0, 5},
                           {"$G", "foo", "q", "1", 1, 9, 4},
                           {"$SYS", "x", "", "1", 0, 0, 1}};
  EXPECT_EQ(get("/subsz").body, R"({
  "num_subscriptions": 50,
  "num_cache": 12,
  "num_inserts": 50,
  "num_removes": 0,
  "num_matches": 15,
  "cache_hit_rate": 0.2,
  "max_fanout": 2,
  "avg_fanout": 0.5
})");
  const json all = ok("/subscriptionsz?subs=1");
  EXPECT_EQ(all["total"], 3);
  EXPECT_EQ(all["subscriptions_list"][0],
            json::parse(R"({"account":"$G","subject":"foo","qgroup":"q","sid":"1","msgs":1,)"
                        R"("max":9,"cid":4})"));
  EXPECT_EQ(ok("/subsz?subs=1&test=foo.x")["total"], 1);
  EXPECT_EQ(ok("/subsz?subs=1&acc=$SYS")["total"], 1);
  EXPECT_EQ(ok("/subsz?subs=1&limit=1&offset=1")["subscriptions_list"].size(), 1U);
}

TEST_F(MonitoringTest, HealthzTellsTheProblem) {
  EXPECT_EQ(get("/healthz").body, R"({"status":"ok"})");
  EXPECT_EQ(get("/healthz?js-enabled-only=true").status, 200);
  source_.streams_problem = "a stream has stopped";
  EXPECT_EQ(get("/healthz").status, 503);
  EXPECT_EQ(get("/healthz?js-server-only=true").status, 200);
  source_.problem = "lame duck";
  EXPECT_EQ(get("/healthz?js-server-only=true").status, 503);
  const HttpResponse sick = get("/healthz");
  EXPECT_EQ(sick.status, 503);
  EXPECT_EQ(sick.body, R"({"status":"unavailable","error":"lame duck"})");
}

TEST_F(MonitoringTest, TheOtherEndpoints) {
  EXPECT_EQ(ok("/routez")["routes"], json::array());
  EXPECT_EQ(ok("/gatewayz")["inbound_gateways"], json::object());
  EXPECT_TRUE(ok("/leafz")["leafs"].is_null());
  EXPECT_EQ(ok("/accountz")["accounts"], json::array({"$G", "$SYS"}));
  EXPECT_EQ(ok("/accountz?acc=$G")["account_detail"]["client_connections"], 2);
  EXPECT_EQ(refused("/accountz?acc=nope"), "Account nope does not exist");
  EXPECT_EQ(ok("/accstatz")["account_statz"][0]["sent"]["msgs"], 3);
  EXPECT_EQ(ok("/jsz")["disabled"], true);
  EXPECT_EQ(get("/nope").status, 404);
  EXPECT_EQ(get("/varz/").status, 404);
  EXPECT_THAT(get("/").body, HasSubstr("href=./varz"));
  source_.server.server_name = "<script>{name}";
  EXPECT_EQ(get("/").body.find("<script>"), std::string::npos);
}

TEST_F(MonitoringTest, StreamsAreToldOfWhereThereAreSome) {
  JetStreamSnapshot shot;
  shot.store_dir = "/data/jetstream";
  shot.max_file = 1000;
  shot.storage = 70;
  shot.memory = 7;
  shot.streams = 2;
  shot.consumers = 3;
  shot.messages = 4;
  shot.api_total = 5;
  shot.api_errors = 1;
  shot.stored = 6;
  shot.syncs = 8;
  shot.sync_ns = 1'500'000'000;
  source_.server.jetstream = shot;
  json jsz = ok("/jsz");
  jsz.erase("server_id");
  jsz.erase("now");
  EXPECT_EQ(jsz,
            json::parse(R"({"config":{"max_memory":-1,"max_storage":1000,)"
                        R"("store_dir":"/data/jetstream"},"memory":7,"storage":70,)"
                        R"("reserved_memory":0,"reserved_storage":0,"accounts":1,"ha_assets":0,)"
                        R"("api":{"total":5,"errors":1},"streams":2,"consumers":3,"messages":4,)"
                        R"("bytes":77})"));
  EXPECT_EQ(ok("/varz")["jetstream"]["config"]["store_dir"], "/data/jetstream");
  EXPECT_EQ(ok("/varz")["jetstream"]["stats"]["storage"], 70);
  EXPECT_EQ(ok("/accountz?acc=$G")["account_detail"]["jetstream_enabled"], true);
  EXPECT_EQ(ok("/accountz?acc=$SYS")["account_detail"]["jetstream_enabled"], false);
  const std::string metrics = get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("feedvault_broker_stored_messages_total 6\n"));
  EXPECT_THAT(metrics, HasSubstr("feedvault_broker_stream_syncs_total 8\n"));
  EXPECT_THAT(metrics, HasSubstr("feedvault_broker_stream_sync_seconds_total 1.5\n"));
}

TEST_F(MonitoringTest, CallbackMakesScript) {
  const HttpResponse response = get("/routez?callback=my.cb");
  EXPECT_EQ(response.content_type, "application/javascript");
  EXPECT_EQ(response.body.rfind("my.cb({\n", 0), 0U);
  EXPECT_EQ(response.body.back(), ')');
  EXPECT_EQ(get("/healthz?callback=cc").body, R"(cc({"status":"ok"}))");
  EXPECT_EQ(get("/varz?callback=alert(1)//").status, 400);
}

TEST_F(MonitoringTest, HostileNamesStayInsideTheirStrings) {
  ConnectionSnapshot& c = source_.add(1);
  c.name = "</script>\xff\"\n&";
  const std::string body = get("/connz").body;
  EXPECT_EQ(body.find('<'), std::string::npos);
  EXPECT_EQ(json::parse(body)["connections"][0]["name"], "</script>\xef\xbf\xbd\"\n&");
}

TEST_F(MonitoringTest, RequestsAreCountedByPath) {
  get("/connz");
  get("/connz?subs=1");
  get("/nope");
  EXPECT_EQ(ok("/varz")["http_req_stats"], json::parse(R"({"/connz":2,"/varz":1})"));
}

TEST_F(MonitoringTest, MetricsAreInPrometheusFormat) {
  source_.server.server_name = "a\"b";
  source_.server.slow_consumers_pending = 7;
  const HttpResponse response = get("/metrics");
  EXPECT_THAT(response.content_type, HasSubstr("version=0.0.4"));
  EXPECT_THAT(response.body, HasSubstr("\nfeedvault_broker_in_messages_total 4\n"));
  EXPECT_THAT(response.body, HasSubstr("server_name=\"a\\\"b\""));
  EXPECT_THAT(response.body,
              HasSubstr("feedvault_broker_slow_consumers_total{limit=\"max_pending\"} 7\n"));
}

TEST_F(MonitoringTest, SystemPingIsNatsServers) {
  source_.server.cpu_percent = 1;
  EXPECT_EQ(
      ask("SERVER.PING", system_),
      R"({"server":{"name":"refsrv","host":"127.0.0.1","id":"NBPSQ6NDERN22H5XNVRGEHAPL4YHYXYJNVWQ5UXRJIQKPOSP5AXDBWK7","ver":"2.9.10","seq":1,"jetstream":false,"time":"2026-11-21T22:27:57.998992917Z"},"statsz":{"start":"2026-11-21T22:27:55.916480833Z","mem":12529664,"cores":2,"cpu":1,"connections":3,"total_connections":4,"active_accounts":2,"subscriptions":50,"sent":{"msgs":3,"bytes":4},"received":{"msgs":4,"bytes":5},"slow_consumers":0,"active_servers":1}})");
}

TEST_F(MonitoringTest, SystemUsersMayAskEverything) {
  source_.add(1);
  const std::string id = "SERVER." + source_.server.server_id + ".";
  for (const std::string what :
       {"VARZ", "CONNZ", "SUBSZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "JSZ", "HEALTHZ", "ACCOUNTZ"}) {
    for (const std::string& subject : {"SERVER.PING." + what, id + what}) {
      const auto answer = ask(subject, system_);
      ASSERT_TRUE(answer.has_value()) << subject;
      EXPECT_TRUE(json::parse(*answer).contains("data")) << *answer;
    }
  }
  EXPECT_TRUE(json::parse(*ask(id + "STATSZ", system_)).contains("statsz"));
  EXPECT_EQ(json::parse(*ask("ACCOUNT.$G.INFO", system_))["data"]["account_name"], "$G");
  EXPECT_EQ(json::parse(*ask("ACCOUNT.PING.STATZ", system_))["data"]["account_statz"].size(), 2U);
  EXPECT_TRUE(ask("ACCOUNT.$G.SUBSZ", system_).has_value());
  for (const char* unknown : {"SERVER.PING.NOPE", "SERVER.OTHER.VARZ", "ACCOUNT.X", "NOPE", ""}) {
    EXPECT_FALSE(ask(unknown, system_).has_value()) << unknown;
  }
}

TEST_F(MonitoringTest, OthersSeeTheirOwnAccountOnly) {
  source_.add(1);
  source_.add(2).account = "$SYS";
  for (const char* forbidden : {"SERVER.PING",
                                "SERVER.PING.STATSZ",
                                "SERVER.PING.VARZ",
                                "ACCOUNT.$G.CONNZ",
                                "ACCOUNT.$SYS.INFO"}) {
    EXPECT_FALSE(ask(forbidden, user_).has_value()) << forbidden;
  }
  for (const char* subject : {"SERVER.PING.CONNZ", "ACCOUNT.PING.CONNZ"}) {
    const json data = json::parse(*ask(subject, user_, R"({"acc":"$SYS"})"))["data"];
    ASSERT_EQ(data["connections"].size(), 1U) << subject;
    EXPECT_EQ(data["connections"][0]["cid"], 1);
  }
  EXPECT_EQ(json::parse(*ask("ACCOUNT.PING.STATZ", user_))["data"]["account_statz"].size(), 1U);
  EXPECT_EQ(json::parse(*ask("USER.INFO", user_))["data"],
            json::parse(R"({"user":"u","account":"$G"})"));
}

TEST_F(MonitoringTest, SystemRequestsCarryOptions) {
  for (std::uint64_t cid = 1; cid <= 3; ++cid) {
    source_.add(cid).subscriptions = static_cast<std::uint32_t>(cid);
  }
  const json data = json::parse(*ask(
      "SERVER.PING.CONNZ", system_, R"({"sort":"subs","limit":1,"offset":"wrong type"})"))["data"];
  EXPECT_EQ(data["connections"][0]["cid"], 3);
  EXPECT_EQ(data["limit"], 1);
  const json error =
      json::parse(*ask("SERVER.PING.CONNZ", system_, R"({"sort":"bogus"})"))["error"];
  EXPECT_EQ(error["code"], 400);
  EXPECT_EQ(error["description"], "invalid sorting option: bogus");
  EXPECT_TRUE(json::parse(*ask("SERVER.PING.VARZ", system_, "{no json")).contains("error"));
  EXPECT_TRUE(json::parse(*ask("SERVER.PING.VARZ", system_, "[1]")).contains("error"));
  EXPECT_FALSE(ask("SERVER.PING", system_, R"({"server_name":"another"})").has_value());
}

TEST(ProcessUsage, MeasuresItself) {
  class SetClock : public Clock {
   public:
    SteadyTime now() const override { return time; }
    std::int64_t unix_ns() const override { return 0; }
    SteadyTime time{};
  } clock;
  ProcessUsage usage(clock);
  EXPECT_GT(usage.sample().resident_bytes, 1 << 20);
  EXPECT_EQ(usage.sample().cpu_percent, 0);  // too early
  // Of the processor's time, not of the wall's: others may be using it.
  const std::clock_t until = std::clock() + CLOCKS_PER_SEC * 3 / 100;
  while (std::clock() < until) {
    clock.time += std::chrono::nanoseconds(1);
  }
  clock.time = SteadyTime{} + std::chrono::seconds(1);
  EXPECT_GT(usage.sample().cpu_percent, 0.5);
}

TEST(MonitoringServer, AnswersBelowItsBasePath) {
  FakeSource source;
  Monitoring monitoring(source);
  Options options;
  options.host = "0.0.0.0";
  options.monitoring.host = "localhost";
  options.monitoring.port = -1;
  options.monitoring.base_path = "/nats/";
  const auto server = serve_monitoring(options, monitoring);
  ASSERT_TRUE(server.has_value()) << server.status().message();
  const auto get = [&](const std::string& target) {
    return testing::http_get((*server)->port(), target);
  };
  EXPECT_EQ(get("/nats/healthz?callback=x").body, "x({\"status\":\"ok\"})");
  EXPECT_EQ(get("/healthz").status, 404);
  EXPECT_THAT(get("/nats/connz?limit=7").body, HasSubstr("\"limit\": 7"));
  options.monitoring.port = (*server)->port();
  EXPECT_EQ(serve_monitoring(options, monitoring).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace feedvault::broker
