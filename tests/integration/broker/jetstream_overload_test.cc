// More than the disk takes: plain publishers wait, nothing is lost, everybody else is served on.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "broker/jetstream/api.h"
#include "broker/jetstream/service.h"
#include "broker/limits.h"
#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::eventually;
using feedvault::testing::TempDir;

/// What a test makes of the disk, while it goes on.
struct DiskTroubles {
  std::atomic<bool> full{false};
  std::atomic<std::int64_t> bytes_per_second{0};  // 0: as fast as it is
  std::atomic<std::int64_t> sync_ms{0};           // more
  std::atomic<bool> broken{false};                // syncs fail
  std::atomic<bool> stuck{false};                 // syncs do not come back
  std::atomic<bool> copies_stuck{false};          // nor do writes to new files
  std::atomic<int> waiting{0};                    // ... for either

  void let_go() {
    stuck = copies_stuck = false;
    stuck.notify_all();
    copies_stuck.notify_all();
  }
  void wait(std::atomic<bool>& why) {
    if (why) {
      ++waiting;
      why.wait(true);
      --waiting;
    }
  }
};

/// The real file system with troubles.
class TroubledFileSystem final : public store::FileSystem {
 public:
  explicit TroubledFileSystem(DiskTroubles& troubles) : troubles_(troubles) {}

