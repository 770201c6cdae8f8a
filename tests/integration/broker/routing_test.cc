// Who gets which message, in which order, within one loop and across loops.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

constexpr const char* kConnect =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
    "\"protocol\":1}\r\n";

// Connects, sends `more`, and returns when the server has carried it out.
std::unique_ptr<RawClient> join(std::uint16_t port, const std::string& more = "") {
  auto client = std::make_unique<RawClient>(port);
  client->send(kConnect + more + "PING\r\n");
  EXPECT_EQ(client->receive_until("PONG\r\n"), "PONG\r\n");
  return client;
}

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

class Routing : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Loops, Routing, ::testing::Values(1, 3));

TEST_P(Routing, WhatWasPublishedBeforeThePongArrivesBeforeTheNextPong) {
  BrokerFixture broker(GetParam());
  auto first = join(broker.port(), "SUB order 1\r\n");
  auto second = join(broker.port(), "SUB order 1\r\n");
  auto third = join(broker.port(), "SUB order 1\r\n");
  auto publisher = join(broker.port());
  for (int round = 0; round < 50; ++round) {
    std::string published;
    std::string expected;
    for (int i = 0; i < 20; ++i) {
      const std::string body = fmt::format("{:02}.{:02}", round, i);
      published += "PUB order 5\r\n" + body + "\r\n";
      expected += "MSG order 1 5\r\n" + body + "\r\n";
    }
    publisher->send(published + "PING\r\n");
    ASSERT_EQ(publisher->receive_until("PONG\r\n"), "PONG\r\n");
    for (auto* subscriber : {&first, &second, &third}) {
      (*subscriber)->send("PING\r\n");
      ASSERT_EQ((*subscriber)->receive_until("PONG\r\n"), expected + "PONG\r\n");
    }
  }
}

TEST_P(Routing, QueueGroupsServeTheirMembersFairly) {
  BrokerFixture broker(GetParam());
  constexpr std::size_t kMembers = 6;
  constexpr std::size_t kMessages = 6000;
  std::vector<std::unique_ptr<RawClient>> members;
  for (std::size_t i = 0; i < kMembers; ++i) {
    members.push_back(join(broker.port(), "SUB work crew 1\r\n"));
  }
  auto publisher = join(broker.port());
  std::string published;
  for (std::size_t i = 0; i < kMessages; ++i) {
    published += "PUB work 1\r\nx\r\n";
  }
  publisher->send(published + "PING\r\n");
  ASSERT_EQ(publisher->receive_until("PONG\r\n"), "PONG\r\n");
  std::size_t all = 0;
  for (auto& member : members) {
    member->send("PING\r\n");
    const std::size_t share = count_of(member->receive_until("PONG\r\n"), "MSG ");
    // Mean 1000, standard deviation 29: ten of those are no accident.
    EXPECT_GT(share, 700U);
    EXPECT_LT(share, 1300U);
    all += share;
  }
  EXPECT_EQ(all, kMessages);
}

TEST_P(Routing, FanOutReachesEverybodyOnce) {
  BrokerFixture broker(GetParam());
  std::vector<std::unique_ptr<RawClient>> all;
  all.reserve(20);
  for (int i = 0; i < 20; ++i) {
    all.push_back(join(broker.port(), i % 2 == 0 ? "SUB a.b 1\r\n" : "SUB a.* 1\r\n"));
  }
  auto publisher = join(broker.port());
  publisher->send("PUB a.b 5\r\nhello\r\nPING\r\n");
  ASSERT_EQ(publisher->receive_until("PONG\r\n"), "PONG\r\n");
  for (auto& each : all) {
    each->send("PING\r\n");
    EXPECT_EQ(each->receive_until("PONG\r\n"), "MSG a.b 1 5\r\nhello\r\nPONG\r\n");
  }
}

TEST_P(Routing, AClientWithoutHeadersGetsThePayloadOnly) {
  BrokerFixture broker(GetParam());
  RawClient plain(broker.port());
  plain.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n");
  ASSERT_EQ(plain.receive_until("PONG\r\n"), "PONG\r\n");
  auto publisher = join(broker.port());
  publisher->send("HPUB a back 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nPING\r\n");
  ASSERT_EQ(publisher->receive_until("PONG\r\n"), "PONG\r\n");
  EXPECT_EQ(plain.receive_until("hi\r\n"), "MSG a 1 back 2\r\nhi\r\n");
}

TEST_P(Routing, AutoUnsubscribeHoldsBackWhatComesLater) {
  BrokerFixture broker(GetParam());
  auto subscriber = join(broker.port(), "SUB a 1\r\nUNSUB 1 3\r\n");
  auto publisher = join(broker.port());
  std::string published;
  for (int i = 0; i < 10; ++i) {
    published += "PUB a 1\r\nx\r\n";
  }
  publisher->send(published + "PING\r\n");
  ASSERT_EQ(publisher->receive_until("PONG\r\n"), "PONG\r\n");
  subscriber->send("PING\r\n");
  EXPECT_EQ(count_of(subscriber->receive_until("PONG\r\n"), "MSG "), 3U);
  EXPECT_EQ(broker.server().subject_index_snapshot().subscriptions, 0U);
}

