#include "storage/server_settings.h"

#include <map>

#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

// Under this not even the statements' own text fits comfortably.
constexpr std::size_t kPacketBytesMin = 64U << 10U;
// A message of 1 MiB (the broker's default limit) and its JSON form.
constexpr std::size_t kPacketBytesAdvised = 4U << 20U;

}  // namespace

Result<ServerSettings> read_server_settings(Session& session) {
  std::vector<TextRow> rows;
  // SHOW and not @@name: no server knows all of them.
  RETURN_IF_SQL_ERROR(session.query("SHOW VARIABLES WHERE Variable_name IN ('max_allowed_packet', "
                                    "'innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', "
                                    "'innodb_doublewrite', 'innodb_flush_method')",
                                    rows),
                      "reading the server's settings");
  std::map<std::string, std::string> values;
  for (const TextRow& row : rows) {
    values[row[0].value_or("")] = row[1].value_or("");
  }
  ServerSettings settings;
  const std::string& packet = values["max_allowed_packet"];
  settings.packet_bytes_max = number_in<std::size_t>(packet);
  if (settings.packet_bytes_max < kPacketBytesMin) {
    return invalid_argument("the server's max_allowed_packet is " + packet +
                            " bytes; set it to 16M or more");
  }
  for (const char* name : {"innodb_flush_log_at_trx_commit", "innodb_doublewrite", "sync_binlog"}) {
    const bool matters = std::string_view(name) != "sync_binlog" || values["log_bin"] == "ON";
    if (matters) {
      settings.durability +=
          (settings.durability.empty() ? "" : ", ") + std::string(name) + " = " + values[name];
    }
  }
  const auto warn =
      [&](const std::string& name, const std::string& consequence, const std::string& remedy) {
        settings.warnings.push_back({name + " = " + values[name], consequence, remedy});
      };
  if (values["innodb_flush_log_at_trx_commit"] != "1") {
    warn("innodb_flush_log_at_trx_commit",
         "a crash of the machine can lose committed messages",
         "set it to 1");
  }
  if (values["log_bin"] == "ON" && values["sync_binlog"] != "1") {
    warn("sync_binlog",
         "after a crash of the machine replicas may miss committed messages",
         "set it to 1");
  }
  const std::string& doublewrite = values["innodb_doublewrite"];
  if (doublewrite == "OFF" || doublewrite == "0" || doublewrite == "DETECT_ONLY") {
    warn("innodb_doublewrite", "a power failure in the middle of a page loses it", "turn it on");
  }
  const std::string& method = values["innodb_flush_method"];
  if (method == "nosync" || method == "O_DIRECT_NO_FSYNC") {
    warn("innodb_flush_method", "not every write is followed by fsync", "use O_DIRECT or fsync");
  }
  if (settings.packet_bytes_max < kPacketBytesAdvised) {
    warn("max_allowed_packet", "large messages will be quarantined", "set it to 16M or more");
  }
  return settings;
}

}  // namespace feedvault::storage