  Result<std::unique_ptr<store::File>> open(const std::string& path) override {
    return wrap(real_.open(path));
  }
  Result<std::unique_ptr<store::File>> create(const std::string& path) override {
    if (path.ends_with(".new") && path.find("/segment-") != std::string::npos) {
      troubles_.wait(troubles_.copies_stuck);
    }
    return wrap(real_.create(path));
  }
  Result<std::vector<store::DirEntry>> list(const std::string& dir) override {
    return real_.list(dir);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return real_.rename(from, to);
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status make_dir(const std::string& dir) override { return real_.make_dir(dir); }
  Status sync_dir(const std::string& dir) override {
    troubles_.wait(troubles_.stuck);
    return real_.sync_dir(dir);
  }
  std::string incarnation() override { return real_.incarnation(); }

 private:
  class TroubledFile final : public store::File {
   public:
    TroubledFile(std::unique_ptr<store::File> file, DiskTroubles& troubles)
        : file_(std::move(file)), troubles_(troubles) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const override {
      return file_->read_at(offset, buffer);
    }
    Status reserve(std::uint64_t begin, std::uint64_t end) override {
      if (troubles_.full) {
        return {StatusCode::kExhausted, "no space left on device"};
      }
      room_end_ = end;
      return file_->reserve(begin, end);
    }
    Status write_at(std::uint64_t offset, std::string_view bytes) override {
      if (troubles_.full && offset + bytes.size() > room_end_) {
        return {StatusCode::kExhausted, "no space left on device"};
      }
      if (const std::int64_t rate = troubles_.bytes_per_second; rate > 0) {
        const auto time = std::chrono::nanoseconds(static_cast<std::int64_t>(bytes.size()) *
                                                   1'000'000'000 / rate);
        std::this_thread::sleep_for(time);  // what makes it a slow disk
      }
      return file_->write_at(offset, bytes);
    }
    Result<std::uint64_t> size() const override { return file_->size(); }
    Status truncate(std::uint64_t size) override { return file_->truncate(size); }
    Status sync() override {
      troubles_.wait(troubles_.stuck);
      std::this_thread::sleep_for(std::chrono::milliseconds(troubles_.sync_ms));  // likewise
      if (troubles_.broken) {
        return io_error("fdatasync: Input/output error");
      }
      return file_->sync();
    }

   private:
    std::unique_ptr<store::File> file_;
    DiskTroubles& troubles_;
    std::uint64_t room_end_ = 0;
  };

  Result<std::unique_ptr<store::File>> wrap(Result<std::unique_ptr<store::File>> opened) {
    if (!opened) {
      return opened.error();
    }
    return std::unique_ptr<store::File>(
        std::make_unique<TroubledFile>(std::move(*opened), troubles_));
  }

  store::FileSystem& real_ = store::real_file_system();
  DiskTroubles& troubles_;
};

class Overload : public ::testing::Test {
 protected:
  Overload() { start(); }

  void start(const JetStreamOptions& with = {}, std::int64_t max_pending = 0) {
    client_.reset();
    broker_.reset();
    broker_ = std::make_unique<BrokerFixture>(
        2,
        [&](Options& options) {
          options.limits.max_pending = max_pending > 0 ? max_pending : options.limits.max_pending;
        },
        [this, with](StreamHost& host) -> Result<std::unique_ptr<StreamHandler>> {
          JetStreamOptions options = with;
          options.store_dir = folder_.path();
          auto service = jetstream::Service::open(host, options, fs_);
          if (!service) {
            return service.error();
          }
          return std::unique_ptr<StreamHandler>(std::move(*service));
        });
    client_ = connect("SUB inbox 1\r\n");
  }

  std::unique_ptr<RawClient> connect(const std::string& more = "") {
    auto client = std::make_unique<RawClient>(broker_->port());
    client->send("CONNECT {\"verbose\":false,\"headers\":true}\r\n" + more + "PING\r\n");
    EXPECT_EQ(client->receive_until("PONG\r\n"), "PONG\r\n");
    return client;
  }

  std::string ask(const std::string& subject, const std::string& payload = "") {
    client_->send(fmt::format("PUB {} inbox {}\r\n{}\r\n", subject, payload.size(), payload));
    std::string text;
    for (;;) {
      text = without_pings(std::move(text));
      const std::size_t line_end = text.find("\r\n");
      if (line_end != std::string::npos) {
        const std::size_t size = std::stoul(text.substr(text.rfind(' ', line_end) + 1));
        if (text.size() >= line_end + 2 + size + 2) {
          return text.substr(line_end + 2, size);
        }
      }
      const std::string more = client_->receive_some();
      if (more.empty()) {
        return "";
      }
      text += more;
    }
  }
  /// Payloads of messages as they come, several at once perhaps.
  class Answers {
   public:
    explicit Answers(RawClient& client) : client_(client) {}
    std::string next() {
      for (;;) {
        text_ = without_pings(std::move(text_));
        const std::size_t line_end = text_.find("\r\n");
        const std::size_t size =
            line_end == std::string::npos
                ? 0
                : std::stoul(text_.substr(text_.rfind(' ', line_end) + 1, line_end));
        if (line_end != std::string::npos && text_.size() >= line_end + size + 4) {
          const std::string payload = text_.substr(line_end + 2, size);
          text_.erase(0, line_end + size + 4);
          return payload;
        }
        const std::string more = client_.receive_some(std::chrono::seconds(30));
        if (more.empty()) {
          return "";
        }
        text_ += more;
      }
    }

   private:
    RawClient& client_;
    std::string text_;
  };
  nlohmann::json ask_json(const std::string& subject, const std::string& payload = "") {
    return nlohmann::json::parse(ask(subject, payload), nullptr, /*allow_exceptions=*/false);
  }
  void add_stream() {
    const auto made = ask_json("$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s.*"]})");
    ASSERT_TRUE(made.contains("config")) << made.dump();
  }
  std::uint64_t messages() {
    const auto info = ask_json("$JS.API.STREAM.INFO.S");
    return info.contains("state") ? info["state"]["messages"].get<std::uint64_t>() : 0;
  }
  JetStreamSnapshot snapshot() { return *broker_->server().server_snapshot().jetstream; }

  TempDir folder_;
  DiskTroubles troubles_;
  TroubledFileSystem fs_{troubles_};
  std::unique_ptr<BrokerFixture> broker_;
  std::unique_ptr<RawClient> client_;
};

