// Limits, ages, retention, roll-ups, republishing, transforms, full and broken disks.

#include "broker/store/message_log.h"
#include "broker/streams/direct_get.h"
#include "tests/unit/broker/streams/stream_fixture.h"

namespace feedvault::broker::streams {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Outcome = Stream::Outcome;

class StreamLimitsTest : public StreamTest {
 protected:
  std::string stored() {
    std::string all;
    store::MessageReader reader(stream_->log(), 1);
    for (auto next = reader.next(stream_->visible_seq()); next.has_value() && next->has_value();
         next = reader.next(stream_->visible_seq())) {
      all += (all.empty() ? "" : " ") + std::to_string((*next)->seq);
    }
    return all;
  }
  void fill(int messages, const std::string& subject = "ord.a") {
    for (int i = 0; i < messages; ++i) {
      store(subject, "x");
    }
    stream_->commit();
  }
};

TEST_F(StreamLimitsTest, DiscardOldKeepsTheNewest) {
  config_.max_msgs = 3;
  create();
  fill(5);
  EXPECT_EQ(stored(), "3 4 5");
  EXPECT_EQ(stream_->state().first_seq, 3U);
  EXPECT_EQ(stream_->counters().expired, 2U);
}

TEST_F(StreamLimitsTest, DiscardOldBySize) {
  config_.max_bytes = 3 * (30 + 5 + 1);
  create();
  fill(5);
  EXPECT_EQ(stored(), "3 4 5");
  EXPECT_EQ(stream_->state().bytes, 3U * 36);
}

TEST_F(StreamLimitsTest, HistoryOfASubjectKeepsItsNewest) {
  config_.max_msgs_per_subject = 2;
  create();
  fill(4, "ord.a");
  fill(1, "ord.b");
  EXPECT_EQ(stored(), "3 4 5");
}

TEST_F(StreamLimitsTest, DiscardNewRefusesWhoWaitsForAnAnswer) {
  config_.max_msgs = 2;
  config_.discard = Discard::kNew;
  create();
  fill(2);
  EXPECT_EQ(request("ord.a", "x"),
            R"({"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},)"
            R"("stream":"ORD","seq":0})");
  // A plain publisher would wait for ever: only a purge makes room here.
  EXPECT_EQ(store("ord.a", "x"), Outcome::kRefused);
  EXPECT_EQ(stream_->last_refusal().description, "maximum messages exceeded");
}

TEST_F(StreamLimitsTest, DiscardNewHoldsPlainPublishersWhileTimeCanHelp) {
  config_.max_msgs = 2;
  config_.discard = Discard::kNew;
  config_.max_age_ns = 1'000'000'000;
  create();
  fill(2);
  EXPECT_EQ(store("ord.a", "x"), Outcome::kHold);
  EXPECT_FALSE(stream_->accepts());
  advance(seconds(2));
  EXPECT_TRUE(stream_->accepts());
  EXPECT_EQ(store("ord.a", "x"), Outcome::kStored);
}

TEST_F(StreamLimitsTest, DiscardNewHoldsPlainPublishersUntilConsumersMadeRoom) {
  with_consumers();
  consumers_.consumers.push_back({">", {}});
  config_.retention = Retention::kWorkQueue;
  config_.max_msgs = 2;
  config_.discard = Discard::kNew;
  create();
  fill(2);
  EXPECT_EQ(store("ord.a", "x"), Outcome::kHold);
  EXPECT_TRUE(stream_->acknowledged(1));
  EXPECT_TRUE(stream_->accepts());
  EXPECT_EQ(store("ord.a", "x"), Outcome::kStored);
}

TEST_F(StreamLimitsTest, DiscardNewBySize) {
  config_.max_bytes = 100;
  config_.discard = Discard::kNew;
  create();
  fill(2);
  EXPECT_EQ(request("ord.a", std::string(40, 'x')),
            R"({"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},)"
            R"("stream":"ORD","seq":0})");
  EXPECT_EQ(request("ord.a", "x"), R"({"stream":"ORD", "seq":3})");
}

