// The streams' loop beside real workers and sockets, with a service that only writes down what it
// gets: order, waiting producers, interest, the end.

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "broker/limits.h"
#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::eventually;

constexpr const char* kConnectWithHeaders =
    "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n";

// What a service that stores nothing saw. Outlives the server.
class Notes {
 public:
  struct Seen {
    std::uint64_t connection;
    std::string subject;
    std::string text;
  };

  void add(const Arrival& arrival) EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    while (closed_) {
      opened_.wait(mutex_);
    }
    bytes_ += arrival.payload.size();
    seen_.push_back({arrival.from.connection,
                     std::string(arrival.subject),
                     std::string(arrival.payload.substr(0, 16))});
  }
  std::vector<Seen> seen() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return seen_;
  }
  std::size_t count() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return seen_.size();
  }
  std::size_t bytes() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return bytes_;
  }
  // While it is closed, the service stands still with its first message in hand.
  void close() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  void open() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    closed_ = false;
    opened_.notify_all();
  }
  void note_interest(bool there) EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    interest_.push_back(there);
  }
  std::vector<bool> interest() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return interest_;
  }

 private:
  Mutex mutex_;
  CondVar opened_;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
  std::vector<Seen> seen_ GUARDED_BY(mutex_);
  std::vector<bool> interest_ GUARDED_BY(mutex_);
};

// Listens to "in.>", acknowledges with the number of the message; "ask.<word>" makes it do things.
class Scribe final : public StreamHandler {
 public:
  static constexpr std::uint64_t kIn = 1;
  static constexpr std::uint64_t kAsk = 2;

  Scribe(StreamHost& host, Notes& notes) : host_(host), notes_(notes) {
    in_ = host.subscribe("in.>", kIn, StreamHost::Captures::kYes);
    host.subscribe("ask.*", kAsk, StreamHost::Captures::kNo);
  }
  void on_message(std::uint64_t tag, const Arrival& arrival) override {
    if (tag == kAsk) {
      answer(arrival);
      return;
    }
    notes_.add(arrival);
    ++stored_;
    if (!arrival.reply.empty()) {
      unacknowledged_.push_back({std::string(arrival.reply), std::to_string(stored_)});
    }
  }
  bool on_turn() override {
    for (const auto& [reply, text] : unacknowledged_) {
      Outgoing ack;
      ack.subject = reply;
      ack.payload = text;
      host_.send(reply, ack);
    }
    unacknowledged_.clear();
    return false;
  }
  void before_output() override {}
  void on_interest() override { notes_.note_interest(host_.has_interest("out.watched")); }
  void on_receivers_ready() override {}
  void on_stop() override {}
  void on_end() override {
    Outgoing farewell;
    farewell.subject = "farewell";
    host_.send(farewell.subject, farewell);
  }
  bool settled() const override { return unacknowledged_.empty(); }
  JetStreamSnapshot snapshot() const override { return {}; }

 private:
  void answer(const Arrival& arrival) {
    Outgoing message;
    message.subject = "its.own";
    message.headers = "NATS/1.0\r\nA: b\r\n\r\n";
    message.payload = arrival.payload;
    message.reply = "back";
    if (arrival.subject == "ask.deliver") {
      host_.send(arrival.reply, message);
    } else if (arrival.subject == "ask.nobody") {
      host_.no_responders(arrival.from, arrival.reply);
    } else if (arrival.subject == "ask.refuse") {
      host_.refuse(arrival.from, "in.a", "no room");
      host_.refuse(arrival.from, "in.a", "no room");
    } else if (arrival.subject == "ask.forget") {
      host_.unsubscribe(in_);
    } else if (arrival.subject == "ask.watch") {
      host_.watch_interest("out.watched");
      host_.send(arrival.reply, message);
    } else if (arrival.subject == "ask.myself") {
      message.subject = "in.from.myself";
      host_.send(message.subject, message);
    }
  }

