#include <algorithm>
#include <cstdio>
#include <deque>
#include <limits>
#include <optional>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "client/nats/jetstream.h"
#include "client/nats/stream_reader.h"

namespace feedvault::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kVerifyTimeout = 5s;
constexpr auto kStreamPatience = 10s;
constexpr std::size_t kVerifyRows = 4096;
constexpr std::size_t kVerifyBytes = 4U << 20U;
constexpr std::size_t kFindingsShown = 20;
constexpr std::uint64_t kNothing = std::numeric_limits<std::uint64_t>::max();

/// What is wrong, ranges of the same kind as one.
class Findings {
 public:
  void add(std::uint64_t first, std::uint64_t last, const std::string& what) {
    count_ += last - first + 1;
    if (!ranges_.empty() && ranges_.back().what == what && ranges_.back().last + 1 == first) {
      ranges_.back().last = last;
    } else if (ranges_.size() < kFindingsShown) {
      ranges_.push_back({first, last, what});
    } else {
      ++not_shown_;
    }
  }
  std::uint64_t count() const { return count_; }
  void print() const {
    for (const Range& range : ranges_) {
      const std::string to = range.last == range.first ? "" : " to " + std::to_string(range.last);
      std::printf(
          "  %s%s: %s\n", std::to_string(range.first).c_str(), to.c_str(), range.what.c_str());
    }
    if (not_shown_ > 0) {
      std::printf("  ... and %s more\n", std::to_string(not_shown_).c_str());
    }
  }

 private:
  struct Range {
    std::uint64_t first;
    std::uint64_t last;
    std::string what;
  };
  std::vector<Range> ranges_;
  std::uint64_t count_ = 0;
  std::uint64_t not_shown_ = 0;
};

/// The rows of a range, one after the other.
class TableCursor {
 public:
  TableCursor(storage::CatalogueReader& table, std::uint8_t feed, const SeqRange& range)
      : table_(table), feed_(feed), next_(range.first), last_(range.last) {}

  /// The next row, or null at the end.
  Result<const storage::Row*> peek() {
    if (index_ == rows_.size() && next_ <= last_) {
      ASSIGN_OR_RETURN(rows_, table_.read_range(feed_, next_, kVerifyRows, kVerifyBytes));
      index_ = 0;
      next_ = rows_.empty() ? kNothing : rows_.back().seq + 1;
    }
    const bool there = index_ < rows_.size() && rows_[index_].seq <= last_;
    return there ? &rows_[index_] : nullptr;
  }
  void take() { ++index_; }

 private:
  storage::CatalogueReader& table_;
  const std::uint8_t feed_;
  std::uint64_t next_;
  const std::uint64_t last_;
  std::vector<storage::Row> rows_;
  std::size_t index_ = 0;
};

/// The messages of a stream within a range, one after the other.
class StreamCursor {
 public:
  StreamCursor(nats::Connection& connection, const std::string& stream, const SeqRange& range)
      : connection_(connection), stream_(stream), range_(range) {}

  Result<const nats::StreamMessage*> peek() {
    if (message_) {
      return &*message_;
    }
    if (range_.empty() || at_end_) {
      return nullptr;
    }
    if (reader_ == nullptr) {
      ASSIGN_OR_RETURN(reader_, nats::StreamReader::open(connection_, stream_, range_.first, {}));
    }
    ASSIGN_OR_RETURN(message_, reader_->next(std::chrono::steady_clock::now() + kStreamPatience));
    at_end_ = message_->stream_seq >= range_.last || message_->pending == 0;
    if (message_->stream_seq > range_.last) {
      message_.reset();
      return nullptr;
    }
    return &*message_;
  }
  void take() { message_.reset(); }

 private:
  nats::Connection& connection_;
  const std::string stream_;
  const SeqRange range_;
  std::unique_ptr<nats::StreamReader> reader_;
  std::optional<nats::StreamMessage> message_;
  bool at_end_ = false;
};

/// How a message of the stream differs from its row; empty when it does not.
std::string difference(const FeedConfig& feed,
                       const storage::Row& row,
                       const nats::StreamMessage& message) {
  std::string what;
  const auto differs = [&](bool is, const char* name) {
    what += is ? (what.empty() ? "" : ", ") + std::string(name) : "";
  };
  const std::string seq = std::to_string(row.seq);
  const auto time = message.message.header("Feed-Timestamp");
  const auto time_ns = time ? parse_rfc3339_ns(*time) : Result<std::int64_t>(not_found("none"));
  differs(message.message.payload() != row.data, "bytes");
  differs(message.message.header("Feed-Id") != row.id, "id");
  differs(!time_ns || *time_ns / 1000 != row.timestamp_us, "timestamp");
  differs(message.message.header("Feed-Seq") != seq, "Feed-Seq");
  differs(message.message.header("Nats-Msg-Id") != feed.name + "-" + seq, "Nats-Msg-Id");
  return what.empty() ? what : "stream and table differ in " + what;
}

/// Walks both sides at once.
class Walk {
 public:
  Walk(const FeedConfig& feed,
       nats::JetStream& jetstream,
       TableCursor& table,
       StreamCursor& stream,
       const SeqRange& range,
       const SeqRange& in_stream)
      : feed_(feed),
        jetstream_(jetstream),
        table_(table),
        stream_(stream),
        range_(range),
        in_stream_(in_stream) {}

