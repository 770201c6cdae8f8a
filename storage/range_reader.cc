#include "storage/range_reader.h"

#include <algorithm>

namespace feedvault::storage {
namespace {

constexpr std::string_view kDoing = "reading Messages";

std::size_t bytes_of(const Row& row) {
  return row.id.size() + row.data.size() + row.body.size() + sizeof(Row);
}

void bind_buffer(MYSQL_BIND& bind, enum_field_types type, std::vector<char>& buffer) {
  bind.buffer_type = type;
  bind.buffer = buffer.data();
  bind.buffer_length = buffer.size();
}

}  // namespace

SqlError MessageFetcher::start(Statement& statement, bool with_body) {
  statement_ = &statement;
  with_body_ = with_body;
  for (std::size_t i = 0; i < kColumns; ++i) {
    binds_[i].length = &lengths_[i];
    binds_[i].is_null = &nulls_[i];
    binds_[i].error = &truncated_[i];
  }
  binds_[0].buffer_type = MYSQL_TYPE_LONGLONG;
  binds_[0].buffer = &seq_;
  binds_[0].is_unsigned = 1;
  binds_[2].buffer_type = MYSQL_TYPE_DATETIME;
  binds_[2].buffer = &timestamp_;
  for (const std::size_t column : {std::size_t{1}, std::size_t{3}, std::size_t{4}}) {
    buffers_[column].resize(kBufferBytes);
    bind_buffer(
        binds_[column], column == 4 ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB, buffers_[column]);
  }
  return mysql_stmt_bind_result(statement.handle(), binds_) != 0 ? statement.last_error()
                                                                 : SqlError{};
}

SqlError MessageFetcher::fetch(Row& row, bool& done) {
  const int outcome = mysql_stmt_fetch(statement_->handle());
  done = outcome == MYSQL_NO_DATA;
  if (done) {
    return {};
  }
  if (outcome != 0 && outcome != MYSQL_DATA_TRUNCATED) {
    return statement_->last_error();
  }
  row.seq = seq_;
  row.timestamp_us = from_mysql_time(timestamp_);
  if (SqlError error = take(1, row.id); !error.ok()) {
    return error;
  }
  if (SqlError error = take(3, row.data); !error.ok()) {
    return error;
  }
  row.body.clear();
  return with_body_ && nulls_[4] == 0 ? take(4, row.body) : SqlError{};
}

SqlError MessageFetcher::take(unsigned column, std::string& into) {
  const unsigned long length = lengths_[column];
  if (length <= kBufferBytes) {
    into.assign(buffers_[column].data(), length);
    return {};
  }
  into.resize(length);
  MYSQL_BIND bind{};
  unsigned long length_again = 0;
  bind.buffer_type = binds_[column].buffer_type;
  bind.buffer = into.data();
  bind.buffer_length = length;
  bind.length = &length_again;
  return mysql_stmt_fetch_column(statement_->handle(), &bind, column, 0) != 0
             ? statement_->last_error()
             : SqlError{};
}

void MessageFetcher::finish() {
  mysql_stmt_free_result(statement_->handle());
}

Result<std::vector<Row>> RangeReader::read(std::uint8_t feed,
                                           std::uint64_t first_seq,
                                           std::size_t rows_max,
                                           std::size_t bytes_max,
                                           bool with_body) {
  current_ = with_body ? &with_body_ : &without_body_;
  if (!current_->prepared()) {
    const std::string columns = with_body ? "seq,id,timestamp,data,body" : "seq,id,timestamp,data";
    RETURN_IF_SQL_ERROR(current_->prepare(session_,
                                          "SELECT " + columns +
                                              " FROM Messages WHERE feed=? AND seq>=? "
                                              "ORDER BY seq LIMIT ?"),
                        kDoing);
  }
  std::vector<Row> rows;
  std::size_t bytes = 0;
  while (rows.size() < rows_max && (rows.empty() || bytes < bytes_max)) {
    const std::size_t bytes_left = bytes_max > bytes ? bytes_max - bytes : 0;
    const std::size_t limit = std::min(rows_max - rows.size(), bytes_left / row_bytes_ + 1);
    const std::size_t before = rows.size();
    RETURN_IF_ERROR(read_slice(feed, first_seq, limit, bytes_max, rows, bytes));
    const std::size_t got = rows.size() - before;
    if (got < limit) {
      break;  // the end of the table, or of what the caller wants
    }
    first_seq = rows.back().seq + 1;
  }
  return rows;
}

Status RangeReader::read_slice(std::uint8_t feed,
                               std::uint64_t first_seq,
                               std::size_t limit,
                               std::size_t bytes_max,
                               std::vector<Row>& rows,
                               std::size_t& bytes) {
  Parameters parameters;
  parameters.add(feed).add(first_seq).add(limit);
  RETURN_IF_SQL_ERROR(current_->execute(parameters.binds()), kDoing);
  RETURN_IF_SQL_ERROR(fetcher_.start(*current_, current_ == &with_body_), kDoing);
  const std::size_t rows_before = rows.size();
  const std::size_t bytes_before = bytes;
  SqlError error;
  for (std::size_t i = 0; i < limit && (rows.empty() || bytes < bytes_max); ++i) {
    Row& row = rows.emplace_back();
    bool done = false;
    error = fetcher_.fetch(row, done);
    if (done || !error.ok()) {
      rows.pop_back();
      break;
    }
    bytes += bytes_of(row);
  }
  fetcher_.finish();
  RETURN_IF_SQL_ERROR(error, kDoing);
  if (const std::size_t got = rows.size() - rows_before; got > 0) {
    row_bytes_ = std::max<std::size_t>(1, (bytes - bytes_before) / got);
  }
  return {};
}

}  // namespace feedvault::storage
