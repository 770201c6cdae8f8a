#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/commands.h"
#include "client/stream_service.h"

namespace feedvault::cli {

int report(const std::string& what, const Status& problem) {
  std::fprintf(stderr, "feedvault: %s: %s\n", what.c_str(), problem.message().c_str());
  return problem.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitProblem;
}

int report_write(int error) {
  return error == EPIPE ? kExitOk : report("write", io_error(std::strerror(error)));
}

int finish_output(int exit_code) {
  const int error = std::fflush(stdout) != 0 ? errno : std::ferror(stdout) != 0 ? EIO : 0;
  return error != 0 && report_write(error) != kExitOk ? kExitProblem : exit_code;
}

const FeedConfig* find_feed(const Config& config, const std::string& name) {
  const FeedConfig* feed = config.find_feed(name);
  if (feed == nullptr) {
    std::string names;
    for (const FeedConfig& known : config.feeds) {
      names += (names.empty() ? "" : ", ") + known.name;
    }
    std::fprintf(stderr,
                 "feedvault: there is no feed '%s'; %s has: %s\n",
                 printable(name).c_str(),
                 config.path.c_str(),
                 names.c_str());
  }
  return feed;
}

namespace {

/// `text` as a position: the first at or after a time, a number as it is.
Result<std::uint64_t> find_seq(storage::CatalogueReader& table,
                               const FeedConfig& feed,
                               const std::string& text,
                               std::int64_t add_us) {
  const auto start = Start::parse(text);
  if (!start || start->kind() == Start::Kind::kNew) {
    return invalid_argument("cannot understand '" + printable(text) +
                            "': give first, a position (4711) or a time (2026-11-21T20:48:54Z)");
  }
  if (start->kind() != Start::Kind::kTime) {
    return start->kind() == Start::Kind::kSeq ? start->seq() : 1;
  }
  // Before the time is looked up, so that nothing is skipped.
  ASSIGN_OR_RETURN(const auto held, table.held(feed.number));
  ASSIGN_OR_RETURN(const auto seq, table.seq_at_time(feed.number, start->time_us() + add_us));
  return seq.value_or(held.last + 1);
}

}  // namespace

Result<SeqRange> find_range(storage::CatalogueReader& table,
                            const FeedConfig& feed,
                            const std::string& from,
                            const std::string& to) {
  SeqRange range;
  ASSIGN_OR_RETURN(range.first, find_seq(table, feed, from, 0));
  ASSIGN_OR_RETURN(const auto held, table.held(feed.number));
  range.first = std::max(range.first, from == "first" ? held.first : 1);
  range.last = held.last;
  if (!to.empty()) {
    const auto start = Start::parse(to);
    // A time is included, as a position is.
    ASSIGN_OR_RETURN(const std::uint64_t last, find_seq(table, feed, to, 1));
    range.last = start && start->kind() == Start::Kind::kTime ? last - 1 : last;
  }
  return range;
}

std::string printable(const std::string& text, std::size_t bytes_max) {
  std::string out;
  for (const char c : text.substr(0, bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      char escaped[5];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<unsigned>(byte));
      out += escaped;
    } else {
      out.push_back(c);
    }
  }
  return text.size() > bytes_max ? out + "..." : out;
}

}  // namespace feedvault::cli
