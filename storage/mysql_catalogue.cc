#include <algorithm>
#include <thread>
#include <utility>

#include "base/failpoint.h"
#include "storage/catalogue.h"
#include "storage/feed_tables.h"
#include "storage/migrations.h"
#include "storage/range_reader.h"
#include "storage/requeue.h"
#include "storage/server_settings.h"
#include "storage/session.h"
#include "storage/slow_commit.h"
#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

// MySQL takes no longer names for GET_LOCK.
constexpr std::size_t kLockNameBytesMax = 64;
// Well below the time after which an answer counts as lost.
constexpr milliseconds kElectionSlice{5000};
// MySQL cuts waits for locks to whole seconds: shorter ones are asked again and again.
constexpr milliseconds kElectionPoll{20};

std::string election_lock(const MysqlConfig& config, const FeedConfig& feed) {
  std::string name = "feedvault:" + config.database + ":" + feed.name;
  if (name.size() > kLockNameBytesMax) {
    name = "feedvault:" + std::to_string(fingerprint(name));
  }
  return name;
}

/// Catalogue over one session. A failure gives the session up, which ends its transaction, its
/// locks and the election.
class MysqlCatalogue final : public Catalogue {
 public:
  MysqlCatalogue(std::unique_ptr<Session> session,
                 const MysqlConfig& config,
                 const FeedConfig& feed,
                 const ServerSettings& settings)
      : session_(std::move(session)),
        lock_name_(election_lock(config, feed)),
        tables_(std::in_place, *session_, feed, settings.packet_bytes_max),
        reader_(std::in_place, *session_) {
    for (const SettingWarning& warning : settings.warnings) {
      warnings_.push_back(warning.to_string());
    }
  }

  Status elect(milliseconds wait) override {
    RETURN_IF_ERROR(usable());
    return keep(wait_for_lock(wait));
  }

  Result<FeedState> take_over() override {
    RETURN_IF_ERROR(usable());
    return keep(do_take_over());
  }

  Result<CommitOutcome> commit(const Batch& batch) override {
    RETURN_IF_ERROR(usable());
    return keep(do_commit(batch));
  }

  Status restore(std::span<const Row> rows) override {
    RETURN_IF_ERROR(usable());
    return keep(do_restore(rows));
  }

  Result<std::vector<Row>> requeue(RequeueDecoder& decoder, std::size_t rows_max) override {
    RETURN_IF_ERROR(usable());
    return keep(Requeue(*tables_, epoch_, last_seq_).run(decoder, rows_max));
  }

  Status keep_alive() override {
    RETURN_IF_ERROR(usable());
    return keep(session_->ping().to_status("keep-alive"));
  }

  Result<std::vector<Row>> read_range(std::uint64_t first_seq,
                                      std::size_t rows_max,
                                      std::size_t bytes_max) override {
    RETURN_IF_ERROR(usable());
    return keep(do_read_range(first_seq, rows_max, bytes_max));
  }

  std::vector<std::string> durability_warnings() const override { return warnings_; }

 private:
  Status usable() const {
    return session_ != nullptr ? Status() : unavailable("the connection to MySQL was given up");
  }

  /// Passes an outcome on; after a failure there is no session any more.
  Status keep(Status status) {
    if (!status.ok() && status.code() != StatusCode::kTimeout) {
      give_up();
    }
    return status;
  }
  template <typename T>
  Result<T> keep(Result<T> result) {
    if (!result.has_value()) {
      give_up();
    }
    return result;
  }
  void give_up() {
    reader_.reset();
    tables_.reset();
    session_.reset();
  }

  Status wait_for_lock(milliseconds wait);
  Result<FeedState> do_take_over();
  Result<CommitOutcome> do_commit(const Batch& batch);
  Result<bool> commit_fast(const Batch& batch, CommitOutcome& outcome);
  SqlError insert_batch(const Batch& batch);
  Status explain_no_match();
  Status do_restore(std::span<const Row> rows);
  Result<std::vector<Row>> do_read_range(std::uint64_t first_seq,
                                         std::size_t rows_max,
                                         std::size_t bytes_max);

