#pragma once

#include <string>

#include "cli/command_tree.h"

namespace feedvault::cli {

// Completion scripts, each for a program `root.name` whose hidden command `complete feeds` prints
// the names of the configured feeds. They know nothing but the tree.

std::string bash_completion(const CommandEntry& root);
std::string zsh_completion(const CommandEntry& root);
std::string fish_completion(const CommandEntry& root);

}  // namespace feedvault::cli
