#include "storage/diagnosis.h"

#include "base/clock.h"
#include "storage/migrations.h"
#include "storage/server_settings.h"
#include "storage/service_rights.h"
#include "storage/session.h"
#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

/// Runs a statement that needs the right and has no effect: the server checks rights before it
/// looks for rows, and there are none. A server that takes no writes at the moment says so, too.
SqlError try_right(Session& session, std::string_view right, const std::string& table) {
  if (right == "INSERT") {
    return session.execute("INSERT INTO " + table + " SELECT * FROM " + table + " WHERE FALSE");
  }
  if (right == "UPDATE") {
    return session.execute("UPDATE " + table + " SET feed=feed WHERE FALSE");
  }
  std::vector<TextRow> rows;
  return session.query("SELECT * FROM " + table + " LIMIT 0", rows);
}

Result<std::vector<std::string>> try_rights(Session& session) {
  std::vector<std::string> missing;
  for (const ServiceRight& needed : kServiceRights) {
    const std::string table = quote_identifier(needed.table);
    for (std::string_view rest = needed.rights; !rest.empty();) {
      const std::size_t comma = rest.find(", ");
      const std::string_view right = rest.substr(0, comma);
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 2);
      const SqlError error = try_right(session, right, table);
      if (error.error_class() == ErrorClass::kConnectionLost) {
        return error.to_status("trying rights");
      }
      if (!error.ok()) {
        missing.push_back(std::string(right) + " on " + std::string(needed.table) + ": " +
                          error.text);
      }
    }
  }
  return missing;
}

Status log_in_as_schema_user(const MysqlConfig& config) {
  if (config.schema_user.empty() || config.schema_user == config.user) {
    return {};
  }
  SessionOptions options;
  options.user = config.schema_user;
  options.password = config.schema_password;
  options.select_database = false;
  return Session::open(config, options).status();
}

Status read_clock_and_place(Session& session, Diagnosis& diagnosis) {
  std::vector<TextRow> rows;
  diagnosis.before_us = Clock::system().unix_ns() / 1000;
  RETURN_IF_SQL_ERROR(
      session.query("SELECT TIMESTAMPDIFF(MICROSECOND,'1970-01-01',UTC_TIMESTAMP(6))", rows),
      "reading the server's clock");
  diagnosis.after_us = Clock::system().unix_ns() / 1000;
  diagnosis.clock_us = number_in<std::int64_t>(rows.front()[0]);
  RETURN_IF_SQL_ERROR(session.query("SELECT VERSION(),@@hostname,@@datadir", rows),
                      "reading the server's version");
  diagnosis.version = rows.front()[0].value_or("");
  diagnosis.host_name = rows.front()[1].value_or("");
  diagnosis.data_folder = rows.front()[2].value_or("");
  return {};
}

}  // namespace

Result<Diagnosis> diagnose(const MysqlConfig& config) {
  Diagnosis diagnosis;
  SessionOptions options;
  options.user = config.user;
  options.password = config.password;
  ASSIGN_OR_RETURN(const auto session, Session::open(config, options));
  RETURN_IF_ERROR(read_clock_and_place(*session, diagnosis));
  diagnosis.schema = check_schema(*session, config);
  if (diagnosis.schema.ok()) {
    const Migration& newest = migrations().back();
    diagnosis.schema_name =
        "version " + std::to_string(newest.version) + ", " + std::string(newest.name);
    ASSIGN_OR_RETURN(diagnosis.missing_rights, try_rights(*session));
  }
  const auto settings = read_server_settings(*session);
  diagnosis.settings = settings.status();
  if (settings.has_value()) {
    diagnosis.durability = settings->durability;
    for (const SettingWarning& warning : settings->warnings) {
      diagnosis.weaknesses.push_back({warning.setting, warning.consequence, warning.remedy});
    }
  }
  diagnosis.schema_user = log_in_as_schema_user(config);
  return diagnosis;
}

}  // namespace feedvault::storage