  StreamHost& host_;
  Notes& notes_;
  std::uint64_t in_;
  std::uint64_t stored_ = 0;
  std::vector<std::pair<std::string, std::string>> unacknowledged_;
};

Server::MakeStreams scribe(Notes& notes) {
  return [&notes](StreamHost& host) -> Result<std::unique_ptr<StreamHandler>> {
    return std::unique_ptr<StreamHandler>(std::make_unique<Scribe>(host, notes));
  };
}

std::unique_ptr<RawClient> join_streams(std::uint16_t port, const std::string& more = "") {
  auto client = std::make_unique<RawClient>(port);
  client->send(kConnectWithHeaders + more + "PING\r\n");
  EXPECT_EQ(without_pings(client->receive_until("PONG\r\n")), "PONG\r\n");
  return client;
}

std::size_t streams_count_of(const std::string& text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) {
    ++count;
  }
  return count;
}

// Sends one piece again and again until the socket takes nothing more for a while, or `most` bytes
// are out. `rest` is what the last piece still lacks.
std::size_t send_until_stuck(RawClient& client,
                             std::string_view piece,
                             std::size_t most,
                             std::string_view& rest) {
  std::size_t sent = 0;
  while (sent < most) {
    pollfd wait{client.fd(), POLLOUT, 0};
    if (::poll(&wait, 1, 300) != 1 || wait.revents != POLLOUT) {
      break;
    }
    const std::string_view left = piece.substr(sent % piece.size());
    const ssize_t taken =
        ::send(client.fd(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    sent += taken > 0 ? static_cast<std::size_t>(taken) : 0;
  }
  rest = sent % piece.size() == 0 ? std::string_view() : piece.substr(sent % piece.size());
  return sent;
}

class StreamLoops : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Loops, StreamLoops, ::testing::Values(1, 3));

TEST_P(StreamLoops, EachConnectionsMessagesArriveInOrderAndAreAcknowledged) {
  constexpr int kPublishers = 4;
  constexpr int kMessages = 2000;
  Notes notes;
  BrokerFixture broker(
      GetParam(), [](Options&) {}, scribe(notes));
  std::vector<std::unique_ptr<RawClient>> publishers;
  for (int i = 0; i < kPublishers; ++i) {
    publishers.push_back(join_streams(broker.port(), fmt::format("SUB ack.{} 1\r\n", i)));
  }
  for (int begin = 0; begin < kMessages; begin += 100) {
    for (int i = 0; i < kPublishers; ++i) {
      std::string text;
      for (int n = begin; n < begin + 100; ++n) {
        text += n % 100 == 99 ? fmt::format("PUB in.{} ack.{} 5\r\n{:05}\r\n", i, i, n)
                              : fmt::format("PUB in.{} 5\r\n{:05}\r\n", i, n);
      }
      publishers[static_cast<std::size_t>(i)]->send(text);
    }
  }
  for (auto& publisher : publishers) {
    std::string got;
    while (streams_count_of(got, "MSG ack.") < kMessages / 100) {
      const std::string more = publisher->receive_some();
      ASSERT_FALSE(more.empty()) << got;
      got += more;
    }
  }
  ASSERT_TRUE(eventually([&] { return notes.count() == kPublishers * kMessages; }));
  std::map<std::uint64_t, std::vector<std::string>> by_connection;
  for (const Notes::Seen& each : notes.seen()) {
    by_connection[each.connection].push_back(each.text);
  }
  ASSERT_EQ(by_connection.size(), static_cast<std::size_t>(kPublishers));
  for (const auto& [connection, texts] : by_connection) {
    for (std::size_t n = 0; n < texts.size(); ++n) {
      ASSERT_EQ(texts[n], fmt::format("{:05}", n)) << "connection " << connection;
    }
  }
}

TEST_P(StreamLoops, WhoPublishesToAFullStreamWaitsAndOthersAreServedOn) {
  Notes notes;
  notes.close();
  BrokerFixture broker(
      GetParam(), [](Options&) {}, scribe(notes));
  const std::string piece = "PUB in.much 65536\r\n" + std::string(65536, 'x') + "\r\n";
  constexpr std::size_t kMost = 256U << 20U;
  std::array<std::unique_ptr<RawClient>, 3> producers;
  std::array<std::string_view, 3> rests;
  std::size_t sent = 0;
  for (std::size_t i = 0; i < producers.size(); ++i) {
    producers[i] = std::make_unique<RawClient>(broker.port());
    producers[i]->send(kQuiet);
    sent += send_until_stuck(*producers[i], piece, kMost, rests[i]);
  }
  // The bound, what sockets hold, a read and an outbox: far less than three times kMost.
  EXPECT_LT(sent, kStreamInboxBytesMax + (40U << 20U));
  EXPECT_GT(sent, kStreamInboxBytesMax / 2);

  auto subscriber = std::make_unique<RawClient>(broker.port());
  subscriber->send(std::string(kQuiet) + "SUB other 1\r\nPING\r\n");
  auto other = std::make_unique<RawClient>(broker.port());
  for (int i = 0; i < 20; ++i) {
    other->send(std::string(kQuiet) + "PUB other 2\r\nhi\r\n");
    const std::string got = without_pings(subscriber->receive_until("hi\r\n"));
    ASSERT_NE(got.find("MSG other 1 2\r\nhi\r\n"), std::string::npos) << i;
    subscriber->send("PONG\r\n");
    other->send("PONG\r\n");
  }

  notes.open();
  for (std::size_t i = 0; i < producers.size(); ++i) {
    producers[i]->send(rests[i]);
    sent += rests[i].size();
  }
  const std::size_t messages = sent / piece.size();
  EXPECT_TRUE(eventually([&] { return notes.count() == messages; }, std::chrono::seconds(30)))
      << notes.count() << " of " << messages;
}

TEST(StreamLoop, WhatAProducerSentBeforeItBrokeIsTakenWhenThereIsRoom) {
  Notes notes;
  notes.close();
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  const std::string piece = "PUB in.much 65536\r\n" + std::string(65536, 'x') + "\r\n";
  RawClient filler(broker.port());
  filler.send(kQuiet);
  std::string_view rest;
  std::size_t messages = send_until_stuck(filler, piece, 256U << 20U, rest) / piece.size();
  auto late = std::make_unique<RawClient>(broker.port());
  std::string text = kQuiet;
  for (int i = 0; i < 1000; ++i) {
    // Something to read is pending when it goes: the kernel resets the connection.
    text += fmt::format("PUB in.late 4\r\n{:04}\r\nPING\r\n", i);
  }
  late->send(text);
  late.reset();
  notes.open();
  filler.send(rest);
  messages += rest.empty() ? 0U : 1U;
  EXPECT_TRUE(
      eventually([&] { return notes.count() == messages + 1000; }, std::chrono::seconds(30)))
      << notes.count() << " of " << messages + 1000;
}

TEST(StreamLoop, StopStoresAndAcknowledgesWhatWasRead) {
  Notes notes;
  auto broker = std::make_unique<BrokerFixture>(
      2, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker->port(), "SUB ack 1\r\nSUB farewell 2\r\n");
  std::string text;
  constexpr int kMessages = 1000;  // their acknowledgements fit into any socket's buffer
  for (int i = 0; i < kMessages; ++i) {
    text += fmt::format("PUB in.a ack 5\r\n{:05}\r\n", i);
  }
  notes.close();
  client->send(text + "PING\r\n");
  ASSERT_EQ(without_pings(client->receive_until("PONG\r\n")), "PONG\r\n");  // all of it was read
  std::thread opener([&] { notes.open(); });
  broker.reset();
  opener.join();
  EXPECT_EQ(notes.count(), static_cast<std::size_t>(kMessages));
  bool closed = false;
  const std::string acks = without_pings(client->receive_to_end(closed));
  EXPECT_TRUE(closed);
  EXPECT_EQ(streams_count_of(acks, "MSG ack 1 "), static_cast<std::size_t>(kMessages))
      << "the last of " << acks.size() << " bytes: " << acks.substr(acks.size() / 50 * 49);
  ASSERT_GE(acks.size(), 20U);
  EXPECT_EQ(acks.substr(acks.size() - 20), "MSG farewell 2 0\r\n\r\n") << "the last word";
}

TEST(StreamLoop, SendsUnderAnotherSubjectThanItIsFoundBy) {
  Notes notes;
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker.port(), "SUB inbox.* 7\r\nSUB inbox.* q 8\r\n");
  client->send("PUB ask.deliver inbox.x 2\r\nhi\r\n");
  const std::string body = " back 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n";
  const std::string expected = "HMSG its.own 7" + body + "HMSG its.own 8" + body;
  EXPECT_EQ(client->receive(expected.size()), expected);
}

