#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

class ReaderTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    reader_ = CatalogueReader::create(config_);
  }
  std::vector<Row> read(std::uint64_t first,
                        std::size_t rows_max,
                        std::size_t bytes_max = 1U << 30U,
                        bool with_body = false) {
    auto rows = reader_->read_range(1, first, rows_max, bytes_max, with_body);
    if (!rows.has_value()) {
      throw std::runtime_error(rows.error().to_string());
    }
    return std::move(rows).value();
  }
  std::unique_ptr<CatalogueReader> reader_;
};

TEST_F(ReaderTest, ReadsRangesInOrderWithinItsLimits) {
  TestBatch batch;
  for (int i = 1; i <= 3000; ++i) {
    batch.message("id" + std::to_string(i),
                  std::string(static_cast<std::size_t>(i % 300), 'd'),
                  R"({"n": )" + std::to_string(i) + "}");
  }
  commit(*writer(), batch);
  std::uint64_t next = 1;
  for (const std::size_t rows_max : {1U, 7U, 1000U, 5000U}) {
    for (const Row& row : read(next, rows_max)) {
      ASSERT_EQ(row.seq, next);
      ASSERT_EQ(row.id, "id" + std::to_string(next));
      ASSERT_EQ(row.data.size(), next % 300);
      ASSERT_EQ(row.timestamp_us, TestBatch::kTimeUs + static_cast<std::int64_t>(next));
      ASSERT_TRUE(row.body.empty());
      ++next;
    }
  }
  EXPECT_EQ(next, 3001U);
  EXPECT_TRUE(read(3001, 10).empty());
  EXPECT_EQ(read(5, 0).size(), 0U);
  EXPECT_EQ(read(5, 1, 1U << 20U, true).front().body, R"({"n": 5})");
}

