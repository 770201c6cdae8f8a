// nats.c as a client that knows nothing of us: the same scenarios on our broker and on nats-server.

#include "tests/integration/broker/natsc.h"

#include <atomic>
#include <csignal>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/server_program.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::eventually;

class Natsc : public ::testing::TestWithParam<ServerKind> {
 protected:
  /// `config` in nats-server's grammar.
  ServerProgram& start(const std::string& config = "") {
    server_ = std::make_unique<ServerProgram>(GetParam(), config);
    return *server_;
  }
  NatscConnection connect() { return natsc_connect(server_->url()); }

  std::unique_ptr<ServerProgram> server_;
};
INSTANTIATE_TEST_SUITE_P(On,
                         Natsc,
                         ::testing::Values(ServerKind::kOurs, ServerKind::kReference),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST_P(Natsc, ReceivesInOrderWhatManySubjectsCarry) {
  start();
  const NatscConnection subscriber = connect();
  const NatscConnection publisher = connect();
  const NatscSubscription exact = natsc_subscribe(subscriber, "a.7");
  const NatscSubscription star = natsc_subscribe(subscriber, "a.*");
  const NatscSubscription all = natsc_subscribe(subscriber, "a.>");
  for (int i = 0; i < 10'000; ++i) {
    natsc_publish(publisher, "a." + std::to_string(i % 10), std::to_string(i));
  }
  ASSERT_EQ(natsConnection_Flush(publisher.get()), NATS_OK);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(payload_of(natsc_next(star)), std::to_string(i));
    ASSERT_EQ(payload_of(natsc_next(all)), std::to_string(i));
    if (i % 10 == 7) {
      ASSERT_EQ(payload_of(natsc_next(exact)), std::to_string(i));
    }
  }
  EXPECT_EQ(natsc_next(exact, 1), nullptr);
}

TEST_P(Natsc, QueueGroupsShareAndOthersGetAll) {
  start();
  const NatscConnection publisher = connect();
  std::vector<NatscConnection> connections;
  std::vector<NatscSubscription> members;
  for (int i = 0; i < 4; ++i) {
    connections.push_back(connect());
    members.push_back(natsc_subscribe(connections.back(), "work.>", "crew"));
  }
  const NatscSubscription observer = natsc_subscribe(connections[0], "work.*");
  constexpr int kMessages = 2000;
  for (int i = 0; i < kMessages; ++i) {
    natsc_publish(publisher, "work.x", std::to_string(i));
  }
  ASSERT_EQ(natsConnection_Flush(publisher.get()), NATS_OK);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < members.size(); ++i) {
    ASSERT_EQ(natsConnection_Flush(connections[i].get()), NATS_OK);
    int share = 0;
    while (const NatscMessage message = natsc_next(members[i], 20)) {
      EXPECT_TRUE(seen.insert(payload_of(message)).second);
      ++share;
    }
    EXPECT_GT(share, kMessages / 8);  // a fair share is twice that
  }
  EXPECT_EQ(seen.size(), kMessages);
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_EQ(payload_of(natsc_next(observer)), std::to_string(i));
  }
}

TEST_P(Natsc, RequestsAreAnsweredByOneOfAGroupOrByAll) {
  start();
  const NatscConnection requester = connect();
  std::vector<NatscConnection> connections;
  std::vector<std::unique_ptr<NatscService>> services;
  for (int i = 0; i < 5; ++i) {
    connections.push_back(connect());
    const auto answer = [i](const std::string& question) {
      return question + " " + std::to_string(i);
    };
    services.push_back(std::make_unique<NatscService>(connections.back(), "one", answer, "group"));
    services.push_back(std::make_unique<NatscService>(connections.back(), "all", answer));
  }
  std::map<std::string, int> answers;
  for (int i = 0; i < 500; ++i) {
    natsMsg* answer = nullptr;
    ASSERT_EQ(natsConnection_RequestString(&answer, requester.get(), "one", "who", 5000), NATS_OK);
    ++answers[payload_of(NatscMessage(answer))];
  }
  EXPECT_EQ(answers.size(), 5U);
  const NatscSubscription inbox = natsc_subscribe(requester, "replies");
  ASSERT_EQ(natsConnection_PublishRequestString(requester.get(), "all", "replies", "who"), NATS_OK);
  std::set<std::string> everybody;
  for (int i = 0; i < 5; ++i) {
    everybody.insert(payload_of(natsc_next(inbox)));
  }
  EXPECT_EQ(everybody, (std::set<std::string>{"who 0", "who 1", "who 2", "who 3", "who 4"}));
  EXPECT_EQ(natsc_next(inbox, 10), nullptr);
}

