// Monitoring over HTTP, of the program: the same requests to ours and to nats-server.

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/json_leaves.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/server_program.h"
#include "tests/support/http_get.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::eventually;
using feedvault::testing::http_get;
using feedvault::testing::HttpAnswer;
using nlohmann::json;

constexpr const char* kAccounts = R"(
server_name: example
accounts {
  APP { users: [ { user: app, password: a } ] }
  $SYS { users: [ { user: admin, password: s } ] }
}
)";

/// A server, with clients that have done the same things on both.
class Watched {
 public:
  explicit Watched(ServerKind kind) : server_(kind, kAccounts) {
    // Connection ids are given in order of arrival: one after the other.
    subscriber_ = join(
        "\"user\":\"app\",\"pass\":\"a\",\"name\":\"listener\",\"lang\":\"c\",\"version\":\"1.2\"",
        "SUB orders.* 1\r\nSUB orders.* workers 2\r\nSUB a.b 3\r\nUNSUB 3 5\r\n");
    publisher_ = join("\"user\":\"app\",\"pass\":\"a\"", "PUB orders.new 5\r\nhello\r\n");
    const std::string message = "MSG orders.new 1 5\r\nhello\r\n";
    EXPECT_EQ(subscriber_->receive(2 * message.size()).size(), 2 * message.size());
    join("\"user\":\"app\",\"pass\":\"a\",\"name\":\"gone\"", "SUB x 1\r\n");  // and leaves
    EXPECT_TRUE(eventually([&] { return get("/connz?state=closed")["total"] == 1; }));
    RawClient refused(server_.port());
    refused.send("CONNECT {\"user\":\"app\",\"pass\":\"wrong\"}\r\n");
    bool closed = false;
    refused.receive_to_end(closed);
    EXPECT_TRUE(eventually([&] { return get("/connz?state=closed")["total"] == 2; }));
    listener_ = get("/connz")["connections"][0]["cid"].dump();
  }

  /// "{cid}" stands for the first connection.
  HttpAnswer ask(std::string target) {
    if (const std::size_t at = target.find("{cid}"); at != std::string::npos) {
      target.replace(at, 5, listener_);
    }
    return http_get(server_.monitor_port(), target);
  }
  json get(const std::string& target) {
    return json::parse(ask(target).body, nullptr, /*allow_exceptions=*/false);
  }

 private:
  std::unique_ptr<RawClient> join(const std::string& options, const std::string& more) {
    auto client = std::make_unique<RawClient>(server_.port());
    client->send("CONNECT {\"verbose\":false," + options + "}\r\nPING\r\n");
    EXPECT_EQ(client->receive_until("PONG\r\n"), "PONG\r\n");
    client->send(more + "PING\r\n");
    client->receive_until("PONG\r\n");
    return client;
  }

  ServerProgram server_;
  std::unique_ptr<RawClient> subscriber_;
  std::unique_ptr<RawClient> publisher_;
  std::string listener_;
};

/// Where our answer may differ from nats-server's, and why.
struct Difference {
  enum class In : std::uint8_t { kValue, kPresence };
  std::string request;  // a prefix
  std::string path;     // a prefix
  In in;
  std::string reason;
};

const std::vector<Difference>& allowed_differences() {
  using In = Difference::In;
  const std::string internal = "nats-server counts its own, internal subscriptions and requests";
  const std::string second = "ours remembers a subject when it comes for the second time";
  const std::string imports = "requests to $SYS need no imports between accounts here";
  const std::string one = "users have one account, under its name; there is no $G beside it";
  static const std::vector<Difference> all = {
      {"/varz", "subscriptions", In::kValue, internal},
      {"/varz", "http_req_stats", In::kValue, "how often the test had to ask"},
      {"/connz?state=closed", "connections[].pending_bytes", In::kValue, "what was never sent"},
      {"/connz?state=any", "connections[].pending_bytes", In::kValue, "what was never sent"},
      {"/connz?state=closed&auth=1",
       "connections[].authorized_user",
       In::kValue,
       "who was refused is nobody; what he typed for a name may be his password"},
      {"/subsz", "num_", In::kValue, internal},
      {"/subscriptionsz", "num_", In::kValue, internal},
      {"/subsz", "cache_hit_rate", In::kValue, internal},
      {"/subscriptionsz", "cache_hit_rate", In::kValue, internal},
      {"/subsz", "max_fanout", In::kValue, second},
      {"/subscriptionsz", "max_fanout", In::kValue, second},
      {"/subsz", "avg_fanout", In::kValue, second},
      {"/subscriptionsz", "avg_fanout", In::kValue, second},
      {"/subsz?subs=1&acc=APP", "total", In::kValue, "ours counts what matches, as /connz does"},
      {"/subsz?subs=1&acc=APP", "subscriptions_list[]", In::kPresence, internal},
      {"/accountz", "accounts[]", In::kValue, one},
      {"/accountz?acc=APP", "account_detail.subscriptions", In::kValue, internal},
      {"/accountz?acc=APP", "account_detail.imports", In::kPresence, imports},
      {"/accountz?acc=APP", "account_detail.sublist_stats", In::kPresence, "/subsz has them all"},
      {"/accstatz", "account_statz[]", In::kValue, one},
  };
  return all;
}

