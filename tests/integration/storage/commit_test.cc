#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

using CommitTest = StorageTest;

TEST_F(CommitTest, StoresABatchWithDenseSeqsAndItsCheckpoint) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one", R"({"sport": "GOLF"})").message("b", "").message("c", "three");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 2 3 last 3");
  EXPECT_EQ(value("SELECT seq,id,timestamp,size,data,body FROM Messages WHERE feed=1"),
            "1\ta\t2025-10-09 08:55:00.000001\t3\tone\t{\"sport\": \"GOLF\"}\n"
            "2\tb\t2025-10-09 08:55:00.000002\t0\t\tNULL\n"
            "3\tc\t2025-10-09 08:55:00.000003\t5\tthree\tNULL");

  const auto state = open()->take_over();
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->epoch, 2U);
  EXPECT_EQ(state->last_seq, 3U);
  EXPECT_EQ(state->ingest, batch.batch.position);
}

TEST_F(CommitTest, ReadsBackWhatItStored) {
  const auto catalogue = writer();
  TestBatch batch;
  std::string large(200'000, 'x');
  large[5] = '\0';
  batch.message("a", "one").message("b", large).message("c", "");
  commit(*catalogue, batch);
  const auto rows = catalogue->read_range(1, 100, 1U << 20U);
  ASSERT_TRUE(rows.has_value());
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_EQ((*rows)[1].seq, 2U);
  EXPECT_EQ((*rows)[1].id, "b");
  EXPECT_EQ((*rows)[1].timestamp_us, TestBatch::kTimeUs + 2);
  EXPECT_EQ((*rows)[1].data, large);
  EXPECT_EQ((*rows)[2].data, "");
}

TEST_F(CommitTest, StoresABatchThatNeedsManyStatements) {
  const auto catalogue = writer();
  TestBatch batch;
  for (int i = 0; i < 5000; ++i) {
    batch.message("id-" + std::to_string(i), std::string(2000, static_cast<char>('a' + i % 26)));
  }
  EXPECT_EQ(commit(*catalogue, batch).last_seq, 5000U);
  EXPECT_EQ(value("SELECT COUNT(*),MIN(seq),MAX(seq),SUM(size),SUM(LENGTH(data)),"
                  "SUM(id=CONCAT('id-',seq-1)) FROM Messages"),
            "5000\t1\t5000\t10000000\t10000000\t5000");
}

TEST_F(CommitTest, KeepsSeqsOfFeedsApart) {
  const auto events = writer();
  const auto executions = writer(other_feed_);
  TestBatch batch;
  batch.message("same id", "x");
  EXPECT_EQ(fates(commit(*events, batch)), "1 last 1");
  EXPECT_EQ(fates(commit(*executions, batch)), "1 last 1");
}

TEST_F(CommitTest, MovesThePositionWithoutMessages) {
  const auto catalogue = writer();
  TestBatch batch(7);
  batch.message("a", "one");
  batch.batch.messages.clear();
  EXPECT_EQ(fates(commit(*catalogue, batch)), "last 0");
  EXPECT_EQ(value("SELECT stream_seq,last_seq FROM Feeds"), "7\t0");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "last 0") << "matched rows count, not changed ones";
}

TEST_F(CommitTest, DropsAMessageThatItHas) {
  const auto catalogue = writer();
  TestBatch first;
  first.message("a", "one").message("b", "two");
  commit(*catalogue, first);
  TestBatch second(3);
  second.message("b", "two").message("c", "three").message("a", "one");
  EXPECT_EQ(fates(commit(*catalogue, second)), "duplicate 3 duplicate last 3");
  EXPECT_EQ(value("SELECT duplicates,conflicts,quarantined,stream_seq FROM Feeds"), "2\t0\t0\t5");
  TestBatch third(6);
  third.message("d", "four").message("a", "one");
  EXPECT_EQ(fates(commit(*catalogue, third)), "4 duplicate last 4");
}

