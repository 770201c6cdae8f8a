#include "client/nats/stream_reader.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "client/nats/jetstream.h"
#include "tests/support/loopback.h"
#include "tests/support/nats_server.h"
#include "tests/support/sanitized.h"

namespace feedvault::nats {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::NatsServer;

SteadyTime in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

class StreamReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_ = Connection::open(server_.config(), {}).value();
    create();
  }

  void create() {
    StreamConfig config;
    config.name = "S";
    config.subjects = {"s"};
    const auto created = JetStream(*connection_, 5s).create_stream(config);
    ASSERT_TRUE(created) << created.error().to_string();
  }

  /// Publishes the numbers [first, last] as payloads and waits until they are stored. With
  /// acknowledgements and a window: newer servers drop plain publishes that come faster than they
  /// can store them.
  void store(std::uint64_t first, std::uint64_t last, std::size_t padding = 0) {
    constexpr std::uint64_t kWindow = 2000;
    std::atomic<std::uint64_t> stored{first - 1};
    const std::string inbox = connection_->new_inbox();
    auto acks = connection_->subscribe(inbox, [&](Message message) {
      const auto ack = parse_pub_ack(message);
      EXPECT_TRUE(ack && ack->error_code == 0);
      ++stored;
    });
    ASSERT_TRUE(acks);
    std::string payload;
    for (std::uint64_t i = first; i <= last; ++i) {
      if (i > stored + kWindow) {
        ASSERT_TRUE(eventually([&] { return i <= stored + kWindow / 2; }, 30s));
      }
      payload = std::to_string(i);
      payload.resize(payload.size() + padding, ' ');
      ASSERT_TRUE(
          connection_->publish({.subject = "s", .reply = inbox, .headers = {}, .payload = payload})
              .ok());
    }
    ASSERT_TRUE(eventually([&] { return stored == last; }, 30s));
  }

  std::unique_ptr<StreamReader> open(std::uint64_t start, ReaderOptions options = {}) {
    auto reader = StreamReader::open(*connection_, "S", start, options);
    EXPECT_TRUE(reader) << reader.status().to_string();
    return std::move(reader).value();
  }

  static void expect_next(StreamReader& reader, std::uint64_t seq) {
    auto message = reader.next(in(10s));
    ASSERT_TRUE(message) << message.error().to_string() << " at " << seq;
    ASSERT_EQ(message->stream_seq, seq);
    ASSERT_EQ(std::stoull(std::string(message->message.payload())), seq);
  }

  NatsServer server_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(StreamReaderTest, ReadsInOrderWithTimesAndPending) {
  store(1, 10);
  auto reader = open(1);
  JetStream js(*connection_, 5s);
  for (std::uint64_t seq = 1; seq <= 10; ++seq) {
    auto message = reader->next(in(5s));
    ASSERT_TRUE(message) << message.error().to_string();
    EXPECT_EQ(message->stream_seq, seq);
    EXPECT_EQ(message->pending, 10 - seq);
    EXPECT_EQ(message->time_ns, js.get_message("S", seq)->time_ns);
    EXPECT_EQ(message->message.subject(), "s");
  }
  EXPECT_EQ(reader->next(in(20ms)).status().code(), StatusCode::kTimeout);
}

TEST_F(StreamReaderTest, StartsAtASequence) {
  store(1, 10);
  auto reader = open(7);
  expect_next(*reader, 7);
  expect_next(*reader, 8);
}

TEST_F(StreamReaderTest, StartsAtTheFirstOneThatIsLeft) {
  store(1, 10);
  ASSERT_TRUE(JetStream(*connection_, 5s).purge_below("S", 6).ok());
  auto reader = open(2);
  expect_next(*reader, 6);
}

TEST_F(StreamReaderTest, WaitsForASequenceThatTheStreamHasYetToReach) {
  store(1, 3);
  auto reader = open(6);
  store(4, 8);
  expect_next(*reader, 6);
  expect_next(*reader, 7);
}

TEST_F(StreamReaderTest, ReadsWhatIsStoredWhileItWaits) {
  auto reader = open(1);
  for (std::uint64_t seq = 1; seq <= 50; ++seq) {
    store(seq, seq);
    expect_next(*reader, seq);
  }
}

