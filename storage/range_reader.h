#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/catalogue.h"
#include "storage/session.h"

namespace feedvault::storage {

/// Fetches the rows of an executed SELECT of seq, id, timestamp, data and perhaps body, one after
/// another as they arrive, through buffers that it keeps.
class MessageFetcher {
 public:
  /// To be called after each execute().
  SqlError start(Statement& statement, bool with_body);
  /// Overwrites `row`, whose strings' memory is used again; `done` when there was no further row.
  SqlError fetch(Row& row, bool& done);
  /// Drops the rows that were not fetched, so that the connection is free again.
  void finish();

 private:
  static constexpr std::size_t kColumns = 5;
  /// Longer values are fetched a second time, straight into the row's string.
  static constexpr std::size_t kBufferBytes = 16U << 10U;

  SqlError take(unsigned column, std::string& into);

  Statement* statement_ = nullptr;
  bool with_body_ = false;
  std::uint64_t seq_ = 0;
  MYSQL_TIME timestamp_{};
  MYSQL_BIND binds_[kColumns] = {};
  unsigned long lengths_[kColumns] = {};
  my_bool nulls_[kColumns] = {};
  my_bool truncated_[kColumns] = {};
  std::vector<char> buffers_[kColumns];
};

/// Reads ranges of Messages on a session that it borrows.
class RangeReader {
 public:
  explicit RangeReader(Session& session) : session_(session) {}

  /// See Catalogue::read_range(). Leaves the transaction open where autocommit is off.
  Result<std::vector<Row>> read(std::uint8_t feed,
                                std::uint64_t first_seq,
                                std::size_t rows_max,
                                std::size_t bytes_max,
                                bool with_body);

 private:
  Status read_slice(std::uint8_t feed,
                    std::uint64_t first_seq,
                    std::size_t limit,
                    std::size_t bytes_max,
                    std::vector<Row>& rows,
                    std::size_t& bytes);

  Session& session_;
  Statement without_body_;
  Statement with_body_;
  Statement* current_ = nullptr;
  MessageFetcher fetcher_;
  /// What a row took lately: how many rows to ask for, so that few arrive only to be dropped.
  std::size_t row_bytes_ = 8192;
};

}  // namespace feedvault::storage