  std::unique_ptr<Session> session_;  // null once given up
  const std::string lock_name_;
  std::vector<std::string> warnings_;
  std::optional<FeedTables> tables_;
  std::optional<RangeReader> reader_;
  std::uint64_t epoch_ = 0;  // 0: take_over() has not been called
  std::uint64_t last_seq_ = 0;
  std::vector<MessageRow> rows_;  // kept for its memory
  /// The last batch held known messages, so the next one probably does too (a stream is being read
  /// again): not worth failing first.
  bool expect_known_ids_ = false;
};

Status MysqlCatalogue::wait_for_lock(milliseconds wait) {
  const auto deadline = SteadyClock::now() + wait;
  for (;;) {
    const auto left = std::max(
        milliseconds(0), std::chrono::duration_cast<milliseconds>(deadline - SteadyClock::now()));
    const milliseconds slice = std::min(left, kElectionSlice);
    std::vector<TextRow> rows;
    RETURN_IF_SQL_ERROR(
        session_->query("SELECT GET_LOCK(" + session_->quote(lock_name_) + "," +
                            std::to_string(slice.count() / 1000) + "." +
                            std::to_string(1000 + slice.count() % 1000).substr(1) + ")",
                        rows),
        "election");
    if (rows.front()[0] == "1") {
      return {};
    }
    if (rows.front()[0] != "0") {
      return unavailable("election: the server could not wait for the lock");
    }
    if (SteadyClock::now() >= deadline) {
      return timeout_error("another controller is active (it holds the lock '" + lock_name_ + "')");
    }
    std::this_thread::sleep_for(std::min(left, kElectionPoll));
  }
}

Result<FeedState> MysqlCatalogue::do_take_over() {
  ASSIGN_OR_RETURN(FeedState state, tables_->lock_or_create());
  RETURN_IF_ERROR(tables_->raise_epoch());
  // When this COMMIT gets lost, its effect does not matter: the next take-over raises the epoch
  // again.
  RETURN_IF_SQL_ERROR(session_->commit(), "taking over");
  ++state.epoch;
  epoch_ = state.epoch;
  last_seq_ = state.last_seq;
  return state;
}

Result<CommitOutcome> MysqlCatalogue::do_commit(const Batch& batch) {
  if (epoch_ == 0) {
    return internal_error("commit() before take_over()");
  }
  FAILPOINT("commit.begin");
  CommitOutcome outcome;
  if (!expect_known_ids_) {
    ASSIGN_OR_RETURN(const bool committed, commit_fast(batch, outcome));
    if (committed) {
      last_seq_ = outcome.last_seq;
      return outcome;
    }
    RETURN_IF_SQL_ERROR(session_->rollback(), "ROLLBACK");
  }
  ASSIGN_OR_RETURN(outcome, SlowCommit(*tables_, batch, epoch_, last_seq_).run());
  last_seq_ = outcome.last_seq;
  expect_known_ids_ =
      std::any_of(outcome.items.begin(), outcome.items.end(), [](const CommitOutcome::Item& item) {
        return item.fate == CommitOutcome::Fate::kDuplicate;
      });
  return outcome;
}

// The common case, in as few round trips as there are statements: everything is new and accepted.
// False: it is not; the transaction is still open.
Result<bool> MysqlCatalogue::commit_fast(const Batch& batch, CommitOutcome& outcome) {
  outcome.last_seq = last_seq_ + batch.messages.size();
  bool matched = false;
  // First, because it locks the feed's row: from here on no other writer, and fenced ones go away
  // before they have written anything.
  RETURN_IF_SQL_ERROR(tables_->advance(epoch_,
                                       last_seq_,
                                       outcome.last_seq,
                                       batch.position,
                                       {.quarantined = batch.quarantine.size()},
                                       matched),
                      "updating Feeds");
  if (!matched) {
    return explain_no_match();
  }
  const SqlError error = insert_batch(batch);
  if (!error.ok()) {
    const ErrorClass error_class = error.error_class();
    if (error_class == ErrorClass::kDuplicateKey || error_class == ErrorClass::kData) {
      return false;
    }
    return error.to_status("inserting a batch");
  }
  RETURN_IF_ERROR(tables_->commit());
  outcome.items.resize(batch.messages.size());
  for (std::size_t i = 0; i < outcome.items.size(); ++i) {
    outcome.items[i].seq = last_seq_ + 1 + i;
  }
  return true;
}

