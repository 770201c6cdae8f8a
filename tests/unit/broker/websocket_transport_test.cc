#include "broker/websocket_transport.h"

#include <deque>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "broker/limits.h"
#include "broker/monitoring.h"
#include "broker/output_queue.h"
#include "tests/unit/broker/naive_websocket.h"

namespace feedvault::broker {
namespace {

using testing::client_frame;
using testing::NaiveFrame;

// The other side of a transport: gives out `input` in the pieces that it has, and takes `room`
// bytes of output at most until the test allows more. As with TLS, what was refused must be offered
// again.
struct Pipe {
  std::deque<std::string> input;
  std::string output;
  std::size_t room = SIZE_MAX;
  std::string refused;  // the bytes of the last write that did not go
  bool shut = false;
};

class PipeTransport final : public Transport {
 public:
  explicit PipeTransport(Pipe& pipe) : pipe_(pipe) {}
  IoResult read(char* into, std::size_t size) override {
    if (pipe_.input.empty()) {
      return {IoState::kWouldBlock, 0, 0};
    }
    std::string& next = pipe_.input.front();
    const std::size_t taken = std::min(size, next.size());
    std::copy_n(next.data(), taken, into);
    next.erase(0, taken);
    if (next.empty()) {
      pipe_.input.pop_front();
    }
    return {IoState::kDone, taken, 0};
  }
  IoResult write(const iovec* pieces, std::size_t count) override {
    EXPECT_FALSE(pipe_.shut);
    std::string all;
    for (std::size_t i = 0; i < count; ++i) {
      all.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    }
    EXPECT_GE(all.size(), pipe_.refused.size());
    EXPECT_TRUE(all.substr(0, pipe_.refused.size()) == pipe_.refused);
    const std::size_t taken = std::min(pipe_.room, all.size());
    pipe_.output += all.substr(0, taken);
    pipe_.room -= taken;
    pipe_.refused = all.substr(taken);
    return {taken > 0 ? IoState::kDone : IoState::kWouldBlock, taken, 0};
  }
  void shut_write(std::string_view /*reason*/) override { pipe_.shut = true; }
  int fd() const override { return -1; }

 private:
  Pipe& pipe_;
};

class WebsocketTransportTest : public ::testing::Test {
 protected:
  static constexpr const char* kRequest =
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n";

  void make(bool compression = false) {
    auto options = std::make_shared<WebsocketOptions>();
    options->compression = compression;
    transport_ = std::make_unique<WebsocketTransport>(
        std::make_unique<PipeTransport>(pipe_), options, Clock::system(), /*tls=*/false);
  }
  void open(bool compression = false) {
    make(compression);
    pipe_.input.push_back(
        std::string(kRequest) +
        (compression ? "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" : "\r\n"));
    EXPECT_EQ(read().state, IoState::kWouldBlock);
    EXPECT_EQ(pipe_.output.substr(0, 12), "HTTP/1.1 101");
    EXPECT_EQ(transport_->handshake_deadline(), SteadyTime::max());
    pipe_.output.clear();
  }
  // One read; what it brought is appended to received_.
  IoResult read() {
    std::vector<char> buffer(kReadBytes);
    const IoResult result = transport_->read(buffer.data(), buffer.size());
    received_.append(buffer.data(), result.bytes);
    return result;
  }
  IoState read_all() {
    IoResult result;
    while (result.state == IoState::kDone) {
      result = read();
    }
    return result.state;
  }
  std::string sent_payload() {
    std::string all;
    for (const NaiveFrame& frame : testing::take_frames(pipe_.output)) {
      EXPECT_FALSE(frame.masked);
      all += frame.opcode == 2 ? frame.payload : "[" + std::to_string(frame.opcode) + "]";
    }
    return all;
  }

