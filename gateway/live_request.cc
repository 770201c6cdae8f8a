#include "gateway/live_request.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "gateway/history_query.h"
#include "gateway/http/problem.h"
#include "gateway/http/target.h"
#include "gateway/live_stream.h"

namespace feedvault::gateway {
namespace {

/// Room for a seq behind any that a client may name.
constexpr std::uint64_t kStartSeqMax = std::numeric_limits<std::int64_t>::max() / 2;

void begin_live(LiveFeed& feed,
                WorkerPool& pool,
                std::uint64_t first,
                bool from_oldest,
                const Respond& respond) {
  Response response;
  response.set("Content-Type", "text/event-stream");
  response.set("Feedvault-Start", feed.feed().name() + ":" + std::to_string(first));
  response.set("X-Accel-Buffering", "no");  // proxies that collect would hold events back
  response.stream = std::make_shared<LiveStream>(feed, pool, first - 1, from_oldest);
  respond(std::move(response));
}

/// The first position of a start that only the table knows.
Result<std::uint64_t> look_up(LiveFeed& feed, const Start& start, HistorySource& history) {
  const std::string& name = feed.feed().name();
  switch (start.kind()) {
    case Start::Kind::kTime:
      return history.seq_at_time(name, start.time_us());
    case Start::Kind::kFirst: {
      ASSIGN_OR_RETURN(const SeqRange held, history.held(name));
      return held.first;
    }
    default: {
      ASSIGN_OR_RETURN(const SeqRange held, history.held(name));
      return std::max(held.last + 1, feed.next_new().value_or(1));
    }
  }
}

}  // namespace

Result<std::uint64_t> parse_position(const Feed& feed, std::string_view text) {
  const std::size_t colon = std::min(text.rfind(':'), text.size());
  const auto seq =
      colon < text.size() ? parse_number(text.substr(colon + 1)) : std::optional<std::uint64_t>();
  if (!seq || text.substr(0, colon) != feed.name()) {
    return invalid_argument("'" + std::string(text) + "' is no position of feed " + feed.name() +
                            "; give one like " + feed.name() + ":4711");
  }
  return std::min(*seq, kStartSeqMax);
}

Result<Start> parse_live_start(const Feed& feed, const Request& request) {
  ASSIGN_OR_RETURN(const QueryItems items, parse_query(request.query));
  Start start = Start::at_new();
  bool given = false;
  for (const auto& [name, value] : items) {
    if (name != "from" || std::exchange(given, true)) {
      return invalid_argument("'" + name + "' is unknown here, or given twice; give " +
                              "from=new, from=first, a seq or a time");
    }
    ASSIGN_OR_RETURN(start, Start::parse(value));
  }
  // A browser that comes back by itself says where it was, behind whatever it asked for at first.
  if (const std::string_view last = request.header("last-event-id"); !last.empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t seq, parse_position(feed, last));
    return Start::at_seq(seq + 1);
  }
  return start.kind() == Start::Kind::kSeq
             ? Start::at_seq(std::clamp<std::uint64_t>(start.seq(), 1, kStartSeqMax))
             : start;
}

void answer_live(LiveFeed& feed, WorkerPool& pool, const Request& request, const Respond& respond) {
  const std::string_view accept = request.header("accept");
  if (!accept.empty() && !accepts(accept, "text/event-stream")) {
    respond(problem(406, "live messages come as text/event-stream"));
    return;
  }
  const auto start = parse_live_start(feed.feed(), request);
  if (!start.has_value()) {
    respond(problem(start.error()));
    return;
  }
  if (start->kind() == Start::Kind::kSeq) {
    begin_live(feed, pool, start->seq(), /*from_oldest=*/false, respond);
    return;
  }
  if (const auto next = feed.next_new(); start->kind() == Start::Kind::kNew && next) {
    begin_live(feed, pool, *next, /*from_oldest=*/false, respond);
    return;
  }
  pool.submit([&feed, &pool, start = *start, respond](const Database& database) {
    const auto first = look_up(feed, start, database.history);
    if (!first.has_value()) {
      respond(problem(first.error()));
      return;
    }
    begin_live(feed, pool, *first, start.kind() == Start::Kind::kFirst, respond);
  });
}

}  // namespace feedvault::gateway
