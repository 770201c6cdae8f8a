// $SYS: requests, events and isolation, on our broker and on nats-server.

#include <atomic>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/json_leaves.h"
#include "tests/integration/broker/natsc.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/server_program.h"

namespace feedvault::broker::testing {
namespace {

using nlohmann::json;

constexpr const char* kTwoAccounts = R"(
server_name: example
accounts {
  APP { users: [ { user: app, password: a } ] }
  $SYS { users: [ { user: admin, password: s } ] }
}
)";

NatscConnection connect_as(const ServerProgram& server, const char* user, const char* password) {
  const NatscOptions options = natsc_options(server.url());
  natsOptions_SetUserInfo(options.get(), user, password);
  natsOptions_SetName(options.get(), user);
  return natsc_connect(options.get());
}

/// Null when nobody answers.
json ask(const NatscConnection& client, const std::string& subject, const std::string& body = "") {
  natsMsg* answer = nullptr;
  const natsStatus status =
      natsConnection_RequestString(&answer, client.get(), subject.c_str(), body.c_str(), 5000);
  const NatscMessage owned(answer);
  if (status == NATS_NO_RESPONDERS) {
    return nullptr;
  }
  EXPECT_EQ(status, NATS_OK) << subject << " " << natsStatus_GetText(status);
  return json::parse(payload_of(owned), nullptr, /*allow_exceptions=*/false);
}

json next_event(const NatscSubscription& subscription) {
  return json::parse(payload_of(natsc_next(subscription)), nullptr, /*allow_exceptions=*/false);
}

class System : public ::testing::TestWithParam<ServerKind> {
 protected:
  ServerProgram server_{GetParam(), kTwoAccounts};
  NatscConnection admin_ = connect_as(server_, "admin", "s");
  NatscConnection app_ = connect_as(server_, "app", "a");
};
INSTANTIATE_TEST_SUITE_P(On,
                         System,
                         ::testing::Values(ServerKind::kOurs, ServerKind::kReference),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST_P(System, WhatUsersPublishStaysInTheirAccount) {
  const NatscSubscription admin_all = natsc_subscribe(admin_, ">");
  const NatscSubscription app_all = natsc_subscribe(app_, ">");
  natsc_publish(app_, "orders.new", "from the app");
  natsc_publish(app_, "$SYS.ACCOUNT.APP.CONNECT", "feigned");
  natsc_publish(admin_, "orders.new", "from the admin");
  ASSERT_EQ(natsConnection_Flush(app_.get()), NATS_OK);
  ASSERT_EQ(natsConnection_Flush(admin_.get()), NATS_OK);
  EXPECT_EQ(payload_of(natsc_next(app_all)), "from the app");
  EXPECT_EQ(payload_of(natsc_next(app_all)), "feigned");  // it may talk to itself
  EXPECT_EQ(natsc_next(app_all, 20), nullptr);
  std::string heard;
  while (const NatscMessage message = natsc_next(admin_all, 20)) {
    heard += payload_of(message) + "\n";
  }
  EXPECT_NE(heard.find("from the admin"), std::string::npos) << heard;
  EXPECT_EQ(heard.find("from the app"), std::string::npos) << heard;
  EXPECT_EQ(heard.find("feigned"), std::string::npos) << heard;
}

TEST_P(System, OrdinaryUsersMayOnlyAskAboutThemselves) {
  const std::string id = ask(admin_, "$SYS.REQ.SERVER.PING")["server"]["id"];
  for (const std::string& subject : {std::string("$SYS.REQ.SERVER.PING"),
                                     std::string("$SYS.REQ.SERVER.PING.VARZ"),
                                     std::string("$SYS.REQ.SERVER.PING.SUBSZ"),
                                     "$SYS.REQ.SERVER." + id + ".VARZ",
                                     "$SYS.REQ.SERVER." + id + ".CONNZ",
                                     std::string("$SYS.REQ.ACCOUNT.APP.CONNZ"),
                                     std::string("$SYS.REQ.ACCOUNT.APP.CONNS"),
                                     std::string("$SYS.REQ.ACCOUNT.$SYS.CONNZ")}) {
    EXPECT_EQ(ask(app_, subject), nullptr) << subject;
  }
  for (const char* subject : {"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"}) {
    const json list = ask(app_, subject)["data"]["connections"];
    ASSERT_EQ(list.size(), 1U) << subject;
    EXPECT_EQ(list[0]["name"], "app");
  }
  const json statz = ask(app_, "$SYS.REQ.ACCOUNT.PING.STATZ")["data"]["account_statz"];
  ASSERT_EQ(statz.size(), 1U);
  EXPECT_EQ(statz[0]["acc"], "APP");
}

TEST_P(System, SystemUsersAreToldWhoComesAndGoes) {
  const NatscSubscription came = natsc_subscribe(admin_, "$SYS.ACCOUNT.*.CONNECT");
  const NatscSubscription went = natsc_subscribe(admin_, "$SYS.ACCOUNT.*.DISCONNECT");
  const NatscSubscription refused = natsc_subscribe(admin_, "$SYS.SERVER.*.CLIENT.AUTH.ERR");
  {
    const NatscConnection guest = connect_as(server_, "app", "a");
    natsc_publish(guest, "x", "12345");
    EXPECT_EQ(natsConnection_Flush(guest.get()), NATS_OK);
  }
  const json disconnect = next_event(went);
  json connect = next_event(came);
  while (connect.is_object() && connect["client"]["id"] != disconnect["client"]["id"]) {
    connect = next_event(came);  // the two of the fixture came shortly before
  }
  EXPECT_EQ(connect["type"], "io.nats.server.advisory.v1.client_connect");
  EXPECT_EQ(connect["client"]["acc"], "APP");
  EXPECT_EQ(connect["client"]["user"], "app");
  EXPECT_EQ(connect["client"]["name"], "app");
  EXPECT_EQ(connect["client"]["lang"], "C");
  EXPECT_EQ(connect["server"]["name"], "example");
  EXPECT_TRUE(connect["client"]["id"].is_number());
  EXPECT_EQ(disconnect["sent"]["bytes"], 5);  // as the client sees it
  EXPECT_EQ(disconnect["received"]["msgs"], 0);
  EXPECT_EQ(disconnect["reason"], "Client Closed");
  const NatscOptions wrong = natsc_options(server_.url());
  natsOptions_SetUserInfo(wrong.get(), "app", "wrong");
  natsStatus status = NATS_OK;
  EXPECT_EQ(try_natsc(wrong.get(), status), nullptr);
  EXPECT_EQ(next_event(refused)["reason"], "Authentication Failure");
}

TEST_P(System, SystemUsersAreToldHowManyClientsAnAccountHas) {
  const NatscSubscription counts = natsc_subscribe(admin_, "$SYS.ACCOUNT.APP.SERVER.CONNS");
  const NatscSubscription same = natsc_subscribe(admin_, "$SYS.SERVER.ACCOUNT.APP.CONNS");
  const auto hear_of = [](const NatscSubscription& subscription, int connections) {
    json event = next_event(subscription);
    while (event.is_object() && event["conns"] != connections) {
      event = next_event(subscription);
    }
    return event;
  };
  {
    const NatscConnection guest = connect_as(server_, "app", "a");
    EXPECT_EQ(hear_of(counts, 2)["type"], "io.nats.server.advisory.v1.account_connections");
  }
  EXPECT_EQ(hear_of(counts, 1)["acc"], "APP");
  EXPECT_EQ(hear_of(same, 2)["server"]["name"], "example");
  EXPECT_EQ(ask(admin_, "$SYS.REQ.ACCOUNT.APP.CONNS")["conns"], 1);
}

TEST_P(System, SystemUsersHearThatTheServerStops) {
  const NatscSubscription end = natsc_subscribe(admin_, "$SYS.SERVER.*.SHUTDOWN");
  server_.process().send_signal(SIGTERM);
  EXPECT_EQ(next_event(end)["name"], "example");
}

TEST_P(System, SystemUsersOverhearRequestsOfOthers) {
  const NatscSubscription spy = natsc_subscribe(admin_, "$SYS.REQ.SERVER.PING");
  const NatscConnection other = connect_as(server_, "admin", "s");
  EXPECT_TRUE(ask(other, "$SYS.REQ.SERVER.PING").contains("statsz"));
  EXPECT_NE(natsc_next(spy), nullptr);
}

TEST_P(System, RequestsChooseAmongServersByName) {
  EXPECT_NE(ask(admin_, "$SYS.REQ.SERVER.PING", R"({"server_name":"exam"})"), nullptr);
  natsMsg* answer = nullptr;
  const natsStatus status = natsConnection_RequestString(
      &answer, admin_.get(), "$SYS.REQ.SERVER.PING", R"({"server_name":"another"})", 100);
  EXPECT_TRUE(status == NATS_TIMEOUT || status == NATS_NO_RESPONDERS) << status;
  natsMsg_Destroy(answer);
}

// --- the answers' shapes ---

class SystemShapes : public ::testing::Test {
 protected:
  ServerProgram ours_{ServerKind::kOurs, kTwoAccounts};
  ServerProgram reference_{ServerKind::kReference, kTwoAccounts};
};

TEST_F(SystemShapes, AreNatsServers) {
  const NatscConnection our_admin = connect_as(ours_, "admin", "s");
  const NatscConnection reference_admin = connect_as(reference_, "admin", "s");
  // An account without clients is not spoken of.
  const NatscConnection our_app = connect_as(ours_, "app", "a");
  const NatscConnection reference_app = connect_as(reference_, "app", "a");
  // What /accountz leaves out over HTTP, it leaves out here, too.
  const auto left_out = [](const std::string& path) {
    return path.find("imports") != std::string::npos ||
           path.find("sublist_stats") != std::string::npos;
  };
  const std::string our_id = ask(our_admin, "$SYS.REQ.SERVER.PING")["server"]["id"];
  const std::string reference_id = ask(reference_admin, "$SYS.REQ.SERVER.PING")["server"]["id"];
  for (const std::string what : {"",
                                 ".STATSZ",
                                 ".VARZ",
                                 ".CONNZ",
                                 ".SUBSZ",
                                 ".HEALTHZ",
                                 ".ROUTEZ",
                                 ".GATEWAYZ",
                                 ".LEAFZ",
                                 ".JSZ",
                                 ".ACCOUNTZ",
                                 "id.VARZ",
                                 "id.STATSZ",
                                 "id.CONNZ",
                                 "ACCOUNT.APP.CONNS",
                                 "ACCOUNT.APP.LEAFZ"}) {
    const auto subject = [&](const std::string& id) {
      if (what.compare(0, 8, "ACCOUNT.") == 0) {
        return "$SYS.REQ." + what;
      }
      return "$SYS.REQ.SERVER." +
             (what.compare(0, 2, "id") == 0 ? id + what.substr(2) : "PING" + what);
    };
    SCOPED_TRACE(what);
    const auto ours = shape_of(ask(our_admin, subject(our_id)));
    const auto reference = shape_of(ask(reference_admin, subject(reference_id)));
    for (const auto& [path, type] : reference) {
      if (!left_out(path)) {
        EXPECT_EQ(ours.count(path) > 0 ? ours.at(path) : "(absent)", type) << path;
      }
    }
    for (const auto& [path, type] : ours) {
      EXPECT_EQ(reference.count(path), 1U) << path;
    }
  }
}

// --- ours alone ---

// nats-server has these from 2.10 on.
TEST(SystemOfOurs, TellsUsersWhoTheyAreAndSystemUsersWhoItIs) {
  const ServerProgram server(ServerKind::kOurs, kTwoAccounts);
  const NatscConnection app = connect_as(server, "app", "a");
  const NatscConnection admin = connect_as(server, "admin", "s");
  EXPECT_EQ(ask(app, "$SYS.REQ.USER.INFO")["data"],
            json::parse(R"({"user":"app","account":"APP"})"));
  EXPECT_EQ(ask(admin, "$SYS.REQ.USER.INFO")["data"]["account"], "$SYS");
  EXPECT_EQ(ask(admin, "$SYS.REQ.SERVER.PING.IDZ")["name"], "example");
  EXPECT_EQ(ask(app, "$SYS.REQ.SERVER.PING.IDZ"), nullptr);
}

Options& with_admin(Options& options) {
  UserOptions admin;
  admin.user = "admin";
  admin.password = "s";
  admin.system = true;
  options.authorization.users = {admin};
  return options;
}

TEST(SystemOfOurs, WhoBecomesASystemUserLeavesHisSubscriptionsBehind) {
  BrokerFixture broker(2, with_admin);
  RawClient client(broker.port());
  client.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 1\r\nx\r\n");
  ASSERT_EQ(client.receive_until("x\r\n"), "MSG a 1 1\r\nx\r\n");
  client.send("CONNECT {\"user\":\"admin\",\"pass\":\"s\"}\r\nPING\r\n");
  ASSERT_EQ(client.receive_until("PONG\r\n"), "PONG\r\n");
  EXPECT_EQ(broker.server().subject_index_snapshot().subscriptions, 0U);
  RawClient other(broker.port());
  other.send("CONNECT {\"verbose\":false}\r\nPUB a 1\r\ny\r\nPING\r\n");
  ASSERT_EQ(other.receive_until("PONG\r\n"), "PONG\r\n");
  client.send("SUB a 1\r\nPUB a 1\r\nz\r\nPING\r\n");  // its own now, in the other world
  EXPECT_EQ(client.receive_until("PONG\r\n"), "MSG a 1 1\r\nz\r\nPONG\r\n");
}

// Answers need all loops while these come, go and ask; and the server stops in the middle of it.
TEST(SystemOfOurs, AnswersWhileLoopsAreBusyAndStopsWhileAsked) {
  BrokerFixture broker(3, with_admin);
  std::atomic<int> answers{0};
  std::vector<std::thread> askers;
  for (const char* subject :
       {"$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.USER.INFO"}) {
    askers.emplace_back([&, subject] {
      RawClient client(broker.port());
      client.send(
          "CONNECT {\"verbose\":false,\"user\":\"admin\",\"pass\":\"s\"}\r\nSUB i 1\r\n"
          "SUB $SYS.ACCOUNT.> 2\r\n");
      const std::string request = "PUB " + std::string(subject) + " i 0\r\n\r\n";
      while (client.send(request) && !client.receive_until("}\r\n").empty()) {
        ++answers;
      }
    });
  }
  for (int round = 0; round < 50 || answers < 50; ++round) {
    RawClient client(broker.port());
    client.send("CONNECT {\"verbose\":false}\r\nSUB a.* 1\r\nPUB a.b 1\r\nx\r\nPING\r\n");
    ASSERT_EQ(client.receive_until("PONG\r\n"), "MSG a.b 1 1\r\nx\r\nPONG\r\n");
  }
  broker.server().stop();
  for (std::thread& asker : askers) {
    asker.join();
  }
  EXPECT_GE(answers, 50);
}

TEST(SystemOfOurs, WhoAsksTooMuchAtOnceHearsOfNoResponders) {
  BrokerFixture broker(1);
  RawClient client(broker.port());
  constexpr int kRequests = 2000;
  std::string requests =
      "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n"
      "SUB i 1\r\n";
  for (int i = 0; i < kRequests; ++i) {
    requests += "PUB $SYS.REQ.ACCOUNT.PING.CONNZ i 0\r\n\r\n";
  }
  client.send(requests);
  std::string all;
  int answered = 0;
  int refused = 0;
  ASSERT_TRUE(feedvault::testing::eventually([&] {
    all += client.receive(1U << 20U, std::chrono::milliseconds(50));
    answered = refused = 0;
    for (std::size_t at = 0; (at = all.find("MSG i 1 ", at)) != std::string::npos; ++at) {
      (at > 0 && all[at - 1] == 'H' ? refused : answered) += 1;
    }
    return answered + refused == kRequests;
  }));
  EXPECT_GT(answered, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace feedvault::broker::testing
