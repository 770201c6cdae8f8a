#include "storage/requeue.h"

#include <algorithm>
#include <array>

#include "base/failpoint.h"
#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

constexpr std::size_t kIdBytesMax = 255;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

Result<std::vector<Row>> Requeue::run(Catalogue::RequeueDecoder& decoder, std::size_t rows_max) {
  ASSIGN_OR_RETURN(const std::vector<std::uint64_t> ids, requested(rows_max));
  std::vector<Row> stored;
  for (const std::uint64_t id : ids) {
    ASSIGN_OR_RETURN(std::optional<Row> row, requeue_one(id, decoder));
    if (row.has_value()) {
      stored.push_back(std::move(*row));
    }
  }
  return stored;
}

Result<std::vector<std::uint64_t>> Requeue::requested(std::size_t rows_max) {
  std::vector<TextRow> rows;
  RETURN_IF_SQL_ERROR(
      tables_.session().query(
          "SELECT id FROM Quarantine WHERE feed=" + std::to_string(tables_.feed().number) +
              " AND state='requested' ORDER BY id LIMIT " + std::to_string(rows_max),
          rows),
      "reading Quarantine");
  RETURN_IF_SQL_ERROR(tables_.session().commit(), "reading Quarantine");
  std::vector<std::uint64_t> ids;
  ids.reserve(rows.size());
  for (const TextRow& row : rows) {
    ids.push_back(number_in<std::uint64_t>(row[0]));
  }
  return ids;
}

Result<std::optional<Row>> Requeue::requeue_one(std::uint64_t id,
                                                Catalogue::RequeueDecoder& decoder) {
  ASSIGN_OR_RETURN(const FeedState state, tables_.lock());
  if (state.epoch != epoch_) {
    return Status(StatusCode::kFenced,
                  "another controller has taken over the feed '" + tables_.feed().name + "'");
  }
  if (state.last_seq != last_seq_) {
    return Status(StatusCode::kCorruption,
                  "Feeds.last_seq of '" + tables_.feed().name + "' was changed by somebody else");
  }
  ASSIGN_OR_RETURN(const std::optional<Wanted> wanted, lock_wanted(id));
  std::optional<Row> row;
  if (wanted.has_value()) {
    const Result<std::string> body =
        wanted->size == wanted->data.size()
            ? decoder.decode(wanted->data)
            : Result<std::string>(Status(StatusCode::kCorruption, "its data was cut when stored"));
    if (body.has_value()) {
      ASSIGN_OR_RETURN(row, store(*wanted, *body));
    } else {
      RETURN_IF_ERROR(mark_failed(id, body.error().message()));
    }
  }
  RETURN_IF_ERROR(commit());
  if (row.has_value()) {
    last_seq_ = row->seq;
  }
  return row;
}

Result<std::optional<Requeue::Wanted>> Requeue::lock_wanted(std::uint64_t id) {
  std::vector<TextRow> rows;
  RETURN_IF_SQL_ERROR(
      tables_.session().query(
          "SELECT stream_created_ns,stream_seq,message_id,"
          "TIMESTAMPDIFF(MICROSECOND,'1970-01-01',timestamp),size,data FROM Quarantine WHERE id=" +
              std::to_string(id) + " AND state='requested' FOR UPDATE",
          rows),
      "reading Quarantine");
  if (rows.empty()) {
    return std::optional<Wanted>();
  }
  TextRow& row = rows.front();
  Wanted wanted;
  wanted.id = id;
  wanted.stream_created_ns = number_in<std::int64_t>(row[0]);
  wanted.stream_seq = number_in<std::uint64_t>(row[1]);
  wanted.message_id = row[2].value_or("");
  wanted.timestamp_us = number_in<std::int64_t>(row[3]);
  wanted.size = number_in<std::uint64_t>(row[4]);
  wanted.data = std::move(row[5]).value_or("");
  return std::optional<Wanted>(std::move(wanted));
}

bool Requeue::has_generated_id(const Wanted& wanted) const {
  return wanted.message_id == tables_.feed().ingest_stream() + "-" +
                                  std::to_string(wanted.stream_created_ns / kNsPerSecond) + "-" +
                                  std::to_string(wanted.stream_seq);
}

Result<std::string> Requeue::choose_id(const Wanted& wanted, std::uint64_t& existing_seq) {
  const std::string suffix = "requeue-" + std::to_string(wanted.id);
  if (wanted.message_id.empty()) {
    return suffix;
  }
  bool taken = false;
  const std::array<std::string_view, 1> ids = {wanted.message_id};
  RETURN_IF_ERROR(tables_.find_ids(ids, [&](const Row& row) {
    taken = true;
    // A generated id that a stream used twice, for two messages that happen to be equal.
    const bool another = has_generated_id(wanted) && row.timestamp_us != wanted.timestamp_us;
    if (row.data == wanted.data && !another) {
      existing_seq = row.seq;
    }
  }));
  if (!taken || existing_seq != 0) {
    return wanted.message_id;
  }
  return wanted.message_id.substr(0, kIdBytesMax - suffix.size() - 1) + "-" + suffix;
}

Result<std::optional<Row>> Requeue::store(const Wanted& wanted, const std::string& body) {
  std::uint64_t existing_seq = 0;
  ASSIGN_OR_RETURN(const std::string id, choose_id(wanted, existing_seq));
  if (existing_seq != 0) {
    RETURN_IF_ERROR(mark_requeued(wanted.id, existing_seq));
    return std::optional<Row>();
  }
  const std::uint64_t seq = last_seq_ + 1;
  const MessageRow message{seq, id, wanted.timestamp_us, wanted.data, body};
  const SqlError error = tables_.insert_messages(std::span(&message, 1));
  if (error.error_class() == ErrorClass::kData) {
    RETURN_IF_ERROR(mark_failed(wanted.id, "refused by the database: " + error.text));
    return std::optional<Row>();
  }
  RETURN_IF_SQL_ERROR(error, "inserting into Messages");
  bool matched = false;
  RETURN_IF_SQL_ERROR(tables_.set_last_seq(epoch_, last_seq_, seq, matched), "updating Feeds");
  if (!matched) {
    return internal_error("Feeds changed under our lock");
  }
  RETURN_IF_ERROR(mark_requeued(wanted.id, seq));
  FAILPOINT("requeue.inserted");
  return std::optional<Row>(Row{seq, id, wanted.timestamp_us, wanted.data, body});
}

Status Requeue::mark_failed(std::uint64_t id, std::string_view error) {
  Session& session = tables_.session();
  RETURN_IF_SQL_ERROR(
      session.execute("UPDATE Quarantine SET state='failed',error=" +
                      session.quote(clean_error(error)) + " WHERE id=" + std::to_string(id)),
      "updating Quarantine");
  return {};
}

Status Requeue::mark_requeued(std::uint64_t id, std::uint64_t seq) {
  RETURN_IF_SQL_ERROR(
      tables_.session().execute("UPDATE Quarantine SET state='requeued',seq=" +
                                std::to_string(seq) + " WHERE id=" + std::to_string(id)),
      "updating Quarantine");
  return {};
}

Status Requeue::commit() {
  if (const SqlError error = tables_.session().commit(); !error.ok()) {
    return {StatusCode::kUnknownOutcome, error.to_status("COMMIT").message()};
  }
  return {};
}

}  // namespace feedvault::storage