TEST_F(StreamLimitsTest, DiscardNewPerSubject) {
  config_.max_msgs_per_subject = 1;
  config_.discard = Discard::kNew;
  config_.discard_new_per_subject = true;
  create();
  fill(1);
  EXPECT_EQ(request("ord.a", "x"),
            R"({"error":{"code":503,"err_code":10077,"description":)"
            R"("maximum messages per subject exceeded"},"stream":"ORD","seq":0})");
  EXPECT_EQ(request("ord.b", "x"), R"({"stream":"ORD", "seq":2})");
}

TEST_F(StreamLimitsTest, AFullStreamStillReplacesASubjectsOldest) {
  config_.max_msgs = 2;
  config_.max_msgs_per_subject = 1;
  config_.discard = Discard::kNew;
  create();
  fill(1, "ord.a");
  fill(1, "ord.b");
  EXPECT_EQ(request("ord.a", "x"), R"({"stream":"ORD", "seq":3})");
  EXPECT_EQ(stored(), "2 3");
}

TEST_F(StreamLimitsTest, MessagesGrowOld) {
  config_.max_age_ns = 1'000'000'000;
  create();
  fill(1);
  advance(milliseconds(600));
  fill(1);
  EXPECT_EQ(stored(), "1 2");
  advance(milliseconds(400));
  EXPECT_EQ(stored(), "2");
  advance(milliseconds(600));
  EXPECT_EQ(stored(), "");
  EXPECT_EQ(stream_->state().first_seq, 3U);
  EXPECT_EQ(stream_->state().last_seq, 2U);
}

TEST_F(StreamLimitsTest, MessagesThatGrewOldWhileStoppedGoAtTheStart) {
  config_.max_age_ns = 1'000'000'000;
  create();
  fill(3);
  ASSERT_TRUE(stream_->close().ok());
  stream_.reset();
  clock_.advance(seconds(2));
  reopen();
  EXPECT_EQ(stream_->state().messages, 0U);
  EXPECT_EQ(stream_->state().last_seq, 3U);
}

TEST_F(StreamLimitsTest, InterestKeepsUntilAllAreDone) {
  with_consumers();
  consumers_.consumers = {{">", {}}, {"ord.a", {}}};
  config_.retention = Retention::kInterest;
  create();
  store("ord.a", "1");
  store("ord.b", "2");
  stream_->commit();
  consumers_.consumers[0].done = {1, 2};
  EXPECT_FALSE(stream_->acknowledged(1));
  EXPECT_TRUE(stream_->acknowledged(2));
  consumers_.consumers.erase(consumers_.consumers.begin() + 1);
  stream_->sweep(1);
  EXPECT_EQ(stored(), "");
}

TEST_F(StreamLimitsTest, WithoutInterestANumberIsUsedAndAnswered) {
  with_consumers();
  config_.retention = Retention::kInterest;
  create();
  EXPECT_EQ(request("ord.a", "x"), R"({"stream":"ORD", "seq":1})");
  EXPECT_EQ(stream_->state().messages, 0U);
  EXPECT_EQ(stream_->state().last_seq, 1U);
  reopen();
  EXPECT_EQ(stream_->state().messages, 0U);
  EXPECT_EQ(request("ord.a", "x"), R"({"stream":"ORD", "seq":2})");
}

TEST_F(StreamLimitsTest, AcknowledgedMessagesThatAPowerCutBroughtBackGoAgain) {
  with_consumers();
  consumers_.consumers = {{">", {}}};
  config_.retention = Retention::kWorkQueue;
  create();
  fill(2);
  consumers_.consumers[0].done = {1};
  EXPECT_TRUE(stream_->acknowledged(1));
  disk_.cut_now(testing::PowerLossFileSystem::Mode::kForget);
  stream_.reset();
  disk_.restart();
  reopen();
  EXPECT_EQ(stored(), "2");
}

