#include "storage/slow_commit.h"

#include <numeric>

namespace feedvault::storage {

SlowCommit::SlowCommit(FeedTables& tables,
                       const Batch& batch,
                       std::uint64_t epoch,
                       std::uint64_t last_seq)
    : tables_(tables), batch_(batch), epoch_(epoch), first_last_seq_(last_seq) {}

Result<CommitOutcome> SlowCommit::run() {
  for (;;) {
    const std::size_t refused_before = refused_.size();
    ASSIGN_OR_RETURN(const bool committed, attempt());
    if (committed) {
      return std::move(outcome_);
    }
    RETURN_IF_SQL_ERROR(tables_.session().rollback(), "ROLLBACK");
    // Each further attempt knows at least one more row that the schema refuses, so this ends.
    if (refused_.size() == refused_before) {
      return unavailable("the database refuses a batch, but none of its messages: try again");
    }
  }
}

Result<bool> SlowCommit::attempt() {
  RETURN_IF_ERROR(check_feed());
  RETURN_IF_ERROR(look_up());
  settle();
  refused_more_ = false;
  RETURN_IF_ERROR(insert_new());
  if (refused_more_) {
    return false;
  }
  FeedCounters counters;
  RETURN_IF_ERROR(quarantine(counters));
  RETURN_IF_ERROR(finish(counters));
  return true;
}

Status SlowCommit::check_feed() {
  ASSIGN_OR_RETURN(const FeedState state, tables_.lock());
  if (state.epoch != epoch_) {
    return {StatusCode::kFenced,
            "another controller has taken over the feed '" + tables_.feed().name + "' (epoch " +
                std::to_string(state.epoch) + ", ours " + std::to_string(epoch_) + ")"};
  }
  if (state.last_seq != first_last_seq_) {
    return {StatusCode::kCorruption,
            "Feeds.last_seq of '" + tables_.feed().name + "' is " + std::to_string(state.last_seq) +
                ", expected " + std::to_string(first_last_seq_) + ": somebody else has changed it"};
  }
  return {};
}

Status SlowCommit::look_up() {
  const std::size_t count = batch_.messages.size();
  std::vector<std::size_t> indexes(count);
  std::iota(indexes.begin(), indexes.end(), std::size_t{0});
  known_.assign(count, std::nullopt);
  known_renamed_.assign(count, std::nullopt);
  renamed_.assign(count, {});
  RETURN_IF_ERROR(look_up(indexes, known_));

  // A generated id that is taken, by the table or within the batch, may need its longer form.
  std::unordered_map<std::string_view, std::size_t> uses;
  for (const NewMessage& message : batch_.messages) {
    ++uses[message.id];
  }
  indexes.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const NewMessage& message = batch_.messages[i];
    if (message.id_generated && (known_[i].has_value() || uses[message.id] > 1)) {
      renamed_[i] = std::string(message.id) + "-" + std::to_string(message.timestamp_us);
      indexes.push_back(i);
    }
  }
  return look_up(indexes, known_renamed_);
}

Status SlowCommit::look_up(const std::vector<std::size_t>& indexes,
                           std::vector<std::optional<Known>>& known) {
  std::unordered_multimap<std::string_view, std::size_t> by_id;
  std::vector<std::string_view> ids;
  for (const std::size_t i : indexes) {
    const std::string_view id = renamed_[i].empty() ? batch_.messages[i].id : renamed_[i];
    if (!by_id.contains(id)) {
      ids.push_back(id);
    }
    by_id.emplace(id, i);
  }
  return tables_.find_ids(ids, [&](const Row& row) {
    const auto [first, last] = by_id.equal_range(row.id);
    for (auto it = first; it != last; ++it) {
      known[it->second] =
          Known{{row.seq, row.timestamp_us}, row.data == batch_.messages[it->second].data};
    }
  });
}

void SlowCommit::settle() {
  const std::size_t count = batch_.messages.size();
  outcome_.items.assign(count, {});
  outcome_.last_seq = first_last_seq_;
  uses_renamed_.assign(count, false);
  stored_by_id_.clear();
  conflicts_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    if (refused_.contains(i)) {
      outcome_.items[i].fate = Fate::kQuarantined;
    } else {
      settle_one(i);
    }
  }
}

std::string_view SlowCommit::final_id(std::size_t index) const {
  return uses_renamed_[index] ? std::string_view(renamed_[index]) : batch_.messages[index].id;
}

bool SlowCommit::is_other_generated(std::size_t index, std::int64_t holder_timestamp_us) const {
  const NewMessage& message = batch_.messages[index];
  return message.id_generated && !uses_renamed_[index] &&
         holder_timestamp_us != message.timestamp_us;
}