TEST_P(Routing, SubscriptionsGoWithTheirConnection) {
  BrokerFixture broker(GetParam());
  auto responder = join(broker.port(), "SUB service 1\r\nSUB service q 2\r\n");
  auto requester = join(broker.port(), "SUB inbox.* 1\r\n");
  requester->send("PUB service inbox.1 0\r\n\r\n");
  const std::string request = "MSG service 1 inbox.1 0\r\n\r\n";
  EXPECT_EQ(responder->receive(2 * request.size()).substr(0, request.size()), request);
  responder.reset();
  ASSERT_TRUE(feedvault::testing::eventually(
      [&] { return broker.server().subject_index_snapshot().subscriptions == 1; }));
  requester->send("PUB service inbox.2 0\r\n\r\n");
  EXPECT_EQ(requester->receive_until("\r\n\r\n\r\n"),
            "HMSG inbox.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
}

TEST_P(Routing, LargeMessagesArriveWhole) {
  BrokerFixture broker(GetParam());
  auto subscriber = join(broker.port(), "SUB big 1\r\n");
  auto publisher = join(broker.port());
  std::string body(1U << 20U, ' ');
  for (std::size_t i = 0; i < body.size(); ++i) {
    body[i] = static_cast<char>('a' + i % 23);
  }
  for (int i = 0; i < 5; ++i) {
    publisher->send("PUB big 1048576\r\n" + body + "\r\n");
    ASSERT_EQ(subscriber->receive(17 + 2 + body.size() + 2),
              "MSG big 1 1048576\r\n" + body + "\r\n");
  }
}

TEST_P(Routing, ManyPublishersToManySubscribersLoseNothing) {
  BrokerFixture broker(GetParam());
  constexpr int kEach = 2000;
  std::vector<std::unique_ptr<RawClient>> subscribers;
  std::vector<std::unique_ptr<RawClient>> publishers;
  for (int i = 0; i < 4; ++i) {
    subscribers.push_back(join(broker.port(), "SUB many.* 1\r\n"));
    publishers.push_back(join(broker.port()));
  }
  std::string published;
  for (int i = 0; i < kEach; ++i) {
    published += "PUB many.x 4\r\nbody\r\n";
  }
  for (auto& publisher : publishers) {
    publisher->send(published + "PING\r\n");
  }
  for (auto& publisher : publishers) {
    ASSERT_EQ(publisher->receive_until("PONG\r\n"), "PONG\r\n");
  }
  for (auto& subscriber : subscribers) {
    subscriber->send("PING\r\n");
    EXPECT_EQ(count_of(subscriber->receive_until("PONG\r\n"), "MSG "), 4U * kEach);
  }
}

// Filters that subjects "a.a.a...a.x" walk through without matching any: work for the index.
std::string deep_filters() {
  std::string text;
  for (unsigned bits = 0; bits < 1024; ++bits) {
    text += "SUB ";
    for (unsigned i = 0; i < 10; ++i) {
      text += (bits >> i & 1U) != 0 ? "*." : "a.";
    }
    text += fmt::format("b {}\r\n", 100 + bits);
  }
  return text;
}

// A publisher's own messages come back to it and are more than it may have pending, so its output
// wants to be written while the rest of its input is still being worked on.
TEST(Order, APongDoesNotLeaveBeforeTheMessagesBeforeIt) {
  BrokerFixture broker(2, [](Options& options) { options.limits.max_pending = 16 << 10; });
  auto publisher = join(broker.port(), "SUB echo 1\r\n");    // on the first loop
  auto subscriber = join(broker.port(), "SUB order 1\r\n");  // on the second
  auto third = join(broker.port(), deep_filters());
  const std::string large = "PUB echo 9000\r\n" + std::string(9000, 'x') + "\r\n";
  std::string input = "PUB order 1\r\nx\r\nPING\r\n" + large + large;
  for (int i = 0; i < 1000; ++i) {
    input += fmt::format("PUB a.a.a.a.a.a.a.a.a.a.{:06} 0\r\n\r\n", i);
  }
  ASSERT_LT(input.size(), kReadBytes);
  publisher->send(input);
  ASSERT_EQ(publisher->receive(6), "PONG\r\n");
  subscriber->send("PING\r\n");
  EXPECT_EQ(subscriber->receive_until("PONG\r\n"), "MSG order 1 1\r\nx\r\nPONG\r\n");
}

}  // namespace
}  // namespace feedvault::broker::testing