  Pipe pipe_;
  std::unique_ptr<WebsocketTransport> transport_;
  std::string received_;
  ChunkPool pool_;
};

TEST_F(WebsocketTransportTest, NothingIsWrittenBeforeTheUpgrade) {
  make();
  OutputQueue queue(pool_);
  queue.append("INFO {}\r\n");
  EXPECT_EQ(queue.flush(*transport_).state, IoState::kWouldBlock);
  EXPECT_TRUE(transport_->waits().write_for_input);
  EXPECT_EQ(pipe_.output, "");
  pipe_.input = {kRequest, "\r\n" + client_frame("behind it")};
  EXPECT_EQ(read().state, IoState::kWouldBlock);
  EXPECT_EQ(read().state, IoState::kDone);
  EXPECT_EQ(received_, "behind it");
  EXPECT_FALSE(transport_->waits().write_for_input);
  pipe_.output.clear();
  EXPECT_EQ(queue.flush(*transport_).state, IoState::kDone);
  EXPECT_EQ(sent_payload(), "INFO {}\r\n");
}

// Whatever the socket takes at a time, frames stay whole and in order, pongs between them.
TEST_F(WebsocketTransportTest, ShortWritesKeepFramesWhole) {
  for (std::size_t step = 1; step < 60; ++step) {
    pipe_ = {};
    open();
    pipe_.room = 0;
    OutputQueue queue(pool_);
    std::string expected;
    std::string sent;
    int pongs = 0;
    for (int i = 0; i < 300 || !queue.empty() || transport_->waits().read_for_output; ++i) {
      if (i < 40) {
        const std::string text(static_cast<std::size_t>(i) * 7, static_cast<char>('a' + i % 26));
        queue.append(text);
        expected += text;
      }
      if (i % 5 == 0 && i < 100) {
        pipe_.input.push_back(client_frame("p", 9));
        EXPECT_EQ(read().state, IoState::kWouldBlock);
      }
      pipe_.room = step;
      queue.flush(*transport_);
      if (transport_->waits().read_for_output) {
        read();
      }
      for (const NaiveFrame& frame : testing::take_frames(pipe_.output)) {
        pongs += frame.opcode == 10 ? 1 : 0;
        sent += frame.opcode == 2 ? frame.payload : "";
      }
    }
    ASSERT_TRUE(sent == expected) << step;
    EXPECT_EQ(pipe_.output, "");
    EXPECT_GT(pongs, 0);
  }
}

TEST_F(WebsocketTransportTest, PongsAreNotPiledUpForAPeerThatDoesNotRead) {
  open();
  pipe_.room = 0;
  for (int i = 0; i < 1000; ++i) {
    pipe_.input.push_back(client_frame(std::to_string(i), 9));
  }
  while (!pipe_.input.empty()) {
    EXPECT_EQ(read().state, IoState::kWouldBlock);
  }
  EXPECT_TRUE(transport_->waits().read_for_output);
  pipe_.room = SIZE_MAX;
  read();
  const auto frames = testing::take_frames(pipe_.output);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].payload, "0");
  EXPECT_EQ(frames[1].payload, "999");
  EXPECT_FALSE(transport_->waits().read_for_output);
}

TEST_F(WebsocketTransportTest, ACloseIsAnsweredAfterWhatCameBeforeIt) {
  open();
  pipe_.input.push_back(client_frame("PING\r\n") + client_frame("\x03\xe8", 8) +
                        client_frame("not this"));
  EXPECT_EQ(read().state, IoState::kDone);
  EXPECT_TRUE(transport_->has_input());
  OutputQueue queue(pool_);
  queue.append("PONG\r\n");
  EXPECT_EQ(queue.flush(*transport_).state, IoState::kDone);
  EXPECT_EQ(read().state, IoState::kEnd);
  EXPECT_EQ(received_, "PING\r\n");
  transport_->shut_write(close_reasons::kClientClosed);
  EXPECT_EQ(sent_payload(), "PONG\r\n[8]");
}

TEST_F(WebsocketTransportTest, TheFarewellNamesTheReason) {
  open();
  transport_->shut_write(close_reasons::kMaxPayloadExceeded);
  const auto frames = testing::take_frames(pipe_.output);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload, "\x03\xf1Maximum Message Payload Exceeded");
  EXPECT_TRUE(pipe_.shut);
}

TEST_F(WebsocketTransportTest, AFarewellInTheMiddleOfAFrameSaysNothing) {
  open();
  OutputQueue queue(pool_);
  queue.append("a message");
  pipe_.room = 5;
  EXPECT_EQ(queue.flush(*transport_).state, IoState::kWouldBlock);
  pipe_.room = SIZE_MAX;
  const std::string before = pipe_.output;
  transport_->shut_write(close_reasons::kSlowConsumerPendingBytes);
  EXPECT_EQ(pipe_.output, before);
}

