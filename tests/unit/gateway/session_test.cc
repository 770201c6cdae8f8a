// A connection whose other end, loop and clock the test makes up.

#include "gateway/http/session.h"

#include <deque>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/http/problem.h"

namespace feedvault::gateway {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

/// Runs what is posted when the test says so.
class ManualLoop final : public Loop {
 public:
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  void dispatch(std::function<void()> task) override { task(); }
  void post_after(std::chrono::milliseconds, std::function<void()> task) override {
    post(std::move(task));
  }
  void run() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

 private:
  std::deque<std::function<void()>> tasks_;
};

/// What the session reads is what the test gives; what it writes waits until the test takes it.
class FakeTransport final : public Transport {
 public:
  struct Wire {
    std::string sent;
    std::string writing;  // not yet taken
    Done write_done;
    Done read_done;
    char* into = nullptr;
    bool end_sent = false;
    bool closed = false;
  };
  explicit FakeTransport(Wire& wire) : wire_(wire) {}

  void handshake(Done done) override { done(true, 0); }
  void read_some(char* into, std::size_t, Done done) override {
    wire_.into = into;
    wire_.read_done = std::move(done);
  }
  void write(const std::vector<Bytes>& parts, Done done) override {
    for (const Bytes& part : parts) {
      wire_.writing.append(part.data, part.size);
    }
    wire_.write_done = std::move(done);
  }
  void shutdown_send(Done done) override {
    wire_.end_sent = true;
    done(true, 0);
  }
  void close() override { wire_.closed = true; }

 private:
  Wire& wire_;
};

class ScriptedStream final : public BodyStream {
 public:
  void on_ready(std::function<void()> wake) override { wake_ = std::move(wake); }
  State take(std::vector<Piece>& pieces) override {
    if (finished) {
      pieces.push_back(std::make_shared<const std::string>("bye"));
      return State::kEnd;
    }
    if (next.empty()) {
      return after;
    }
    pieces.push_back(std::make_shared<const std::string>(std::move(next.front())));
    next.pop_front();
    return next.empty() ? after : State::kMore;
  }
  bool endless() const override { return is_endless; }
  Piece heartbeat() override { return std::make_shared<const std::string>(":\n\n"); }
  void finish() override { finished = true; }

  void say(std::string text) {
    next.push_back(std::move(text));
    wake_();
  }

  std::deque<std::string> next;
  State after = State::kEnd;
  bool is_endless = false;
  bool finished = false;

 private:
  std::function<void()> wake_;
};

class SessionTest : public ::testing::Test, public SessionHost {
 protected:
  SessionTest() {
    session_ = std::make_shared<Session>(std::make_unique<FakeTransport>(wire_), *this, loop_);
    session_->start();
  }

  void handle(const Request& request, Respond respond) override {
    handled_.push_back(request.path);
    if (answer_at_once_) {
      respond(std::move(answer_));
    } else {
      respond_ = std::move(respond);
    }
  }
  const SessionLimits& limits() const override { return limits_; }
  SteadyTime now() const override { return now_; }
  std::string_view date() override { return "today"; }
  void answered(int status) override { statuses_.push_back(status); }
  void sent(std::size_t) override {}
  void too_slow() override { ++slow_; }
  void busy(Session&) override {}
  void left(Session&) override {
    gone_ = true;
    session_.reset();
  }

  void receive(const std::string& bytes) {
    ASSERT_TRUE(wire_.read_done) << "nobody reads";
    bytes.copy(wire_.into, kReadBytes);
    std::exchange(wire_.read_done, nullptr)(true, bytes.size());
  }
  void receive_end() { std::exchange(wire_.read_done, nullptr)(false, 0); }
  /// The peer takes what is written, write after write.
  std::string taken() {
    wire_.sent.clear();
    while (wire_.write_done) {
      const std::size_t size = wire_.writing.size();
      wire_.sent += std::exchange(wire_.writing, "");
      std::exchange(wire_.write_done, nullptr)(true, size);
      loop_->run();
    }
    return wire_.sent;
  }
  void pass(std::chrono::milliseconds time) {
    now_ += time;
    const auto session = session_;
    if (session != nullptr) {
      session->check_deadline(now_);
    }
  }
  static std::string get(const std::string& path) {
    return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
  }

