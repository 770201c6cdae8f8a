#pragma once

#include <map>
#include <string>

#include <nlohmann/json.hpp>

namespace feedvault::broker::testing {

/// Each leaf of a monitoring answer by its path ("connections[].cid"): what stands there, or only
/// its type where that tells the moment, the process or a port. Lists have their length under
/// "path[]". Subscriptions, which come in any order, are sorted.
std::map<std::string, std::string> leaves_of(const nlohmann::json& answer);

/// The same with types only.
std::map<std::string, std::string> shape_of(const nlohmann::json& answer);

}  // namespace feedvault::broker::testing