TEST_F(Overload, EightPublishersOnASlowDiskLoseNothing) {
  constexpr int kPublishers = 8;
  constexpr int kMessages = 150;
  constexpr std::size_t kBytes = 64U << 10U;
  add_stream();
  troubles_.bytes_per_second = 100 << 20;
  troubles_.sync_ms = 5;
  std::atomic<int> running{kPublishers};
  std::vector<std::thread> publishers;
  for (int p = 0; p < kPublishers; ++p) {
    publishers.emplace_back([&, p] {
      auto client = connect();
      for (int i = 0; i < kMessages; ++i) {
        std::string body = fmt::format("{} {} ", p, i);
        body.resize(kBytes, 'x');
        client->send(fmt::format("PUB s.{} {}\r\n{}\r\n", p, body.size(), body));
      }
      client->send("PING\r\n");
      EXPECT_NE(client->receive_until("PONG\r\n", std::chrono::seconds(60)), "");
      --running;
    });
  }
  std::size_t most = 0;
  auto other = connect("SUB other 1\r\n");
  while (running > 0) {
    most = std::max<std::size_t>(most, snapshot().inbox_bytes);
    other->send("PUB other 1\r\nx\r\nPING\r\n");
    ASSERT_NE(other->receive_until("PONG\r\n").find("MSG other 1 1\r\nx\r\n"), std::string::npos);
  }
  for (std::thread& each : publishers) {
    each.join();
  }
  // The bound, one read of each publisher, and what each loop had not handed over.
  EXPECT_LT(most, kStreamInboxBytesMax + (4U << 20U));
  EXPECT_TRUE(
      eventually([&] { return messages() == kPublishers * kMessages; }, std::chrono::seconds(30)))
      << messages();
  for (const int p : {0, 7}) {
    const auto last =
        ask_json("$JS.API.STREAM.MSG.GET.S", fmt::format(R"({{"last_by_subj":"s.{}"}})", p));
    EXPECT_EQ(last["message"]["data"].get<std::string>().size(), (kBytes + 2) / 3 * 4);
  }
}

TEST_F(Overload, AFullDiskHoldsPlainPublishersAndTellsOthers) {
  constexpr int kMessages = 3000;
  add_stream();
  troubles_.full = true;
  auto publisher = connect();
  const std::string filler(1000, 'x');
  std::string text;
  for (int i = 0; i < kMessages; ++i) {
    text += fmt::format("PUB s.plain 1005\r\n{:05}{}\r\n", i, filler);
  }
  std::thread sending([&] { publisher->send(text + "PING\r\n"); });
  EXPECT_TRUE(eventually([&] { return snapshot().set_aside > 0; }));
  // Requests are answered, and who waits for an acknowledgement is told.
  EXPECT_EQ(messages(), 0U);
  for (const std::string& body : {filler + filler, std::string("small")}) {
    const auto refused = ask_json("s.acknowledged", body);
    EXPECT_TRUE(refused.contains("error")) << refused.dump();
  }
  troubles_.full = false;
  sending.join();
  EXPECT_NE(publisher->receive_until("PONG\r\n", std::chrono::seconds(30)), "");
  EXPECT_TRUE(eventually([&] { return messages() == kMessages; }, std::chrono::seconds(30)))
      << messages();
  const auto first = ask_json("$JS.API.STREAM.MSG.GET.S", R"({"seq":1})");
  EXPECT_EQ(first["message"]["data"].get<std::string>().substr(0, 4), "MDAw");
  const auto last = ask_json("$JS.API.STREAM.MSG.GET.S", fmt::format(R"({{"seq":{}}})", kMessages));
  EXPECT_EQ(last["message"]["data"].get<std::string>().substr(0, 8), "MDI5OTl4");  // 02999x
  EXPECT_EQ(snapshot().set_aside, 0U);
}

TEST_F(Overload, WhatAnErrorOfTheDiskStoppedIsTold) {
  add_stream();
  ASSERT_EQ(ask("s.a", "x"), R"({"stream":"S", "seq":1})");
  ask("$JS.API.CONSUMER.DURABLE.CREATE.S.C",
      R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}})");
  auto reader = connect("SUB in 1\r\n");
  reader->send("PUB $JS.API.CONSUMER.MSG.NEXT.S.C in 1\r\n1\r\n");
  const std::string got = reader->receive_until("x\r\n");
  const std::size_t ack_at = got.find("$JS.ACK.");
  ASSERT_NE(ack_at, std::string::npos) << got;
  EXPECT_EQ(broker_->server().health_problem(true), "");

  troubles_.broken = true;
  reader->send(
      fmt::format("PUB {} in 4\r\n+ACK\r\n", got.substr(ack_at, got.find(' ', ack_at) - ack_at)));
  EXPECT_TRUE(eventually([&] { return snapshot().failed_consumers == 1; }));
  EXPECT_EQ(snapshot().failed_streams, 0U);
  EXPECT_EQ(broker_->server().health_problem(true),
            "a consumer was stopped by an error of its disk");

  EXPECT_NE(ask("s.a", "y").find("10077"), std::string::npos);
  EXPECT_EQ(snapshot().failed_streams, 1U);
  EXPECT_EQ(broker_->server().health_problem(true), "a stream was stopped by an error of its disk");
  EXPECT_TRUE(ask_json("$JS.API.STREAM.MSG.GET.S", R"({"seq":1})").contains("message"));
}

