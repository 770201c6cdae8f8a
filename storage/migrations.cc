#include "storage/migrations.h"

#include <map>
#include <string>
#include <vector>

#include "storage/catalogue_reader.h"
#include "storage/service_rights.h"
#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

constexpr int kMigrateWaitSeconds = 60;

struct Applied {
  std::string name;
  std::string checksum;
};

std::string checksum_of(const Migration& migration) {
  return std::to_string(fingerprint(migration.sql));
}

Status newer_schema(const MysqlConfig& config, std::uint32_t version) {
  return invalid_argument("the schema of database '" + config.database + "' has version " +
                          std::to_string(version) + ", newer than the version " +
                          std::to_string(migrations().back().version) +
                          " of this program: install the newer Feedvault that made it, or use "
                          "another [mysql] database");
}

Result<std::map<std::uint32_t, Applied>> read_applied(Session& session) {
  std::vector<TextRow> rows;
  RETURN_IF_SQL_ERROR(
      session.query("SELECT version,name,checksum FROM schema_migrations ORDER BY version", rows),
      "reading schema_migrations");
  std::map<std::uint32_t, Applied> applied;
  for (const TextRow& row : rows) {
    applied[number_in<std::uint32_t>(row[0])] = {row[1].value_or(""), row[2].value_or("")};
  }
  return applied;
}

/// What is applied must be the beginning of what we know.
Status check_applied(const MysqlConfig& config, const std::map<std::uint32_t, Applied>& applied) {
  if (!applied.empty() && applied.rbegin()->first > migrations().back().version) {
    return newer_schema(config, applied.rbegin()->first);
  }
  for (const Migration& migration : migrations()) {
    const auto it = applied.find(migration.version);
    if (it != applied.end() && it->second.checksum != checksum_of(migration)) {
      return invalid_argument("migration " + it->second.name + " of database '" + config.database +
                              "' was applied from another text than this program's: it was made "
                              "by a build that was never released; use another database");
    }
  }
  return {};
}

/// Statements end with a semicolon at the end of a line; comments go to the server as they are.
std::vector<std::string_view> split_statements(std::string_view sql) {
  std::vector<std::string_view> statements;
  for (;;) {
    const std::size_t end = sql.find(";\n");
    if (end == std::string_view::npos) {
      return statements;  // the rest is white space or a comment
    }
    statements.push_back(sql.substr(0, end));
    sql.remove_prefix(end + 2);
  }
}

Status apply(Session& session, const Migration& migration) {
  const std::string doing = "applying migration " + std::string(migration.name);
  for (const std::string_view statement : split_statements(migration.sql)) {
    RETURN_IF_SQL_ERROR(session.execute(statement), doing);
  }
  // Last: a migration that died half-way runs again, and its statements bear that.
  RETURN_IF_SQL_ERROR(
      session.execute("INSERT INTO schema_migrations (version,name,checksum) VALUES (" +
                      std::to_string(migration.version) + "," + session.quote(migration.name) +
                      "," + session.quote(checksum_of(migration)) + ")"),
      doing);
  return {};
}

Status select_database(Session& session, const MysqlConfig& config) {
  const std::string name = quote_identifier(config.database);
  SqlError error = session.execute("USE " + name);
  if (error.number == 1049) {
    RETURN_IF_SQL_ERROR(session.execute("CREATE DATABASE IF NOT EXISTS " + name +
                                        " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
                        "creating database '" + config.database + "'");
    error = session.execute("USE " + name);
  }
  return error.to_status("using database '" + config.database + "'");
}

Status apply_missing(Session& session, const MysqlConfig& config) {
  RETURN_IF_SQL_ERROR(
      session.execute("CREATE TABLE IF NOT EXISTS schema_migrations ("
                      "version INT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, "
                      "checksum VARCHAR(64) NOT NULL, "
                      "applied DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"
                      ") ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
      "creating schema_migrations");
  ASSIGN_OR_RETURN(const auto applied, read_applied(session));
  RETURN_IF_ERROR(check_applied(config, applied));
  for (const Migration& migration : migrations()) {
    if (!applied.contains(migration.version)) {
      RETURN_IF_ERROR(apply(session, migration));
    }
  }
  return {};
}

Result<std::string> service_account(const MysqlConfig& config) {
  SessionOptions options;
  options.user = config.user;
  options.password = config.password;
  options.select_database = false;
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::open(config, options));
  std::vector<TextRow> rows;
  RETURN_IF_SQL_ERROR(session->query("SELECT CURRENT_USER()", rows), "reading the account's name");
  const std::string account = rows.front()[0].value_or("");
  const std::size_t at = account.rfind('@');
  if (at == std::string::npos) {
    return internal_error("account without a host: " + account);
  }
  return session->quote(account.substr(0, at)) + "@" + session->quote(account.substr(at + 1));
}

// Table by table: in a grant for a whole database its name is a pattern, and what "_" means there
// depends on the server's settings.
Status grant_service_rights(Session& session, const MysqlConfig& config) {
  ASSIGN_OR_RETURN(const std::string account, service_account(config));
  for (const ServiceRight& grant : kServiceRights) {
    const std::string sql = "GRANT " + std::string(grant.rights) + " ON " +
                            quote_identifier(config.database) + "." +
                            quote_identifier(grant.table) + " TO " + account;
    RETURN_IF_SQL_ERROR(session.execute(sql), "schema user '" + config.schema_user + "': " + sql);
  }
  return {};
}

}  // namespace

Status check_schema(Session& session, const MysqlConfig& config) {
  ASSIGN_OR_RETURN(const auto applied, read_applied(session));
  RETURN_IF_ERROR(check_applied(config, applied));
  if (applied.size() < migrations().size()) {
    return invalid_argument("the schema of database '" + config.database + "' has " +
                            std::to_string(applied.size()) + " of this program's " +
                            std::to_string(migrations().size()) +
                            " migrations: start this version's feedvault-controller, which "
                            "applies them");
  }
  return {};
}

Status migrate(const MysqlConfig& config) {
  const bool separate = !config.schema_user.empty() && config.schema_user != config.user;
  SessionOptions options;
  options.user = separate ? config.schema_user : config.user;
  options.password = separate ? config.schema_password : config.password;
  options.select_database = false;
  options.answer_max = std::chrono::hours(1);  // changing a large table takes its time
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::open(config, options));
  RETURN_IF_ERROR(select_database(*session, config));

  std::vector<TextRow> rows;
  std::string lock = "feedvault:" + config.database + ":schema";
  if (lock.size() > 64) {
    lock = "feedvault:" + std::to_string(fingerprint(lock));
  }
  RETURN_IF_SQL_ERROR(session->query("SELECT GET_LOCK(" + session->quote(lock) + "," +
                                         std::to_string(kMigrateWaitSeconds) + ")",
                                     rows),
                      "waiting for another migration");
  if (rows.front()[0] != "1") {
    return unavailable("another program has been changing the schema of database '" +
                       config.database + "' for " + std::to_string(kMigrateWaitSeconds) + " s");
  }
  // The lock goes with the session.
  RETURN_IF_ERROR(apply_missing(*session, config));
  return separate ? grant_service_rights(*session, config) : Status();
}

}  // namespace feedvault::storage
