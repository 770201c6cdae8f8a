// The whole gateway against clients that mean no good. What the server alone does about them is in
// http_server_test.cc; what the parser does, in the fuzz target http_request.

#include <sys/resource.h>

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/gateway/gateway_process.h"
#include "tests/support/loopback.h"

namespace feedvault::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class GatewayHostile : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Installation::Options options;
    options.gate_database = true;
    installation = new Installation(options);
    installation->start_ready("a");
    installation->events().producer.acknowledged(5);
    if (!installation->events().wait_until_published(5)) {
      throw std::runtime_error("the messages do not come through");
    }
    gateway = new GatewayProcess(*installation);
    if (!gateway->wait_until_ready()) {
      throw std::runtime_error("the gateway does not get ready:\n" + gateway->log());
    }
  }
  static void TearDownTestSuite() {
    delete gateway;
    delete installation;
  }

  /// All that a connection answers to these bytes, until it ends.
  static std::string answers_to(const std::string& bytes) {
    HttpClient client(gateway->port());
    EXPECT_TRUE(client.send(bytes));
    std::string all;
    for (std::string some = client.receive_some(); !some.empty(); some = client.receive_some()) {
      all += some;
    }
    return all;
  }
  static std::size_t answer_count(const std::string& answers) {
    std::size_t count = 0;
    // With a header behind it: a body may name the protocol, too.
    for (std::size_t at = 0; (at = answers.find("\r\nDate: ", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  }

  static inline Installation* installation = nullptr;
  static inline GatewayProcess* gateway = nullptr;
};

TEST_F(GatewayHostile, APathIsANameAndNoWayThroughFolders) {
  for (const char* target : {"/feeds/../metrics",
                             "/feeds/%2e%2e/metrics",
                             "/./feeds",
                             "//feeds",
                             "/feeds/",
                             "/feeds//",
                             "/feeds/events%2flive",
                             "/feeds/events/messages/1/../2",
                             "/feeds/events/live%00",
                             "/FEEDS",
                             "/feeds;x=1",
                             "/%2fetc/passwd",
                             "/..%5c..%5cetc%5cpasswd",
                             "/feeds/%c0%ae%c0%ae/metrics",
                             "/feeds/events/messages/%",
                             "/openapi.json/..",
                             "/openapi.json%20"}) {
    const auto answer = gateway->get(target);
    EXPECT_THAT(answer.status, AnyOf(400, 404)) << target;
    EXPECT_EQ(answer.header("content-type"), "application/problem+json") << target;
  }
}

TEST_F(GatewayHostile, ATargetIsAPathOfThisServer) {
  for (const char* line : {"GET http://evil.example/feeds HTTP/1.1",
                           "CONNECT evil.example:80 HTTP/1.1",
                           "OPTIONS * HTTP/1.1",
                           "GET feeds HTTP/1.1",
                           "GET /feeds HTTP/2.0",
                           "GET /feeds HTTP/0.9",
                           "GET  /feeds HTTP/1.1",
                           "GET /feeds\tHTTP/1.1",
                           "GET /fe\x01"
                           "eds HTTP/1.1",
                           "G<script>ET /feeds HTTP/1.1"}) {
    const std::string answers = answers_to(std::string(line) + "\r\nHost: h\r\n\r\n");
    EXPECT_EQ(answer_count(answers), 1U) << line << "\n" << answers;
    EXPECT_THAT(answers.substr(0, 13), AnyOf(HasSubstr(" 400 "), HasSubstr(" 505 "))) << line;
    EXPECT_THAT(answers, Not(HasSubstr("<script"))) << line;
  }
}

TEST_F(GatewayHostile, ARequestInsideARequestIsNoRequest) {
  const std::string smuggled = "GET /feeds HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  const std::string line = "POST /quarantine/1/requeue HTTP/1.1\r\n";
  for (const std::string& headers : {
           std::string("Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
           std::string("Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
           std::string("Host: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n"),
           std::string("Host: h\r\nContent-Length: +5\r\n"),
           std::string("Host: h\r\nContent-Length: -1\r\n"),
           std::string("Host: h\r\nContent-Length: 99999999999999999999\r\n"),
           std::string("Host: h\r\nContent-Length : 0\r\n"),
           std::string("Host: h\r\nHost: evil\r\n"),
           std::string("Host: h\nX: y\r\n"),
           std::string("Host: h\r\nX: a\rb\r\n"),
           std::string("Host: h\r\nX: a\0b\r\n", 17),
           std::string(" Host: h\r\n"),
           std::string("Host: h\r\nno colon\r\n"),
       }) {
    const std::string answers = answers_to(line + headers + "\r\n" + smuggled);
    EXPECT_EQ(answer_count(answers), 1U) << headers << "\n" << answers;
    EXPECT_THAT(answers, HasSubstr("HTTP/1.1 4")) << headers;
    EXPECT_THAT(answers, HasSubstr("Connection: close")) << headers;
  }
}

TEST_F(GatewayHostile, HeadersAreNeitherSqlNorScript) {
  for (const std::string& evil : {std::string("events:1' OR '1'='1"),
                                  std::string("events:1; DROP TABLE Messages"),
                                  std::string("<script>alert(1)</script>"),
                                  std::string("events:18446744073709551616"),
                                  std::string("events:1\xff"),
                                  std::string(4000, '9')}) {
    const auto live = gateway->get("/feeds/events/live", {"Last-Event-ID: " + evil});
    EXPECT_EQ(live.status, 400) << evil;
    EXPECT_THAT(live.body, Not(HasSubstr("<script"))) << evil;
    EXPECT_EQ(gateway->get("/feeds/events/messages", {"Accept: " + evil}).status, 406) << evil;
    const auto listed = gateway->get("/feeds", {"Origin: " + evil, "Authorization: " + evil});
    EXPECT_EQ(listed.header("access-control-allow-origin"), "") << evil;
    EXPECT_EQ(gateway->post("/quarantine/1/requeue", {"Origin: " + evil}).status, 403) << evil;
  }
  EXPECT_EQ(installation->value("SELECT COUNT(*) FROM Messages"), "5");
}

TEST_F(GatewayHostile, TenThousandIdleConnectionsKeepNobodyOut) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t count = std::min<rlim_t>(10'000, limit.rlim_cur - 500);
  EventReader live(gateway->port(), "/feeds/events/live?from=first");
  ASSERT_EQ(live.head().status, 200);
  std::vector<UniqueFd> idle;
  for (std::size_t i = 0; i < count; ++i) {
    idle.push_back(connect_loopback(gateway->port()));
    ASSERT_TRUE(idle.back().valid()) << i;
    if (i % 10 == 0) {
      // Begins a request and leaves it at that.
      EXPECT_GT(::send(idle.back().get(), "GET /fe", 7, MSG_NOSIGNAL), 0);
    }
  }
  EXPECT_EQ(gateway->get("/feeds").status, 200);
  EXPECT_EQ(gateway->get("/feeds/events/messages").status, 200);
  installation->events().producer.acknowledged(3);
  for (int seq = 1; seq <= 8; ++seq) {
    const auto event = live.next();
    ASSERT_TRUE(event.has_value()) << seq;
    EXPECT_EQ(event->id, "events:" + std::to_string(seq));
  }
}

TEST_F(GatewayHostile, ADatabaseThatHangsDoesNotHoldUpTheEnd) {
  GatewayProcess ending(*installation, {{"FEEDVAULT_HTTP_DATABASE_CONNECTIONS", "1"}});
  ASSERT_TRUE(ending.wait_until_ready()) << ending.log();
  ASSERT_EQ(ending.get("/feeds/events/messages/1").status, 200);
  installation->database_gate().drop();
  {
    // On the connection that just answered, where silence is taken for 30 s.
    HttpClient client(ending.port());
    client.send("GET /feeds/events/messages/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_TRUE(eventually([&] {
      const std::string metrics = ending.get("/metrics").body;
      return metrics.find("\nfeedvault_gateway_database_jobs_total 2\n") != std::string::npos &&
             metrics.find("\nfeedvault_gateway_database_jobs 0\n") != std::string::npos;
    })) << ending.get("/metrics").body;
  }
  EXPECT_EQ(ending.terminate(), 0) << ending.log();
  EXPECT_THAT(ending.log(), HasSubstr("stopped without waiting for the database"));
  installation->database_gate().pass();
}

}  // namespace
}  // namespace feedvault::testing
