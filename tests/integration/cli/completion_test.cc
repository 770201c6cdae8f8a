// `feedvault completion` in the shells themselves, --help, and the manual page. No servers.

#include <filesystem>
#include <set>
#include <sstream>

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

#include "base/file.h"
#include "cli/command_line.h"
#include "cli/command_tree.h"
#include "cli/man_page.h"
#include "tests/integration/cli/config_file.h"
#include "tests/support/process.h"

namespace feedvault::cli {
namespace {

using testing::Finished;
using Words = std::set<std::string>;

Words words_of(const std::string& text) {
  std::istringstream in(text);
  Words words;
  for (std::string word; in >> word;) {
    words.insert(word);
  }
  return words;
}

class CompletionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_config(folder_.file("config.toml"), NatsConfig(), MysqlConfig(), 8081);
    build_command_line(app_, invocation_);
    tree_ = read_command_tree(app_);
  }

  /// Runs a script with the program in PATH, as users have it.
  Finished in_shell(std::vector<std::string> command) const {
    const std::string program = testing::built_program("feedvault");
    const std::string path = std::string(std::getenv("PATH"));
    return testing::run(command,
                        {{"PATH", program.substr(0, program.rfind('/')) + ":" + path},
                         {"FEEDVAULT_CONFIG", folder_.file("config.toml")},
                         {"HOME", folder_.path()}});
  }

  /// What bash offers behind `program` and `line`, whose last word is the one being typed; and what
  /// it complains of, which would be seen in the middle of the line.
  Words in_bash(const std::vector<std::string>& line,
                const std::string& program = "feedvault") const {
    std::string words = " '" + program + "'";
    for (const std::string& word : line) {
      words += " '" + word + "'";
    }
    const Finished finished =
        in_shell({"bash",
                  "-c",
                  // Works while a word is completed only.
                  "compopt() { :; }; source <(feedvault completion bash); COMP_WORDS=(" + words +
                      "); COMP_CWORD=" + std::to_string(line.size()) +
                      "; _feedvault; printf '%s\n' \"${COMPREPLY[@]}\""});
    EXPECT_EQ(finished.exit_code, 0) << finished.output;
    return words_of(finished.output);
  }

  /// The same of zsh. Its completion works in an interactive shell only; compadd and _describe
  /// stand in for it.
  std::string in_zsh(const std::string& lines) const {
    const Finished finished =
        in_shell({"zsh",
                  "-f",
                  "-c",
                  "compdef() { }; compadd() { shift; print -l -- \"$@\" }\n"
                  "_describe() { print -l -- ${(P)${@[-1]}} }\n"
                  "source <(feedvault completion zsh) || exit 3\n"
                  "offer() { words=(\"$@\"); CURRENT=$#words; _feedvault }\n" +
                      lines});
    EXPECT_EQ(finished.exit_code, 0) << finished.output;
    return finished.output;
  }

  /// The same of fish, which gives descriptions, too: "tail<TAB>print ...".
  Words in_fish(const std::string& line) const {
    const Finished finished =
        in_shell({"fish", "-c", "feedvault completion fish | source; complete -C '" + line + "'"});
    EXPECT_EQ(finished.exit_code, 0) << finished.output;
    Words words;
    std::istringstream in(finished.output);
    for (std::string offer; std::getline(in, offer);) {
      words.insert(offer.substr(0, offer.find('\t')));
    }
    return words;
  }

  testing::TempDir folder_;
  CLI::App app_{"", "feedvault"};
  Invocation invocation_;
  CommandEntry tree_;
};

TEST_F(CompletionTest, BashOffersCommandsOptionsFeedsAndValues) {
  EXPECT_EQ(in_bash({"qua"}), Words{"quarantine"});
  EXPECT_EQ(in_bash({"quarantine", ""}), (Words{"list", "show", "export", "requeue"}));
  EXPECT_EQ(in_bash({"tail", "ex"}), Words{"executions"});
  EXPECT_EQ(in_bash({"history", "events", "--f"}), (Words{"--from", "--format"}));
  EXPECT_EQ(in_bash({"history", "events", "--format", ""}), (Words{"ndjson", "csv", "table"}));
  EXPECT_EQ(in_bash({"quarantine", "list", "--feed", "ev"}), Words{"events"});
  EXPECT_EQ(in_bash({"--config", folder_.file("config.toml"), "verify", ""}),
            (Words{"events", "executions"}));
  EXPECT_EQ(in_bash({"--config", folder_.file("none.toml"), "verify", ""}), Words{});
  EXPECT_EQ(in_bash({"--config", folder_.file("conf")}), Words{folder_.file("config.toml")});
  EXPECT_EQ(in_bash({"completion", "f"}), Words{"fish"});
}

TEST_F(CompletionTest, FishOffersTheSame) {
  EXPECT_EQ(in_fish("feedvault qua"), Words{"quarantine"});
  EXPECT_EQ(in_fish("feedvault quarantine "), (Words{"list", "show", "export", "requeue"}));
  EXPECT_EQ(in_fish("feedvault tail ex"), Words{"executions"});
  EXPECT_EQ(in_fish("feedvault history events --f"), (Words{"--from", "--format"}));
  EXPECT_EQ(in_fish("feedvault history events --format "), (Words{"ndjson", "csv", "table"}));
}

TEST_F(CompletionTest, ZshCanReadItsScript) {
  const std::string output = in_zsh(
      "offer feedvault quarantine ''; offer feedvault tail ''; "
      "offer feedvault history events --format ''");
  const Words offered = words_of(output);
  for (const char* word : {"executions", "ndjson", "table", "--from:new,"}) {
    EXPECT_TRUE(offered.contains(word)) << word << "\n" << output;
  }
  EXPECT_NE(output.find("requeue:try again"), std::string::npos) << output;
}

