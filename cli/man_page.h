#pragma once

#include <string>

#include "cli/command_tree.h"

namespace feedvault::cli {

/// The manual page feedvault(1), as roff: every command of the tree, and what stands in no tree
/// (exit codes, environment, files).
std::string man_page(const CommandEntry& root, const std::string& version);

}  // namespace feedvault::cli
