#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace feedvault {

/// The whole file. kNotFound when it does not exist; files over `bytes_max` are refused.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max = 64U << 20U);

/// Replaces the file as a whole: after a crash it holds the old text or the new one, never a
/// mixture. On return the new text is on disk (file and folder fsynced).
Status replace_file(const std::string& path, std::string_view text);

}  // namespace feedvault
