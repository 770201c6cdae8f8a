#include "storage/session.h"

#include <errmsg.h>

#include <cstring>
#include <mutex>
#include <utility>

#include "base/check.h"

namespace feedvault::storage {
namespace {

constexpr unsigned kConnectTimeoutSeconds = 5;
// Shorter than SessionOptions::answer_max, so that a row lock that somebody holds is reported as
// what it is and not as a lost server.
constexpr int kLockWaitSeconds = 20;

// The library's own first-use initialisation is not made for two threads.
void init_library() {
  static std::once_flag once;
  std::call_once(once, [] { mysql_library_init(0, nullptr, nullptr); });
}

std::string destination(const MysqlConfig& config, const SessionOptions& options) {
  const std::string where =
      config.socket.empty() ? config.host + ":" + std::to_string(config.port) : config.socket;
  return "cannot open MySQL at " + where + " as '" + options.user + "'";
}

void set_tls(MYSQL* mysql, const MysqlConfig& config) {
  const bool required = config.tls == "required";
  // Nothing to gain on a Unix socket; "required" insists even there.
  my_bool use = config.tls != "off" && (config.socket.empty() || required) ? 1 : 0;
  my_bool verify = required ? 1 : 0;
  // "Enforce" means "ask for it": without verification the library goes on in clear text with a
  // server that has no TLS, which is "preferred".
  mysql_optionsv(mysql, MYSQL_OPT_SSL_ENFORCE, &use);
  mysql_optionsv(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  if (use != 0 && !config.tls_ca_file.empty()) {
    mysql_optionsv(mysql, MYSQL_OPT_SSL_CA, config.tls_ca_file.c_str());
  }
}

// A TLS failure is the network's unless it is about certificates or a server without TLS.
bool tls_misconfigured(unsigned number, std::string_view text) {
  return number == CR_SSL_CONNECTION_ERROR &&
         (text.find("certificate") != std::string_view::npos ||
          text.find("does not support") != std::string_view::npos);
}

}  // namespace

Result<std::unique_ptr<Session>> Session::open(const MysqlConfig& config,
                                               const SessionOptions& options) {
  init_library();
  MYSQL* mysql = mysql_init(nullptr);
  CHECK(mysql != nullptr);  // out of memory
  std::unique_ptr<Session> session(new Session(mysql));
  unsigned connect_timeout = kConnectTimeoutSeconds;
  auto answer_max = static_cast<unsigned>(options.answer_max.count());
  my_bool no_reconnect = 0;
  mysql_optionsv(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout);
  mysql_optionsv(mysql, MYSQL_OPT_READ_TIMEOUT, &answer_max);
  mysql_optionsv(mysql, MYSQL_OPT_WRITE_TIMEOUT, &answer_max);
  mysql_optionsv(mysql, MYSQL_OPT_RECONNECT, &no_reconnect);
  mysql_optionsv(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  set_tls(mysql, config);

  const bool by_socket = !config.socket.empty();
  if (mysql_real_connect(mysql,
                         by_socket ? "localhost" : config.host.c_str(),
                         options.user.c_str(),
                         options.password.c_str(),
                         options.select_database ? config.database.c_str() : nullptr,
                         by_socket ? 0U : config.port,
                         by_socket ? config.socket.c_str() : nullptr,
                         CLIENT_FOUND_ROWS) == nullptr) {
    const SqlError error = session->last_error();
    if (tls_misconfigured(error.number, error.text)) {
      return invalid_argument(destination(config, options) + ": " + error.text +
                              "; check [mysql] tls and tls_ca_file");
    }
    return error.to_status(destination(config, options));
  }
  RETURN_IF_ERROR(session->set_up(options).with_context(destination(config, options)));
  return session;
}

Status Session::set_up(const SessionOptions& options) {
  std::string sql =
      "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
      "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
      "innodb_lock_wait_timeout = " +
      std::to_string(kLockWaitSeconds);
  if (options.idle_max.count() > 0) {
    // The net timeouts too: a process may be stopped in the middle of a packet.
    const std::string seconds = std::to_string(options.idle_max.count());
    sql += ", wait_timeout = " + seconds + ", net_read_timeout = " + seconds +
           ", net_write_timeout = " + seconds;
  }
  // Off: the first statement begins a transaction, without a round trip for BEGIN.
  sql += options.autocommit ? ", autocommit = 1" : ", autocommit = 0";
  RETURN_IF_SQL_ERROR(execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"),
                      "session set-up");
  RETURN_IF_SQL_ERROR(execute(sql), "session set-up");
  return {};
}

Session::~Session() {
  mysql_close(mysql_);
}

SqlError Session::last_error() const {
  const unsigned number = mysql_errno(mysql_);
  return number == 0 ? SqlError{CR_UNKNOWN_ERROR, "unknown error"}
                     : SqlError{number, mysql_error(mysql_)};
}

SqlError Session::send(std::string_view sql) {
  return mysql_send_query(mysql_, sql.data(), sql.size()) != 0 ? last_error() : SqlError{};
}

SqlError Session::receive() {
  return mysql_read_query_result(mysql_) != 0 ? last_error() : SqlError{};
}

SqlError Session::execute(std::string_view sql) {
  return mysql_real_query(mysql_, sql.data(), sql.size()) != 0 ? last_error() : SqlError{};
}

SqlError Session::query(std::string_view sql, std::vector<TextRow>& rows) {
  rows.clear();
  SqlError error = execute(sql);
  if (!error.ok()) {
    return error;
  }
  const std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> result(mysql_store_result(mysql_),
                                                                        &mysql_free_result);
  if (result == nullptr) {
    return last_error();
  }
  const unsigned columns = mysql_num_fields(result.get());
  while (MYSQL_ROW row = mysql_fetch_row(result.get())) {
    const unsigned long* lengths = mysql_fetch_lengths(result.get());
    TextRow& texts = rows.emplace_back(columns);
    for (unsigned i = 0; i < columns; ++i) {
      if (row[i] != nullptr) {
        texts[i].emplace(row[i], lengths[i]);
      }
    }
  }
  return {};
}

SqlError Session::ping() {
  return mysql_ping(mysql_) != 0 ? last_error() : SqlError{};
}

std::uint64_t Session::affected_rows() const {
  return mysql_affected_rows(mysql_);
}

std::string Session::quote(std::string_view text) const {
  std::string quoted(2 * text.size() + 2, '\'');
  const unsigned long length =
      mysql_real_escape_string(mysql_, quoted.data() + 1, text.data(), text.size());
  quoted.resize(length + 1);
  quoted += '\'';
  return quoted;
}

Statement::~Statement() {
  if (statement_ != nullptr) {
    mysql_stmt_close(statement_);
  }
}

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  return *this;
}

SqlError Statement::last_error() const {
  const unsigned number = mysql_stmt_errno(statement_);
  return number == 0 ? SqlError{CR_UNKNOWN_ERROR, "unknown error"}
                     : SqlError{number, mysql_stmt_error(statement_)};
}

SqlError Statement::prepare(Session& session, std::string_view sql) {
  CHECK(statement_ == nullptr);
  statement_ = mysql_stmt_init(session.handle());
  CHECK(statement_ != nullptr);  // out of memory
  if (mysql_stmt_prepare(statement_, sql.data(), sql.size()) != 0) {
    SqlError error = last_error();
    mysql_stmt_close(std::exchange(statement_, nullptr));
    return error;
  }
  return {};
}

SqlError Statement::execute(MYSQL_BIND* parameters) {
  if (mysql_stmt_bind_param(statement_, parameters) != 0 || mysql_stmt_execute(statement_) != 0) {
    return last_error();
  }
  return {};
}

std::uint64_t Statement::affected_rows() const {
  return mysql_stmt_affected_rows(statement_);
}

void bind_range(MYSQL_BIND& bind,
                enum_field_types type,
                std::string_view bytes,
                unsigned long* length) {
  *length = bytes.size();
  bind.buffer_type = type;
  // The API wants a pointer to mutable bytes for results' sake; parameters are only read.
  bind.buffer = const_cast<char*>(bytes.data());
  bind.buffer_length = bytes.size();
  bind.length = length;
}

MYSQL_BIND& Parameters::next() {
  CHECK(count_ < kMax);
  return binds_[count_++];
}

Parameters& Parameters::add(std::uint64_t value) {
  MYSQL_BIND& bind = next();
  numbers_[count_ - 1] = value;
  bind.buffer_type = MYSQL_TYPE_LONGLONG;
  bind.buffer = &numbers_[count_ - 1];
  bind.is_unsigned = 1;
  return *this;
}

Parameters& Parameters::add_signed(std::int64_t value) {
  add(static_cast<std::uint64_t>(value));
  binds_[count_ - 1].is_unsigned = 0;
  return *this;
}

Parameters& Parameters::add_range(std::string_view range, enum_field_types type) {
  MYSQL_BIND& bind = next();
  // An empty view may have no address, and a bind without one is NULL to some library versions.
  bind_range(
      bind, type, range.data() == nullptr ? std::string_view("") : range, &lengths_[count_ - 1]);
  return *this;
}

Parameters& Parameters::add_bytes(std::string_view bytes) {
  return add_range(bytes, MYSQL_TYPE_BLOB);
}

Parameters& Parameters::add_text(std::string_view text) {
  return add_range(text, MYSQL_TYPE_STRING);
}

Parameters& Parameters::add_time(std::int64_t unix_us) {
  MYSQL_BIND& bind = next();
  times_[count_ - 1] = to_mysql_time(unix_us);
  bind.buffer_type = MYSQL_TYPE_DATETIME;
  bind.buffer = &times_[count_ - 1];
  return *this;
}

MYSQL_TIME to_mysql_time(std::int64_t unix_us) {
  using std::chrono::floor;
  const std::chrono::sys_time<std::chrono::microseconds> instant{
      std::chrono::microseconds(unix_us)};
  const auto day = floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(instant - day);
  MYSQL_TIME result{};
  result.year = static_cast<unsigned>(static_cast<int>(date.year()));
  result.month = static_cast<unsigned>(date.month());
  result.day = static_cast<unsigned>(date.day());
  result.hour = static_cast<unsigned>(time.hours().count());
  result.minute = static_cast<unsigned>(time.minutes().count());
  result.second = static_cast<unsigned>(time.seconds().count());
  result.second_part = static_cast<unsigned long>(time.subseconds().count());
  result.time_type = MYSQL_TIMESTAMP_DATETIME;
  return result;
}

std::int64_t from_mysql_time(const MYSQL_TIME& time) {
  using std::chrono::duration_cast;
  const std::chrono::sys_days day(std::chrono::year(static_cast<int>(time.year)) /
                                  static_cast<int>(time.month) / static_cast<int>(time.day));
  const std::chrono::seconds of_day((time.hour * 60 + time.minute) * 60 + time.second);
  return duration_cast<std::chrono::microseconds>(day.time_since_epoch() + of_day).count() +
         static_cast<std::int64_t>(time.second_part);
}

}  // namespace feedvault::storage