  Status run(Progress& progress) {
    std::uint64_t expected = range_.first;
    for (;;) {
      ASSIGN_OR_RETURN(const storage::Row* const row, table_.peek());
      ASSIGN_OR_RETURN(const nats::StreamMessage* const message, stream_.peek());
      const std::uint64_t row_seq = row == nullptr ? kNothing : row->seq;
      const std::uint64_t message_seq = message == nullptr ? kNothing : message->stream_seq;
      const std::uint64_t seq = std::min(row_seq, message_seq);
      const std::uint64_t until = std::min(seq, range_.last + 1);
      if (until > expected) {
        findings.add(expected, until - 1, "not in the table");
      }
      if (seq == kNothing) {
        return {};
      }
      RETURN_IF_ERROR(look(row_seq == seq ? row : nullptr, message_seq == seq ? message : nullptr));
      expected = seq + 1;
      progress.show(expected - range_.first);
    }
  }

  Findings findings;
  std::uint64_t rows = 0;
  std::uint64_t compared = 0;

 private:
  Status look(const storage::Row* row, const nats::StreamMessage* message) {
    if (row == nullptr) {
      findings.add(message->stream_seq, message->stream_seq, "in the stream, not in the table");
      stream_.take();
      return {};
    }
    ++rows;
    if (message != nullptr) {
      ++compared;
      if (const std::string what = difference(feed_, *row, *message); !what.empty()) {
        findings.add(row->seq, row->seq, what);
      }
      stream_.take();
    } else if (in_stream_.contains(row->seq)) {
      // Retention may have taken it while we walked.
      ASSIGN_OR_RETURN(const auto info, jetstream_.stream_info(feed_.feed_stream()));
      in_stream_.first = std::max(in_stream_.first, info.first_seq);
      if (in_stream_.contains(row->seq)) {
        findings.add(row->seq, row->seq, "in the table, not in the stream");
      }
    }
    table_.take();
    return {};
  }

  const FeedConfig& feed_;
  nats::JetStream& jetstream_;
  TableCursor& table_;
  StreamCursor& stream_;
  const SeqRange range_;
  SeqRange in_stream_;
};

std::string span(const SeqRange& range) {
  return range.empty() ? "nothing"
                       : std::to_string(range.first) + " to " + std::to_string(range.last);
}

int verdict(const FeedConfig& feed,
            const Walk& walk,
            const SeqRange& range,
            const SeqRange& in_stream,
            std::uint64_t unpublished) {
  const auto text = [](std::uint64_t number) { return std::to_string(number); };
  std::printf("%s, %s\n", feed.name.c_str(), span(range).c_str());
  std::printf("  table   %s messages\n", text(walk.rows).c_str());
  std::printf("  stream  %s messages compared with their rows (it holds %s)\n",
              text(walk.compared).c_str(),
              span(in_stream).c_str());
  if (unpublished > 0) {
    std::printf("  %s at the end are catalogued and not published yet\n",
                text(unpublished).c_str());
  }
  if (walk.findings.count() == 0) {
    std::printf("ok: no gap, and every message is the same in both\n");
    return finish_output(kExitOk);
  }
  walk.findings.print();
  std::printf("WRONG: %s messages\n", text(walk.findings.count()).c_str());
  return finish_output(kExitProblem);
}

SeqRange overlap(const SeqRange& a, const SeqRange& b) {
  return {.first = std::max(a.first, b.first), .last = std::min(a.last, b.last)};
}

}  // namespace

int verify(const Config& config, const VerifyOptions& options) {
  const FeedConfig* feed = find_feed(config, options.feed);
  if (feed == nullptr) {
    return kExitUsage;
  }
  nats::ConnectionOptions connection_options;
  connection_options.name = "feedvault-verify";
  auto connection = nats::Connection::open(config.nats, connection_options);
  if (!connection) {
    return report("connect to the broker", connection.error());
  }
  // The stream first: what is in it is catalogued, so the table reaches at least as far.
  nats::JetStream jetstream(**connection, kVerifyTimeout);
  const auto info = jetstream.stream_info(feed->feed_stream());
  if (!info) {
    return report("look at the feed stream", info.error());
  }
  const SeqRange held_by_stream{.first = info->first_seq, .last = info->last_seq};
  const auto table = storage::CatalogueReader::create(config.mysql);
  auto range = find_range(*table, *feed, options.from, options.to);
  if (!range) {
    return report("verify", range.error());
  }
  if (options.to.empty()) {
    range->last = std::max(range->last, held_by_stream.last);
  }
  const SeqRange in_stream = overlap(*range, held_by_stream);
  TableCursor rows(*table, feed->number, *range);
  StreamCursor messages(**connection, feed->feed_stream(), in_stream);
  Walk walk(*feed, jetstream, rows, messages, *range, in_stream);
  const std::uint64_t total = range->empty() ? 0 : range->last - range->first + 1;
  Progress progress("verify " + feed->name, total, Progress::Stdout::kSilent);
  const Status walked = walk.run(progress);
  progress.clear();
  if (!walked.ok()) {
    return report("verify " + feed->name, walked);
  }
  const std::uint64_t unpublished =
      range->last - std::min(range->last, std::max(held_by_stream.last, range->first - 1));
  return verdict(*feed, walk, *range, in_stream, unpublished);
}

}  // namespace feedvault::cli
