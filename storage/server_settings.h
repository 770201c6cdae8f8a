#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/session.h"

namespace feedvault::storage {

/// What a writer needs to know of the server it talks to.
struct ServerSettings {
  std::size_t packet_bytes_max = 0;   // max_allowed_packet
  std::vector<std::string> warnings;  // settings that weaken "committed" or refuse our messages
};

/// kInvalidArgument when no batch could be stored with these settings.
Result<ServerSettings> read_server_settings(Session& session);

}  // namespace feedvault::storage