TEST_F(Overload, CountersDoNotFallWhenAStreamGoes) {
  add_stream();
  ASSERT_EQ(ask("s.a", "x"), R"({"stream":"S", "seq":1})");
  const JetStreamSnapshot before = snapshot();
  EXPECT_EQ(before.stored, 1U);
  EXPECT_GE(before.syncs, 1U);
  EXPECT_GT(before.sync_ns, 0);
  EXPECT_NE(ask("$JS.API.STREAM.DELETE.S").find("\"success\":true"), std::string::npos);
  const JetStreamSnapshot after = snapshot();
  EXPECT_EQ(after.streams, 0U);
  EXPECT_EQ(after.stored, 1U);
  EXPECT_GE(after.commits, before.commits);
  EXPECT_GE(after.syncs, before.syncs);
}

TEST_F(Overload, WhatAFullStreamRefusesIsToldToPlainPublishers) {
  ask("$JS.API.STREAM.CREATE.F", R"({"name":"F","subjects":["f"],"max_msgs":1,"discard":"new"})");
  auto publisher = connect();
  publisher->send("PUB f 1\r\na\r\nPUB f 1\r\nb\r\n");
  EXPECT_EQ(publisher->receive_until("\r\n"),
            "-ERR 'Permissions Violation for Publish to \"f\": maximum messages exceeded'\r\n");
  EXPECT_GE(snapshot().refused, 1U);
}

TEST_F(Overload, TheServersLimitHoldsPlainPublishersUntilAnotherStreamMakesRoom) {
  JetStreamOptions limited;
  limited.max_file = 100'000;
  start(limited);
  add_stream();
  ask("$JS.API.STREAM.CREATE.T", R"({"name":"T","subjects":["t"]})");
  const std::string body(1000, 'x');
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(ask_json("t", body).contains("error"));
  }
  auto publisher = connect();
  std::string text;
  for (int i = 0; i < 90; ++i) {
    text += fmt::format("PUB s.plain 1005\r\n{:05}{}\r\n", i, body);
  }
  publisher->send(text);
  EXPECT_TRUE(eventually([&] { return snapshot().set_aside > 0; }));
  EXPECT_LT(messages(), 50U);
  const auto refused = ask_json("t", body);
  EXPECT_EQ(refused["error"]["err_code"], 10023) << refused.dump();
  EXPECT_TRUE(ask_json("$JS.API.STREAM.PURGE.T").contains("success"));
  EXPECT_TRUE(eventually([&] { return messages() == 90; }, std::chrono::seconds(30))) << messages();
}