SqlError MysqlCatalogue::insert_batch(const Batch& batch) {
  rows_.clear();
  std::uint64_t seq = last_seq_;
  for (const NewMessage& message : batch.messages) {
    rows_.push_back({++seq, message.id, message.timestamp_us, message.data, message.body});
  }
  if (SqlError error = tables_->insert_messages(rows_); !error.ok()) {
    return error;
  }
  for (const NewQuarantine& row : batch.quarantine) {
    SqlError error = tables_->insert_quarantine({batch.position.stream_created_ns,
                                                 row.stream_seq,
                                                 row.message_id,
                                                 row.timestamp_us,
                                                 row.data,
                                                 row.error});
    if (!error.ok()) {
      return error;
    }
  }
  for (const NewGap& gap : batch.gaps) {
    if (SqlError error = tables_->insert_gap(gap); !error.ok()) {
      return error;
    }
  }
  return {};
}

Status MysqlCatalogue::explain_no_match() {
  ASSIGN_OR_RETURN(const FeedState state, tables_->lock());
  if (state.epoch != epoch_) {
    return {StatusCode::kFenced,
            "another controller has taken over the feed '" + tables_->feed().name + "' (epoch " +
                std::to_string(state.epoch) + ", ours " + std::to_string(epoch_) + ")"};
  }
  return {StatusCode::kCorruption,
          "Feeds.last_seq of '" + tables_->feed().name + "' is " + std::to_string(state.last_seq) +
              ", expected " + std::to_string(last_seq_) + ": somebody else has changed it"};
}

Status MysqlCatalogue::do_restore(std::span<const Row> rows) {
  if (rows.empty()) {
    return {};
  }
  const std::uint64_t new_last_seq = last_seq_ + rows.size();
  bool matched = false;
  RETURN_IF_SQL_ERROR(tables_->set_last_seq(epoch_, last_seq_, new_last_seq, matched),
                      "updating Feeds");
  if (!matched) {
    return explain_no_match();
  }
  rows_.clear();
  std::uint64_t seq = last_seq_;
  for (const Row& row : rows) {
    if (row.seq != ++seq) {
      return internal_error("restore(): seq " + std::to_string(row.seq) + " where " +
                            std::to_string(seq) + " belongs");
    }
    rows_.push_back({row.seq, row.id, row.timestamp_us, row.data, row.body});
  }
  const SqlError error = tables_->insert_messages(rows_);
  if (error.error_class() == ErrorClass::kDuplicateKey) {
    return {StatusCode::kCorruption,
            "the feed stream and the catalogue disagree: a row that the catalogue lost has an id "
            "that it holds under another seq: " +
                error.text};
  }
  RETURN_IF_SQL_ERROR(error, "restoring rows");
  RETURN_IF_ERROR(tables_->commit());
  last_seq_ = new_last_seq;
  return {};
}

Result<std::vector<Row>> MysqlCatalogue::do_read_range(std::uint64_t first_seq,
                                                       std::size_t rows_max,
                                                       std::size_t bytes_max) {
  ASSIGN_OR_RETURN(std::vector<Row> rows,
                   reader_->read(tables_->feed().number,
                                 first_seq,
                                 rows_max,
                                 bytes_max,
                                 /*with_body=*/false));
  // Ends the read's transaction, which would hold up changes of the schema.
  RETURN_IF_SQL_ERROR(session_->commit(), "reading Messages");
  return rows;
}

}  // namespace

Result<std::unique_ptr<Catalogue>> Catalogue::open(const MysqlConfig& config,
                                                   const FeedConfig& feed) {
  SessionOptions options;
  options.user = config.user;
  options.password = config.password;
  options.autocommit = false;
  options.idle_max = kSessionIdleMax;
  ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::open(config, options));
  RETURN_IF_ERROR(check_schema(*session, config));
  ASSIGN_OR_RETURN(const ServerSettings settings, read_server_settings(*session));
  RETURN_IF_SQL_ERROR(session->commit(), "reading the server's settings");
  return std::unique_ptr<Catalogue>(
      std::make_unique<MysqlCatalogue>(std::move(session), config, feed, settings));
}

}  // namespace feedvault::storage