  SessionLimits limits_;
  SteadyTime now_{};
  FakeTransport::Wire wire_;
  std::shared_ptr<ManualLoop> loop_ = std::make_shared<ManualLoop>();
  std::shared_ptr<Session> session_;
  std::vector<std::string> handled_;
  std::vector<int> statuses_;
  bool answer_at_once_ = true;
  Response answer_;
  Respond respond_;
  int slow_ = 0;
  bool gone_ = false;
};

TEST_F(SessionTest, AnswersOneRequestAfterAnother) {
  answer_.body = "hello";
  receive(get("/a"));
  const std::string first = taken();
  EXPECT_THAT(first, HasSubstr("HTTP/1.1 200 OK\r\nDate: today\r\n"));
  EXPECT_THAT(first, HasSubstr("Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"));
  receive(get("/b"));
  taken();
  EXPECT_THAT(handled_, ::testing::ElementsAre("/a", "/b"));
}

TEST_F(SessionTest, APipelineIsAnsweredInOrder) {
  answer_at_once_ = false;
  receive(get("/a") + get("/b"));
  EXPECT_THAT(handled_, ::testing::ElementsAre("/a")) << "one at a time";
  respond_(Response{.status = 200, .headers = {}, .body = "A", .stream = nullptr});
  EXPECT_THAT(taken(), HasSubstr("\r\n\r\nA"));
  EXPECT_THAT(handled_, ::testing::ElementsAre("/a", "/b"));
}

TEST_F(SessionTest, ARequestThatIsNoneIsToldAndEndsTheConnection) {
  receive("GET / HTTP/1.1\r\n\r\n" + get("/smuggled"));
  const std::string answer = taken();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 400 "));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_TRUE(handled_.empty());
  EXPECT_TRUE(wire_.end_sent);
  EXPECT_FALSE(gone_) << "it still takes in what comes, so that the answer is not lost";
  receive_end();
  EXPECT_TRUE(gone_);
}

TEST_F(SessionTest, SlowHeadersAreAnsweredWith408) {
  receive("GET / HT");
  pass(limits_.header_timeout / 2);
  receive("TP/1.1\r\nHost:");
  pass(limits_.header_timeout / 2);
  EXPECT_THAT(taken(), HasSubstr("HTTP/1.1 408 ")) << "each byte gives no new time";
  pass(kLingerMax);
  EXPECT_TRUE(gone_);
}

TEST_F(SessionTest, SilentConnectionsEnd) {
  pass(limits_.header_timeout);
  EXPECT_TRUE(gone_);
}

TEST_F(SessionTest, IdleConnectionsEndLater) {
  receive(get("/"));
  taken();
  pass(limits_.header_timeout);
  EXPECT_FALSE(gone_);
  pass(limits_.idle_timeout);
  EXPECT_TRUE(gone_);
}

TEST_F(SessionTest, WhoDoesNotReadIsCutOff) {
  answer_.body = "x";
  receive(get("/"));
  pass(limits_.write_timeout);
  EXPECT_TRUE(gone_);
  EXPECT_EQ(slow_, 1);
}

TEST_F(SessionTest, ALargeBodyIsWrittenInSlices) {
  answer_.body = std::string(3 * kWriteBytes, 'x');
  receive(get("/"));
  EXPECT_LE(wire_.writing.size(), kWriteBytes + 1024);
  const std::string answer = taken();
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 3 * kWriteBytes);
}

TEST_F(SessionTest, AStreamIsChunkedAndTheConnectionGoesOn) {
  auto stream = std::make_shared<ScriptedStream>();
  stream->next = {"hello ", std::string(20, 'w')};
  answer_.stream = stream;
  receive(get("/"));
  EXPECT_THAT(taken(),
              HasSubstr("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
                        "6\r\nhello \r\n14\r\nwwwwwwwwwwwwwwwwwwww\r\n0\r\n\r\n"));
  answer_ = {};
  receive(get("/again"));
  EXPECT_EQ(handled_.back(), "/again");
}

