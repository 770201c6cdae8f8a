#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "storage/catalogue.h"
#include "storage/feed_tables.h"

namespace feedvault::storage {

/// Stores a batch of which not every message can simply be inserted: knows duplicates and conflicts
/// by looking ids up, and the rows that the schema refuses by trying. One object a batch.
///
///   attempt:  lock the feed's row, check epoch
///             settle each message's fate: table and batch searched for its id
///             insert what is new; a data error is narrowed down to the rows that cause it
///             some row was refused -> roll back, attempt again without it (seqs stay dense)
///             quarantine, gaps, checkpoint, COMMIT
class SlowCommit {
 public:
  SlowCommit(FeedTables& tables, const Batch& batch, std::uint64_t epoch, std::uint64_t last_seq);

  /// Requires: no transaction is open. On failure one may be.
  Result<CommitOutcome> run();

 private:
  using Fate = CommitOutcome::Fate;

  /// A row that holds an id which messages of the batch have too.
  struct Holder {
    std::uint64_t seq = 0;
    std::int64_t timestamp_us = 0;
  };
  /// What the table knows of one message's id. `renamed` after the timestamp was added to it.
  struct Known {
    Holder holder;
    bool same_bytes = false;
  };

  Result<bool> attempt();
  Status check_feed();
  Status look_up();
  Status look_up(const std::vector<std::size_t>& indexes, std::vector<std::optional<Known>>& known);
  void settle();
  void settle_one(std::size_t index);
  bool is_other_generated(std::size_t index, std::int64_t holder_timestamp_us) const;
  std::string_view final_id(std::size_t index) const;
  Status insert_new();
  Status probe(std::span<const MessageRow> rows, std::span<const std::size_t> indexes);
  Status quarantine(FeedCounters& counters);
  Status quarantine_row(const QuarantineRow& row, std::uint64_t& stored);
  Status finish(const FeedCounters& counters);

  FeedTables& tables_;
  const Batch& batch_;
  const std::uint64_t epoch_;
  const std::uint64_t first_last_seq_;

  std::map<std::size_t, std::string> refused_;  // by index: the server's text
  std::vector<std::string> renamed_;  // by index: "<id>-<timestamp>" where it may be needed
  std::vector<std::optional<Known>> known_;
  std::vector<std::optional<Known>> known_renamed_;
  std::vector<bool> uses_renamed_;
  std::unordered_map<std::string_view, std::size_t> stored_by_id_;
  std::map<std::size_t, std::string> conflicts_;  // by index: the reason
  CommitOutcome outcome_;
  bool refused_more_ = false;
};

}  // namespace feedvault::storage