TEST_F(WebsocketTransportTest, AWrongFrameIsRefusedWithItsReason) {
  open();
  NaiveFrame unmasked;
  unmasked.masked = false;
  pipe_.input.push_back(client_frame("ok") + unmasked.encode());
  EXPECT_EQ(read().state, IoState::kDone);
  EXPECT_EQ(read().state, IoState::kRefused);
  EXPECT_EQ(transport_->refusal().detail, "mask bit missing");
  transport_->shut_write(close_reasons::kReadError);
  const auto frames = testing::take_frames(pipe_.output);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].payload, "\x03\xeamask bit missing");
}

// --- compression ---

std::string compressed_frame(const std::string& text, bool final = true) {
  NaiveFrame frame;
  frame.reserved = 4;
  frame.final = final;
  EXPECT_TRUE(append_deflated(text, frame.payload));
  return frame.encode();
}

TEST_F(WebsocketTransportTest, CompressedMessagesOfAnySizeComeBackAsTheyWere) {
  std::mt19937 random(3);
  for (const std::size_t size : {100U, 5000U, 65536U, 65537U, 3'000'000U}) {
    pipe_ = {};
    received_.clear();
    open(true);
    std::string text;
    while (text.size() < size) {
      text += "some words " + std::to_string(random() % 1000) + " that repeat ";
    }
    const std::string frame = compressed_frame(text) + client_frame(" and plain ");
    for (std::size_t at = 0; at < frame.size();) {
      const std::size_t piece = 1 + random() % 20'000;
      pipe_.input.push_back(frame.substr(at, piece));
      at += piece;
    }
    EXPECT_EQ(read_all(), IoState::kWouldBlock);
    EXPECT_TRUE(received_ == text + " and plain ") << size;
    EXPECT_FALSE(transport_->has_input());
  }
}

TEST_F(WebsocketTransportTest, ABombComesOutOneBufferAtATime) {
  open(true);
  const std::string bomb = compressed_frame(std::string(50U << 20U, 'x'));
  EXPECT_LT(bomb.size(), 1U << 18U);
  pipe_.input.push_back(bomb);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(read().state, IoState::kDone);
    ASSERT_TRUE(transport_->has_input());
  }
  EXPECT_EQ(received_.size(), 100 * kReadBytes);
}

TEST_F(WebsocketTransportTest, WhatIsNoDeflateDataIsRefused) {
  open(true);
  NaiveFrame frame;
  frame.reserved = 4;
  frame.payload = "\xff\xff\xff\xff";
  pipe_.input.push_back(frame.encode());
  EXPECT_EQ(read_all(), IoState::kRefused);
  EXPECT_EQ(transport_->refusal().detail, "invalid compressed data");
}

TEST_F(WebsocketTransportTest, OutputIsCompressedFromSixtyFourBytesOn) {
  for (std::size_t step : {std::size_t{3}, std::size_t{1000}, SIZE_MAX}) {
    pipe_ = {};
    open(true);
    OutputQueue queue(pool_);
    std::string text;
    for (int i = 0; i < 30'000; ++i) {
      text += "MSG subject 1 5\r\nhello\r\n";
    }
    queue.append(text);
    std::string wire;
    while (!queue.empty()) {
      pipe_.room = step;
      queue.flush(*transport_);
    }
    queue.append("PONG\r\n");
    while (!queue.empty()) {
      pipe_.room = step;
      queue.flush(*transport_);
    }
    std::string got;
    for (const NaiveFrame& frame : testing::take_frames(pipe_.output)) {
      if (frame.reserved == 0) {
        got += frame.payload;
        continue;
      }
      WebsocketInflater inflater;
      std::string plain(1U << 20U, '\0');
      const std::string whole = frame.payload + std::string(kDeflateTail);
      const auto progress = inflater.inflate(whole, plain.data(), plain.size());
      EXPECT_TRUE(progress.good);
      EXPECT_EQ(progress.consumed, whole.size());
      got += plain.substr(0, progress.produced);
    }
    EXPECT_TRUE(got == text + "PONG\r\n");
    EXPECT_EQ(pipe_.output, "");
  }
}

}  // namespace
}  // namespace feedvault::broker
