#pragma once

#include "base/status.h"
#include "broker/options.h"

namespace feedvault::broker {

/// Sends the broker's log where the options say: stderr, a file (renamed to FILE.1 when it exceeds
/// file_bytes_max), or syslog; and sets its level. Also at reload. Call before other threads log.
Status set_up_log(const LoggingOptions& options);

/// Opens the log file again, after something has renamed it away. Any thread.
Status reopen_log(const LoggingOptions& options);

}  // namespace feedvault::broker
