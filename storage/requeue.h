#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/catalogue.h"
#include "storage/feed_tables.h"

namespace feedvault::storage {

/// Catalogues quarantined messages that people asked for, one transaction each: the new row of
/// Messages, Feeds.last_seq and Quarantine.seq are stored together or not at all, so a crash
/// between two of them cannot give a message two numbers.
class Requeue {
 public:
  Requeue(FeedTables& tables, std::uint64_t epoch, std::uint64_t& last_seq)
      : tables_(tables), epoch_(epoch), last_seq_(last_seq) {}

  /// Rows that got a new seq. `last_seq` follows each commit.
  Result<std::vector<Row>> run(Catalogue::RequeueDecoder& decoder, std::size_t rows_max);

 private:
  struct Wanted {
    std::uint64_t id = 0;  // Quarantine.id
    std::int64_t stream_created_ns = 0;
    std::uint64_t stream_seq = 0;
    std::string message_id;
    std::int64_t timestamp_us = 0;
    std::uint64_t size = 0;
    std::string data;
  };

  Result<std::vector<std::uint64_t>> requested(std::size_t rows_max);
  Result<std::optional<Row>> requeue_one(std::uint64_t id, Catalogue::RequeueDecoder& decoder);
  Result<std::optional<Wanted>> lock_wanted(std::uint64_t id);
  Result<std::optional<Row>> store(const Wanted& wanted, const std::string& body);
  /// The id to store it under; `existing_seq` is set instead when the table has the message.
  Result<std::string> choose_id(const Wanted& wanted, std::uint64_t& existing_seq);
  bool has_generated_id(const Wanted& wanted) const;
  Status mark_failed(std::uint64_t id, std::string_view error);
  Status mark_requeued(std::uint64_t id, std::uint64_t seq);
  Status commit();

  FeedTables& tables_;
  const std::uint64_t epoch_;
  std::uint64_t& last_seq_;
};

}  // namespace feedvault::storage
