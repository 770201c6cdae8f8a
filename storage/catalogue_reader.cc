#include "storage/catalogue_reader.h"

#include <algorithm>
#include <utility>

#include "storage/migrations.h"
#include "storage/range_reader.h"
#include "storage/scan_reader.h"
#include "storage/session.h"
#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

constexpr std::string_view kQuarantineColumns =
    "id,feed,message_id,stream_seq,TIMESTAMPDIFF(MICROSECOND,'1970-01-01',timestamp),size,error,"
    "state,seq";

QuarantinedMessage quarantined_message(TextRow& row) {
  QuarantinedMessage message;
  message.id = number_in<std::uint64_t>(row[0]);
  message.feed = number_in<std::uint8_t>(row[1]);
  message.message_id = std::move(row[2]).value_or("");
  message.stream_seq = number_in<std::uint64_t>(row[3]);
  message.timestamp_us = number_in<std::int64_t>(row[4]);
  message.size = number_in<std::uint32_t>(row[5]);
  message.error = std::move(row[6]).value_or("");
  message.state = std::move(row[7]).value_or("");
  message.seq = number_in<std::uint64_t>(row[8]);
  return message;
}

class MysqlCatalogueReader final : public CatalogueReader {
 public:
  explicit MysqlCatalogueReader(const MysqlConfig& config) : config_(config) {}

  Result<std::vector<Row>> read_range(std::uint8_t feed,
                                      std::uint64_t first_seq,
                                      std::size_t rows_max,
                                      std::size_t bytes_max,
                                      bool with_body) override {
    RETURN_IF_ERROR(connect());
    return keep(reader_->read(feed, first_seq, rows_max, bytes_max, with_body));
  }

  Result<std::uint64_t> scan(const Scan& scan,
                             const std::function<bool(const Row&)>& each) override {
    RETURN_IF_ERROR(connect());
    return keep(scanner_->read(scan, each));
  }

  Result<std::optional<std::uint64_t>> seq_at_time(std::uint8_t feed,
                                                   std::int64_t timestamp_us) override;
  Result<Held> held(std::uint8_t feed) override;
  Result<std::optional<std::uint64_t>> last_before_time(std::uint8_t feed,
                                                        std::int64_t timestamp_us) override;
  Result<std::vector<FeedSummary>> feeds() override;
  Result<std::vector<QuarantinedMessage>> quarantined(std::uint8_t feed,
                                                      std::size_t rows_max) override;
  Result<QuarantinedMessage> find_quarantined(std::uint64_t id) override;
  Status request_requeue(std::uint64_t id) override;

 private:
  Status connect();
  void give_up() {
    reader_.reset();
    scanner_.reset();
    session_.reset();
  }
  template <typename T>
  Result<T> keep(Result<T> result) {
    if (!result.has_value()) {
      give_up();
    }
    return result;
  }
  Status query(const std::string& sql, std::string_view doing, std::vector<TextRow>& rows);

  const MysqlConfig config_;
  std::unique_ptr<Session> session_;  // null: connect at the next call
  std::optional<RangeReader> reader_;
  std::optional<ScanReader> scanner_;
};

Status MysqlCatalogueReader::connect() {
  // The server may have ended an idle session; that is no failure of the call to come.
  if (session_ != nullptr && !session_->ping().ok()) {
    give_up();
  }
  if (session_ != nullptr) {
    return {};
  }
  SessionOptions options;
  options.user = config_.user;
  options.password = config_.password;
  ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::open(config_, options));
  RETURN_IF_ERROR(check_schema(*session, config_));
  session_ = std::move(session);
  reader_.emplace(*session_);
  scanner_.emplace(*session_);
  return {};
}

Status MysqlCatalogueReader::query(const std::string& sql,
                                   std::string_view doing,
                                   std::vector<TextRow>& rows) {
  RETURN_IF_ERROR(connect());
  if (const SqlError error = session_->query(sql, rows); !error.ok()) {
    give_up();
    return error.to_status(doing);
  }
  return {};
}

