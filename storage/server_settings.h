#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/session.h"

namespace feedvault::storage {

/// A setting that weakens "committed" or refuses our messages.
struct SettingWarning {
  std::string setting;      // "sync_binlog = 0"
  std::string consequence;  // in words
  std::string remedy;       // "set it to 1"

  std::string to_string() const { return setting + ": " + consequence + "; " + remedy; }
};

/// What a writer needs to know of the server it talks to.
struct ServerSettings {
  std::size_t packet_bytes_max = 0;  // max_allowed_packet
  std::vector<SettingWarning> warnings;
  std::string durability;  // what "committed" rests on, as it is: "sync_binlog = 1, ..."
};

/// kInvalidArgument when no batch could be stored with these settings.
Result<ServerSettings> read_server_settings(Session& session);

}  // namespace feedvault::storage