TEST(StreamLoop, SaysThatNobodyAnswers) {
  Notes notes;
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker.port(), "SUB inbox 7\r\n");
  client->send("PUB ask.nobody inbox 0\r\n\r\n");
  EXPECT_EQ(client->receive_until("\r\n\r\n\r\n"),
            "HMSG inbox 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
}

TEST(StreamLoop, ARefusedPublishIsToldOnceASecond) {
  Notes notes;
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker.port(), "SUB x 1\r\n");
  client->send("PUB ask.refuse 0\r\n\r\n");
  const std::string expected = "-ERR 'Permissions Violation for Publish to \"in.a\": no room'\r\n";
  EXPECT_EQ(client->receive(expected.size()), expected);
  client->send("PING\r\n");
  EXPECT_EQ(without_pings(client->receive_until("PONG\r\n")), "PONG\r\n");
}

TEST(StreamLoop, NothingComesOfASubscriptionThatWasGivenUp) {
  Notes notes;
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker.port(), "SUB ack 1\r\n");
  // Behind each other in one inbox: the last one is on its way when its subscription goes.
  client->send("PUB in.a 1\r\n1\r\nPUB ask.forget 0\r\n\r\nPUB in.a ack 1\r\n2\r\n");
  EXPECT_EQ(client->receive_until("\r\n\r\n\r\n"), "HMSG ack 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
  EXPECT_EQ(notes.count(), 1U);
}