TEST_P(Natsc, ARequestThatNobodyHearsFailsAtOnceAndAnUnansweredOneInTime) {
  start();
  const NatscConnection client = connect();
  natsMsg* answer = nullptr;
  EXPECT_EQ(natsConnection_RequestString(&answer, client.get(), "nobody", "?", 60'000),
            NATS_NO_RESPONDERS);
  const NatscSubscription silent = natsc_subscribe(client, "silent");
  EXPECT_EQ(natsConnection_RequestString(&answer, client.get(), "silent", "?", 50), NATS_TIMEOUT);
}

TEST_P(Natsc, HeadersArriveAsTheyWereSet) {
  start();
  const NatscConnection client = connect();
  const NatscSubscription inbox = natsc_subscribe(client, "h");
  natsMsg* made = nullptr;
  ASSERT_EQ(natsMsg_Create(&made, "h", "back", "body", 4), NATS_OK);
  const NatscMessage message(made);
  ASSERT_EQ(natsMsgHeader_Add(made, "Colour", "red"), NATS_OK);
  ASSERT_EQ(natsMsgHeader_Add(made, "Colour", "blue"), NATS_OK);
  ASSERT_EQ(natsMsgHeader_Set(made, "shape", "a b: c"), NATS_OK);
  ASSERT_EQ(natsConnection_PublishMsg(client.get(), made), NATS_OK);
  const NatscMessage got = natsc_next(inbox);
  ASSERT_NE(got, nullptr);
  EXPECT_EQ(payload_of(got), "body");
  EXPECT_STREQ(natsMsg_GetReply(got.get()), "back");
  const char** values = nullptr;
  int count = 0;
  ASSERT_EQ(natsMsgHeader_Values(got.get(), "Colour", &values, &count), NATS_OK);
  ASSERT_EQ(count, 2);
  EXPECT_STREQ(values[0], "red");
  EXPECT_STREQ(values[1], "blue");
  free(static_cast<void*>(values));
  const char* shape = nullptr;
  EXPECT_EQ(natsMsgHeader_Get(got.get(), "shape", &shape), NATS_OK);
  EXPECT_STREQ(shape, "a b: c");
}

TEST_P(Natsc, AutoUnsubscribeEndsWithTheLastOne) {
  start();
  const NatscConnection client = connect();
  const NatscSubscription few = natsc_subscribe(client, "a");
  ASSERT_EQ(natsSubscription_AutoUnsubscribe(few.get(), 3), NATS_OK);
  for (int i = 0; i < 5; ++i) {
    natsc_publish(client, "a", std::to_string(i));
  }
  ASSERT_EQ(natsConnection_Flush(client.get()), NATS_OK);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(payload_of(natsc_next(few)), std::to_string(i));
  }
  natsMsg* none = nullptr;
  EXPECT_EQ(natsSubscription_NextMsg(&none, few.get(), 100), NATS_MAX_DELIVERED_MSGS);
}

