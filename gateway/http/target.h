#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace feedvault::gateway {

/// Undoes percent-encoding; nullopt for a '%' without two hexadecimal digits behind it, for a zero
/// byte and for what is not UTF-8 then.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// Encodes all but letters, digits and "-._~".
std::string percent_encode(std::string_view text);

/// A query in the order it came, decoded: "from=1&sport=GOLF". kInvalidArgument with what would be
/// right.
using QueryItems = std::vector<std::pair<std::string, std::string>>;
Result<QueryItems> parse_query(std::string_view query);

}  // namespace feedvault::gateway
