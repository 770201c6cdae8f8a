#pragma once

#include <array>
#include <string_view>

namespace feedvault::storage {

/// What the services' own user needs to be allowed: granted by migrate(), tried by diagnose().
struct ServiceRight {
  std::string_view rights;  // "SELECT, INSERT"
  std::string_view table;
};
constexpr std::array kServiceRights = {
    ServiceRight{"SELECT, INSERT", "Messages"},
    ServiceRight{"SELECT, INSERT, UPDATE", "Feeds"},
    ServiceRight{"SELECT, INSERT, UPDATE", "Quarantine"},
    ServiceRight{"SELECT, INSERT", "Gaps"},
    ServiceRight{"SELECT", "Events"},
    ServiceRight{"SELECT", "Executions"},
    ServiceRight{"SELECT", "schema_migrations"},
};

}  // namespace feedvault::storage