TEST_P(Natsc, DrainingDeliversWhatIsOnItsWay) {
  start();
  const NatscConnection publisher = connect();
  std::atomic<int> got{0};
  std::atomic<bool> closed{false};
  const NatscOptions options = natsc_options(server_->url());
  natsOptions_SetClosedCB(
      options.get(),
      [](natsConnection*, void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; },
      &closed);
  const NatscConnection draining = natsc_connect(options.get());
  natsSubscription* made = nullptr;
  ASSERT_EQ(natsConnection_Subscribe(
                &made,
                draining.get(),
                "d",
                [](natsConnection*, natsSubscription*, natsMsg* message, void* count) {
                  natsMsg_Destroy(message);
                  nats_Sleep(1);
                  ++*static_cast<std::atomic<int>*>(count);
                },
                &got),
            NATS_OK);
  const NatscSubscription subscription(made);
  ASSERT_EQ(natsConnection_Flush(draining.get()), NATS_OK);
  for (int i = 0; i < 200; ++i) {
    natsc_publish(publisher, "d", "x");
  }
  ASSERT_EQ(natsConnection_Flush(publisher.get()), NATS_OK);
  ASSERT_EQ(natsConnection_Drain(draining.get()), NATS_OK);
  ASSERT_TRUE(eventually([&] { return closed.load(); }));
  EXPECT_EQ(got, 200);
  natsMsg* answer = nullptr;
  EXPECT_EQ(natsConnection_RequestString(&answer, publisher.get(), "d", "?", 60'000),
            NATS_NO_RESPONDERS);
}

TEST_P(Natsc, ComesBackAfterTheServerWasKilledWithWhatItHadToSay) {
  start();
  std::atomic<int> reconnects{0};
  const NatscOptions options = natsc_options(server_->url());
  natsOptions_SetMaxReconnect(options.get(), -1);
  natsOptions_SetReconnectedCB(
      options.get(),
      [](natsConnection*, void* count) { ++*static_cast<std::atomic<int>*>(count); },
      &reconnects);
  const NatscConnection client = natsc_connect(options.get());
  const NatscSubscription inbox = natsc_subscribe(client, "after.*");
  const NatscSubscription group = natsc_subscribe(client, "group", "g");
  for (int round = 1; round <= 3; ++round) {
    server_->kill_hard();
    ASSERT_TRUE(eventually(
        [&] { return natsConnection_Status(client.get()) == NATS_CONN_STATUS_RECONNECTING; }));
    natsc_publish(client, "after.buffered", std::to_string(round));
    server_->start();
    ASSERT_TRUE(eventually([&] { return reconnects == round; }));
    EXPECT_EQ(payload_of(natsc_next(inbox)), std::to_string(round));
    natsc_publish(client, "group", "again");
    EXPECT_EQ(payload_of(natsc_next(group)), "again");
  }
}

TEST_P(Natsc, MegabytesArriveWholeAndMoreIsRefused) {
  start();
  const NatscConnection subscriber = connect();
  const NatscConnection publisher = connect();
  const NatscSubscription inbox = natsc_subscribe(subscriber, "big");
  EXPECT_EQ(natsConnection_GetMaxPayload(publisher.get()), 1 << 20);
  std::string body(1U << 20U, ' ');
  for (int i = 0; i < 30; ++i) {
    for (std::size_t at = 0; at < body.size(); at += 1000) {
      body[at] = static_cast<char>('a' + (static_cast<std::size_t>(i) + at / 1000) % 26);
    }
    natsc_publish(publisher, "big", body);
    ASSERT_TRUE(payload_of(natsc_next(inbox)) == body) << i;
  }
  body += 'x';
  EXPECT_EQ(
      natsConnection_Publish(publisher.get(), "big", body.data(), static_cast<int>(body.size())),
      NATS_MAX_PAYLOAD);
  EXPECT_EQ(natsConnection_Flush(publisher.get()), NATS_OK);
}

TEST_P(Natsc, KnowsTheLimitsTheRoundTripAndItself) {
  start("max_payload: 1000\nserver_name: example\n");
  const NatscConnection client = connect();
  EXPECT_EQ(natsConnection_GetMaxPayload(client.get()), 1000);
  std::int64_t rtt = 0;
  EXPECT_EQ(natsConnection_GetRTT(client.get(), &rtt), NATS_OK);
  EXPECT_GT(rtt, 0);
  EXPECT_EQ(natsConnection_HasHeaderSupport(client.get()), NATS_OK);
  char* ip = nullptr;
  EXPECT_EQ(natsConnection_GetClientIP(client.get(), &ip), NATS_OK);
  EXPECT_STREQ(ip, "127.0.0.1");
  free(ip);
  std::uint64_t id = 0;
  EXPECT_EQ(natsConnection_GetClientID(client.get(), &id), NATS_OK);
  EXPECT_GT(id, 0U);
  char server_id[100] = "";
  EXPECT_EQ(natsConnection_GetConnectedServerId(client.get(), server_id, sizeof server_id),
            NATS_OK);
  EXPECT_EQ(std::string(server_id).size(), 56U);
  EXPECT_EQ(server_id[0], 'N');
}

TEST_P(Natsc, HearsOfLameDuckMode) {
  start("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"\n");
  std::atomic<bool> lame{false};
  const NatscOptions options = natsc_options(server_->url());
  natsOptions_SetLameDuckModeCB(
      options.get(),
      [](natsConnection*, void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; },
      &lame);
  const NatscConnection client = natsc_connect(options.get());
  server_->process().send_signal(SIGUSR2);
  EXPECT_TRUE(eventually([&] { return lame.load(); }));
}

// A client that asks for everything and reads nothing, beside two that behave.
TEST_P(Natsc, AReaderThatDoesNotReadIsDroppedAndOthersNoticeNothing) {
  start("max_pending: 2097152\nwrite_deadline: \"300ms\"\n");
  RawClient slow(server_->port());
  slow.send("CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n");
  ASSERT_EQ(slow.receive_until("PONG\r\n"), "PONG\r\n");
  const NatscConnection reader = connect();
  const NatscConnection publisher = connect();
  const NatscSubscription inbox = natsc_subscribe(reader, "flood");
  const std::string body(100'000, 'x');
  for (int i = 0; i < 200; ++i) {
    natsc_publish(publisher, "flood", body);
    ASSERT_EQ(payload_of(natsc_next(inbox)).size(), body.size()) << i;
  }
  bool closed = false;
  slow.receive_to_end(closed);
  EXPECT_TRUE(closed);
  EXPECT_EQ(natsConnection_Flush(publisher.get()), NATS_OK);
}

// The other kind: a client whose own queue is full drops messages and says so.
TEST_P(Natsc, AClientWhoseOwnQueueIsFullIsTold) {
  start();
  std::atomic<int> told{0};
  const NatscOptions options = natsc_options(server_->url());
  natsOptions_SetErrorHandler(
      options.get(),
      [](natsConnection*, natsSubscription*, natsStatus status, void* count) {
        *static_cast<std::atomic<int>*>(count) += status == NATS_SLOW_CONSUMER ? 1 : 0;
      },
      &told);
  const NatscConnection client = natsc_connect(options.get());
  const NatscSubscription inbox = natsc_subscribe(client, "a");
  ASSERT_EQ(natsSubscription_SetPendingLimits(inbox.get(), 10, -1), NATS_OK);
  for (int i = 0; i < 100; ++i) {
    natsc_publish(client, "a", std::to_string(i));
  }
  ASSERT_EQ(natsConnection_Flush(client.get()), NATS_OK);
  EXPECT_TRUE(eventually([&] { return told > 0; }));
  std::int64_t dropped = 0;
  EXPECT_EQ(natsSubscription_GetDropped(inbox.get(), &dropped), NATS_OK);
  EXPECT_EQ(dropped, 90);
}

}  // namespace
}  // namespace feedvault::broker::testing
