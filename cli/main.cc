// feedvault: the user's tool.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>

#include <CLI/CLI.hpp>

#include "base/config.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/commands.h"

namespace feedvault::cli {
namespace {

using Command = std::function<int(const Config&)>;

void add_tail(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<TailOptions>();
  CLI::App* command = app.add_subcommand("tail", "print a feed's messages as they are published");
  command->add_option("feed", options->feed, "the feed: events, executions ...")->required();
  command->add_option(
      "--from", options->from, "new, first, a position (4711) or a time (2026-11-21T20:48:54Z)");
  command->add_flag("--json", options->json, "one JSON object a line");
  command->add_option("--count", options->count, "end after so many messages")
      ->check(CLI::PositiveNumber);
  command->add_flag(
      "!--no-history", options->history, "leave out what the stream does not hold any more");
  command->callback([&chosen, options] {
    chosen = [options](const Config& config) { return tail(config, *options); };
  });
}

void add_history(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<HistoryOptions>();
  CLI::App* command =
      app.add_subcommand("history", "print what the table holds of a feed, decoded");
  command->add_option("feed", options->feed, "the feed: events, executions ...")->required();
  command->add_option("filters",
                      options->filters,
                      "FIELD=VALUE: only messages whose fields have these values (symbol=EURUSD)");
  command->add_option(
      "--from", options->from, "first, a position (4711) or a time (2026-11-21T20:48:54Z)");
  command->add_option("--to", options->to, "a position or a time, included; else what is there");
  command->add_option("--format", options->format, "ndjson, csv or table (ndjson)")
      ->check(CLI::IsMember({"ndjson", "csv", "table"}));
  command->callback([&chosen, options] {
    chosen = [options](const Config& config) { return history(config, *options); };
  });
}

void add_verify(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "compare table and stream, message by message; exit code 0: all is as it must be");
  command->add_option("feed", options->feed, "the feed: events, executions ...")->required();
  command->add_option(
      "--from", options->from, "first, a position (4711) or a time (2026-11-21T20:48:54Z)");
  command->add_option("--to", options->to, "a position or a time, included; else what is there");
  command->callback([&chosen, options] {
    chosen = [options](const Config& config) { return verify(config, *options); };
  });
}

void add_status(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command =
      app.add_subcommand("status", "every feed: captured, catalogued, published, lag, rate");
  command->add_flag("--json", options->json, "as one JSON object");
  command->callback([&chosen, options] {
    chosen = [options](const Config& config) { return status(config, *options); };
  });
}

void add_quarantine(CLI::App& app, Command& chosen) {
  CLI::App* group = app.add_subcommand("quarantine", "messages that could not be catalogued");
  group->require_subcommand(1);

  auto list = std::make_shared<QuarantineListOptions>();
  CLI::App* command = group->add_subcommand("list", "what there is, newest first");
  command->add_option("--feed", list->feed, "of one feed only");
  command->add_option("--limit", list->limit, "at most so many (100)")->check(CLI::PositiveNumber);
  command->add_flag("--json", list->json, "one JSON object a line");
  command->callback([&chosen, list] {
    chosen = [list](const Config& config) { return quarantine_list(config, *list); };
  });

  auto id = std::make_shared<std::uint64_t>(0);
  command = group->add_subcommand("show", "one message, with the reason and its bytes");
  command->add_option("id", *id, "its ID in the list")->required();
  command->callback([&chosen, id] {
    chosen = [id](const Config& config) { return quarantine_show(config, *id); };
  });
  command = group->add_subcommand("export", "the bytes of one message, as received, to stdout");
  command->add_option("id", *id, "its ID in the list")->required();
  command->callback([&chosen, id] {
    chosen = [id](const Config& config) { return quarantine_export(config, *id); };
  });

  auto requeue = std::make_shared<RequeueOptions>();
  command = group->add_subcommand("requeue", "try again: each gets a position exactly once");
  command->add_option("ids", requeue->ids, "IDs in the list");
  CLI::Option* all = command->add_flag("--all", requeue->all, "all of one feed");
  CLI::Option* feed = command->add_option("--feed", requeue->feed, "with --all: which feed");
  all->needs(feed);
  feed->needs(all);
  command->callback([&chosen, requeue] {
    if (requeue->all != requeue->ids.empty()) {
      throw CLI::ValidationError("requeue", "give either IDs or --all --feed FEED");
    }
    chosen = [requeue](const Config& config) { return quarantine_requeue(config, *requeue); };
  });
}

int run(int argc, char** argv) {
  CLI::App app("Reads Feedvault's feeds and looks after them.", "feedvault");
  app.set_version_flag("--version", std::string("feedvault ") + kVersion);
  const char* from_environment = std::getenv("FEEDVAULT_CONFIG");
  std::string config_path = from_environment == nullptr ? "./config.toml" : from_environment;
  app.add_option("--config", config_path, "configuration (FEEDVAULT_CONFIG, else ./config.toml)");
  app.require_subcommand(1);
  Command chosen;
  add_tail(app, chosen);
  add_history(app, chosen);
  add_verify(app, chosen);
  add_status(app, chosen);
  add_quarantine(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }

  // Before any thread starts, so that all inherit it; tail waits for these signals.
  if (app.got_subcommand("tail")) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);  // a reader that has seen enough is no error
  // tail says what keeps it waiting, and gaps; the others report in their own words.
  const char* const log_level = app.got_subcommand("tail") ? "warn" : "error";
  if (const Status level = set_log_level(log_level); !level.ok()) {
    return report("log", level);
  }
  const auto config = load_config(config_path, environ);
  if (!config) {
    std::fprintf(stderr, "feedvault: %s\n", config.error().message().c_str());
    return kExitUsage;
  }
  return chosen(*config);
}

}  // namespace
}  // namespace feedvault::cli

int main(int argc, char** argv) {
  try {
    return feedvault::cli::run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "feedvault: %s\n", problem.what());
    return 1;
  }
}