// In the order of time by its index, but for requeued messages: they keep their old timestamp under
// a new seq, so in that order they would come up as the first of a time long before their seq.
Result<std::optional<std::uint64_t>> MysqlCatalogueReader::seq_at_time(std::uint8_t feed,
                                                                       std::int64_t timestamp_us) {
  RETURN_IF_ERROR(connect());
  const std::string at = "TIMESTAMPADD(MICROSECOND," + std::to_string(timestamp_us) +
                         ",TIMESTAMP'1970-01-01 00:00:00')";
  const std::string number = std::to_string(feed);
  std::vector<TextRow> rows;
  RETURN_IF_ERROR(query("SELECT seq FROM Messages m WHERE feed=" + number +
                            " AND timestamp>=" + at +
                            " AND NOT EXISTS (SELECT 1 FROM Quarantine q WHERE q.feed=" + number +
                            " AND q.seq=m.seq) ORDER BY timestamp,seq LIMIT 1",
                        "looking a time up",
                        rows));
  std::optional<std::uint64_t> first;
  if (!rows.empty()) {
    first = number_in<std::uint64_t>(rows[0][0]);
  }
  RETURN_IF_ERROR(
      query("SELECT MIN(m.seq) FROM Quarantine q JOIN Messages m ON m.feed=q.feed AND "
            "m.seq=q.seq WHERE q.feed=" +
                number + " AND q.seq IS NOT NULL AND m.timestamp>=" + at,
            "looking a time up",
            rows));
  if (!rows.empty() && rows[0][0].has_value()) {
    const auto requeued = number_in<std::uint64_t>(rows[0][0]);
    first = std::min(first.value_or(requeued), requeued);
  }
  return first;
}

Result<CatalogueReader::Held> MysqlCatalogueReader::held(std::uint8_t feed) {
  const std::string number = std::to_string(feed);
  std::vector<TextRow> rows;
  RETURN_IF_ERROR(query("SELECT (SELECT MIN(seq) FROM Messages WHERE feed=" + number +
                            "),(SELECT MAX(seq) FROM Messages WHERE feed=" + number +
                            "),(SELECT last_seq FROM Feeds WHERE feed=" + number + ")",
                        "reading Messages",
                        rows));
  Held held;
  if (rows[0][0].has_value()) {
    held.first = number_in<std::uint64_t>(rows[0][0]);
    held.last = number_in<std::uint64_t>(rows[0][1]);
  } else if (rows[0][2].has_value()) {
    held.last = number_in<std::uint64_t>(rows[0][2]);
    held.first = held.last + 1;
  }
  return held;
}

// The mirror of seq_at_time().
Result<std::optional<std::uint64_t>> MysqlCatalogueReader::last_before_time(
    std::uint8_t feed, std::int64_t timestamp_us) {
  const std::string at = "TIMESTAMPADD(MICROSECOND," + std::to_string(timestamp_us) +
                         ",TIMESTAMP'1970-01-01 00:00:00')";
  const std::string number = std::to_string(feed);
  std::vector<TextRow> rows;
  RETURN_IF_ERROR(query("SELECT seq FROM Messages m WHERE feed=" + number + " AND timestamp<" + at +
                            " AND NOT EXISTS (SELECT 1 FROM Quarantine q WHERE q.feed=" + number +
                            " AND q.seq=m.seq) ORDER BY timestamp DESC,seq DESC LIMIT 1",
                        "looking a time up",
                        rows));
  std::optional<std::uint64_t> last;
  if (!rows.empty()) {
    last = number_in<std::uint64_t>(rows[0][0]);
  }
  RETURN_IF_ERROR(
      query("SELECT MAX(m.seq) FROM Quarantine q JOIN Messages m ON m.feed=q.feed AND "
            "m.seq=q.seq WHERE q.feed=" +
                number + " AND q.seq IS NOT NULL AND m.timestamp<" + at,
            "looking a time up",
            rows));
  if (!rows.empty() && rows[0][0].has_value()) {
    const auto requeued = number_in<std::uint64_t>(rows[0][0]);
    last = std::max(last.value_or(requeued), requeued);
  }
  return last;
}