TEST_F(CommitTest, DropsADuplicateWithinTheBatch) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one").message("a", "one").message("b", "two");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 duplicate 2 last 2");
}

TEST_F(CommitTest, QuarantinesAConflictAndKeepsTheFirst) {
  const auto catalogue = writer();
  TestBatch first;
  first.message("a", "one");
  commit(*catalogue, first);
  TestBatch second(2);
  second.message("a", "other").message("b", "two").message("b", "three");
  EXPECT_EQ(fates(commit(*catalogue, second)), "conflict 2 conflict last 2");
  EXPECT_EQ(value("SELECT data FROM Messages WHERE id='a'"), "one");
  EXPECT_EQ(value("SELECT stream_seq,message_id,size,data,state,seq FROM Quarantine ORDER BY id"),
            "2\ta\t5\tother\tquarantined\tNULL\n4\tb\t5\tthree\tquarantined\tNULL");
  EXPECT_EQ(value("SELECT error FROM Quarantine WHERE message_id='b'"),
            "conflict: seq 2 has this id with other bytes; the first one stays");
  EXPECT_EQ(value("SELECT duplicates,conflicts,quarantined FROM Feeds"), "0\t2\t2");
}

TEST_F(CommitTest, ComparesIdsByteByByte) {
  const auto catalogue = writer();
  TestBatch batch;
  for (const std::string& id : {std::string("a"),
                                std::string("A"),
                                std::string("a "),
                                std::string("a\0", 2),
                                std::string("\xff"),
                                std::string("\xc3\xa4"),
                                std::string("a'\\\"")}) {
    batch.message(id, "x");
  }
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 2 3 4 5 6 7 last 7");
}

TEST_F(CommitTest, StoresAReusedGeneratedIdUnderItsTime) {
  const auto catalogue = writer();
  TestBatch first;
  first.generated("S-1-5", "one", 1000);
  EXPECT_EQ(fates(commit(*catalogue, first)), "1 last 1");
  TestBatch second(5);
  second
      .generated("S-1-5", "one", 2000)    // the stream lost its tail: another message
      .generated("S-1-5", "one", 1000)    // the known one, read again
      .generated("S-1-5", "other", 1000)  // cannot be
      .generated("S-1-6", "six", 3000)    // in one batch
      .generated("S-1-6", "seven", 4000);
  const CommitOutcome outcome = commit(*catalogue, second);
  EXPECT_EQ(fates(outcome), "2 duplicate conflict 3 4 last 4");
  EXPECT_EQ(outcome.items[0].id, "S-1-5-2000");
  EXPECT_EQ(outcome.items[4].id, "S-1-6-4000");
  TestBatch again(10);
  again.generated("S-1-5", "one", 2000).generated("S-1-6", "seven", 4000);
  EXPECT_EQ(fates(commit(*catalogue, again)), "duplicate duplicate last 4");
}

TEST_F(CommitTest, QuarantinesOnceWhatIsReadTwice) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one").bad("b", "???", "not a message").message("a", "other").gap(10, 20);
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 conflict last 1");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "duplicate conflict last 1");
  EXPECT_EQ(value("SELECT stream_seq,error FROM Quarantine ORDER BY stream_seq"),
            "2\tnot a message\n"
            "3\tconflict: seq 1 has this id with other bytes; the first one stays");
  EXPECT_EQ(value("SELECT duplicates,conflicts,quarantined FROM Feeds"), "1\t1\t2");
  EXPECT_EQ(value("SELECT first_seq,last_seq,reason FROM Gaps"), "10\t20\texpired");
}