TEST_F(StreamReaderTest, ADeletedMessageIsAJumpInTheSequence) {
  store(1, 5);
  ASSERT_TRUE(connection_->request({.subject = "$JS.API.STREAM.MSG.DELETE.S",
                                    .reply = {},
                                    .headers = {},
                                    .payload = R"({"seq":3})"},
                                   5s));
  auto reader = open(1);
  expect_next(*reader, 1);
  expect_next(*reader, 2);
  expect_next(*reader, 4);
}

TEST_F(StreamReaderTest, AMissingStreamIsNotFound) {
  const auto reader = StreamReader::open(*connection_, "NONE", 1, {});
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code(), StatusCode::kNotFound) << reader.error().to_string();
}

TEST_F(StreamReaderTest, ReadsThroughSmallWindows) {
  store(1, 300);
  for (const std::uint32_t window : {1U, 2U, 3U, 4U, 7U, 100U}) {
    auto reader = open(1, {.window_messages = window});
    for (std::uint64_t seq = 1; seq <= 300; ++seq) {
      expect_next(*reader, seq);
    }
  }
}

TEST_F(StreamReaderTest, MessagesLargerThanTheWindowStillCome) {
  store(1, 6, 300'000);
  auto reader = open(1, {.window_messages = 100, .window_bytes = 400'000});
  for (std::uint64_t seq = 1; seq <= 6; ++seq) {
    expect_next(*reader, seq);
  }
}

TEST_F(StreamReaderTest, LargeMessagesOfManySizesStayWithinTheByteWindow) {
  // Ends of requests by bytes and by count, mixed.
  for (std::uint64_t seq = 1; seq <= 60; ++seq) {
    store(seq, seq, seq % 7 == 0 ? 900'000 : 40'000 * (seq % 5));
  }
  auto reader = open(1, {.window_messages = 30, .window_bytes = 3'000'000});
  for (std::uint64_t seq = 1; seq <= 60; ++seq) {
    expect_next(*reader, seq);
  }
}

TEST_F(StreamReaderTest, EmptyMessagesThatLookLikeStatusesAreMessages) {
  const UniqueFd sent =
      testing::send_nats(server_.port(),
                         "HPUB s 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
                         "HPUB s 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"
                         "HPUB s 33 33\r\nNATS/1.0 409 Consumer Deleted\r\n\r\n\r\n");
  ASSERT_TRUE(sent.valid());
  store(4, 4);
  auto reader = open(1);
  for (std::uint64_t seq = 1; seq <= 3; ++seq) {
    auto message = reader->next(in(5s));
    ASSERT_TRUE(message) << message.error().to_string();
    EXPECT_EQ(message->stream_seq, seq);
    EXPECT_EQ(message->message.payload(), "");
  }
  expect_next(*reader, 4);
}

TEST_F(StreamReaderTest, KilledBrokerInterruptsAndAnotherReaderGoesOn) {
  store(1, 5000);
  auto reader = open(1);
  std::uint64_t seq = 1;
  for (; seq <= 100; ++seq) {
    expect_next(*reader, seq);
  }
  server_.kill_hard();
  Status end;
  for (; end.ok(); ++seq) {  // what was in memory still comes, in order
    auto message = reader->next(in(10s));
    end = message.status();
    if (message) {
      ASSERT_EQ(message->stream_seq, seq);
    }
  }
  --seq;
  EXPECT_EQ(end.code(), StatusCode::kUnavailable) << end.to_string();
  EXPECT_EQ(reader->next(in(10s)).status().code(), StatusCode::kUnavailable);
  server_.start();
  ASSERT_TRUE(eventually([&] { return connection_->connected(); }));
  reader = open(seq);
  for (; seq <= 5000; ++seq) {
    expect_next(*reader, seq);
  }
}

TEST_F(StreamReaderTest, AStoppedBrokerInterrupts) {
  auto reader = open(1);
  EXPECT_EQ(reader->next(in(20ms)).status().code(), StatusCode::kTimeout);
  server_.stop();
  EXPECT_EQ(reader->next(in(10s)).status().code(), StatusCode::kUnavailable);
}

TEST_F(StreamReaderTest, AFrozenBrokerInterruptsByItsMissingHeartbeats) {
  auto reader = open(1, {.heartbeat = 500ms});
  EXPECT_EQ(reader->next(in(1s)).status().code(), StatusCode::kTimeout);
  server_.process().send_signal(SIGSTOP);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(reader->next(in(20s)).status().code(), StatusCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 15s);
  server_.process().send_signal(SIGCONT);
}

TEST_F(StreamReaderTest, ADeletedStreamInterrupts) {
  store(1, 3);
  auto reader = open(1);
  for (std::uint64_t seq = 1; seq <= 3; ++seq) {
    expect_next(*reader, seq);
  }
  ASSERT_TRUE(JetStream(*connection_, 5s).delete_stream("S").ok());
  EXPECT_EQ(reader->next(in(10s)).status().code(), StatusCode::kUnavailable);
  create();
  store(1, 2);
  reader = open(1);
  expect_next(*reader, 1);
}

TEST_F(StreamReaderTest, ADeletedConsumerInterrupts) {
  auto reader = open(1);
  EXPECT_EQ(reader->next(in(20ms)).status().code(), StatusCode::kTimeout);
  auto names = connection_->request(
      {.subject = "$JS.API.CONSUMER.NAMES.S", .reply = {}, .headers = {}, .payload = {}}, 5s);
  ASSERT_TRUE(names);
  const std::string text(names->payload());
  const std::size_t at = text.find("reader-");
  ASSERT_NE(at, std::string::npos) << text;
  const std::string name = text.substr(at, text.find('"', at) - at);
  const std::string subject = "$JS.API.CONSUMER.DELETE.S." + name;
  ASSERT_TRUE(
      connection_->request({.subject = subject, .reply = {}, .headers = {}, .payload = {}}, 5s));
  EXPECT_EQ(reader->next(in(10s)).status().code(), StatusCode::kUnavailable);
}

TEST_F(StreamReaderTest, DeletesItsConsumerWhenItGoes) {
  auto consumers = [&] {
    auto names = connection_->request(
        {.subject = "$JS.API.CONSUMER.NAMES.S", .reply = {}, .headers = {}, .payload = {}}, 5s);
    return std::string(names.value().payload());
  };
  auto reader = open(1);
  EXPECT_NE(consumers().find("reader-"), std::string::npos);
  reader.reset();
  EXPECT_TRUE(eventually([&] { return consumers().find("reader-") == std::string::npos; }));
}

TEST_F(StreamReaderTest, CancelWakesAWaitingReader) {
  auto reader = open(1);
  std::thread other([&] {
    std::this_thread::sleep_for(50ms);  // likely inside next() by then; correct either way
    reader->cancel();
  });
  EXPECT_EQ(reader->next(in(60s)).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(reader->next(in(60s)).status().code(), StatusCode::kCancelled);
  other.join();
}

TEST_F(StreamReaderTest, StopFetchingHandsOutWhatIsThereAndNoMore) {
  store(1, 1000);
  auto reader = open(1, {.window_messages = 100});
  expect_next(*reader, 1);
  reader->stop_fetching();
  std::uint64_t seq = 2;
  for (;; ++seq) {
    auto message = reader->next(in(500ms));
    if (!message) {
      EXPECT_EQ(message.error().code(), StatusCode::kTimeout);
      break;
    }
    ASSERT_EQ(message->stream_seq, seq);
  }
  EXPECT_LE(seq, 102U);
}

TEST_F(StreamReaderTest, ASlowReaderHoldsNoMoreThanItsWindow) {
  constexpr std::uint64_t kMessages = feedvault::testing::kSanitized ? 25'000 : 200'000;
  constexpr std::uint64_t kWindow = 500;
  store(1, kMessages);
  auto reader = open(1, {.window_messages = kWindow});
  // The broker counts what it has handed to the consumer: never more than a window ahead of us.
  auto delivered = [&] {
    auto list = connection_->request(
        {.subject = "$JS.API.CONSUMER.LIST.S", .reply = {}, .headers = {}, .payload = {}}, 5s);
    const std::string text(list.value().payload());
    const std::size_t at = text.find("\"delivered\":{\"consumer_seq\":");
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + 28));
  };
  for (std::uint64_t seq = 1; seq <= kMessages; ++seq) {
    if (seq % (kMessages / 5) == 1) {
      ASSERT_TRUE(eventually([&] { return delivered() >= seq - 1 + kWindow / 3; }));
      EXPECT_LE(delivered(), seq - 1 + kWindow);
    }
    expect_next(*reader, seq);
  }
}

}  // namespace
}  // namespace feedvault::nats
