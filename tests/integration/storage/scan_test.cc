// Rows by position, time and fields, statement by statement.

#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

class ScanTest : public StorageTest {
 protected:
  // Of 300 messages: "n" is the seq, "s" says whether it is a multiple of three; every tenth has no
  // body.
  void SetUp() override {
    StorageTest::SetUp();
    TestBatch batch;
    for (int i = 1; i <= 300; ++i) {
      const std::string n = std::to_string(i);
      batch.message("id" + n,
                    "data" + n,
                    i % 10 == 0
                        ? ""
                        : R"({"n": )" + n + R"(.50, "s": ")" +
                              (i % 3 == 0 ? "three" : R"(other'\" )") + R"(", "t": "NaN"})");
    }
    commit(*writer(), batch);
    reader_ = CatalogueReader::create(config_);
  }

  /// All seqs of a scan, call after call; counts the calls.
  std::vector<std::uint64_t> read(Scan scan) {
    std::vector<std::uint64_t> seqs;
    scan.feed = 1;
    calls_ = 0;
    while (scan.first_seq < scan.end_seq) {
      const auto next = reader_->scan(scan, [&](const Row& row) {
        seqs.push_back(row.seq);
        EXPECT_EQ(row.id, "id" + std::to_string(row.seq));
        EXPECT_EQ(row.body.empty(), row.seq % 10 == 0);
        const bool has_data = scan.with_data || row.seq % 10 == 0;
        EXPECT_EQ(row.data, has_data ? "data" + std::to_string(row.seq) : "");
        return true;
      });
      ++calls_;
      if (!next.has_value() || *next <= scan.first_seq) {
        ADD_FAILURE() << next.status().to_string();
        break;
      }
      scan.first_seq = *next;
    }
    return seqs;
  }
  static Scan all() {
    Scan scan;
    scan.end_seq = 301;
    return scan;
  }
  template <typename Wanted>
  static std::vector<std::uint64_t> seqs_where(Wanted wanted) {
    std::vector<std::uint64_t> seqs;
    for (std::uint64_t seq = 1; seq <= 300; ++seq) {
      if (seq % 10 == 0 || wanted(seq)) {
        seqs.push_back(seq);
      }
    }
    return seqs;
  }

  std::unique_ptr<CatalogueReader> reader_;
  int calls_ = 0;
};

TEST_F(ScanTest, ReadsARangeInPagesOfAnySize) {
  for (const std::size_t rows_max : {1U, 7U, 300U, 1000U}) {
    Scan scan = all();
    scan.rows_max = rows_max;
    EXPECT_EQ(read(scan), seqs_where([](auto) { return true; }));
  }
  Scan part = all();
  part.first_seq = 299;
  part.end_seq = 300;
  part.with_data = true;
  EXPECT_EQ(read(part), std::vector<std::uint64_t>{299});
}

TEST_F(ScanTest, ConditionsLookAtSoManyPositionsACall) {
  Scan scan = all();
  scan.positions_max = 50;
  scan.equal = {{.path = "$.\"s\"", .value = "three"}};
  EXPECT_EQ(read(scan), seqs_where([](auto seq) { return seq % 3 == 0; }));
  EXPECT_EQ(calls_, 6);
  scan.equal = {{.path = "$.\"s\"", .value = "nothing"}};
  EXPECT_EQ(read(scan), seqs_where([](auto) { return false; })) << "those without a body pass";
}

TEST_F(ScanTest, TextsAreComparedByteByByteAndNumbersAsNumbers) {
  Scan scan = all();
  scan.equal = {{.path = "$.\"s\"", .value = "other'\" "}};
  EXPECT_EQ(read(scan), seqs_where([](auto seq) { return seq % 3 != 0; }));
  for (const char* value : {"other'\"", "Other'\" ", "' OR '1'='1", "three "}) {
    scan.equal = {{.path = "$.\"s\"", .value = value}};
    EXPECT_EQ(read(scan), seqs_where([](auto) { return false; })) << value;
  }
  for (const char* value : {"7.5", "7.50", "75e-1"}) {
    scan.equal = {{.path = "$.\"n\"", .value = value, .numeric = true}};
    EXPECT_EQ(read(scan), seqs_where([](auto seq) { return seq == 7; })) << value;
  }
  scan.equal.push_back({.path = "$.\"s\"", .value = "three"});
  EXPECT_EQ(read(scan), seqs_where([](auto) { return false; })) << "7 is no multiple of three";
}

TEST_F(ScanTest, TimesEndIt) {
  Scan scan = all();
  scan.to_us = TestBatch::kTimeUs + 101;
  scan.positions_max = 1000;
  std::vector<std::uint64_t> expected(100);
  for (std::uint64_t i = 0; i < 100; ++i) {
    expected[i] = i + 1;
  }
  EXPECT_EQ(read(scan), expected);
  const auto before = [&](std::int64_t time) {
    return reader_->last_before_time(1, time).value().value_or(0);
  };
  EXPECT_EQ(before(TestBatch::kTimeUs), 0U);
  EXPECT_EQ(before(TestBatch::kTimeUs + 101), 100U);
  EXPECT_EQ(before(TestBatch::kTimeUs + 1'000'000), 300U);
}

TEST_F(ScanTest, EndsWhenTheCallerHasEnough) {
  Scan scan = all();
  scan.feed = 1;
  int rows = 0;
  const auto next = reader_->scan(scan, [&](const Row&) { return ++rows < 5; });
  EXPECT_EQ(next.value(), 6U);
  EXPECT_EQ(read(all()).size(), 300U) << "the connection is free again";
}

}  // namespace
}  // namespace feedvault::storage
