#include "storage/message_inserter.h"

#include <algorithm>
#include <bit>
#include <string>

namespace feedvault::storage {
namespace {

// Numbers, time, length prefixes, type codes and the NULL bit of a row, rounded up.
constexpr std::size_t kRowOverhead = 64;
// Packet header, statement id, flags.
constexpr std::size_t kPacketOverhead = 64;
constexpr unsigned kPacketTooLarge = 1153;

std::size_t row_bytes(const MessageRow& row) {
  return row.id.size() + row.data.size() + row.body.size() + kRowOverhead;
}

std::string insert_sql(std::uint8_t feed, std::size_t rows) {
  // The feed is the same for all rows: one parameter less a row.
  const std::string values = "(" + std::to_string(feed) + ",?,?,?,?,?,?)";
  std::string sql = "INSERT INTO Messages (feed,seq,id,timestamp,size,data,body) VALUES " + values;
  sql.reserve(sql.size() + (values.size() + 1) * rows);
  for (std::size_t i = 1; i < rows; ++i) {
    sql += ',';
    sql += values;
  }
  return sql;
}

}  // namespace

MessageInserter::MessageInserter(Session& session, std::uint8_t feed, std::size_t packet_bytes_max)
    : session_(session), feed_(feed), packet_bytes_max_(packet_bytes_max) {}

SqlError MessageInserter::insert(std::span<const MessageRow> rows) {
  while (!rows.empty()) {
    bool fits = false;
    const std::size_t exponent = statement_exponent_for(rows, fits);
    if (!fits) {
      return {kPacketTooLarge,
              "a row of " + std::to_string(row_bytes(rows.front())) +
                  " bytes does not fit the server's max_allowed_packet of " +
                  std::to_string(packet_bytes_max_)};
    }
    const std::size_t count = std::size_t{1} << exponent;
    if (SqlError error = insert_power(rows.first(count), exponent); !error.ok()) {
      return error;
    }
    rows = rows.subspan(count);
  }
  return {};
}

std::size_t MessageInserter::statement_exponent_for(std::span<const MessageRow> rows,
                                                    bool& fits) const {
  const std::size_t bytes_max = std::min(kStatementBytesMax, packet_bytes_max_ - kPacketOverhead);
  std::size_t bytes = row_bytes(rows.front());
  fits = bytes + kPacketOverhead <= packet_bytes_max_;
  std::size_t count = 1;
  while (count < std::min(rows.size(), kRowsMax)) {
    bytes += row_bytes(rows[count]);
    if (bytes > bytes_max) {
      break;
    }
    ++count;
  }
  return static_cast<std::size_t>(std::bit_width(count)) - 1;
}

SqlError MessageInserter::insert_power(std::span<const MessageRow> rows, std::size_t exponent) {
  Statement& statement = statements_[exponent];
  if (!statement.prepared()) {
    if (SqlError error = statement.prepare(session_, insert_sql(feed_, rows.size())); !error.ok()) {
      return error;
    }
  }
  reserve_rows(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    bind_row(i, rows[i]);
  }
  return statement.execute(binds_.data());
}

void MessageInserter::reserve_rows(std::size_t rows) {
  if (rows <= slots_.size()) {
    return;
  }
  slots_.resize(rows);
  binds_.assign(rows * kColumns, MYSQL_BIND{});
  for (std::size_t i = 0; i < rows; ++i) {
    Slots& slots = slots_[i];
    MYSQL_BIND* bind = &binds_[i * kColumns];
    bind[0].buffer_type = MYSQL_TYPE_LONGLONG;
    bind[0].buffer = &slots.seq;
    bind[0].is_unsigned = 1;
    bind[2].buffer_type = MYSQL_TYPE_DATETIME;
    bind[2].buffer = &slots.timestamp;
    bind[3].buffer_type = MYSQL_TYPE_LONG;
    bind[3].buffer = &slots.size;
    bind[3].is_unsigned = 1;
    bind[5].is_null = &slots.body_null;
  }
}

void MessageInserter::bind_row(std::size_t index, const MessageRow& row) {
  const auto range = [](std::string_view view) {
    return view.data() == nullptr ? std::string_view("") : view;
  };
  Slots& slots = slots_[index];
  MYSQL_BIND* bind = &binds_[index * kColumns];
  slots.seq = row.seq;
  slots.size = static_cast<std::uint32_t>(row.data.size());
  slots.timestamp = to_mysql_time(row.timestamp_us);
  slots.body_null = row.body.empty() ? 1 : 0;
  bind_range(bind[1], MYSQL_TYPE_BLOB, range(row.id), &slots.id_length);
  bind_range(bind[4], MYSQL_TYPE_BLOB, range(row.data), &slots.data_length);
  // Text, not bytes: MySQL makes no JSON of a string without a character set.
  bind_range(bind[5], MYSQL_TYPE_STRING, range(row.body), &slots.body_length);
}

}  // namespace feedvault::storage