// While a disk does not answer: whoever created, changed or deleted something waits for it, in the
// order of his requests, and nobody else does.
TEST_F(Overload, AdministrationOnAStuckDiskHoldsUpNobodyElse) {
  ASSERT_TRUE(ask_json("$JS.API.STREAM.CREATE.MEM",
                       R"({"name":"MEM","subjects":["mem"],"storage":"memory"})")
                  .contains("config"));
  const std::string stream = R"({"name":"S","subjects":["s.*"]})";
  const std::string changed = R"({"name":"S","subjects":["s.*"],"description":"changed"})";
  const std::string consumer =
      R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}})";
  const std::string changed_consumer =
      R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit","description":"c"}})";
  struct Request {
    std::string subject;
    std::string payload;
    std::string expected;
  };
  const std::vector<Request> requests = {
      {"$JS.API.STREAM.CREATE.S", stream, R"("did_create":true)"},
      {"$JS.API.STREAM.UPDATE.S", changed, R"("description":"changed")"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.S.C", consumer, R"("name":"C")"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.S.C", changed_consumer, R"("description":"c")"},
      {"$JS.API.CONSUMER.PAUSE.S.C",
       R"({"pause_until":"2100-01-01T00:00:00Z"})",
       R"("paused":true)"},
      {"$JS.API.CONSUMER.DELETE.S.C", "", R"("success":true)"},
      {"$JS.API.STREAM.DELETE.S", "", R"("success":true)"},
      {"$JS.API.STREAM.CREATE.S", stream, R"("did_create":true)"},
  };
  auto admin = connect("SUB answers 1\r\n");
  Answers answers(*admin);
  for (const Request& each : requests) {
    SCOPED_TRACE(each.subject);
    troubles_.stuck = true;
    admin->send(fmt::format(
        "PUB {} answers {}\r\n{}\r\n", each.subject, each.payload.size(), each.payload));
    ASSERT_TRUE(eventually([&] { return troubles_.waiting > 0; }));
    // The streams' loop goes on, for other streams and for questions.
    EXPECT_NE(ask("mem", "x").find(R"("stream":"MEM")"), std::string::npos);
    EXPECT_TRUE(ask_json("$JS.API.INFO").contains("limits"));
    EXPECT_TRUE(ask_json("$JS.API.STREAM.NAMES").contains("streams"));
    troubles_.let_go();
    const std::string answer = answers.next();
    EXPECT_NE(answer.find(each.expected), std::string::npos) << answer;
  }
  // All of it again, at once: what the first one waits for, the others do.
  troubles_.stuck = true;
  std::string text;
  for (std::size_t i = 1; i < requests.size(); ++i) {
    text += fmt::format("PUB {} answers {}\r\n{}\r\n",
                        requests[i].subject,
                        requests[i].payload.size(),
                        requests[i].payload);
  }
  admin->send(text);
  ASSERT_TRUE(eventually([&] { return troubles_.waiting > 0; }));
  EXPECT_NE(ask("mem", "x").find(R"("stream":"MEM")"), std::string::npos);
  troubles_.let_go();
  for (std::size_t i = 1; i < requests.size(); ++i) {
    const std::string answer = answers.next();
    EXPECT_NE(answer.find(requests[i].expected), std::string::npos) << answer;
  }
}

TEST_F(Overload, RequestsThatAStuckDiskKeepsWaitingAreBounded) {
  const std::string stream = R"({"name":"S","subjects":["s.*"]})";
  constexpr std::size_t kMost = jetstream::Api::kChangesMax;
  troubles_.stuck = true;
  std::string text =
      fmt::format("PUB $JS.API.STREAM.CREATE.S answers {}\r\n{}\r\n", stream.size(), stream);
  for (std::size_t i = 0; i < kMost; ++i) {  // cheap ones, when they are done at last
    text += "PUB $JS.API.CONSUMER.DELETE.S.none answers 0\r\n\r\n";
  }
  auto admin = connect("SUB answers 1\r\n");
  Answers answers(*admin);
  admin->send(text);
  EXPECT_NE(answers.next().find(R"("err_code":10023)"), std::string::npos) << "the last one";
  troubles_.let_go();
  EXPECT_NE(answers.next().find(R"("did_create":true)"), std::string::npos);
  for (std::size_t i = 1; i < kMost; ++i) {
    const std::string answer = answers.next();
    ASSERT_NE(answer.find("consumer not found"), std::string::npos) << answer;
  }
  EXPECT_NE(ask("s.x", "stored").find(R"("seq":1)"), std::string::npos);
}

// A segment of which most is gone is rewritten for long. Its own stream stores on, durably.
TEST_F(Overload, ACompactionHoldsUpNobody) {
  ASSERT_TRUE(ask_json("$JS.API.STREAM.CREATE.S",
                       R"({"name":"S","subjects":["s.*"],"max_msgs_per_subject":1})")
                  .contains("config"));
  troubles_.copies_stuck = true;
  EXPECT_NE(ask("s.stays", "here").find(R"("seq":1)"), std::string::npos);
  const std::string body(1 << 19, 'x');
  for (int i = 0; i < 40; ++i) {  // 20 MB, and one segment is 8
    ASSERT_NE(ask("s.goes", body).find(R"("stream":"S")"), std::string::npos);
  }
  ASSERT_TRUE(eventually([&] { return troubles_.waiting > 0; }, std::chrono::seconds(30)));
  EXPECT_NE(ask("s.goes", "y").find(R"("seq":42)"), std::string::npos);
  EXPECT_EQ(ask_json("$JS.API.STREAM.MSG.DELETE.S", R"({"seq":42,"no_erase":true})")
                .value("success", false),
            true);
  // Asked for the very message that is being copied, the answer comes when no copy is left.
  auto admin = connect("SUB answers 1\r\n");
  admin->send("PUB $JS.API.STREAM.MSG.DELETE.S answers 9\r\n{\"seq\":1}\r\nPING\r\n");
  EXPECT_EQ(admin->receive_until("PONG\r\n"), "PONG\r\n");
  EXPECT_NE(ask("s.goes", "z").find(R"("seq":43)"), std::string::npos);
  EXPECT_EQ(messages(), 1U);
  troubles_.let_go();
  EXPECT_NE(Answers(*admin).next().find(R"("success":true)"), std::string::npos);
}

