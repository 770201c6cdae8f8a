#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "client/feed_join.h"
#include "storage/catalogue_reader.h"

namespace feedvault::cli {

// The commands of the program `feedvault`. Each prints its result to stdout, problems to stderr,
// and returns the exit code.

constexpr int kExitOk = 0;
constexpr int kExitProblem = 1;  // something is wrong, or is not there
constexpr int kExitUsage = 2;    // arguments or configuration

struct TailOptions {
  std::string feed;
  std::string from = "new";
  bool json = false;
  std::uint64_t count = 0;  // 0: until stopped
  bool history = true;      // false: what the stream does not hold any more is left out
};
/// Until `count` messages are printed, SIGINT, SIGTERM, or a closed stdout. Requires that these
/// signals are blocked in every thread.
int tail(const Config& config, const TailOptions& options);

/// What the table holds of a feed, from a position or time to another, both included.
struct HistoryOptions {
  std::string feed;
  std::string from = "first";
  std::string to;                    // empty: what is there now
  std::string format = "ndjson";     // ndjson, csv, table
  std::vector<std::string> filters;  // FIELD=VALUE, all of them
};
int history(const Config& config, const HistoryOptions& options);

/// Compares table and feed stream, message by message. kExitOk: both are whole and say the same.
struct VerifyOptions {
  std::string feed;
  std::string from = "first";
  std::string to;
};
int verify(const Config& config, const VerifyOptions& options);

struct StatusOptions {
  bool json = false;
  /// Again and again until SIGINT or SIGTERM, which must be blocked in every thread: redrawn on a
  /// terminal, else one block after the other.
  bool watch = false;
  std::uint32_t interval_s = 2;
};
int status(const Config& config, const StatusOptions& options);

/// Examines everything that must be right for feeds to flow; a line each, ok, warn or fail, with a
/// remedy. kExitOk: nothing fails. A configuration that cannot be read is a failure like others.
struct DoctorOptions {
  bool json = false;
  std::string gateway;  // HOST:PORT, where it is not at [http] bind and port
};
int doctor(const Result<Config>& config, const DoctorOptions& options);

struct QuarantineListOptions {
  std::string feed;  // empty: all
  std::uint32_t limit = 100;
  bool json = false;
};
int quarantine_list(const Config& config, const QuarantineListOptions& options);
int quarantine_show(const Config& config, std::uint64_t id);
/// The message's bytes, as received, to stdout.
int quarantine_export(const Config& config, std::uint64_t id);

struct RequeueOptions {
  std::vector<std::uint64_t> ids;
  bool all = false;  // everything of `feed` that waits in quarantine
  std::string feed;
};
int quarantine_requeue(const Config& config, const RequeueOptions& options);

/// "feedvault: <what>: <status>" to stderr; the exit code that fits.
int report(const std::string& what, const Status& problem);

/// What writing to stdout failed with, as an exit code: a reader that is gone has seen enough, and
/// anything else is said to stderr.
int report_write(int error);

/// Flushes stdout: `exit_code`, or kExitProblem, said to stderr, when what was printed could not be
/// written.
int finish_output(int exit_code);

/// The feed of that name; when there is none, says so with the names that exist.
const FeedConfig* find_feed(const Config& config, const std::string& name);

/// The positions of [from, to], given as "first", a position or a time, in what the table holds;
/// kInvalidArgument for anything else. An empty `to`: the table's last.
Result<SeqRange> find_range(storage::CatalogueReader& table,
                            const FeedConfig& feed,
                            const std::string& from,
                            const std::string& to);

/// For people's eyes: no control characters, cut to `bytes_max`.
std::string printable(const std::string& text, std::size_t bytes_max = 200);

}  // namespace feedvault::cli