Result<std::vector<FeedSummary>> MysqlCatalogueReader::feeds() {
  std::vector<TextRow> rows;
  RETURN_IF_ERROR(
      query("SELECT f.feed,name,epoch,stream_created_ns,stream_seq,stream_time_ns,"
            "stream_hash,last_seq,quarantined,duplicates,"
            "(SELECT COUNT(*) FROM Gaps g WHERE g.feed=f.feed) FROM Feeds f "
            "ORDER BY f.feed",
            "reading Feeds",
            rows));
  std::vector<FeedSummary> summaries;
  for (TextRow& row : rows) {
    FeedSummary& summary = summaries.emplace_back();
    summary.feed = number_in<std::uint8_t>(row[0]);
    summary.name = std::move(row[1]).value_or("");
    summary.state.epoch = number_in<std::uint64_t>(row[2]);
    summary.state.ingest.stream_created_ns = number_in<std::int64_t>(row[3]);
    summary.state.ingest.stream_seq = number_in<std::uint64_t>(row[4]);
    summary.state.ingest.time_ns = number_in<std::int64_t>(row[5]);
    summary.state.ingest.hash = number_in<std::uint64_t>(row[6]);
    summary.state.last_seq = number_in<std::uint64_t>(row[7]);
    summary.quarantined = number_in<std::uint64_t>(row[8]);
    summary.duplicates = number_in<std::uint64_t>(row[9]);
    summary.gaps = number_in<std::uint64_t>(row[10]);
  }
  return summaries;
}

Result<std::vector<QuarantinedMessage>> MysqlCatalogueReader::quarantined(std::uint8_t feed,
                                                                          std::size_t rows_max) {
  std::string sql = "SELECT " + std::string(kQuarantineColumns) + " FROM Quarantine";
  if (feed != 0) {
    sql += " WHERE feed=" + std::to_string(feed);
  }
  std::vector<TextRow> rows;
  RETURN_IF_ERROR(query(
      sql + " ORDER BY id DESC LIMIT " + std::to_string(rows_max), "reading Quarantine", rows));
  std::vector<QuarantinedMessage> messages;
  messages.reserve(rows.size());
  for (TextRow& row : rows) {
    messages.push_back(quarantined_message(row));
  }
  return messages;
}

Result<QuarantinedMessage> MysqlCatalogueReader::find_quarantined(std::uint64_t id) {
  std::vector<TextRow> rows;
  RETURN_IF_ERROR(query("SELECT " + std::string(kQuarantineColumns) +
                            ",data FROM Quarantine WHERE id=" + std::to_string(id),
                        "reading Quarantine",
                        rows));
  if (rows.empty()) {
    return not_found("no quarantined message has the id " + std::to_string(id));
  }
  QuarantinedMessage message = quarantined_message(rows.front());
  message.data = std::move(rows.front()[9]).value_or("");
  return message;
}

Status MysqlCatalogueReader::request_requeue(std::uint64_t id) {
  RETURN_IF_ERROR(connect());
  const SqlError error =
      session_->execute("UPDATE Quarantine SET state='requested' WHERE id=" + std::to_string(id) +
                        " AND state IN ('quarantined','failed')");
  if (!error.ok()) {
    give_up();
    return error.to_status("asking for a requeue");
  }
  if (session_->affected_rows() == 1) {
    return {};
  }
  ASSIGN_OR_RETURN(const QuarantinedMessage message, find_quarantined(id));
  return {StatusCode::kDuplicate,
          message.state == "requested"
              ? "message " + std::to_string(id) + " is waiting to be requeued already"
              : "message " + std::to_string(id) + " was requeued as seq " +
                    std::to_string(message.seq)};
}

}  // namespace

std::unique_ptr<CatalogueReader> CatalogueReader::create(const MysqlConfig& config) {
  return std::make_unique<MysqlCatalogueReader>(config);
}

}  // namespace feedvault::storage
