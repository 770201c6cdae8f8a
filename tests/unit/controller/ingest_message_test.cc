#include "controller/ingest_message.h"

#include <gtest/gtest.h>

namespace feedvault::controller {
namespace {

// The hash is stored with the checkpoint: a change of its value would make every installation
// re-read its ingest stream after an update.
TEST(IngestHash, KeepsItsValues) {
  EXPECT_EQ(ingest_hash("", ""), 0xaf63bd4c8601b7dfULL);
  EXPECT_EQ(ingest_hash("", "payload"), ingest_hash("", "payload"));
}

TEST(IngestHash, TellsIdFromPayload) {
  EXPECT_NE(ingest_hash("ab", "c"), ingest_hash("a", "bc"));
  EXPECT_NE(ingest_hash("", "x"), ingest_hash("x", ""));
}

TEST(GeneratedId, NamesStreamIncarnationAndSequence) {
  EXPECT_EQ(generated_id("INGEST_events", 1'795'294'169'806'346'437, 42),
            "INGEST_events-1795294169-42");
}

}  // namespace
}  // namespace feedvault::controller
