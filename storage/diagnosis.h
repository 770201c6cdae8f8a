#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::storage {

/// What can be said of the database, as far as the services' own user ([mysql] user) gets to know
/// it. Value type.
struct Diagnosis {
  std::string version;      // "10.11.14-MariaDB-0+deb12u2"
  std::string host_name;    // of the machine or container that the server runs on
  std::string data_folder;  // there
  /// The server's clock when it was asked, and ours before and after that; Unix microseconds.
  std::int64_t clock_us = 0;
  std::int64_t before_us = 0;
  std::int64_t after_us = 0;
  Status schema;            // ok: exactly the one of this program
  std::string schema_name;  // "version 2, 0002_views"
  Status schema_user;       // whether the controller could log in to change the schema
  /// Rights that the services need and do not have: "INSERT on Messages: <the server's words>".
  /// Not looked at while the schema is not ok.
  std::vector<std::string> missing_rights;
  Status settings;  // not ok: nothing can be stored with the server's settings
  struct Weakness {
    std::string setting;      // "sync_binlog = 0"
    std::string consequence;  // in words
    std::string remedy;
  };
  std::vector<Weakness> weaknesses;
  std::string durability;  // the settings behind "committed": "sync_binlog = 1, ..."
};

/// Asks the server, changing nothing: rights to write are tried with statements that match no row.
/// The error: there is no talking to it (away, wrong account, no such database).
Result<Diagnosis> diagnose(const MysqlConfig& config);

}  // namespace feedvault::storage