TEST_F(CommitTest, QuarantinesAloneOnTheFastPath) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.bad("", std::string(300'000, 'z'), "broken \xff text").bad(std::string(300, 'i'), "", "b");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "last 0");
  EXPECT_EQ(value("SELECT size,LENGTH(data),LENGTH(message_id),error FROM Quarantine"),
            "300000\t300000\t0\tbroken ? text\n0\t0\t255\tb");
}

TEST_F(CommitTest, IsolatesRowsThatTheSchemaRefuses) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one")
      .message(std::string(256, 'x'), "id too long")
      .message("c", "three")
      .message("d", "bad json", "{\"a\":")
      .message_at("e", "bad time", 400'000'000'000'000'000, false)
      .message("f", "six");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 quarantined 2 quarantined quarantined 3 last 3");
  EXPECT_EQ(value("SELECT stream_seq,data,error LIKE 'refused by the database: %' FROM Quarantine "
                  "ORDER BY stream_seq"),
            "2\tid too long\t1\n4\tbad json\t1\n5\tbad time\t1");
  EXPECT_EQ(value("SELECT GROUP_CONCAT(id ORDER BY seq) FROM Messages"), "a,c,f");
}

TEST_F(CommitTest, IsolatesRefusedRowsOfALargeBatch) {
  const auto catalogue = writer();
  TestBatch batch;
  for (int i = 0; i < 3000; ++i) {
    const bool bad = i == 0 || i == 2500 || i == 2501;
    batch.message((bad ? std::string(256, 'x') : "id-") + std::to_string(i), "data");
  }
  const CommitOutcome outcome = commit(*catalogue, batch);
  EXPECT_EQ(outcome.last_seq, 2997U);
  EXPECT_EQ(outcome.items[0].fate, CommitOutcome::Fate::kQuarantined);
  EXPECT_EQ(outcome.items[1].seq, 1U);
  EXPECT_EQ(outcome.items[2499].seq, 2499U);
  EXPECT_EQ(outcome.items[2502].seq, 2500U);
  EXPECT_EQ(value("SELECT COUNT(*),MAX(seq) FROM Messages"), "2997\t2997");
  EXPECT_EQ(value("SELECT GROUP_CONCAT(stream_seq ORDER BY stream_seq) FROM Quarantine"),
            "1,2501,2502");
}

TEST_F(CommitTest, StoresADuplicateOfARefusedRowThatIsFine) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "bad", "{").message("a", "good").message("a", "good");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "quarantined 1 duplicate last 1");
}

TEST_F(CommitTest, QuarantinesWhatDoesNotFitAPacket) {
  server().sql("SET GLOBAL max_allowed_packet=1048576");
  const auto catalogue = writer();
  server().sql("SET GLOBAL max_allowed_packet=16777216");
  EXPECT_FALSE(catalogue->durability_warnings().empty());
  TestBatch batch;
  batch.message("a", "one").message("b", std::string(2U << 20U, 'b')).message("c", "three");
  for (int i = 0; i < 8; ++i) {
    batch.message("d" + std::to_string(i), std::string(400'000, 'd'));
  }
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 quarantined 2 3 4 5 6 7 8 9 10 last 10");
  EXPECT_EQ(value("SELECT size,LENGTH(data)>1000000,error LIKE 'only the first % bytes are kept%' "
                  "FROM Quarantine"),
            "2097152\t1\t1");
}

TEST_F(CommitTest, RefusesToWriteBeyondForeignRows) {
  const auto catalogue = writer();
  server().sql("INSERT INTO Messages VALUES (1,1,'x',NOW(6),0,'',NULL)", config_.database);
  TestBatch batch;
  batch.message("a", "one");
  const auto outcome = catalogue->commit(batch.batch);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), StatusCode::kCorruption);
  EXPECT_NE(outcome.error().message().find("beyond Feeds.last_seq"), std::string::npos);
}

TEST_F(CommitTest, WarnsOfSettingsThatForgetCommits) {
  EXPECT_TRUE(open()->durability_warnings().empty());
  server().sql("SET GLOBAL innodb_flush_log_at_trx_commit=2");
  const auto warnings = open()->durability_warnings();
  server().sql("SET GLOBAL innodb_flush_log_at_trx_commit=1");
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("innodb_flush_log_at_trx_commit = 2"), std::string::npos);
}

}  // namespace
}  // namespace feedvault::storage
