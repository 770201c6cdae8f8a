#pragma once

#include <mysql.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "storage/mysql_errors.h"

// The wall around the C API: the handles it gives out, each owned by one object. Private to this
// folder. Everything here is for one thread at a time.

namespace feedvault::storage {

/// Columns as text; nullopt: NULL.
using TextRow = std::vector<std::optional<std::string>>;

struct SessionOptions {
  std::string user;
  std::string password;
  bool select_database = true;
  bool autocommit = true;
  /// The server ends the session (and what it holds) after so long without a statement; 0: the
  /// server's own setting.
  std::chrono::seconds idle_max{0};
  /// A server that does not answer for so long counts as lost; 0: never.
  std::chrono::seconds answer_max{30};
};

/// A connection with a session set up our way: strict SQL mode, UTC, utf8mb4, READ COMMITTED,
/// matched (not changed) rows counted. Never reconnects by itself.
class Session {
 public:
  static Result<std::unique_ptr<Session>> open(const MysqlConfig& config,
                                               const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// A statement without result rows.
  SqlError execute(std::string_view sql);
  /// A statement with result rows, all of them kept in memory.
  SqlError query(std::string_view sql, std::vector<TextRow>& rows);
  /// The two halves of execute(), for the caller that has something to do while it runs.
  SqlError send(std::string_view sql);
  SqlError receive();
  SqlError commit() { return execute("COMMIT"); }
  SqlError rollback() { return execute("ROLLBACK"); }
  SqlError ping();

  std::uint64_t affected_rows() const;
  /// `text` as a string literal, in quotes.
  std::string quote(std::string_view text) const;

  MYSQL* handle() const { return mysql_; }

 private:
  explicit Session(MYSQL* mysql) : mysql_(mysql) {}
  SqlError last_error() const;
  Status set_up(const SessionOptions& options);

  MYSQL* mysql_;
};

/// A prepared statement. Its Session must outlive it.
class Statement {
 public:
  Statement() = default;
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  bool prepared() const { return statement_ != nullptr; }
  SqlError prepare(Session& session, std::string_view sql);
  /// Copies the array; the buffers it points to are borrowed until execute() has returned. As many
  /// as the statement has parameters.
  SqlError execute(MYSQL_BIND* parameters);
  std::uint64_t affected_rows() const;

  MYSQL_STMT* handle() const { return statement_; }
  SqlError last_error() const;

 private:
  MYSQL_STMT* statement_ = nullptr;
};

/// Parameters of a statement in the order they are added. Byte ranges are borrowed.
class Parameters {
 public:
  static constexpr std::size_t kMax = 16;

  Parameters() = default;
  ~Parameters() = default;
  Parameters(const Parameters&) = delete;  // the binds point into it
  Parameters& operator=(const Parameters&) = delete;

  Parameters& add(std::uint64_t value);
  Parameters& add_signed(std::int64_t value);
  Parameters& add_bytes(std::string_view bytes);
  Parameters& add_text(std::string_view text);
  Parameters& add_time(std::int64_t unix_us);
  MYSQL_BIND* binds() { return binds_; }

 private:
  MYSQL_BIND& next();
  Parameters& add_range(std::string_view range, enum_field_types type);

  std::size_t count_ = 0;
  MYSQL_BIND binds_[kMax] = {};
  std::uint64_t numbers_[kMax] = {};
  unsigned long lengths_[kMax] = {};
  MYSQL_TIME times_[kMax] = {};
};

/// Fills a bind for `length` bytes at `bytes`; `length` is borrowed too.
void bind_range(MYSQL_BIND& bind,
                enum_field_types type,
                std::string_view bytes,
                unsigned long* length);

/// DATETIME(6) in UTC. Years beyond what the server takes become its error 1292, not ours.
MYSQL_TIME to_mysql_time(std::int64_t unix_us);
std::int64_t from_mysql_time(const MYSQL_TIME& time);

}  // namespace feedvault::storage