bool is_allowed(const std::string& request, const std::string& path, Difference::In in) {
  const auto starts = [](const std::string& text, const std::string& prefix) {
    return text.compare(0, prefix.size(), prefix) == 0;
  };
  return std::any_of(
      allowed_differences().begin(), allowed_differences().end(), [&](const Difference& each) {
        return starts(request, each.request) && starts(path, each.path) &&
               (in == Difference::In::kValue || each.in == in);
      });
}

class Monitoring : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ours = new Watched(ServerKind::kOurs);
    shared_reference = new Watched(ServerKind::kReference);
  }
  static void TearDownTestSuite() {
    delete shared_ours;
    delete shared_reference;
  }

  static void compare(const std::string& request) {
    SCOPED_TRACE(request);
    const HttpAnswer ours = shared_ours->ask(request);
    const HttpAnswer reference = shared_reference->ask(request);
    EXPECT_EQ(ours.status, reference.status);
    EXPECT_EQ(ours.content_type, reference.content_type);
    const json our_json = json::parse(ours.body, nullptr, false);
    const json reference_json = json::parse(reference.body, nullptr, false);
    if (our_json.is_discarded() || reference_json.is_discarded()) {
      EXPECT_EQ(ours.body, reference.body);
      return;
    }
    const auto our_leaves = leaves_of(our_json);
    const auto reference_leaves = leaves_of(reference_json);
    for (const auto& [path, what] : reference_leaves) {
      if (our_leaves.count(path) == 0) {
        EXPECT_TRUE(is_allowed(request, path, Difference::In::kPresence)) << "ours lacks " << path;
      } else if (!is_allowed(request, path, Difference::In::kValue)) {
        EXPECT_EQ(our_leaves.at(path), what) << path;
      }
    }
    for (const auto& [path, what] : our_leaves) {
      if (reference_leaves.count(path) == 0) {
        EXPECT_TRUE(is_allowed(request, path, Difference::In::kPresence))
            << "only ours has " << path << " = " << what;
      }
    }
  }

  static Watched* shared_ours;
  static Watched* shared_reference;
};
Watched* Monitoring::shared_ours = nullptr;
Watched* Monitoring::shared_reference = nullptr;

TEST_F(Monitoring, VarzIsNatsServers) {
  compare("/varz");
}

TEST_F(Monitoring, ConnzIsNatsServers) {
  for (const char* query : {"",
                            "?subs=1",
                            "?subs=detail",
                            "?auth=1",
                            "?auth=true&subs=1",
                            "?cid={cid}",
                            "?offset=1&limit=1",
                            "?limit=1",
                            "?state=open",
                            "?state=closed&auth=1",
                            "?state=closed&sort=stop",
                            "?state=closed&sort=reason",
                            "?state=any",
                            "?user=app&auth=1",
                            "?acc=APP&auth=1",
                            "?sort=colour",
                            "?state=strange",
                            "?limit=many",
                            "?sort=stop",
                            "?cid=none",
                            "?subs=perhaps"}) {
    compare(std::string("/connz") + query);
  }
}

// Without "last", "idle" and "pending": in those both connections are equal to nats-server.
TEST_F(Monitoring, ConnzSortsAsNatsServerDoes) {
  for (const char* order : {"cid",
                            "start",
                            "subs",
                            "msgs_to",
                            "msgs_from",
                            "bytes_to",
                            "bytes_from",
                            "uptime",
                            "rtt"}) {
    compare(std::string("/connz?sort=") + order);
  }
}

TEST_F(Monitoring, SubszIsNatsServers) {
  for (const char* query : {"",
                            "?subs=1&acc=APP",
                            "?subs=1&acc=APP&test=orders.new",
                            "?subs=1&acc=APP&limit=1&offset=1",
                            "?subs=1&test=orders.*"}) {
    compare(std::string("/subsz") + query);
  }
  compare("/subscriptionsz");
}