TEST(StreamLoop, WhatItPublishesToItselfArrives) {
  Notes notes;
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker.port());
  client->send("PUB ask.myself 2\r\nme\r\n");
  ASSERT_TRUE(eventually([&] { return notes.count() == 1; }));
  EXPECT_EQ(notes.seen().front().subject, "in.from.myself");
}

TEST(StreamLoop, ChangesOfInterestAreToldForWatchedSubjects) {
  Notes notes;
  BrokerFixture broker(
      1, [](Options&) {}, scribe(notes));
  auto client = join_streams(broker.port(), "SUB inbox 1\r\n");
  client->send("SUB out.watched 2\r\nUNSUB 2\r\nPUB ask.watch inbox 0\r\n\r\n");
  client->receive_until("A: b\r\n\r\n\r\n");
  EXPECT_TRUE(notes.interest().empty());
  client->send("SUB out.watched 3\r\nSUB out.unwatched 4\r\n");
  ASSERT_TRUE(eventually([&] { return notes.interest() == std::vector<bool>{true}; }));
  client->send("UNSUB 3\r\n");
  ASSERT_TRUE(eventually([&] { return notes.interest() == std::vector<bool>({true, false}); }));
  client->send("SUB out.* 5\r\n");
  ASSERT_TRUE(eventually([&] { return notes.interest().size() == 3; }));
  client.reset();  // a connection's end takes its subscriptions with it
  ASSERT_TRUE(eventually([&] {
    const std::vector<bool> seen = notes.interest();
    return seen.size() >= 4 && !seen.back();
  }));
}

}  // namespace
}  // namespace feedvault::broker::testing
