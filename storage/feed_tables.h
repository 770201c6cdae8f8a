#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/catalogue.h"
#include "storage/message_inserter.h"
#include "storage/range_reader.h"
#include "storage/session.h"

namespace feedvault::storage {

/// What a transaction adds to the counters in Feeds.
struct FeedCounters {
  std::uint64_t duplicates = 0;
  std::uint64_t conflicts = 0;
  std::uint64_t quarantined = 0;
};

/// A row on its way into Quarantine; views are borrowed.
struct QuarantineRow {
  std::int64_t stream_created_ns = 0;
  std::uint64_t stream_seq = 0;
  std::string_view message_id;
  std::int64_t timestamp_us = 0;
  std::string_view data;
  std::string_view error;
};

/// The statements that a feed's writer is made of, on one session without autocommit: each joins
/// the open transaction or begins one. Errors that mean something to the caller come as SqlError.
class FeedTables {
 public:
  FeedTables(Session& session, const FeedConfig& feed, std::size_t packet_bytes_max);

  /// Locks the feed's row to the end of the transaction and reads it; makes it when there is none.
  Result<FeedState> lock_or_create();
  Result<FeedState> lock();
  Status raise_epoch();

  /// Moves the feed's row from (epoch, last_seq) to the new position and last seq. `matched` is
  /// false when the row is elsewhere already. Locks the row.
  SqlError advance(std::uint64_t epoch,
                   std::uint64_t last_seq,
                   std::uint64_t new_last_seq,
                   const IngestPosition& position,
                   const FeedCounters& counters,
                   bool& matched);
  /// The same without moving the position.
  SqlError set_last_seq(std::uint64_t epoch,
                        std::uint64_t last_seq,
                        std::uint64_t new_last_seq,
                        bool& matched);

  SqlError insert_messages(std::span<const MessageRow> rows) { return inserter_.insert(rows); }
  /// Data beyond what one statement can carry is cut, and the error says so.
  SqlError insert_quarantine(const QuarantineRow& row);
  SqlError insert_gap(const NewGap& gap);

  /// Calls `found(row)` for each row of Messages that has one of `ids`.
  template <typename Function>
  Status find_ids(std::span<const std::string_view> ids, Function&& found);

  /// COMMIT. Any failure is kUnknownOutcome: the server may have done it before we lost it.
  Status commit();

  Session& session() { return session_; }
  const FeedConfig& feed() const { return feed_; }

 private:
  static constexpr std::size_t kLookupStatements = 9;  // 1, 2, 4 ... 256 ids

  Result<FeedState> lock_row(bool& found);
  Status start_lookup(std::span<const std::string_view> ids, std::size_t& count);

  Session& session_;
  const FeedConfig feed_;
  const std::size_t packet_bytes_max_;
  MessageInserter inserter_;
  Statement advance_;
  Statement insert_quarantine_;
  Statement insert_gap_;
  std::array<Statement, kLookupStatements> lookups_;
  std::vector<MYSQL_BIND> lookup_binds_;
  std::vector<unsigned long> lookup_lengths_;
  MessageFetcher fetcher_;
};

template <typename Function>
Status FeedTables::find_ids(std::span<const std::string_view> ids, Function&& found) {
  Row row;
  while (!ids.empty()) {
    std::size_t count = 0;
    RETURN_IF_ERROR(start_lookup(ids, count));
    SqlError error;
    for (bool done = false; !done;) {
      error = fetcher_.fetch(row, done);
      if (!error.ok()) {
        break;
      }
      if (!done) {
        found(static_cast<const Row&>(row));
      }
    }
    fetcher_.finish();
    RETURN_IF_SQL_ERROR(error, "looking message ids up");
    ids = ids.subspan(count);
  }
  return {};
}

}  // namespace feedvault::storage
