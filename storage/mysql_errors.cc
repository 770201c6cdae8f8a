#include "storage/mysql_errors.h"

#include <algorithm>
#include <array>

namespace feedvault::storage {
namespace {

struct Entry {
  unsigned number;
  ErrorClass error_class;
  std::string_view remedy;
};

constexpr std::string_view kCheckAccount =
    "check [mysql] user and password, or schema_user and schema_password";
constexpr std::string_view kCheckRights =
    "grant the account what it needs, or let the controller do so by giving it a schema_user";
constexpr std::string_view kMigrate =
    "the schema is missing or older than this program: start feedvault-controller, which brings it "
    "up to date";
constexpr std::string_view kCheckPlugin =
    "the account's authentication plugin is not available to the client library";

// Sorted by number. MySQL and MariaDB agree below 1900; 3000 and more are MySQL's, 4000 and more
// MariaDB's; 2000 to 2999 come from the client library.
constexpr std::array kErrors = {
    Entry{1044, ErrorClass::kConfiguration, kCheckRights},   // database access denied
    Entry{1045, ErrorClass::kConfiguration, kCheckAccount},  // access denied
    Entry{1048, ErrorClass::kData, ""},                      // column cannot be null
    Entry{1049,
          ErrorClass::kConfiguration,
          "create the database, or start feedvault-controller with a schema_user that may"},
    Entry{1054, ErrorClass::kConfiguration, kMigrate},  // unknown column
    Entry{1062, ErrorClass::kDuplicateKey, ""},
    Entry{1064, ErrorClass::kBug, ""},   // syntax
    Entry{1118, ErrorClass::kData, ""},  // row size too large
    Entry{1130, ErrorClass::kConfiguration, "the server does not let this host in"},
    Entry{1142, ErrorClass::kConfiguration, kCheckRights},  // table access denied
    Entry{1143, ErrorClass::kConfiguration, kCheckRights},  // column access denied
    Entry{1146, ErrorClass::kConfiguration, kMigrate},      // no such table
    Entry{1153, ErrorClass::kData, ""},                     // packet too large
    Entry{1210, ErrorClass::kBug, ""},                      // wrong arguments to execute
    Entry{1227, ErrorClass::kConfiguration, kCheckRights},  // specific access denied
    Entry{1251, ErrorClass::kConfiguration, kCheckPlugin},
    Entry{1264, ErrorClass::kData, ""},                     // out of range
    Entry{1265, ErrorClass::kData, ""},                     // data truncated
    Entry{1292, ErrorClass::kData, ""},                     // incorrect datetime value
    Entry{1301, ErrorClass::kData, ""},                     // larger than max_allowed_packet
    Entry{1356, ErrorClass::kConfiguration, kMigrate},      // view refers to what is not there
    Entry{1366, ErrorClass::kData, ""},                     // incorrect string value
    Entry{1370, ErrorClass::kConfiguration, kCheckRights},  // routine access denied
    Entry{1406, ErrorClass::kData, ""},                     // data too long
    Entry{1410, ErrorClass::kConfiguration, kCheckRights},  // may not create a user with GRANT
    Entry{1411, ErrorClass::kData, ""},                     // wrong value for type
    Entry{1524, ErrorClass::kConfiguration, kCheckPlugin},
    Entry{1586, ErrorClass::kDuplicateKey, ""},  // duplicate, with the key's name
    Entry{1665, ErrorClass::kConfiguration, "set binlog_format to ROW or MIXED"},
    Entry{1690, ErrorClass::kData, ""},                      // value out of range
    Entry{1698, ErrorClass::kConfiguration, kCheckAccount},  // access denied, without a password
    Entry{1820, ErrorClass::kConfiguration, "the account's password has expired"},
    Entry{1862, ErrorClass::kConfiguration, "the account's password has expired"},
    Entry{2002, ErrorClass::kConnectionLost, ""},           // cannot connect, socket
    Entry{2003, ErrorClass::kConnectionLost, ""},           // cannot connect, host
    Entry{2005, ErrorClass::kConnectionLost, ""},           // unknown host
    Entry{2006, ErrorClass::kConnectionLost, ""},           // server has gone away
    Entry{2012, ErrorClass::kConnectionLost, ""},           // error in handshake
    Entry{2013, ErrorClass::kConnectionLost, ""},           // lost during query
    Entry{2014, ErrorClass::kBug, ""},                      // commands out of sync
    Entry{2020, ErrorClass::kData, ""},                     // packet too large, client's limit
    Entry{2026, ErrorClass::kConnectionLost, ""},           // TLS
    Entry{2027, ErrorClass::kConnectionLost, ""},           // malformed packet
    Entry{2054, ErrorClass::kConfiguration, kCheckPlugin},  // not implemented by the client
    Entry{2055, ErrorClass::kConnectionLost, ""},           // lost, with the system's reason
    Entry{2058, ErrorClass::kConfiguration, kCheckPlugin},
    Entry{2059, ErrorClass::kConfiguration, kCheckPlugin},
    Entry{2061, ErrorClass::kConfiguration, kCheckPlugin},
    Entry{3118, ErrorClass::kConfiguration, "the account is locked"},
    Entry{3140, ErrorClass::kData, ""},  // invalid JSON text
    Entry{3141, ErrorClass::kData, ""},  // invalid JSON argument
    Entry{3144, ErrorClass::kData, ""},  // JSON of a wrong character set
    Entry{3157, ErrorClass::kData, ""},  // JSON nested too deep
    Entry{3819, ErrorClass::kData, ""},  // CHECK violated, MySQL
    Entry{4025, ErrorClass::kData, ""},  // CHECK violated, MariaDB
    Entry{4151, ErrorClass::kConfiguration, "the account is locked"},
};

static_assert(std::is_sorted(kErrors.begin(), kErrors.end(), [](const Entry& a, const Entry& b) {
  return a.number < b.number;
}));

const Entry* find_entry(unsigned number) {
  const auto* const it =
      std::lower_bound(kErrors.begin(), kErrors.end(), number, [](const Entry& entry, unsigned n) {
        return entry.number < n;
      });
  return it != kErrors.end() && it->number == number ? it : nullptr;
}

StatusCode status_code(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::kInfrastructure:
    case ErrorClass::kConnectionLost:
      return StatusCode::kUnavailable;
    case ErrorClass::kConfiguration:
    case ErrorClass::kData:
      return StatusCode::kInvalidArgument;
    case ErrorClass::kDuplicateKey:
      return StatusCode::kDuplicate;
    case ErrorClass::kBug:
      break;
  }
  return StatusCode::kInternal;
}

}  // namespace

ErrorClass classify_mysql_error(unsigned number) {
  const Entry* entry = find_entry(number);
  return entry == nullptr ? ErrorClass::kInfrastructure : entry->error_class;
}

Status SqlError::to_status(std::string_view doing) const {
  if (ok()) {
    return {};
  }
  std::string message(doing);
  message += ": MySQL error " + std::to_string(number) + ": " + text;
  const Entry* entry = find_entry(number);
  if (entry != nullptr && !entry->remedy.empty()) {
    message += "; ";
    message += entry->remedy;
  }
  return {status_code(error_class()), std::move(message)};
}

}  // namespace feedvault::storage
