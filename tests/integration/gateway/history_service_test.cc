#include "gateway/history_service.h"

#include <atomic>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/history_pack.h"
#include "client/history_wire.h"
#include "client/nats_history.h"
#include "gateway/history_request.h"
#include "tests/integration/gateway/history_fixture.h"
#include "tests/support/loopback.h"
#include "tests/support/process.h"

namespace feedvault::gateway {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::FeedStream;
namespace wire = history_wire;

/// What came on a foreign client's inbox, up to the message that ends it.
struct Page {
  std::vector<nats::Message> messages;
  nats::Message last;

  std::string header(const char* name) const { return std::string(last.header(name).value_or("")); }
  std::vector<std::uint64_t> seqs() const {
    std::vector<std::uint64_t> all;
    for (const nats::Message& message : messages) {
      all.push_back(std::stoull(std::string(message.header("Feed-Seq").value_or("0"))));
    }
    return all;
  }
};

class HistoryServiceTest : public HistoryTest {
 protected:
  void SetUp() override {
    HistoryTest::SetUp();
    auto connection = nats::Connection::open(
        broker_.config(), {.name = "foreign", .send_asap = true, .on_state = nullptr});
    ASSERT_TRUE(connection.has_value()) << connection.status().to_string();
    connection_ = std::move(*connection);
  }

  /// One request by nothing but the documented protocol.
  Page request(const std::string& json, const std::string& feed = "events") {
    const std::string inbox = connection_->new_inbox();
    Mutex mutex;
    Page page;
    bool ended = false;
    auto subscription = connection_->subscribe(inbox, [&](nats::Message message) {
      MutexLock lock(mutex);
      if (message.payload().empty() && !message.header("Feed-Seq")) {
        page.last = std::move(message);
        ended = true;
      } else {
        page.messages.push_back(std::move(message));
      }
    });
    EXPECT_TRUE(subscription.has_value());
    const std::string subject = "feed.history." + feed;
    EXPECT_TRUE(
        connection_->publish({.subject = subject, .reply = inbox, .headers = {}, .payload = json})
            .ok());
    EXPECT_TRUE(eventually([&] {
      MutexLock lock(mutex);
      return ended;
    })) << json;
    subscription->reset();
    return page;
  }
  /// The error's code, when it is one.
  std::string code(const std::string& json, const std::string& feed = "events") {
    return request(json, feed).header("Nats-Service-Error-Code");
  }
  nlohmann::json discover(const std::string& subject) {
    const auto answer =
        connection_->request({.subject = subject, .reply = {}, .headers = {}, .payload = {}}, 20s);
    EXPECT_TRUE(answer.has_value()) << answer.status().to_string();
    return answer.has_value() ? nlohmann::json::parse(answer->payload()) : nlohmann::json();
  }

  std::unique_ptr<nats::Connection> connection_;
};

std::vector<std::uint64_t> from_to(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t seq = first; seq <= last; ++seq) {
    all.push_back(seq);
  }
  return all;
}

TEST_F(HistoryServiceTest, SendsMessagesAsTheFeedStreamHoldsThem) {
  catalogue_until(20);
  const auto service = start_service();
  const Page page = request(R"({"from_seq":5,"max_messages":3})");
  ASSERT_EQ(page.seqs(), from_to(5, 7));
  const nats::Message& message = page.messages.front();
  EXPECT_EQ(message.header("Nats-Msg-Id"), "events-5");
  EXPECT_EQ(message.header("Feed-Id"), FeedStream::id_of(5));
  EXPECT_EQ(message.header("Feed-Timestamp"), format_rfc3339_us(FeedStream::timestamp_us_of(5)));
  EXPECT_EQ(message.payload(), FeedStream::payload_of(5));
  EXPECT_EQ(page.header("Feed-Next-Seq"), "8");
  EXPECT_EQ(page.header("Feed-Page"), "more");
  EXPECT_EQ(page.header("Feed-Page-Messages"), "3");
}