TEST_F(Monitoring, OthersAreNatsServers) {
  for (const char* path : {"/healthz",
                           "/routez",
                           "/gatewayz",
                           "/leafz",
                           "/jsz",
                           "/accountz",
                           "/accountz?acc=APP",
                           "/accountz?acc=none",
                           "/accstatz?unused=1",
                           "/nothing"}) {
    compare(path);
  }
}

TEST_F(Monitoring, RootPageNamesTheOthers) {
  const HttpAnswer page = shared_ours->ask("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.content_type.substr(0, 9), "text/html");
  for (const char* path : {"varz", "connz", "subsz", "healthz", "metrics"}) {
    EXPECT_NE(page.body.find(std::string("href=./") + path), std::string::npos) << path;
  }
}

TEST_F(Monitoring, MetricsCountWhatHappened) {
  const HttpAnswer metrics = shared_ours->ask("/metrics");
  EXPECT_EQ(metrics.status, 200);
  for (const char* sample : {"feedvault_broker_connections 2\n",
                             "feedvault_broker_connections_total 4\n",
                             "feedvault_broker_in_messages_total 1\n",
                             "feedvault_broker_out_messages_total 2\n",
                             "feedvault_broker_out_bytes_total 10\n",
                             "feedvault_broker_subscriptions 3\n",
                             "feedvault_broker_auth_failures_total 1\n"}) {
    EXPECT_NE(metrics.body.find(sample), std::string::npos) << sample << metrics.body;
  }
}

TEST_F(Monitoring, CallbacksWrapTheAnswer) {
  const HttpAnswer answer = shared_ours->ask("/healthz?callback=show");
  EXPECT_EQ(answer.content_type, "application/javascript");
  EXPECT_EQ(answer.body, "show({\"status\":\"ok\"})");
}

// What nats-top and the usual exporter read of a server, by their names and types.
TEST_F(Monitoring, HasWhatNatsTopAndExportersRead) {
  const json varz = shared_ours->get("/varz");
  for (const char* number : {"mem",
                             "cpu",
                             "cores",
                             "connections",
                             "total_connections",
                             "in_msgs",
                             "out_msgs",
                             "in_bytes",
                             "out_bytes",
                             "slow_consumers",
                             "subscriptions",
                             "max_payload",
                             "max_connections",
                             "max_pending",
                             "ping_interval",
                             "write_deadline",
                             "routes",
                             "remotes",
                             "port"}) {
    EXPECT_TRUE(varz[number].is_number()) << number;
  }
  EXPECT_GT(varz["mem"], 1'000'000);
  EXPECT_EQ(varz["in_msgs"], 1);
  EXPECT_EQ(varz["out_bytes"], 10);
  const json connz = shared_ours->get("/connz?subs=1&sort=msgs_to&limit=1");
  ASSERT_EQ(connz["connections"].size(), 1U);
  const json& first = connz["connections"][0];
  EXPECT_EQ(first["name"], "listener");
  EXPECT_EQ(first["out_msgs"], 2);
  EXPECT_EQ(first["subscriptions_list"].size(), 3U);
  EXPECT_EQ(connz["total"], 2);
}

// Requests that come while clients come and go and publish: the loops are asked from monitoring's
// thread, and the server may stop in the middle of it.
TEST(MonitoringUnderLoad, AsksLoopsThatAreBusyAndStopsWhileAsked) {
  auto broker =
      std::make_unique<BrokerFixture>(3, [](Options& options) { options.monitoring.port = -1; });
  const auto port = static_cast<std::uint16_t>(broker->server().monitoring_port());
  ASSERT_NE(port, 0);
  std::atomic<int> answers{0};
  std::vector<std::thread> watchers;
  for (const char* target : {"/connz?subs=1", "/subsz?subs=1", "/metrics", "/varz"}) {
    watchers.emplace_back([&answers, port, target] {
      while (http_get(port, target).status == 200) {
        ++answers;
      }
    });
  }
  for (int round = 0; round < 50 || answers < 20; ++round) {
    RawClient client(broker->port());
    client.send("CONNECT {\"verbose\":false}\r\nSUB a.* 1\r\nPUB a.b 1\r\nx\r\nPING\r\n");
    ASSERT_EQ(client.receive_until("PONG\r\n"), "MSG a.b 1 1\r\nx\r\nPONG\r\n");
  }
  broker->server().stop();
  for (std::thread& watcher : watchers) {
    watcher.join();
  }
  EXPECT_GE(answers, 20);
}

}  // namespace
}  // namespace feedvault::broker::testing
