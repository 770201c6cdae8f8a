#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/config.h"
#include "base/status.h"
#include "storage/session.h"

namespace feedvault::storage {

/// One file of sql/, as it was when this program was built.
struct Migration {
  std::uint32_t version;
  std::string_view name;  // "0001_catalogue"
  std::string_view sql;
};

/// All of them, versions 1, 2, 3 ...
std::span<const Migration> migrations();

/// kInvalidArgument, with what to do, unless the schema is exactly the one that this program knows.
Status check_schema(Session& session, const MysqlConfig& config);

}  // namespace feedvault::storage