TEST_F(StreamLimitsTest, WhatIsReplacedAllTheTimeTakesNoMoreRoom) {
  for (const StorageType storage : {StorageType::kFile, StorageType::kMemory}) {
    config_.name = storage == StorageType::kFile ? "F" : "M";
    config_.subjects = {config_.name + ".>"};
    config_.storage = storage;
    config_.max_msgs_per_subject = 1;
    create();
    for (int round = 0; round < 60; ++round) {
      store(config_.name + ".cold." + std::to_string(round), "stays");
      for (int i = 0; i < 200; ++i) {
        store(config_.name + ".hot", std::string(500, 'x'));
      }
      stream_->commit();
      advance(seconds(1));
    }
    advance(seconds(10));
    EXPECT_EQ(stream_->state().messages, 61U);
    EXPECT_LT(stream_->log().disk_bytes(), 300'000U);  // of 6.6 million
    EXPECT_EQ(payload_of(1), "stays");
  }
}

TEST_F(StreamLimitsTest, RollUps) {
  config_.allow_rollup_hdrs = true;
  create();
  fill(3, "ord.a");
  fill(2, "ord.b");
  EXPECT_EQ(request("ord.a", "", {{"Nats-Rollup", "sub"}}), R"({"stream":"ORD", "seq":6})");
  EXPECT_EQ(stored(), "4 5 6");
  EXPECT_EQ(request("ord.c", "", {{"Nats-Rollup", "ALL"}}), R"({"stream":"ORD", "seq":7})");
  EXPECT_EQ(stored(), "7");
  EXPECT_NE(request("ord.c", "", {{"Nats-Rollup", "some"}}).find("rollup value invalid"),
            std::string::npos);
}

TEST_F(StreamLimitsTest, SealedStreamsChangeNoMore) {
  create();
  fill(1);
  StreamConfig sealed = stream_->config();
  sealed.sealed = true;
  ASSERT_FALSE(check_stream_update(stream_->config(), sealed).has_value());
  ASSERT_FALSE(stream_->update(sealed).has_value());
  EXPECT_NE(request("ord.a", "x").find("10109"), std::string::npos);
  EXPECT_EQ(stream_->purge({}).error().err_code, 10109U);
  EXPECT_EQ(stream_->delete_message(1, false)->err_code, 10109U);
  EXPECT_EQ(payload_of(1), "x");
}

TEST_F(StreamLimitsTest, DenialsHaveTheirErrors) {
  config_.deny_delete = true;
  config_.deny_purge = true;
  create();
  fill(1);
  EXPECT_EQ(*stream_->delete_message(1, false),
            (ApiError{500, 10057, "message delete not permitted"}));
  EXPECT_EQ(stream_->purge({}).error(), (ApiError{500, 10110, "stream purge not permitted"}));
}

TEST_F(StreamLimitsTest, PurgesAndDeletionsAreDurableWhenTheySaySo) {
  create();
  fill(5);
  std::vector<std::string> said;
  const auto say = [&](const char* what) {
    stream_->when_durable([&said, what](const Status& status) {
      said.push_back(what + std::string(status.ok() ? "" : " failed"));
    });
  };
  EXPECT_EQ(stream_->purge({{}, 3, 2}).error().err_code, 10003U);
  ASSERT_EQ(*stream_->purge({{}, 3, 0}), 2U);
  say("purged");
  EXPECT_FALSE(stream_->delete_message(4, false).has_value());
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  EXPECT_FALSE(stream_->delete_message(5, true).has_value());
  say("deleted");
  EXPECT_TRUE(said.empty());
  stream_->end_commit(stream_->sync());
  EXPECT_EQ(said, std::vector<std::string>{"purged"});
  EXPECT_TRUE(stream_->needs_commit());
  stream_->commit();
  EXPECT_EQ(said, (std::vector<std::string>{"purged", "deleted"}));
  EXPECT_FALSE(stream_->needs_commit());
  EXPECT_EQ(*stream_->delete_message(4, false), (ApiError{500, 10057, "no message found"}));
  disk_.cut_now(testing::PowerLossFileSystem::Mode::kForget);
  stream_.reset();
  disk_.restart();
  reopen();
  EXPECT_EQ(stored(), "3");
  EXPECT_EQ(stream_->state().last_seq, 5U);
  ASSERT_EQ(*stream_->purge({}), 1U);
  EXPECT_EQ(stream_->state().first_seq, 6U);
  said.clear();
  say("never");
  disk_.set_fault([](testing::PowerLossFileSystem::Op op, const std::string&) {
    return op == testing::PowerLossFileSystem::Op::kSync ? io_error("disk gone") : Status();
  });
  stream_->commit();
  say("nor this");
  EXPECT_EQ(said, (std::vector<std::string>{"never failed", "nor this failed"}));
}

TEST_F(StreamLimitsTest, APurgeBeyondTheEndMovesTheNumbers) {
  create();
  fill(2);
  ASSERT_EQ(*stream_->purge({{}, 100, 0}), 2U);
  stream_->commit();
  EXPECT_EQ(stream_->state().first_seq, 100U);
  EXPECT_EQ(stream_->state().last_seq, 99U);
  EXPECT_EQ(request("ord.a", "x"), R"({"stream":"ORD", "seq":100})");
}

TEST_F(StreamLimitsTest, TheFirstNumberCanBeChosen) {
  config_.first_seq = 1000;
  create();
  EXPECT_EQ(stream_->state().first_seq, 1000U);
  EXPECT_EQ(stream_->state().last_seq, 999U);
  EXPECT_EQ(request("ord.a", "x"), R"({"stream":"ORD", "seq":1000})");
}

TEST_F(StreamLimitsTest, RepublishesWhatIsDurable) {
  config_.republish = RepublishConfig{"ord.*", "copy.$1", false};
  create();
  store("ord.a", "one", {{"K", "v"}});
  store("ord.a", "two");
  store("ord.x.y", "no match");
  EXPECT_TRUE(output_.sent.empty());
  stream_->commit();
  ASSERT_EQ(output_.sent.size(), 2U);
  EXPECT_EQ(output_.sent[0].to, "copy.a");
  EXPECT_EQ(output_.sent[0].payload, "one");
  EXPECT_EQ(output_.sent[0].headers,
            "NATS/1.0\r\nK: v\r\nNats-Stream: ORD\r\nNats-Subject: ord.a\r\nNats-Sequence: 1\r\n"
            "Nats-Time-Stamp: 1970-01-01T01:00:00Z\r\nNats-Last-Sequence: 0\r\n\r\n");
  EXPECT_NE(output_.sent[1].headers.find("Nats-Last-Sequence: 1\r\n"), std::string::npos);
}

TEST_F(StreamLimitsTest, RepublishesHeadersOnly) {
  config_.republish = RepublishConfig{"", "copy.>", true};
  create();
  store("ord.a", "one", {{"K", "v"}});
  stream_->commit();
  ASSERT_EQ(output_.sent.size(), 1U);
  EXPECT_EQ(output_.sent[0].to, "copy.ord.a");
  EXPECT_EQ(output_.sent[0].payload, "");
  EXPECT_NE(output_.sent[0].headers.find("K: v"), std::string::npos);
  EXPECT_NE(output_.sent[0].headers.find("Nats-Msg-Size: 3\r\n\r\n"), std::string::npos);
}

TEST_F(StreamLimitsTest, StoresUnderTransformedSubjects) {
  config_.subject_transform = SubjectTransformConfig{"ord.*", "stored.$1"};
  create();
  store("ord.a", "1");
  store("ord.a.b", "2");
  stream_->commit();
  const auto subjects = stream_->subjects({});
  ASSERT_EQ(subjects.size(), 2U);
  EXPECT_EQ(subjects[0].subject, "ord.a.b");
  EXPECT_EQ(subjects[1].subject, "stored.a");
  EXPECT_EQ(request("ord.a", "", {{"Nats-Expected-Last-Subject-Sequence", "1"}}),
            R"({"stream":"ORD", "seq":3})");
}

TEST_F(StreamLimitsTest, AFullDiskRefusesOrHoldsAndGoesOnWhenThereIsRoom) {
  disk_.set_reserves(false);
  options_.log.write_buffer_bytes = 1024;
  create();
  fill(1);
  disk_.set_capacity(disk_.total_bytes());
  EXPECT_EQ(store("ord.a", "waits", {}, "r"), Outcome::kStored);
  stream_->commit();
  EXPECT_TRUE(output_.payloads("r").empty());
  EXPECT_TRUE(stream_->failure().ok());
  Outcome outcome = Outcome::kStored;
  for (int i = 0; i < 100 && outcome == Outcome::kStored; ++i) {
    outcome = store("ord.a", std::string(100, 'x'));
  }
  EXPECT_EQ(outcome, Outcome::kHold);
  EXPECT_EQ(store("ord.a", std::string(2000, 'x'), {}, "refused"), Outcome::kRefused);
  EXPECT_EQ(stream_->last_refusal().err_code, 10023U);
  EXPECT_FALSE(stream_->accepts());
  EXPECT_FALSE(stream_->needs_commit());
  const std::uint64_t held_last = stream_->log().last_seq();
  disk_.set_capacity(1U << 30U);
  advance(seconds(1));
  EXPECT_EQ(output_.payloads("r").size(), 1U);
  EXPECT_TRUE(stream_->accepts());
  EXPECT_EQ(stream_->visible_seq(), held_last);
  EXPECT_EQ(request("ord.a", "x"),
            R"({"stream":"ORD", "seq":)" + std::to_string(held_last + 1) + "}");
}

TEST_F(StreamLimitsTest, WhereRoomCanBeReservedAFullDiskIsToldAtOnceAndUsesNoNumber) {
  create();
  disk_.set_capacity(disk_.total_bytes() + 1000);
  const std::string body(100, 'x');
  StreamSeq stored = 0;
  while (request("ord.a", body) ==
         R"({"stream":"ORD", "seq":)" + std::to_string(stored + 1) + "}") {
    ++stored;
  }
  EXPECT_GT(stored, 0U);
  EXPECT_EQ(output_.payloads("inbox"),
            std::vector<std::string>{
                R"({"error":{"code":503,"err_code":10023,"description":"insufficient resources"},)"
                R"("stream":"ORD","seq":0})"});
  EXPECT_EQ(store("ord.a", "x"), Outcome::kHold);
  EXPECT_FALSE(stream_->accepts());
  EXPECT_EQ(stream_->log().last_seq(), stored);
  EXPECT_EQ(stream_->visible_seq(), stored);
  disk_.set_capacity(1U << 30U);
  advance(seconds(1));
  EXPECT_TRUE(stream_->accepts());
  EXPECT_EQ(request("ord.a", body),
            R"({"stream":"ORD", "seq":)" + std::to_string(stored + 1) + "}");
}

TEST_F(StreamLimitsTest, APurgeOfASubjectOnAFullDiskIsDoneWhenThereIsRoom) {
  disk_.set_reserves(false);
  options_.log.write_buffer_bytes = 1024;
  create();
  for (int i = 0; i < 3000; ++i) {
    store("ord.a", "x");
  }
  store("ord.b", "kept");
  stream_->commit();
  disk_.set_capacity(0);
  const auto purged = stream_->purge({"ord.a", 0, 0});
  ASSERT_TRUE(purged.has_value()) << purged.error().description;
  EXPECT_EQ(*purged, 3000U);
  stream_->commit();
  EXPECT_TRUE(stream_->failure().ok());
  EXPECT_EQ(stream_->state().messages, 1U);
  disk_.set_capacity(1U << 30U);
  advance(seconds(1));
  disk_.cut_now(testing::PowerLossFileSystem::Mode::kForget);
  stream_.reset();
  disk_.restart();
  reopen();
  EXPECT_EQ(stream_->state().messages, 1U);
  EXPECT_EQ(payload_of(3001), "kept");
}

TEST_F(StreamLimitsTest, AFailedSyncEndsTheStreamAndAnswersWhoWaits) {
  create();
  fill(1);
  disk_.set_fault([](testing::PowerLossFileSystem::Op op, const std::string&) {
    return op == testing::PowerLossFileSystem::Op::kSync ? io_error("disk gone") : Status();
  });
  EXPECT_EQ(store("ord.a", "lost?", {}, "r"), Outcome::kStored);
  ASSERT_EQ(stream_->begin_commit(), Stream::Commit::kSync);
  stream_->end_commit(stream_->sync());
  EXPECT_FALSE(stream_->failure().ok());
  ASSERT_EQ(output_.payloads("r").size(), 1U);
  EXPECT_NE(output_.payloads("r")[0].find("10077"), std::string::npos);
  EXPECT_EQ(stream_->visible_seq(), 1U);
  EXPECT_EQ(payload_of(1), "x");
  disk_.set_fault({});
  EXPECT_EQ(store("ord.a", "x", {}, "later"), Outcome::kRefused);
  EXPECT_EQ(output_.payloads("later").size(), 1U);
  EXPECT_FALSE(stream_->needs_commit());
}

TEST_F(StreamLimitsTest, IntervalSyncAnswersWhatIsWrittenAndSyncsLater) {
  options_.sync = SyncPolicy::kInterval;
  options_.sync_interval = seconds(2);
  create();
  store("ord.a", "x", {}, "r");
  EXPECT_EQ(stream_->begin_commit(), Stream::Commit::kNothing);
  EXPECT_EQ(output_.payloads("r").size(), 1U);
  EXPECT_EQ(stream_->log().durable_seq(), 0U);
  advance(seconds(3));
  EXPECT_EQ(stream_->log().durable_seq(), 1U);
}

TEST_F(StreamLimitsTest, ConsumersAreTold) {
  with_consumers();
  consumers_.consumers = {{">", {}}};
  config_.max_msgs = 2;
  create();
  fill(1);
  EXPECT_EQ(consumers_.visible, 1);
  fill(2);
  EXPECT_EQ(consumers_.removed, (std::vector<std::pair<StreamSeq, StreamSeq>>{{1, 1}}));
  StreamConfig changed = stream_->config();
  changed.description = "new";
  ASSERT_FALSE(stream_->update(changed).has_value());
  EXPECT_EQ(consumers_.config_changes, 1);
  ASSERT_TRUE(stream_->destroy().ok());
  EXPECT_EQ(consumers_.deleted, 1);
  EXPECT_TRUE(disk_.files().empty());
}

// --- Direct get ---

class DirectGetTest : public StreamTest {
 protected:
  /// What the request brought: each message or status as one line.
  std::string got(const DirectGetRequest& request) {
    output_.sent.clear();
    direct_get(*stream_, request, "inbox");
    std::string all;
    for (const Sent& sent : output_.sent) {
      all += (all.empty() ? "" : "|") + value(sent.headers, "Nats-Sequence") + ":" + sent.payload +
             (sent.headers.starts_with("NATS/1.0 ")
                  ? sent.headers.substr(9, sent.headers.find("\r\n") - 9)
                  : "");
      const std::string pending = value(sent.headers, "Nats-Num-Pending");
      if (!pending.empty()) {
        all += "," + pending + "," + value(sent.headers, "Nats-Last-Sequence");
      }
    }
    return all;
  }
  static std::string value(const std::string& headers, const std::string& name) {
    const std::size_t at = headers.find("\r\n" + name + ": ");
    if (at == std::string::npos) {
      return {};
    }
    const std::size_t begin = at + name.size() + 4;
    return headers.substr(begin, headers.find("\r\n", begin) - begin);
  }
};

TEST_F(DirectGetTest, AnswersAsAdr31Says) {
  config_.allow_direct = true;
  create();
  for (const char* const subject : {"ord.a", "ord.b", "ord.a", "ord.c"}) {
    store(subject, subject);
  }
  stream_->commit();
  store("ord.a", "hidden");
  DirectGetRequest by_seq;
  by_seq.seq = 2;
  EXPECT_EQ(got(by_seq), "2:ord.b");
  EXPECT_EQ(output_.sent[0].headers,
            "NATS/1.0\r\nNats-Stream: ORD\r\nNats-Subject: ord.b\r\nNats-Sequence: 2\r\n"
            "Nats-Time-Stamp: 1970-01-01T01:00:00Z\r\n\r\n");
  by_seq.seq = 5;
  EXPECT_EQ(got(by_seq), ":404 Message Not Found");
  DirectGetRequest last;
  last.last_by_subject = "ord.a";
  EXPECT_EQ(got(last), "3:ord.a");
  last.seq = 1;
  EXPECT_EQ(got(last), ":408 Bad Request");
  DirectGetRequest next;
  next.next_by_subject = "ord.a";
  next.seq = 2;
  EXPECT_EQ(got(next), "3:ord.a");
  EXPECT_EQ(got({}), ":408 Empty Request");
}

TEST_F(DirectGetTest, Batches) {
  config_.allow_direct = true;
  create();
  for (const char* const subject : {"ord.a", "ord.b", "ord.a", "ord.c"}) {
    store(subject, subject);
  }
  stream_->commit();
  DirectGetRequest batch;
  batch.seq = 1;
  batch.batch = 2;
  EXPECT_EQ(got(batch), "1:ord.a,3,0|2:ord.b,2,1|:204 EOB,2,2");
  batch.next_by_subject = "ord.a";
  batch.batch = 10;
  EXPECT_EQ(got(batch), "1:ord.a,1,0|3:ord.a,0,1|:204 EOB,0,3");
  batch.next_by_subject = "none";
  EXPECT_EQ(got(batch), ":404 Message Not Found");
  DirectGetRequest multi;
  multi.multi_last = {"ord.*"};
  EXPECT_EQ(got(multi), "2:ord.b,2,0|3:ord.a,1,2|4:ord.c,0,3|:204 EOB,0,4");
  multi.up_to_seq = 2;
  EXPECT_EQ(got(multi), "1:ord.a,1,0|2:ord.b,0,1|:204 EOB,0,2");
  multi.multi_last = {"none"};
  EXPECT_EQ(got(multi), ":404 No Results");
}

// --- what the server's streams may hold together ---

TEST_F(StreamLimitsTest, AllStreamsTogetherKeepWithinTheServersLimit) {
  budget_ = std::make_unique<StoreBudget>(store::accounted_bytes(5, 0, 4) * 3);
  options_.file_budget = budget_.get();
  create();
  EXPECT_EQ(request("ord.1", "1111"), R"({"stream":"ORD", "seq":1})");
  EXPECT_EQ(request("ord.1", "2222"), R"({"stream":"ORD", "seq":2})");
  StreamConfig other = config_;
  other.name = "OTHER";
  other.subjects = {"other"};
  ASSERT_FALSE(check_stream_config(other).has_value());
  auto second = Stream::create(other, options_);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ((*second)->store({"other", {}, {}, "3333"}), Stream::Outcome::kStored);
  EXPECT_EQ(request("ord.1", "4444"),
            R"({"error":{"code":503,"err_code":10023,"description":"insufficient resources"},)"
            R"("stream":"ORD","seq":0})");
  EXPECT_EQ(request("ord.1", ""),
            R"({"error":{"code":503,"err_code":10023,)"
            R"("description":"insufficient resources"},"stream":"ORD","seq":0})")
      << "the limit is in bytes, and a message without any takes some, too";
  // Who does not wait for an answer waits for room, whoever makes it.
  EXPECT_EQ(store("ord.1", "5555"), Stream::Outcome::kHold);
  EXPECT_FALSE(stream_->accepts());
  ASSERT_TRUE((*second)->purge({}).has_value());
  EXPECT_EQ(budget_->used(), stream_->state().bytes);
  advance(std::chrono::seconds(1));
  EXPECT_TRUE(stream_->accepts());
  EXPECT_EQ(store("ord.1", "5555"), Stream::Outcome::kStored);
  // A stream that goes gives back its share, and one that opens takes it.
  second->reset();
  stream_->commit();
  const std::uint64_t used = budget_->used();
  stream_.reset();
  EXPECT_EQ(budget_->used(), 0U);
  reopen();
  EXPECT_EQ(budget_->used(), used);
  EXPECT_EQ(budget_->used(), stream_->state().bytes);
}

TEST_F(StreamLimitsTest, TheServersLimitCountsWhatIsThere) {
  budget_ = std::make_unique<StoreBudget>(1U << 20U);
  for (const auto storage : {StorageType::kFile, StorageType::kMemory}) {
    config_.name = storage == StorageType::kFile ? "FILE" : "MEMORY";
    config_.storage = storage;
    config_.max_msgs_per_subject = 2;
    config_.max_msgs = 5;
    config_.allow_rollup_hdrs = true;
    (storage == StorageType::kFile ? options_.file_budget : options_.memory_budget) = budget_.get();
    create();
    for (int i = 0; i < 20; ++i) {
      store("ord." + std::to_string(i % 4), std::string(static_cast<std::size_t>(i), 'x'));
      stream_->commit();
      ASSERT_EQ(budget_->used(), stream_->state().bytes) << i;
    }
    EXPECT_FALSE(stream_->delete_message(stream_->state().last_seq, false).has_value());
    EXPECT_EQ(budget_->used(), stream_->state().bytes);
    store("ord.9", "all", {{"Nats-Rollup", "all"}});
    stream_->commit();
    EXPECT_EQ(stream_->state().messages, 1U);
    EXPECT_EQ(budget_->used(), stream_->state().bytes);
    stream_.reset();
    EXPECT_EQ(budget_->used(), 0U);
  }
}

}  // namespace
}  // namespace feedvault::broker::streams