TEST_F(HistoryServiceTest, PacksManyMessagesIntoOneOnRequest) {
  catalogue_until(1000, /*padding=*/100);
  const auto service = start_service();
  const Page page = request(R"({"from_seq":5,"max_messages":900,"packed":true})");
  EXPECT_EQ(page.header("Feed-Page-Messages"), "900");
  EXPECT_EQ(page.header("Feed-Next-Seq"), "905");
  EXPECT_GT(page.messages.size(), 1U) << "not more than about 32 KiB in one";
  EXPECT_LT(page.messages.size(), 30U);
  std::uint64_t seq = 4;
  for (const nats::Message& message : page.messages) {
    std::string_view pack = message.payload();
    std::uint64_t count = 0;
    for (; !pack.empty(); ++count) {
      const auto packed = take_packed(pack);
      ASSERT_TRUE(packed.has_value());
      EXPECT_EQ(packed->seq, ++seq);
      EXPECT_EQ(packed->timestamp_us, FeedStream::timestamp_us_of(seq));
      EXPECT_EQ(packed->id, FeedStream::id_of(seq));
      EXPECT_EQ(packed->data, FeedStream::payload_of(seq, 100));
    }
    EXPECT_EQ(message.header("Feed-Packed"), std::to_string(count));
  }
  EXPECT_EQ(seq, 904U);
}

TEST_F(HistoryServiceTest, PagesFollowEachOtherToTheEndOfTheTable) {
  catalogue_until(25);
  const auto service = start_service();
  std::vector<std::uint64_t> all;
  std::string next = "1";
  std::string state = "more";
  for (int pages = 0; state == "more" && pages < 10; ++pages) {
    const Page page = request(R"({"max_messages":10,"from_seq":)" + next + "}");
    const auto seqs = page.seqs();
    all.insert(all.end(), seqs.begin(), seqs.end());
    next = page.header("Feed-Next-Seq");
    state = page.header("Feed-Page");
  }
  EXPECT_EQ(all, from_to(1, 25));
  EXPECT_EQ(next, "26");
  EXPECT_EQ(state, "end");
}

TEST_F(HistoryServiceTest, KeepsToRangesOfPositionsAndTimes) {
  catalogue_until(20);
  const auto service = start_service();
  EXPECT_EQ(request(R"({"from_seq":18})").seqs(), from_to(18, 20));
  const Page range = request(R"({"from_seq":3,"to_seq":6})");
  EXPECT_EQ(range.seqs(), from_to(3, 6));
  EXPECT_EQ(range.header("Feed-Page"), "more");
  EXPECT_EQ(range.header("Feed-Next-Seq"), "7");
  const auto time = [](std::uint64_t seq) {
    return "\"" + format_rfc3339_us(FeedStream::timestamp_us_of(seq)) + "\"";
  };
  EXPECT_EQ(request("{\"from_time\":" + time(7) + ",\"to_time\":" + time(9) + "}").seqs(),
            from_to(7, 9));
  EXPECT_EQ(request(R"({"from_time":"2200-01-01T00:00:00Z"})").header("Feed-Next-Seq"), "21");
  EXPECT_TRUE(request(R"({"from_seq":9,"to_seq":8})").messages.empty());
}

TEST_F(HistoryServiceTest, SaysWhatTheTableDoesNotHave) {
  catalogue_until(30);
  delete_rows(1, 4);
  delete_rows(11, 20);
  const auto service = start_service();
  EXPECT_EQ(request(R"({"to_seq":3})").header("Feed-Next-Seq"), "5");
  const Page hole = request(R"({"from_seq":10,"to_seq":15})");
  EXPECT_EQ(hole.seqs(), from_to(10, 10));
  EXPECT_EQ(hole.header("Feed-Next-Seq"), "21");
  EXPECT_EQ(hole.header("Feed-Page"), "more");
  const Page held = request(R"({"max_messages":0})");
  EXPECT_TRUE(held.messages.empty());
  EXPECT_EQ(held.header("Feed-First-Seq"), "5");
  EXPECT_EQ(held.header("Feed-Last-Seq"), "30");
}

