#include "storage/scan_reader.h"

#include <algorithm>

namespace feedvault::storage {
namespace {

constexpr std::string_view kReadingRange = "reading Messages";
constexpr std::size_t kStatementsMax = 32;

std::string sql_of(const Scan& scan) {
  // The bytes travel only where there is no body to serve in their place.
  std::string sql = scan.with_data ? "SELECT seq,id,timestamp,data,body"
                                   : "SELECT seq,id,timestamp,IF(body IS NULL,data,''),body";
  sql += " FROM Messages WHERE feed=? AND seq>=? AND seq<?";
  if (scan.to_us) {
    sql += " AND timestamp<?";
  }
  for (const Scan::Equal& equal : scan.equal) {
    sql += " AND (body IS NULL OR JSON_UNQUOTE(JSON_EXTRACT(body,?))";
    // A number has many spellings; as a text each is another.
    sql += equal.numeric ? "+0e0=?+0e0)" : "=?)";
  }
  return sql + " ORDER BY seq LIMIT ?";
}

}  // namespace

Result<Statement*> ScanReader::statement_for(const Scan& scan) {
  const std::string sql = sql_of(scan);
  if (statements_.size() >= kStatementsMax && statements_.count(sql) == 0) {
    statements_.clear();
  }
  Statement& statement = statements_[sql];
  if (!statement.prepared()) {
    if (const SqlError error = statement.prepare(session_, sql); !error.ok()) {
      statements_.erase(sql);
      return error.to_status(kReadingRange);
    }
  }
  return &statement;
}

Result<std::uint64_t> ScanReader::read(const Scan& scan,
                                       const std::function<bool(const Row&)>& each) {
  ASSIGN_OR_RETURN(Statement* const statement, statement_for(scan));
  const std::uint64_t end =
      scan.equal.empty() && !scan.to_us
          ? scan.end_seq
          : std::min(scan.end_seq,
                     scan.first_seq + std::min(scan.positions_max, scan.end_seq - scan.first_seq));
  Parameters parameters;
  parameters.add(scan.feed).add(scan.first_seq).add(end);
  if (scan.to_us) {
    parameters.add_time(*scan.to_us);
  }
  for (const Scan::Equal& equal : scan.equal) {
    parameters.add_text(equal.path);
    // As bytes: compared byte by byte, without the padding that collations forgive.
    equal.numeric ? parameters.add_text(equal.value) : parameters.add_bytes(equal.value);
  }
  parameters.add(scan.rows_max);
  RETURN_IF_SQL_ERROR(statement->execute(parameters.binds()), kReadingRange);
  RETURN_IF_SQL_ERROR(fetcher_.start(*statement, /*with_body=*/true), kReadingRange);
  std::uint64_t next = scan.first_seq;
  std::size_t rows = 0;
  bool done = false;
  bool wanted = true;
  SqlError error;
  while (wanted && rows < scan.rows_max) {
    error = fetcher_.fetch(row_, done);
    if (done || !error.ok()) {
      break;
    }
    ++rows;
    next = row_.seq + 1;
    wanted = each(row_);
  }
  fetcher_.finish();
  RETURN_IF_SQL_ERROR(error, kReadingRange);
  return done ? std::max(next, end) : next;
}

}  // namespace feedvault::storage
