
#include <csignal>

#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

/// Bytes that start with "bad" are none; of others the JSON form is their length.
class FakeDecoder : public Catalogue::RequeueDecoder {
 public:
  Result<std::string> decode(std::string_view data) override {
    if (data.starts_with("bad")) {
      return Status(StatusCode::kCorruption, "still bad");
    }
    return std::to_string(data.size());
  }
};

class RequeueTest : public StorageTest {
 protected:
  void ask_for_all() { server().sql("UPDATE Quarantine SET state='requested'", config_.database); }
  std::vector<Row> requeue(Catalogue& catalogue) {
    auto rows = catalogue.requeue(decoder_, 100);
    if (!rows.has_value()) {
      throw std::runtime_error(rows.error().to_string());
    }
    return std::move(rows).value();
  }
  FakeDecoder decoder_;
};

TEST_F(RequeueTest, GivesASeqExactlyOnce) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one").bad("b", "two", "schema too old").bad("", "three", "no id");
  commit(*catalogue, batch);
  EXPECT_TRUE(requeue(*catalogue).empty()) << "nobody asked";
  ask_for_all();
  const std::vector<Row> rows = requeue(*catalogue);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].seq, 2U);
  EXPECT_EQ(rows[0].id, "b");
  EXPECT_EQ(rows[0].data, "two");
  EXPECT_EQ(rows[0].timestamp_us, TestBatch::kTimeUs + 2);
  EXPECT_EQ(rows[1].id, "requeue-2");
  EXPECT_TRUE(requeue(*catalogue).empty());
  EXPECT_EQ(value("SELECT seq,id,timestamp,size,body FROM Messages WHERE seq>1"),
            "2\tb\t2025-10-09 08:55:00.000002\t3\t3\n"
            "3\trequeue-2\t2025-10-09 08:55:00.000003\t5\t5");
  EXPECT_EQ(value("SELECT id,state,seq FROM Quarantine"), "1\trequeued\t2\n2\trequeued\t3");
  TestBatch next(4);
  next.message("c", "four");
  EXPECT_EQ(fates(commit(*catalogue, next)), "4 last 4");
}

TEST_F(RequeueTest, AConflictGetsAnIdOfItsOwn) {
  const auto catalogue = writer();
  const std::string long_id(255, 'i');
  TestBatch batch;
  batch.message("a", "one").message("a", "other").message(long_id, "x").message(long_id, "y");
  commit(*catalogue, batch);
  ask_for_all();
  const std::vector<Row> rows = requeue(*catalogue);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].id, "a-requeue-1");
  EXPECT_EQ(rows[1].id, std::string(255 - 10, 'i') + "-requeue-2");
}

TEST_F(RequeueTest, WhatTheTableHasGetsNoSecondRow) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.bad("a", "one", "schema too old");
  commit(*catalogue, batch);
  TestBatch again(2);
  again.message("a", "one");
  commit(*catalogue, again);
  ask_for_all();
  EXPECT_TRUE(requeue(*catalogue).empty());
  EXPECT_EQ(value("SELECT state,seq FROM Quarantine"), "requeued\t1");
  EXPECT_EQ(value("SELECT COUNT(*) FROM Messages"), "1");
}

TEST_F(RequeueTest, AGeneratedIdThatWasUsedTwiceIsTwoMessages) {
  const auto catalogue = writer();
  const std::string id =
      "INGEST_events-" + std::to_string(TestBatch::kCreatedNs / 1'000'000'000) + "-1";
  TestBatch batch;
  batch.bad(id, "one", "schema too old");
  commit(*catalogue, batch);
  TestBatch other;
  other.generated(id, "one", TestBatch::kTimeUs + 500);
  commit(*catalogue, other);
  ask_for_all();
  const std::vector<Row> rows = requeue(*catalogue);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].seq, 2U);
  EXPECT_EQ(rows[0].id, id + "-requeue-1");
}

TEST_F(RequeueTest, FailsWithTheNewReason) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.bad("a", "bad bytes", "first reason").message("x", "fine", "{\"broken");
  commit(*catalogue, batch);
  ask_for_all();
  EXPECT_EQ(requeue(*catalogue).size(), 1U) << "the second one decodes now";
  EXPECT_EQ(value("SELECT state,error,seq FROM Quarantine WHERE message_id='a'"),
            "failed\tstill bad\tNULL");
  EXPECT_EQ(value("SELECT last_seq FROM Feeds"), "1");
}

TEST_F(RequeueTest, AFencedWriterRequeuesNothing) {
  const auto predecessor = writer();
  TestBatch batch;
  batch.bad("a", "one", "reason");
  commit(*predecessor, batch);
  ask_for_all();
  const auto successor = writer();
  EXPECT_EQ(predecessor->requeue(decoder_, 10).status().code(), StatusCode::kFenced);
  EXPECT_EQ(requeue(*successor).size(), 1U);
}

TEST_F(RequeueTest, RestoresRowsUnderTheirNumbers) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one");
  commit(*catalogue, batch);
  const std::vector<Row> rows = {{2, "b", 1000, "two", "{}"}, {3, "c", 2000, "three", ""}};
  const Status restored = catalogue->restore(rows);
  ASSERT_TRUE(restored.ok()) << restored.to_string();
  EXPECT_EQ(value("SELECT seq,id,data,body FROM Messages"),
            "1\ta\tone\tNULL\n2\tb\ttwo\t{}\n3\tc\tthree\tNULL");
  EXPECT_EQ(value("SELECT last_seq,stream_seq FROM Feeds"), "3\t1") << "the checkpoint stays";
  TestBatch again(2);
  again.message("b", "two").message("c", "three").message("d", "four");
  EXPECT_EQ(fates(commit(*catalogue, again)), "duplicate duplicate 4 last 4");
}

TEST_F(RequeueTest, RefusesToRestoreWhatContradictsTheTable) {
  auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one");
  commit(*catalogue, batch);
  EXPECT_EQ(catalogue->restore(std::vector<Row>{{2, "a", 0, "x", ""}}).code(),
            StatusCode::kCorruption);
  catalogue = writer();
  EXPECT_EQ(catalogue->restore(std::vector<Row>{{3, "c", 0, "x", ""}}).code(),
            StatusCode::kInternal);
  EXPECT_EQ(value("SELECT last_seq FROM Feeds"), "1");
}

}  // namespace
}  // namespace feedvault::storage
