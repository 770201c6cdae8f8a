#include "cli/command_line.h"

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "base/version.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/man_page.h"

namespace feedvault::cli {
namespace {

constexpr const char* kFromHelp = "first, a position (4711) or a time (2026-11-21T20:48:54Z)";
constexpr const char* kToHelp = "a position or a time, included; else what is there";

/// The commands that cannot do without a configuration: says what is wrong with it, in one line.
template <typename Function>
std::function<int(const ConfigLoader&)> with_config(Function command) {
  return [command](const ConfigLoader& load) {
    const Result<Config> config = load();
    if (!config.has_value()) {
      std::fprintf(stderr, "feedvault: %s\n", config.error().message().c_str());
      return kExitUsage;
    }
    return command(*config);
  };
}

void add_feed(CLI::App* command, std::string& feed) {
  command->add_option("feed", feed, "the feed: events, executions ...")
      ->required()
      ->type_name(kFeedType);
}

void add_tail(CLI::App& app, Invocation& chosen) {
  auto options = std::make_shared<TailOptions>();
  CLI::App* command = app.add_subcommand("tail", "print a feed's messages as they are published");
  add_feed(command, options->feed);
  command->add_option(
      "--from", options->from, "new, first, a position (4711) or a time (2026-11-21T20:48:54Z)");
  command->add_flag("--json", options->json, "one JSON object a line");
  command->add_option("--count", options->count, "end after so many messages")
      ->check(CLI::PositiveNumber);
  command->add_flag(
      "!--no-history", options->history, "leave out what the stream does not hold any more");
  command->footer(
      "Examples:\n"
      "  feedvault tail events\n"
      "  feedvault tail executions --from first --json | jq -r .body.symbol\n"
      "  feedvault tail executions --from 2026-11-21T20:48:54Z --count 100");
  command->callback([&chosen, options] {
    chosen.run = with_config([options](const Config& config) { return tail(config, *options); });
    chosen.waits_for_signals = true;
    chosen.logs_warnings = true;
  });
}

void add_history(CLI::App& app, Invocation& chosen) {
  auto options = std::make_shared<HistoryOptions>();
  CLI::App* command =
      app.add_subcommand("history", "print what the table holds of a feed, decoded");
  add_feed(command, options->feed);
  command->add_option("filters",
                      options->filters,
                      "FIELD=VALUE: only messages whose fields have these values (symbol=EURUSD)");
  command->add_option("--from", options->from, kFromHelp);
  command->add_option("--to", options->to, kToHelp);
  command->add_option("--format", options->format, "ndjson, csv or table (ndjson)")
      ->check(CLI::IsMember({"ndjson", "csv", "table"}));
  command->footer(
      "Examples:\n"
      "  feedvault history executions symbol=EURUSD --format table\n"
      "  feedvault history events --from 1 --to 1000 > events.ndjson\n"
      "  feedvault history executions --from 2026-11-21T00:00:00Z --format csv > day.csv");
  command->callback([&chosen, options] {
    chosen.run = with_config([options](const Config& config) { return history(config, *options); });
  });
}

void add_verify(CLI::App& app, Invocation& chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "compare table and stream, message by message; exit code 0: all is as it must be");
  add_feed(command, options->feed);
  command->add_option("--from", options->from, kFromHelp);
  command->add_option("--to", options->to, kToHelp);
  command->footer(
      "Examples:\n"
      "  feedvault verify events\n"
      "  feedvault verify executions --from 2026-11-21T00:00:00Z || echo look at it");
  command->callback([&chosen, options] {
    chosen.run = with_config([options](const Config& config) { return verify(config, *options); });
  });
}

void add_status(CLI::App& app, Invocation& chosen) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command =
      app.add_subcommand("status", "every feed: captured, catalogued, published, lag, rate");
  command->add_flag("--json", options->json, "as one JSON object (a line each with --watch)");
  command->add_flag("--watch", options->watch, "again and again, until Ctrl-C");
  command->add_option("--interval", options->interval_s, "with --watch: seconds in between (2)")
      ->check(CLI::Range(1, 3600))
      ->needs("--watch");
  command->footer(
      "Examples:\n"
      "  feedvault status --watch\n"
      "  feedvault status --json | jq '.feeds[] | {name, lag_messages}'");
  command->callback([&chosen, options] {
    chosen.run = with_config([options](const Config& config) { return status(config, *options); });
    chosen.waits_for_signals = options->watch;
  });
}

void add_doctor(CLI::App& app, Invocation& chosen) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command = app.add_subcommand(
      "doctor", "examine configuration, broker, database and services; exit code 0: no failure");
  command->add_flag("--json", options->json, "as one JSON object");
  command
      ->add_option("--gateway",
                   options->gateway,
                   "HOST:PORT of the gateway, where it is not at [http] bind and port")
      ->type_name("ADDRESS")
      ->take_last();
  command->footer(
      "Examples:\n"
      "  feedvault doctor\n"
      "  feedvault doctor --gateway feeds.example.org:8080\n"
      "  feedvault doctor --json | jq '.checks[] | select(.result != \"ok\")'");
  command->callback([&chosen, options] {
    // What is wrong with the configuration is its first finding.
    chosen.run = [options](const ConfigLoader& load) { return doctor(load(), *options); };
  });
}