TEST_F(HistoryServiceTest, APageIsBoundedWhateverIsAsked) {
  catalogue_until(60, /*padding=*/100'000);
  const auto service = start_service();
  const Page small = request(R"({"max_bytes":1})");
  EXPECT_EQ(small.seqs(), from_to(1, 1)) << "one comes, however large";
  EXPECT_EQ(small.header("Feed-Page"), "more");
  const Page large = request(R"({"max_messages":1000000000,"max_bytes":1000000000})");
  std::size_t bytes = 0;
  for (const nats::Message& message : large.messages) {
    bytes += message.payload().size();
  }
  EXPECT_LE(bytes, kHistoryBytesMax + 200'000);
  EXPECT_GE(bytes, kHistoryBytesMax / 2);
  EXPECT_EQ(large.header("Feed-Next-Seq"), std::to_string(large.messages.size() + 1));
}

TEST_F(HistoryServiceTest, RefusesWithACodeAndAReason) {
  const auto service = start_service();
  const Page bad = request(R"({"form_seq":1})");
  EXPECT_EQ(bad.header("Nats-Service-Error-Code"), "400");
  EXPECT_NE(bad.header("Nats-Service-Error").find("from_seq"), std::string::npos);
  const Page unknown = request("", "sports");
  EXPECT_EQ(unknown.header("Nats-Service-Error-Code"), "404");
  EXPECT_NE(unknown.header("Nats-Service-Error").find("events, executions"), std::string::npos);
  EXPECT_EQ(code(std::string(5000, ' ')), "400");
  HistoryService::Options full = service_options();
  full.queue_max = 0;
  const auto refusing = start_service(full);
  // One queue group: each is asked at some time.
  EXPECT_TRUE(eventually([&] { return code("{}") == "429"; }));
  EXPECT_TRUE(eventually([&] { return code("{}").empty(); }));
}

TEST_F(HistoryServiceTest, ComesBackWithItsDatabaseAndItsBroker) {
  catalogue_until(10);
  const auto service = start_service();
  EXPECT_EQ(request("").seqs(), from_to(1, 10));
  EXPECT_TRUE(eventually([&] { return service->ready().ok(); }));
  server().stop();
  EXPECT_EQ(code(""), "503");
  // An answer leaves before what it means for the service's health is noted.
  EXPECT_TRUE(eventually([&] { return service->ready().code() == StatusCode::kUnavailable; }));
  server().start();
  EXPECT_TRUE(eventually([&] { return request("").seqs() == from_to(1, 10); }));
  EXPECT_TRUE(eventually([&] { return service->ready().ok(); }));
  broker_.kill_hard();
  EXPECT_TRUE(eventually([&] { return !service->ready().ok(); }));
  broker_.start();
  EXPECT_TRUE(eventually([&] { return service->ready().ok() && connection_->connected(); }));
  EXPECT_TRUE(eventually([&] { return request("").seqs() == from_to(1, 10); }));
}

TEST_F(HistoryServiceTest, IsFoundByTheServicesConvention) {
  catalogue_until(10);
  const auto one = start_service();
  const auto other = start_service();
  EXPECT_NE(one->id(), other->id());
  std::set<std::string> ids;
  EXPECT_TRUE(eventually([&] {
    ids.insert(discover("$SRV.PING").at("id").get<std::string>());
    ids.insert(discover("$SRV.INFO.feedvault-history").at("id").get<std::string>());
    return ids.size() == 2;
  }));
  EXPECT_EQ(ids, (std::set<std::string>{one->id(), other->id()}));
  request("");
  request("{");
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  EXPECT_TRUE(eventually([&] {
    requests = errors = 0;
    for (const std::string& id : ids) {
      const auto events = discover("$SRV.STATS.feedvault-history." + id).at("endpoints")[0];
      EXPECT_EQ(events.at("subject"), "feed.history.events");
      requests += events.at("num_requests").get<std::uint64_t>();
      errors += events.at("num_errors").get<std::uint64_t>();
    }
    return requests == 2 && errors == 1;
  })) << requests
      << " " << errors;
  const auto nobody = connection_->request(
      {.subject = "$SRV.PING.other", .reply = {}, .headers = {}, .payload = {}}, 20s);
  EXPECT_EQ(nobody.status().code(), StatusCode::kNotFound) << "nobody pretends to be there";
}

class NatsHistoryTest : public HistoryServiceTest {
 protected:
  void SetUp() override {
    HistoryServiceTest::SetUp();
    history_ = NatsHistory::open(*connection_, {}).value();
  }
  std::unique_ptr<NatsHistory> history_;
};

TEST_F(NatsHistoryTest, ReadsAheadAndKeepsTheOrder) {
  catalogue_until(5000);
  const auto service = start_service();
  HistoryRequest request{.range = {.first = 1, .last = 4990}, .messages_max = 100};
  std::uint64_t seq = 0;
  bool end = false;
  while (request.range.first <= request.range.last && !end) {
    const auto page = history_->read_page("events", request);
    ASSERT_TRUE(page.has_value()) << page.status().to_string();
    for (const HistoryMessage& message : page->messages) {
      ASSERT_EQ(message.seq, ++seq);
      ASSERT_EQ(message.data, FeedStream::payload_of(seq));
      ASSERT_EQ(message.id, FeedStream::id_of(seq));
      ASSERT_EQ(message.timestamp_us, FeedStream::timestamp_us_of(seq));
    }
    request.range.first = page->next_seq;
    end = page->end;
  }
  EXPECT_EQ(seq, 4990U);
  EXPECT_FALSE(end);
}

TEST_F(NatsHistoryTest, ReadsMessagesThatFillAPageAlone) {
  catalogue_until(30, /*padding=*/300'000);
  const auto service = start_service();
  HistoryRequest request{.range = {.first = 1, .last = 1000}, .bytes_max = 400'000};
  std::uint64_t seq = 0;
  for (bool end = false; !end;) {
    const auto page = history_->read_page("events", request);
    ASSERT_TRUE(page.has_value()) << page.status().to_string();
    EXPECT_LE(page->messages.size(), 2U);
    for (const HistoryMessage& message : page->messages) {
      ASSERT_EQ(message.seq, ++seq);
    }
    request.range.first = page->next_seq;
    end = page->end;
  }
  EXPECT_EQ(seq, 30U);
}

TEST_F(NatsHistoryTest, JumpsOverHolesAndBack) {
  catalogue_until(3000);
  delete_rows(101, 2900);
  const auto service = start_service();
  HistoryRequest request{.range = {.first = 95, .last = 5000}, .messages_max = 10};
  auto page = history_->read_page("events", request);
  ASSERT_TRUE(page.has_value()) << page.status().to_string();
  EXPECT_EQ(page->messages.size(), 6U);
  EXPECT_EQ(page->next_seq, 2901U);
  EXPECT_FALSE(page->end);
  request.range.first = 7;
  page = history_->read_page("events", request);
  ASSERT_TRUE(page.has_value()) << page.status().to_string();
  EXPECT_EQ(page->messages.front().seq, 7U);
  EXPECT_EQ(page->next_seq, 17U);
}

TEST_F(NatsHistoryTest, KnowsTimesAndWhatIsHeld) {
  catalogue_until(20);
  delete_rows(1, 3);
  const auto service = start_service();
  const auto held = [this](const char* feed) {
    const auto range = history_->held(feed);
    EXPECT_TRUE(range.has_value()) << range.status().to_string();
    return range.has_value() ? *range : SeqRange{0, 0};
  };
  EXPECT_EQ(held("events"), (SeqRange{4, 20}));
  EXPECT_EQ(held("executions"), (SeqRange{1, 0}));
  const auto seq_at = [this](std::int64_t time_us) {
    const auto seq = history_->seq_at_time("events", time_us);
    EXPECT_TRUE(seq.has_value()) << time_us << " " << seq.status().to_string();
    return seq.has_value() ? *seq : 0;
  };
  EXPECT_EQ(seq_at(FeedStream::timestamp_us_of(9)), 9U);
  EXPECT_EQ(seq_at(FeedStream::timestamp_us_of(9) + 1), 10U);
  EXPECT_EQ(seq_at(0), 4U);
  EXPECT_EQ(seq_at(INT64_MIN), 4U);
  EXPECT_EQ(seq_at(INT64_MAX), 21U);
  EXPECT_EQ(code(R"({"from_time":"1000-01-01T00:00:00Z"})"), "400") << "not in nanoseconds";
}

/// Notices at once, and gives up never.
constexpr NatsHistory::Options kImpatient{.patience = 50ms, .silence_max = 10min};

TEST_F(NatsHistoryTest, AsksAgainWhenAnAnswerStopsInTheMiddle) {
  const auto send = [this](std::string_view reply, std::uint64_t first, std::uint64_t last) {
    std::string pack;
    for (std::uint64_t seq = first; seq <= last; ++seq) {
      append_packed({.seq = seq, .timestamp_us = 0, .id = "id", .data = "data"}, pack);
    }
    const std::string count = std::to_string(last - first + 1);
    const nats::Header header{"Feed-Packed", count};
    EXPECT_TRUE(
        connection_
            ->publish({.subject = reply, .reply = {}, .headers = {&header, 1}, .payload = pack})
            .ok());
  };
  const auto end = [this](std::string_view reply, std::uint64_t first, std::uint64_t last) {
    const std::string count = std::to_string(last - first + 1);
    const std::string next = std::to_string(last + 1);
    const nats::Header headers[] = {{"Feed-Next-Seq", next}, {"Feed-Page-Messages", count}};
    EXPECT_TRUE(
        connection_->publish({.subject = reply, .reply = {}, .headers = headers, .payload = {}})
            .ok());
  };
  // The first request gets the rest of its answer late: when the second one, for the same, has all.
  std::string interrupted;
  int requests = 0;
  const auto service =
      connection_->subscribe("feed.history.events", [&](const nats::Message& message) {
        const auto ask = nlohmann::json::parse(message.payload());
        const auto first = ask.at("from_seq").get<std::uint64_t>();
        const auto last = ask.at("to_seq").get<std::uint64_t>();
        if (++requests == 1) {
          interrupted = message.reply();
          return send(interrupted, first, first + 2);
        }
        send(message.reply(), first, last);
        end(message.reply(), first, last);
        if (requests == 2) {
          send(interrupted, first + 3, last);
          end(interrupted, first, last);
        }
      });
  history_ = NatsHistory::open(*connection_, kImpatient).value();
  std::vector<std::uint64_t> seqs;
  HistoryRequest request{.range = {.first = 1, .last = 100}, .messages_max = 10};
  while (!request.range.empty()) {
    const auto page = history_->read_page("events", request);
    ASSERT_TRUE(page.has_value()) << page.status().to_string();
    for (const HistoryMessage& message : page->messages) {
      seqs.push_back(message.seq);
    }
    request.range.first = page->next_seq;
  }
  EXPECT_EQ(seqs, from_to(1, 100));
}

// As one of several that hangs, and gets the question more than once.
TEST_F(NatsHistoryTest, AsksUntilSomebodyAnswers) {
  std::atomic<int> requests{0};
  const auto service =
      connection_->subscribe("feed.history.events", [&](const nats::Message& message) {
        if (++requests < 5) {
          return;
        }
        const nats::Header headers[] = {{"Feed-Next-Seq", "1"},
                                        {"Feed-Page-Messages", "0"},
                                        {"Feed-First-Seq", "1"},
                                        {"Feed-Last-Seq", "7"}};
        EXPECT_TRUE(
            connection_
                ->publish(
                    {.subject = message.reply(), .reply = {}, .headers = headers, .payload = {}})
                .ok());
      });
  history_ = NatsHistory::open(*connection_, kImpatient).value();
  const auto held = history_->held("events");
  ASSERT_TRUE(held.has_value()) << held.status().to_string();
  EXPECT_EQ(*held, (SeqRange{1, 7}));
  EXPECT_GE(requests, 5);
}

TEST_F(NatsHistoryTest, NoticesThatWhoWasAskedIsGone) {
  // Takes one request, and is away: as a gateway that is killed then.
  const UniqueFd service =
      testing::send_nats(broker_.port(), "SUB feed.history.events 1\r\nUNSUB 1 1\r\n");
  ASSERT_TRUE(service.valid());
  history_ = NatsHistory::open(*connection_, kImpatient).value();
  const auto page = history_->read_page("events", {.range = {.first = 1, .last = 100}});
  EXPECT_EQ(page.status().code(), StatusCode::kUnavailable) << page.status().to_string();
  EXPECT_NE(page.status().message().find("feedvault-gateway"), std::string::npos);
}

TEST_F(NatsHistoryTest, SaysWhyItCannotRead) {
  auto nobody = history_->read_page("events", {});
  EXPECT_TRUE(nobody.has_value()) << "an empty range asks nobody";
  const HistoryRequest first_page{.range = {.first = 1, .last = 100}};
  nobody = history_->read_page("events", first_page);
  EXPECT_EQ(nobody.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(nobody.status().message().find("feedvault-gateway"), std::string::npos);
  const auto service = start_service();
  EXPECT_TRUE(eventually([&] { return history_->read_page("events", first_page).has_value(); }));
  EXPECT_EQ(history_->read_page("sports", first_page).status().code(), StatusCode::kNotFound);
  history_->cancel();
  EXPECT_EQ(history_->read_page("events", first_page).status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace feedvault::gateway
