#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "storage/mysql_errors.h"
#include "storage/session.h"

namespace feedvault::storage {

/// A row on its way into Messages; views are borrowed.
struct MessageRow {
  std::uint64_t seq = 0;
  std::string_view id;
  std::int64_t timestamp_us = 0;
  std::string_view data;
  std::string_view body;  // JSON; empty: NULL
};

/// Inserts rows of one feed into Messages through multi-row prepared statements: one for each power
/// of two up to kRowsMax, prepared at its first use, all with the same bind buffers. A call
/// allocates nothing of ours.
class MessageInserter {
 public:
  static constexpr std::size_t kRowsMax = 1024;
  /// What one statement carries at most, unless a single row needs more: bounds the library's and
  /// the server's buffers. The rest of a batch goes into further statements.
  static constexpr std::size_t kStatementBytesMax = 4U << 20U;

  /// `packet_bytes_max`: the session's max_allowed_packet.
  MessageInserter(Session& session, std::uint8_t feed, std::size_t packet_bytes_max);

  /// Inserts all rows, or stops at the first error; what was inserted before stays in the
  /// transaction. Rows over max_allowed_packet are refused with 1153 without being sent, because
  /// sending one costs the connection.
  SqlError insert(std::span<const MessageRow> rows);

 private:
  /// What the binds of one row point to.
  struct Slots {
    std::uint64_t seq;
    std::uint32_t size;
    MYSQL_TIME timestamp;
    unsigned long id_length;
    unsigned long data_length;
    unsigned long body_length;
    my_bool body_null;
  };
  static constexpr std::size_t kColumns = 6;
  static constexpr std::size_t kStatements = 11;  // 1, 2, 4 ... 1024 rows
  static_assert((1U << (kStatements - 1)) == kRowsMax);
  // Both servers' limit on parameters of one statement.
  static_assert(kRowsMax * kColumns <= 65535);

  /// How many of `rows` go into the next statement, as a power of two; 0: not even one.
  std::size_t statement_exponent_for(std::span<const MessageRow> rows, bool& fits) const;
  SqlError insert_power(std::span<const MessageRow> rows, std::size_t exponent);
  void reserve_rows(std::size_t rows);
  void bind_row(std::size_t index, const MessageRow& row);

  Session& session_;
  const std::uint8_t feed_;
  const std::size_t packet_bytes_max_;
  std::array<Statement, kStatements> statements_;
  std::vector<Slots> slots_;
  std::vector<MYSQL_BIND> binds_;
};

}  // namespace feedvault::storage