TEST_F(SessionTest, AnOldClientGetsAStreamThatEndsWithTheConnection) {
  auto stream = std::make_shared<ScriptedStream>();
  stream->next = {"hello"};
  answer_.stream = stream;
  receive("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(taken(), HasSubstr("Connection: close\r\n\r\nhello"));
  EXPECT_TRUE(wire_.end_sent);
}

TEST_F(SessionTest, ABrokenStreamIsCutSoThatTheReaderSeesIt) {
  auto stream = std::make_shared<ScriptedStream>();
  stream->next = {"half"};
  stream->after = BodyStream::State::kBroken;
  answer_.stream = stream;
  receive(get("/"));
  EXPECT_EQ(taken().find("0\r\n\r\n"), std::string::npos);
  EXPECT_TRUE(gone_);
}

class LiveSessionTest : public SessionTest {
 protected:
  LiveSessionTest() {
    stream_->is_endless = true;
    stream_->after = BodyStream::State::kWait;
    answer_.stream = stream_;
    receive(get("/live"));
    EXPECT_THAT(taken(), HasSubstr("Connection: close\r\n\r\n")) << "the head does not wait";
  }
  std::shared_ptr<ScriptedStream> stream_ = std::make_shared<ScriptedStream>();
};

TEST_F(LiveSessionTest, SendsWhatComes) {
  stream_->say("event");
  EXPECT_EQ(taken(), "5\r\nevent\r\n");
  stream_->say("again");
  EXPECT_EQ(taken(), "5\r\nagain\r\n");
}

TEST_F(LiveSessionTest, SilenceGetsAHeartbeat) {
  pass(limits_.heartbeat);
  EXPECT_EQ(taken(), "3\r\n:\n\n\r\n");
  pass(limits_.heartbeat / 2);
  EXPECT_EQ(taken(), "");
  pass(limits_.heartbeat);
  EXPECT_EQ(taken(), "3\r\n:\n\n\r\n");
}

TEST_F(LiveSessionTest, TheReadersLeavingIsSeen) {
  receive_end();
  EXPECT_TRUE(gone_);
  EXPECT_TRUE(wire_.closed);
}

TEST_F(LiveSessionTest, WhatAReaderSendsIsDroppedUpToALimit) {
  for (std::size_t bytes = 0; bytes <= kDiscardBytesMax && !gone_; bytes += kReadBytes) {
    receive(std::string(kReadBytes, 'x'));
  }
  EXPECT_TRUE(gone_);
}

TEST_F(LiveSessionTest, TheEndOfTheProcessEndsItInAnOrderlyWay) {
  session_->drain();
  EXPECT_EQ(taken(), "3\r\nbye\r\n0\r\n\r\n");
  EXPECT_TRUE(wire_.end_sent);
}

TEST_F(LiveSessionTest, WhoTakesNothingForAWhileIsEndedInAnOrderlyWay) {
  stream_->say("one");
  pass(limits_.write_timeout);
  EXPECT_EQ(slow_, 1);
  ASSERT_FALSE(gone_) << "it may take it yet";
  stream_->say("two");
  EXPECT_EQ(taken(), "3\r\none\r\n3\r\nbye\r\n0\r\n\r\n") << "whole, and no more of it";
  EXPECT_TRUE(wire_.end_sent);
}

TEST_F(LiveSessionTest, WhoGoesOnTakingNothingIsCutOff) {
  stream_->say("one");
  pass(limits_.write_timeout);
  pass(limits_.write_timeout / 2);
  EXPECT_FALSE(gone_);
  pass(limits_.write_timeout / 2);
  EXPECT_TRUE(gone_);
  EXPECT_EQ(slow_, 1);
}

TEST_F(LiveSessionTest, AnEventWhileAWriteIsUnderWayIsSentBehindIt) {
  stream_->say("one");
  stream_->say("two");
  EXPECT_EQ(taken(), "3\r\none\r\n3\r\ntwo\r\n");
}

TEST_F(SessionTest, AnAnswerThatNobodyGivesIs503) {
  answer_at_once_ = false;
  receive(get("/"));
  respond_ = nullptr;
  EXPECT_THAT(taken(), HasSubstr("HTTP/1.1 503 "));
}

TEST_F(SessionTest, AnAnswerAfterTheClientLeftIsDropped) {
  answer_at_once_ = false;
  receive(get("/"));
  const auto session = session_;
  session->leave();
  respond_({});
  EXPECT_TRUE(statuses_.empty());
}

TEST_F(SessionTest, DrainingEndsIdleConnectionsAndLetsAnswersEnd) {
  answer_at_once_ = false;
  receive(get("/"));
  session_->drain();
  EXPECT_FALSE(gone_);
  respond_(Response{.status = 200, .headers = {}, .body = "A", .stream = nullptr});
  EXPECT_THAT(taken(), HasSubstr("Connection: close\r\n\r\nA"));
}

TEST_F(SessionTest, HeadGetsNoBody) {
  answer_.body = "hello";
  receive("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = taken();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_EQ(answer.substr(answer.size() - 4), "\r\n\r\n");
}

}  // namespace
}  // namespace feedvault::gateway