TEST_F(CompletionTest, FeedsAreThoseOfTheConfigurationThatTheLineNames) {
  const Words feeds = {"events", "executions"};
  const std::string there = folder_.file("config.toml");
  const std::string none = folder_.file("none.toml");
  std::filesystem::create_symlink(testing::built_program("feedvault"), folder_.file("tool"));
  // HOME is the folder. bash makes "--config=x" three words.
  EXPECT_EQ(in_bash({"--config", "=", there, "verify", ""}), feeds);
  EXPECT_EQ(in_bash({"--config", "=", none, "verify", ""}), Words{});
  EXPECT_EQ(in_bash({"--config=" + none, "verify", ""}), Words{});
  EXPECT_EQ(in_bash({"--config", "~/config.toml", "tail", ""}), feeds);
  EXPECT_EQ(in_bash({"tail", ""}, "~/tool"), feeds);
  EXPECT_EQ(in_bash({"quarantine", "list", "--feed", "="}, "~/tool"), feeds);

  const auto zsh_feeds = [&](const std::string& line) {
    Words offered;
    for (const std::string& word : words_of(in_zsh("offer " + line))) {
      if (feeds.contains(word)) {
        offered.insert(word);
      }
    }
    return offered;
  };
  EXPECT_EQ(zsh_feeds("feedvault --config=" + there + " verify ''"), feeds);
  EXPECT_EQ(zsh_feeds("feedvault --config=" + none + " verify ''"), Words{});
  EXPECT_EQ(zsh_feeds("feedvault --config '~/config.toml' verify ''"), feeds);
  EXPECT_EQ(zsh_feeds("'~/tool' verify ''"), feeds);

  EXPECT_EQ(in_fish("feedvault --config=" + there + " verify "), feeds);
  EXPECT_EQ(in_fish("feedvault --config=" + none + " verify "), Words{});
  EXPECT_EQ(in_fish("feedvault --config " + none + " verify "), Words{});
  EXPECT_EQ(in_fish("feedvault --config ~/config.toml verify "), feeds);
}

TEST_F(CompletionTest, EveryCommandIsInEachScriptAndHasExamplesInItsHelp) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script =
        testing::run({testing::built_program("feedvault"), "completion", shell}).output;
    for (const CommandEntry* command : flatten(tree_)) {
      EXPECT_NE(script.find(command->path), std::string::npos) << shell << command->path;
    }
  }
  for (const CommandEntry* command : flatten(tree_)) {
    EXPECT_TRUE(command->examples.starts_with("Example")) << command->path;
    std::vector<std::string> line = {testing::built_program("feedvault")};
    std::istringstream path(command->path);
    for (std::string word; path >> word;) {
      line.push_back(word);
    }
    line.emplace_back("--help");
    const Finished help = testing::run(line);
    EXPECT_EQ(help.exit_code, 0) << help.output;
    EXPECT_NE(help.output.find(command->examples), std::string::npos) << help.output;
  }
}

/// The words of every example line "  feedvault ..." are commands and options that exist.
TEST_F(CompletionTest, ExamplesUseWhatThereIs) {
  Words known;
  for (const CommandEntry* command : flatten(tree_)) {
    for (const OptionEntry& option : command->options) {
      known.insert(option.names.begin(), option.names.end());
    }
  }
  for (const CommandEntry* command : flatten(tree_)) {
    std::istringstream lines(command->examples);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("  feedvault ")) {
        continue;
      }
      const std::string own = line.substr(0, line.find(" | "));
      EXPECT_TRUE(command->path.empty() || own.find(command->path) != std::string::npos) << line;
      for (const std::string& word : words_of(own)) {
        EXPECT_TRUE(!word.starts_with("--") || known.contains(word)) << line;
      }
    }
  }
}

TEST_F(CompletionTest, WhatCannotBeWrittenIsAProblem) {
  const Finished full = in_shell({"sh", "-c", "exec feedvault completion bash > /dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.output.find("feedvault: write: No space left"), std::string::npos) << full.output;
  const Finished doctor = in_shell({"sh", "-c", "exec feedvault doctor > /dev/full"});
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_NE(doctor.output.find("feedvault: write: No space left"), std::string::npos)
      << doctor.output;
}

TEST_F(CompletionTest, TheManualPageHasEveryCommandAndOption) {
  const std::string page = testing::run({testing::built_program("feedvault"), "man"}).output;
  EXPECT_EQ(page, man_page(tree_, FEEDVAULT_VERSION));
  ASSERT_TRUE(replace_file(folder_.file("feedvault.1"), page).ok());
  const Finished shown =
      testing::run({"groff", "-man", "-Tascii", "-P-cbou", "-ww", folder_.file("feedvault.1")});
  EXPECT_EQ(shown.exit_code, 0) << shown.output;
  EXPECT_EQ(shown.output.find("warning"), std::string::npos) << shown.output;
  for (const CommandEntry* command : flatten(tree_)) {
    EXPECT_NE(shown.output.find(command->name), std::string::npos) << command->path;
    for (const OptionEntry& option : command->options) {
      if (!option.positional) {
        EXPECT_NE(shown.output.find(option.names.back()), std::string::npos) << option.names.back();
      }
    }
  }
  EXPECT_NE(shown.output.find("feedvault tail executions --from first --json | jq -r .body.symbol"),
            std::string::npos)
      << shown.output;
}

}  // namespace
}  // namespace feedvault::cli