// Of a receiver without flow control the broker knows only what its socket does not take.
TEST_F(Overload, AReceiverThatIsSlowGetsEverything) {
  constexpr std::size_t kMessages = 3000;
  constexpr std::size_t kBytes = 16U << 10U;
  constexpr std::int64_t kPendingMax = 16 << 20;  // a third of what there is
  start({}, kPendingMax);
  ask("$JS.API.STREAM.CREATE.S",
      R"({"name":"S","subjects":["s.*"],"storage":"memory","max_msgs":3000})");
  auto publisher = connect();
  for (std::size_t i = 0; i < kMessages; ++i) {
    std::string body = fmt::format("{:06}", i);
    body.resize(kBytes, 'x');
    publisher->send(fmt::format("PUB s.1 {}\r\n{}\r\n", body.size(), body));
  }
  ASSERT_TRUE(eventually([&] { return messages() == kMessages; }, std::chrono::seconds(30)));
  auto push = connect("SUB out 1\r\n");
  auto pull = connect("SUB more 1\r\n");
  const auto made = ask_json("$JS.API.CONSUMER.CREATE.S",
                             R"({"stream_name":"S","config":{"deliver_subject":"out",)"
                             R"("ack_policy":"none","deliver_policy":"all"}})");
  ASSERT_TRUE(made.contains("name")) << made.dump();
  const std::string info = "$JS.API.CONSUMER.INFO.S." + made["name"].get<std::string>();
  ask("$JS.API.CONSUMER.DURABLE.CREATE.S.P",
      R"({"stream_name":"S","config":{"durable_name":"P","ack_policy":"none"}})");
  pull->send("PUB $JS.API.CONSUMER.MSG.NEXT.S.P more 4\r\n3000\r\n");
  // Until the sockets are full and what the broker keeps for them is, too.
  const auto pending = [&] {
    std::int64_t bytes = 0;
    for (const ConnectionSnapshot& each : broker_->server().connection_snapshots({})) {
      bytes += each.pending_bytes;
    }
    return bytes;
  };
  EXPECT_TRUE(eventually([&] { return pending() > 2 * (kPendingMax / 4); }));
  auto other = connect("SUB other 1\r\n");
  for (int i = 0; i < 100; ++i) {
    other->send("PUB other 1\r\nx\r\nPING\r\n");
    ASSERT_NE(other->receive_until("PONG\r\n").find("MSG other 1 1\r\nx\r\n"), std::string::npos);
  }
  EXPECT_LT(ask_json(info)["delivered"]["stream_seq"].get<std::uint64_t>(), kMessages);
  EXPECT_LT(pending(), 2 * kPendingMax);
  for (RawClient* const client : {push.get(), pull.get()}) {
    std::string text;
    for (std::size_t i = 0; i < kMessages; ++i) {
      const std::string number = fmt::format("\r\n{:06}x", i);
      std::size_t at = 0;
      while ((at = text.find(number)) == std::string::npos) {
        const std::string more = client->receive_some(std::chrono::seconds(30));
        ASSERT_NE(more, "") << i;
        text += more;
      }
      text.erase(0, at + number.size());
    }
  }
}

TEST_F(Overload, AStoreFolderHasOneServer) {
  const std::string dir = folder_.path();
  const auto second = [&] {
    BrokerFixture other(
        1,
        [](Options&) {},
        [&](StreamHost& host) {
          JetStreamOptions options;
          options.store_dir = dir;
          auto service = jetstream::Service::open(host, options, fs_);
          return service ? Result<std::unique_ptr<StreamHandler>>(std::move(*service))
                         : Result<std::unique_ptr<StreamHandler>>(service.error());
        });
  };
  try {
    second();
    ADD_FAILURE() << "a second server got the same store";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("is in use by process"), std::string::npos)
        << error.what();
  }
  broker_.reset();
  second();  // throws where it cannot have it
}

}  // namespace
}  // namespace feedvault::broker::testing