void add_quarantine_list(CLI::App* group, Invocation& chosen) {
  auto list = std::make_shared<QuarantineListOptions>();
  CLI::App* command = group->add_subcommand("list", "what there is, newest first");
  command->add_option("--feed", list->feed, "of one feed only")->type_name(kFeedType);
  command->add_option("--limit", list->limit, "at most so many (100)")->check(CLI::PositiveNumber);
  command->add_flag("--json", list->json, "one JSON object a line");
  command->footer(
      "Examples:\n"
      "  feedvault quarantine list --feed events\n"
      "  feedvault quarantine list --json | jq -r .error | sort | uniq -c");
  command->callback([&chosen, list] {
    chosen.run =
        with_config([list](const Config& config) { return quarantine_list(config, *list); });
  });
}

void add_quarantine_requeue(CLI::App* group, Invocation& chosen) {
  auto requeue = std::make_shared<RequeueOptions>();
  CLI::App* command =
      group->add_subcommand("requeue", "try again: each gets a position exactly once");
  command->add_option("ids", requeue->ids, "IDs in the list");
  CLI::Option* all = command->add_flag("--all", requeue->all, "all of one feed");
  CLI::Option* feed =
      command->add_option("--feed", requeue->feed, "with --all: which feed")->type_name(kFeedType);
  all->needs(feed);
  feed->needs(all);
  command->footer(
      "Examples:\n"
      "  feedvault quarantine requeue 17 18\n"
      "  feedvault quarantine requeue --all --feed events");
  command->callback([&chosen, requeue] {
    if (requeue->all != requeue->ids.empty()) {
      throw CLI::ValidationError("requeue", "give either IDs or --all --feed FEED");
    }
    chosen.run = with_config(
        [requeue](const Config& config) { return quarantine_requeue(config, *requeue); });
  });
}

void add_quarantine(CLI::App& app, Invocation& chosen) {
  CLI::App* group = app.add_subcommand("quarantine", "messages that could not be catalogued");
  group->require_subcommand(1);
  add_quarantine_list(group, chosen);
  auto id = std::make_shared<std::uint64_t>(0);
  CLI::App* command = group->add_subcommand("show", "one message, with the reason and its bytes");
  command->add_option("id", *id, "its ID in the list")->required();
  command->footer("Example:\n  feedvault quarantine show 17");
  command->callback([&chosen, id] {
    chosen.run = with_config([id](const Config& config) { return quarantine_show(config, *id); });
  });
  command = group->add_subcommand("export", "the bytes of one message, as received, to stdout");
  command->add_option("id", *id, "its ID in the list")->required();
  command->footer("Example:\n  feedvault quarantine export 17 > message.bin");
  command->callback([&chosen, id] {
    chosen.run = with_config([id](const Config& config) { return quarantine_export(config, *id); });
  });
  add_quarantine_requeue(group, chosen);
  group->footer("Example:\n  feedvault quarantine list");
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return finish_output(kExitOk);
}

void add_completion(CLI::App& app, Invocation& chosen) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("completion", "print what completes this program's words in a shell");
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples:\n"
      "  source <(feedvault completion bash)     # in ~/.bashrc\n"
      "  source <(feedvault completion zsh)      # in ~/.zshrc, behind compinit\n"
      "  feedvault completion fish > ~/.config/fish/completions/feedvault.fish");
  command->callback([&app, &chosen, shell] {
    chosen.run = [&app, shell](const ConfigLoader&) {
      const CommandEntry tree = read_command_tree(app);
      return print(*shell == "bash"  ? bash_completion(tree)
                   : *shell == "zsh" ? zsh_completion(tree)
                                     : fish_completion(tree));
    };
  });
}

/// Hidden: for the completion scripts, and for the build.
void add_hidden(CLI::App& app, Invocation& chosen) {
  CLI::App* command = app.add_subcommand("complete", "")->group("");
  command->require_subcommand(1);
  command->add_subcommand("feeds", "")->callback([&chosen] {
    chosen.run = [](const ConfigLoader& load) {
      const Result<Config> config = load();
      std::string names;
      for (const FeedConfig& feed :
           config.has_value() ? config->feeds : std::vector<FeedConfig>()) {
        names += feed.name + "\n";
      }
      return print(names);
    };
  });
  app.add_subcommand("man", "")->group("")->callback([&app, &chosen] {
    chosen.run = [&app](const ConfigLoader&) {
      return print(man_page(read_command_tree(app), kVersion));
    };
  });
}

}  // namespace

void build_command_line(CLI::App& app, Invocation& chosen) {
  app.set_version_flag("--version", std::string("feedvault ") + kVersion, "print the version");
  app.add_option(
         "--config", chosen.config_path, "configuration (FEEDVAULT_CONFIG, else ./config.toml)")
      ->type_name(kFileType);
  app.require_subcommand(1);
  add_tail(app, chosen);
  add_history(app, chosen);
  add_verify(app, chosen);
  add_status(app, chosen);
  add_doctor(app, chosen);
  add_quarantine(app, chosen);
  add_completion(app, chosen);
  add_hidden(app, chosen);
  app.footer(
      "Examples:\n"
      "  feedvault tail executions --from first\n"
      "  feedvault doctor\n"
      "feedvault COMMAND --help tells the rest.");
}

}  // namespace feedvault::cli
