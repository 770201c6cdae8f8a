#pragma once

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "base/config.h"

namespace feedvault::testing {

/// Writes a config.toml with our two feeds for these servers.
inline void write_config(const std::string& path,
                         const NatsConfig& nats,
                         const MysqlConfig& mysql,
                         std::uint16_t controller_port) {
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  const std::string proto = std::string(FEEDVAULT_SOURCE_DIR) + "/proto/";
  std::ofstream out(path);
  out << "[nats]\nhost = " << quoted(nats.host) << "\nport = " << nats.port
      << "\nuser = " << quoted(nats.user) << "\npassword = " << quoted(nats.password) << "\n"
      << "[mysql]\nhost = " << quoted(mysql.host) << "\nport = " << mysql.port
      << "\nuser = " << quoted(mysql.user) << "\npassword = " << quoted(mysql.password)
      << "\ndatabase = " << quoted(mysql.database)
      << "\nschema_user = " << quoted(mysql.schema_user)
      << "\nschema_password = " << quoted(mysql.schema_password) << "\n"
      << "[controller]\nport = " << controller_port << "\n"
      << "[[feed]]\nname = \"events\"\nnumber = 1\nsubjects = [\"sport_event\", \"event\"]\n"
      << "proto = " << quoted(proto + "event.proto") << "\nmessage = \"event\"\n"
      << "republish = \"feed.events\"\n"
      << "[[feed]]\nname = \"executions\"\nnumber = 2\nsubjects = [\"execution\"]\n"
      << "proto = " << quoted(proto + "execution.proto") << "\nmessage = \"execution\"\n"
      << "republish = \"feed.executions\"\n";
}

}  // namespace feedvault::testing
