#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

using CommitTest = StorageTest;

TEST_F(CommitTest, StoresABatchWithDenseSeqsAndItsCheckpoint) {
  const auto catalogue = writer();
  TestBatch batch;
  batch.message("a", "one", R"({"sport":"GOLF"})").message("b", "").message("c", "three");
  EXPECT_EQ(fates(commit(*catalogue, batch)), "1 2 3 last 3");
  EXPECT_EQ(value("SELECT seq,id,timestamp,size,data,body FROM Messages WHERE feed=1"),
            "1\ta\t2025-10-09 08:55:00.000001\t3\tone\t{\"sport\":\"GOLF\"}\n"
            "2\tb\t2025-10-09 08:55:00.000002\t0\t\tNULL\n"
            "3\tc\t2025-10-09 08:55:00.000003\t5\tthree\tNULL");

  const auto successor = open();
  const auto state = successor->take_over();
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

}  // namespace
}  // namespace feedvault::storage
