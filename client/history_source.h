#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/feed_join.h"

namespace feedvault {

/// A message as the table holds it.
struct HistoryMessage {
  std::uint64_t seq = 0;
  std::int64_t timestamp_us = 0;  // Unix, UTC
  std::string id;
  std::string data;  // the bytes as received
  std::string body;  // JSON; filled on request, and only where the table itself is read
};

/// What to read of a feed, and how much at most.
struct HistoryRequest {
  SeqRange range;  // FeedJoin::history_range()
  std::size_t messages_max = 4096;
  /// About so many bytes of ids, data and bodies; one message comes however large it is.
  std::size_t bytes_max = 1U << 20U;
  bool with_body = false;
};

struct HistoryPage {
  std::vector<HistoryMessage> messages;  // seq ascending, within the range
  /// Where to go on: behind the last message or, when the table has nothing for a while, at the
  /// first that it has again; perhaps behind the range.
  std::uint64_t next_seq = 1;
  bool end = false;  // the table has nothing from next_seq on, for now
};

/// A feed's past, page by page. Calls block, also for seconds: an asynchronous server makes them on
/// threads of its own, a few for all its readers. One call at a time an object; several objects for
/// several threads.
class HistorySource {
 public:
  virtual ~HistorySource() = default;

  /// kNotFound: no such feed. kUnavailable, kTimeout: try again later. kCancelled.
  virtual Result<HistoryPage> read_page(const std::string& feed, const HistoryRequest& request) = 0;

  /// The first seq whose timestamp is at or after `timestamp_us`; when there is none, the one that
  /// comes next.
  virtual Result<std::uint64_t> seq_at_time(const std::string& feed, std::int64_t timestamp_us) = 0;

  /// What the table holds, from its first message to its last.
  virtual Result<SeqRange> held(const std::string& feed) = 0;
};

}  // namespace feedvault