void SlowCommit::settle_one(std::size_t index) {
  const NewMessage& message = batch_.messages[index];
  CommitOutcome::Item& item = outcome_.items[index];
  // Once with the id as it came, and once more for a generated one that turns out to be taken by
  // another message.
  for (;;) {
    std::optional<Known> holder = uses_renamed_[index] ? known_renamed_[index] : known_[index];
    if (!holder.has_value()) {
      const auto earlier = stored_by_id_.find(final_id(index));
      if (earlier == stored_by_id_.end()) {
        break;
      }
      const NewMessage& other = batch_.messages[earlier->second];
      holder = Known{{outcome_.items[earlier->second].seq, other.timestamp_us},
                     other.data == message.data};
    }
    if (is_other_generated(index, holder->holder.timestamp_us)) {
      uses_renamed_[index] = true;
      continue;
    }
    if (holder->same_bytes) {
      item.fate = Fate::kDuplicate;
    } else {
      item.fate = Fate::kConflict;
      conflicts_[index] = "conflict: seq " + std::to_string(holder->holder.seq) +
                          " has this id with other bytes; the first one stays";
    }
    return;
  }
  item.fate = Fate::kStored;
  item.seq = ++outcome_.last_seq;
  if (uses_renamed_[index]) {
    item.id = renamed_[index];
  }
  stored_by_id_.emplace(final_id(index), index);
}

Status SlowCommit::insert_new() {
  std::vector<MessageRow> rows;
  std::vector<std::size_t> indexes;
  for (std::size_t i = 0; i < batch_.messages.size(); ++i) {
    if (outcome_.items[i].fate == Fate::kStored) {
      const NewMessage& message = batch_.messages[i];
      rows.push_back(
          {outcome_.items[i].seq, final_id(i), message.timestamp_us, message.data, message.body});
      indexes.push_back(i);
    }
  }
  return probe(rows, indexes);
}

Status SlowCommit::probe(std::span<const MessageRow> rows, std::span<const std::size_t> indexes) {
  if (rows.empty()) {
    return {};
  }
  const SqlError error = tables_.insert_messages(rows);
  if (error.ok()) {
    return {};
  }
  if (error.error_class() == ErrorClass::kDuplicateKey && !refused_more_) {
    // Every id was looked up under the feed's lock, so it is the number that is taken. (Later, the
    // lock is gone, and a successor may be at work.)
    return {StatusCode::kCorruption,
            "Messages has rows beyond Feeds.last_seq of '" + tables_.feed().name +
                "': " + error.text + "; somebody else has written there"};
  }
  if (error.error_class() != ErrorClass::kData &&
      error.error_class() != ErrorClass::kDuplicateKey) {
    return error.to_status("inserting into Messages");
  }
  if (rows.size() == 1) {
    if (error.error_class() == ErrorClass::kData) {
      refused_[indexes.front()] =
          "refused by the database: " + error.text + " (" + std::to_string(error.number) + ")";
      refused_more_ = true;
    }
    return {};
  }
  // This attempt ends in a rollback anyway and goes on only to find every such row at once. Rolling
  // back now takes away what the statements before the failed one have inserted, which would be in
  // the halves' way. The feed's lock goes too: the next attempt takes it and checks the epoch
  // again.
  refused_more_ = true;
  RETURN_IF_SQL_ERROR(tables_.session().rollback(), "ROLLBACK");
  const std::size_t half = rows.size() / 2;
  RETURN_IF_ERROR(probe(rows.first(half), indexes.first(half)));
  return probe(rows.subspan(half), indexes.subspan(half));
}

Status SlowCommit::quarantine(FeedCounters& counters) {
  const std::int64_t created = batch_.position.stream_created_ns;
  for (std::size_t i = 0; i < batch_.messages.size(); ++i) {
    const Fate fate = outcome_.items[i].fate;
    if (fate == Fate::kDuplicate) {
      ++counters.duplicates;
    } else if (fate != Fate::kStored) {
      const NewMessage& message = batch_.messages[i];
      const std::string& reason = fate == Fate::kConflict ? conflicts_[i] : refused_[i];
      std::uint64_t stored = 0;
      RETURN_IF_ERROR(quarantine_row(
          {created, message.stream_seq, message.id, message.timestamp_us, message.data, reason},
          stored));
      counters.quarantined += stored;
      counters.conflicts += fate == Fate::kConflict ? stored : 0;
    }
  }
  for (const NewQuarantine& row : batch_.quarantine) {
    RETURN_IF_ERROR(quarantine_row(
        {created, row.stream_seq, row.message_id, row.timestamp_us, row.data, row.error},
        counters.quarantined));
  }
  return {};
}

Status SlowCommit::quarantine_row(const QuarantineRow& row, std::uint64_t& stored) {
  const SqlError error = tables_.insert_quarantine(row);
  if (error.error_class() == ErrorClass::kDuplicateKey) {
    return {};  // read before; only this statement was rolled back
  }
  RETURN_IF_SQL_ERROR(error, "inserting into Quarantine");
  ++stored;
  return {};
}

Status SlowCommit::finish(const FeedCounters& counters) {
  for (const NewGap& gap : batch_.gaps) {
    const SqlError error = tables_.insert_gap(gap);
    if (error.error_class() != ErrorClass::kDuplicateKey) {
      RETURN_IF_SQL_ERROR(error, "inserting into Gaps");
    }
  }
  bool matched = false;
  RETURN_IF_SQL_ERROR(
      tables_.advance(
          epoch_, first_last_seq_, outcome_.last_seq, batch_.position, counters, matched),
      "updating Feeds");
  if (!matched) {
    return internal_error("Feeds changed under our lock");
  }
  return tables_.commit();
}

}  // namespace feedvault::storage