TEST_F(ReaderTest, StopsAboutAtItsLimitOfBytes) {
  TestBatch batch;
  for (int i = 1; i <= 40; ++i) {
    batch.message("id" + std::to_string(i), std::string(50'000, static_cast<char>('a' + i % 26)));
  }
  commit(*writer(), batch);
  EXPECT_EQ(read(1, 100, 1).size(), 1U);
  EXPECT_EQ(read(2, 100, 120'000).size(), 3U);
  const auto rows = read(3, 100, 1'000'000);
  EXPECT_GE(rows.size(), 19U);
  EXPECT_LE(rows.size(), 21U);
  EXPECT_EQ(rows.back().data, std::string(50'000, static_cast<char>('a' + rows.back().seq % 26)));
}

TEST_F(ReaderTest, ReadsLargeBodies) {
  TestBatch batch;
  const std::string body = R"({"a": ")" + std::string(100'000, 'b') + R"("})";
  batch.message("a", "x", body).message("b", "y");
  commit(*writer(), batch);
  const auto rows = read(1, 10, 1U << 30U, true);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].body, body);
  EXPECT_EQ(rows[1].body, "");
}

TEST_F(ReaderTest, SaysWhatTheTableHolds) {
  const auto held = [this] {
    const auto answer = reader_->held(1);
    return answer.has_value() ? std::pair{answer->first, answer->last} : std::pair{0UL, 0UL};
  };
  EXPECT_EQ(held(), (std::pair{1UL, 0UL})) << "nothing yet";
  commit(*writer(), TestBatch().message("a", "a").message("b", "b").message("c", "c"));
  EXPECT_EQ(held(), (std::pair{1UL, 3UL}));
  server().sql("DELETE FROM Messages WHERE seq=1", config_.database);
  EXPECT_EQ(held(), (std::pair{2UL, 3UL}));
  server().sql("DELETE FROM Messages", config_.database);
  EXPECT_EQ(held(), (std::pair{4UL, 3UL})) << "4 comes next";
}

TEST_F(ReaderTest, FindsTheSeqOfATime) {
  const auto at = [&](std::int64_t timestamp_us) {
    const auto seq = reader_->seq_at_time(1, timestamp_us);
    return seq.has_value() ? seq->value_or(0) : 999'999;
  };
  EXPECT_EQ(at(0), 0U);
  const auto catalogue = writer();
  TestBatch batch;
  batch.message_at("a", "x", 1'000'000, false)
      .message_at("b", "x", 2'000'000, false)
      .message_at("c", "x", 2'000'000, false)
      .message_at("d", "x", 3'000'000, false);
  commit(*catalogue, batch);
  EXPECT_EQ(at(-5), 1U);
  EXPECT_EQ(at(1'000'000), 1U);
  EXPECT_EQ(at(1'000'001), 2U);
  EXPECT_EQ(at(3'000'000), 4U);
  EXPECT_EQ(at(3'000'001), 0U);
  // A requeued message has an old time and a late seq: it must not hide those between.
  server().sql(
      "INSERT INTO Messages VALUES (1,5,'r','1970-01-01 00:00:01.500000',0,'',NULL);"
      "INSERT INTO Quarantine (feed,stream_created_ns,stream_seq,message_id,timestamp,size,"
      "data,error,state,seq) VALUES (1,0,9,'r','1970-01-01 00:00:01.500000',0,'','',"
      "'requeued',5)",
      config_.database);
  EXPECT_EQ(at(1'400'000), 2U);
  EXPECT_EQ(at(3'000'001), 0U);
}

TEST_F(ReaderTest, SummarisesFeedsAndQuarantine) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one").message("a", "one").bad("b", "two", "the reason").gap(4, 5);
  commit(*catalogue, batch);
  writer(other_feed_);
  const auto feeds = reader_->feeds();
  ASSERT_TRUE(feeds.has_value());
  ASSERT_EQ(feeds->size(), 2U);
  const FeedSummary& events = feeds->front();
  EXPECT_EQ(events.name, "events");
  EXPECT_EQ(events.state.last_seq, 1U);
  EXPECT_EQ(events.state.epoch, 1U);
  EXPECT_EQ(events.state.ingest, batch.batch.position);
  EXPECT_EQ(events.duplicates, 1U);
  EXPECT_EQ(events.quarantined, 1U);
  EXPECT_EQ(events.gaps, 1U);

  EXPECT_EQ(reader_->quarantined(2, 10)->size(), 0U);
  const auto listed = reader_->quarantined(0, 10);
  ASSERT_TRUE(listed.has_value());
  ASSERT_EQ(listed->size(), 1U);
  const auto found = reader_->find_quarantined(listed->front().id);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->feed, 1);
  EXPECT_EQ(found->message_id, "b");
  EXPECT_EQ(found->stream_seq, 3U);
  EXPECT_EQ(found->timestamp_us, TestBatch::kTimeUs + 3);
  EXPECT_EQ(found->size, 3U);
  EXPECT_EQ(found->data, "two");
  EXPECT_EQ(found->error, "the reason");
  EXPECT_EQ(found->state, "quarantined");
  EXPECT_EQ(reader_->find_quarantined(77).status().code(), StatusCode::kNotFound);
}

TEST_F(ReaderTest, AsksForARequeueOnce) {
  TestBatch batch;
  batch.bad("b", "two", "reason");
  commit(*writer(), batch);
  EXPECT_TRUE(reader_->request_requeue(1).ok());
  EXPECT_EQ(value("SELECT state FROM Quarantine"), "requested");
  EXPECT_EQ(reader_->request_requeue(1).code(), StatusCode::kDuplicate);
  server().sql("UPDATE Quarantine SET state='requeued',seq=5", config_.database);
  const Status again = reader_->request_requeue(1);
  EXPECT_EQ(again.code(), StatusCode::kDuplicate);
  EXPECT_NE(again.message().find("seq 5"), std::string::npos);
  EXPECT_EQ(reader_->request_requeue(2).code(), StatusCode::kNotFound);
}

TEST_F(ReaderTest, ReconnectsByItself) {
  ASSERT_TRUE(reader_->feeds().has_value());
  server().sql("KILL " + value("SELECT id FROM information_schema.processlist WHERE user='" +
                               config_.user + "'"));
  EXPECT_TRUE(reader_->feeds().has_value());
  MysqlConfig away = config_;
  away.port = testing::free_port();
  EXPECT_EQ(CatalogueReader::create(away)->feeds().status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace feedvault::storage
