#include <unistd.h>

#include "cli/doctor.h"
#include "storage/diagnosis.h"

namespace feedvault::cli {
namespace {

std::string where_database_is(const MysqlConfig& mysql) {
  return mysql.socket.empty() ? place_of(mysql.host, mysql.port) : mysql.socket;
}

bool on_this_machine(const MysqlConfig& mysql, const std::string& host_name) {
  // A container's port is on loopback, too, but its files are elsewhere: it has another name.
  char name[256] = {};
  return (!mysql.socket.empty() || is_loopback(mysql.host)) &&
         ::gethostname(name, sizeof(name) - 1) == 0 && host_name == name;
}

void examine_schema(const MysqlConfig& mysql,
                    const storage::Diagnosis& diagnosis,
                    Findings& findings) {
  if (!diagnosis.schema_user.ok()) {
    findings.fail("schema user",
                  diagnosis.schema_user.message(),
                  "correct [mysql] schema_user and schema_password: the controller needs them when "
                  "it starts");
  }
  if (!diagnosis.schema.ok()) {
    findings.fail("database schema",
                  diagnosis.schema.message(),
                  "start feedvault-controller of this version, which makes the tables");
    return;
  }
  findings.ok("database schema", mysql.database + ", " + diagnosis.schema_name);
  for (const std::string& right : diagnosis.missing_rights) {
    findings.fail("database rights",
                  "user '" + mysql.user + "' has no " + right,
                  "start the controller with [mysql] schema_user set, which grants it; or take the "
                  "server out of read-only mode, if that is what it says");
  }
  if (diagnosis.missing_rights.empty()) {
    findings.ok("database rights", "user '" + mysql.user + "' may do all that the services need");
  }
}

}  // namespace

bool examine_database(const Config& config, Findings& findings) {
  const MysqlConfig& mysql = config.mysql;
  auto found = storage::diagnose(mysql);
  if (!found.has_value()) {
    findings.fail("database",
                  found.error().message(),
                  found.error().code() == StatusCode::kInvalidArgument
                      ? "correct [mysql] in " + config.path +
                            "; the database itself is made by the controller when it first starts"
                      : "start the database server at " + where_database_is(mysql) +
                            ", or correct [mysql] host and port in " + config.path);
    return false;
  }
  const storage::Diagnosis& diagnosis = *found;
  findings.ok("database", diagnosis.version + " at " + where_database_is(mysql));
  examine_schema(mysql, diagnosis, findings);
  if (!diagnosis.settings.ok()) {
    findings.fail("database settings",
                  diagnosis.settings.message(),
                  "change it in the server's configuration and restart the server");
  }
  for (const auto& weakness : diagnosis.weaknesses) {
    findings.warn("database settings",
                  weakness.setting + ": " + weakness.consequence,
                  weakness.remedy + " in the server's configuration");
  }
  if (diagnosis.settings.ok() && diagnosis.weaknesses.empty()) {
    findings.ok("database settings", diagnosis.durability);
  }
  findings.add(
      judge_clock("database", diagnosis.clock_us, diagnosis.before_us, diagnosis.after_us));
  if (on_this_machine(mysql, diagnosis.host_name)) {
    examine_disk("database", diagnosis.data_folder, findings);
  }
  return diagnosis.schema.ok();
}

}  // namespace feedvault::cli
