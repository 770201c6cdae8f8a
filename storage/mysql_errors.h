#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace feedvault::storage {

/// What an error number of server or client library means for a writer.
enum class ErrorClass : std::uint8_t {
  kDuplicateKey,    // a row with this key exists
  kData,            // this row, as it is, will never be taken
  kInfrastructure,  // away, busy, full, read-only: the same statement may work later
  kConnectionLost,  // as kInfrastructure, and the session with its transaction is gone
  kConfiguration,   // wrong account, rights, database or schema: somebody must change something
  kBug,             // we said something that no server accepts
};

/// Unknown numbers are kInfrastructure: retried, visible, and nobody's message is quarantined.
ErrorClass classify_mysql_error(unsigned number);

/// Outcome of one call to the server: number 0, or the server's error. Value type; success
/// allocates nothing.
struct [[nodiscard]] SqlError {
  unsigned number = 0;
  std::string text;

  bool ok() const { return number == 0; }
  ErrorClass error_class() const { return classify_mysql_error(number); }
  /// kUnavailable, kInvalidArgument (with a remedy) or kInternal; "<doing>: MySQL error 1146: ...".
  Status to_status(std::string_view doing) const;
};

}  // namespace feedvault::storage

/// Leaves the function with the Status of a SqlError that is none.
#define RETURN_IF_SQL_ERROR(expr, doing)                                       \
  do {                                                                         \
    if (const ::feedvault::storage::SqlError& error_ = (expr); !error_.ok()) { \
      return error_.to_status(doing);                                          \
    }                                                                          \
  } while (false)
