#include "cli/man_page.h"

#include <algorithm>

namespace feedvault::cli {
namespace {

/// Text as roff prints it letter by letter: a hyphen is a minus, and no line is a request.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  });
  return text;
}

/// "quarantine requeue [IDS ...] [--all] [--feed FEED]"
std::string synopsis(const CommandEntry& command) {
  std::string text = command.path.empty() ? "" : command.path.substr(1);
  for (const OptionEntry& option : command.options) {
    if (option.positional) {
      const std::string name = upper(option.names.front()) + (option.repeated ? " ..." : "");
      text += option.required ? " " + name : " [" + name + "]";
    }
  }
  for (const OptionEntry& option : command.options) {
    if (!option.positional && option.names.back() != "--help") {
      text += " [" + option.names.back() + (option.value.empty() ? "" : " " + option.value) + "]";
    }
  }
  return text;
}

std::string option_items(const CommandEntry& command) {
  std::string text;
  for (const OptionEntry& option : command.options) {
    std::string names;
    for (const std::string& name : option.names) {
      names += (names.empty() ? "" : ", ") + (option.positional ? upper(name) : name);
    }
    text += ".TP\n.B " + roff(names);
    if (!option.positional && !option.value.empty()) {
      text += " \\fI" + roff(option.value) + "\\fR";
    }
    text += "\n" + roff(option.description) + "\n";
  }
  return text;
}

/// The examples, without their heading, as they are typed.
std::string example_lines(const std::string& examples) {
  const std::size_t first = examples.find('\n');
  if (first == std::string::npos) {
    return "";
  }
  return ".PP\n.nf\n" + roff(examples.substr(first + 1)) + "\n.fi\n";
}

constexpr const char* kEnd =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nAll is well.\n"
    ".TP\n.B 1\nSomething is wrong, or is not there; stderr says what.\n"
    ".TP\n.B 2\nArguments or configuration are wrong; stderr says what would be right. For "
    "\\fBdoctor\\fR a wrong configuration is a finding as others are: 1.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B FEEDVAULT_CONFIG\nThe configuration, unless \\fB\\-\\-config\\fR names one.\n"
    ".TP\n.B FEEDVAULT_\\fISECTION\\fB_\\fIKEY\\fR\n"
    "Overrides a key of the configuration: FEEDVAULT_NATS_PORT, FEEDVAULT_MYSQL_PASSWORD.\n"
    ".SH FILES\n"
    ".TP\n.I ./config.toml\nThe configuration, where nothing else is said.\n";

}  // namespace

std::string man_page(const CommandEntry& root, const std::string& version) {
  const std::string title = upper(root.name);
  std::string text = ".TH " + title + " 1 \"\" \"" + roff(root.name + " " + version) +
                     "\" \"User commands\"\n.SH NAME\n" + root.name +
                     " \\- reads Feedvault\\(aqs feeds and looks after them\n.SH SYNOPSIS\n.B " +
                     root.name + "\n[\\fB\\-\\-config\\fR \\fIFILE\\fR] \\fICOMMAND\\fR ...\n" +
                     ".SH DESCRIPTION\n"
                     "Feedvault records every message of protobuf feeds exactly once in MySQL and "
                     "serves it exactly once to subscribers. This program prints feeds, live and "
                     "out of the past, compares what is stored, tells how the feeds are, and looks "
                     "after messages that could not be catalogued.\n"
                     ".SH OPTIONS\n" +
                     option_items(root) + ".SH COMMANDS\n";
  for (const CommandEntry* command : flatten(root)) {
    if (command->path.empty() || !command->commands.empty()) {
      continue;
    }
    text += ".SS " + roff(synopsis(*command)) + "\n" + roff(command->description) + ".\n" +
            option_items(*command) + example_lines(command->examples);
  }
  return text + kEnd;
}

}  // namespace feedvault::cli
