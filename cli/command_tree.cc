#include "cli/command_tree.h"

#include <CLI/CLI.hpp>

namespace feedvault::cli {
namespace {

/// "TEXT:{ndjson,csv,table}" is how CLI11 names the type of what may be one of these.
void split_type(const std::string& type, OptionEntry& entry) {
  const std::size_t colon = type.find(":{");
  entry.value = type.substr(0, type.find(':'));
  if (colon == std::string::npos) {
    return;
  }
  std::string rest = type.substr(colon + 2);
  rest = rest.substr(0, rest.find('}'));
  for (std::size_t comma = 0; comma != std::string::npos;) {
    comma = rest.find(',');
    entry.choices.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
}

OptionEntry read_option(const CLI::Option& option) {
  OptionEntry entry;
  entry.positional = option.get_positional();
  if (entry.positional) {
    entry.names = {option.get_name(/*positional=*/true)};
  }
  for (const std::string& name : option.get_snames()) {
    entry.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    entry.names.push_back("--" + name);
  }
  entry.required = option.get_required();
  entry.repeated = option.get_items_expected_max() > 1;
  entry.description = option.get_description();
  if (option.get_items_expected_max() > 0) {
    split_type(option.get_type_name(), entry);
  }
  return entry;
}

CommandEntry read_command(const CLI::App& app, const std::string& path) {
  CommandEntry entry;
  entry.path = path;
  entry.name = app.get_name();
  entry.description = app.get_description();
  entry.examples = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) {
      entry.options.push_back(read_option(*option));
    }
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) {
      entry.commands.push_back(read_command(*command, path + " " + command->get_name()));
    }
  }
  return entry;
}

void flatten_into(const CommandEntry& entry, std::vector<const CommandEntry*>& all) {
  all.push_back(&entry);
  for (const CommandEntry& command : entry.commands) {
    flatten_into(command, all);
  }
}

}  // namespace

CommandEntry read_command_tree(const CLI::App& app) {
  return read_command(app, "");
}

std::vector<const CommandEntry*> flatten(const CommandEntry& root) {
  std::vector<const CommandEntry*> all;
  flatten_into(root, all);
  return all;
}

}  // namespace feedvault::cli
