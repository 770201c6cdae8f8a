#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11 names it so
class App;
}

namespace feedvault::cli {

// The command line as plain values, read out of CLI11's own tree: what completion and man page are
// made of, so that they cannot say anything else than --help.

// Names of value types that completion knows how to offer.
constexpr const char* kFeedType = "FEED";
constexpr const char* kFileType = "FILE";

struct OptionEntry {
  std::vector<std::string> names;  // "--from"; of a positional one its name, "feed"
  bool positional = false;
  bool required = false;
  bool repeated = false;
  std::string value;                 // "TEXT", "FEED" ...; empty: a flag
  std::vector<std::string> choices;  // the only values it takes; empty: any
  std::string description;
};

struct CommandEntry {
  std::string path;  // " quarantine list"; of the program itself ""
  std::string name;
  std::string description;
  std::string examples;              // as --help shows them
  std::vector<OptionEntry> options;  // positional ones included
  std::vector<CommandEntry> commands;
};

/// Without what is hidden from --help.
CommandEntry read_command_tree(const CLI::App& app);

/// The command and those below it, each before its own.
std::vector<const CommandEntry*> flatten(const CommandEntry& root);

}  // namespace feedvault::cli
