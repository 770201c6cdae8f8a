#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::storage {

/// How far a feed has been read from its ingest stream: the checkpoint, with what identifies it.
/// All zero before the first message.
struct IngestPosition {
  std::int64_t stream_created_ns = 0;  // Unix; which incarnation of the stream
  std::uint64_t stream_seq = 0;        // of the last message that was dealt with
  std::int64_t time_ns = 0;            // when the stream stored that message, Unix
  std::uint64_t hash = 0;              // of that message's id and payload

  friend bool operator==(const IngestPosition&, const IngestPosition&) = default;
};

/// The row of table Feeds.
struct FeedState {
  std::uint64_t epoch = 0;
  IngestPosition ingest;
  std::uint64_t last_seq = 0;  // highest Messages.seq; 0: none
};

/// A message to catalogue. Views are borrowed for the duration of commit().
struct NewMessage {
  std::string_view id;  // 1 to 255 bytes
  /// The id was made of stream name, created time and sequence rather than sent by the producer.
  /// Then a known id with another timestamp is another message (a stream that lost its tail counts
  /// anew), and it is stored under "<id>-<timestamp_us>" instead of being called a conflict.
  bool id_generated = false;
  std::uint64_t stream_seq = 0;
  std::int64_t timestamp_us = 0;  // Unix, UTC
  std::string_view data;
  std::string_view body;  // JSON; empty: NULL
};

/// Something that could not become a message. (stream_created_ns, stream_seq, timestamp) identifies
/// it: committing it twice stores it once.
struct NewQuarantine {
  std::string_view message_id;  // as far as known; cut to 255 bytes
  std::uint64_t stream_seq = 0;
  std::int64_t timestamp_us = 0;
  std::string_view data;
  std::string error;  // the reason, in words
};

/// Ingest stream sequences [first, last] that were gone before we could read them; last 0: unknown.
struct NewGap {
  std::int64_t stream_created_ns = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string reason;
};

/// What one transaction stores. `position` is the checkpoint after it.
struct Batch {
  std::vector<NewMessage> messages;
  std::vector<NewQuarantine> quarantine;
  std::vector<NewGap> gaps;
  IngestPosition position;
};

/// What became of each message of a batch, by index.
struct CommitOutcome {
  enum class Fate : std::uint8_t {
    kStored,       // has a seq
    kDuplicate,    // known id, same bytes: dropped
    kConflict,     // known id, other bytes: quarantined
    kQuarantined,  // refused by the schema: quarantined
  };
  struct Item {
    Fate fate = Fate::kStored;
    std::uint64_t seq = 0;  // kStored only
    std::string id;         // only when the stored id differs from the one given
  };
  std::vector<Item> items;
  std::uint64_t last_seq = 0;  // the feed's, after the commit
};

/// A row of Messages.
struct Row {
  std::uint64_t seq = 0;
  std::string id;
  std::int64_t timestamp_us = 0;
  std::string data;
  std::string body;  // filled on request only
};

/// One feed's writer: a connection to MySQL that reads like the protocol. Open it, win the
/// election, take over, commit batches. One thread at a time.
///
/// Failures: kUnavailable (connection, lock time-out, deadlock, disk full, read-only server ...):
/// nothing was committed, open a new Catalogue later. kUnknownOutcome: the connection broke during
/// COMMIT; open a new one, whose take_over() tells what happened. kFenced: another writer has taken
/// over. After any failure but kTimeout the object is of no more use.
class Catalogue {
 public:
  /// Connects and checks the session (strict SQL mode, UTC, max_allowed_packet). kInvalidArgument
  /// for a wrong user or password and for a missing schema.
  static Result<std::unique_ptr<Catalogue>> open(const MysqlConfig& config, const FeedConfig& feed);
  virtual ~Catalogue() = default;

  /// Waits up to `wait` to become the one active controller of this feed. kTimeout: somebody else
  /// is. The election ends with the connection; a process that is stopped loses it after
  /// kSessionIdleMax.
  virtual Status elect(std::chrono::milliseconds wait) = 0;

  /// Fences every predecessor (raises the feed's epoch) and returns the checkpoint. Blocks while a
  /// predecessor's transaction is still open, so what it returns is what counts.
  virtual Result<FeedState> take_over() = 0;

  /// Stores all of `batch`, or nothing. On return it is committed. Messages get last_seq + 1, + 2
  /// ... in their order.
  virtual Result<CommitOutcome> commit(const Batch& batch) = 0;

  /// Stores rows that the feed stream has and the table lost, under their own numbers; the
  /// checkpoint stays. Requires: rows are dense and start at last_seq + 1.
  virtual Status restore(std::span<const Row> rows) = 0;

  /// Catalogues quarantined messages that people asked to requeue, each once, in one transaction
  /// each. `decode` turns bytes into a JSON body or says why not. Returns the rows that got a seq,
  /// ascending.
  class RequeueDecoder {
   public:
    virtual ~RequeueDecoder() = default;
    virtual Result<std::string> decode(std::string_view data) = 0;
  };
  virtual Result<std::vector<Row>> requeue(RequeueDecoder& decoder, std::size_t rows_max) = 0;

  /// Call at least every kKeepAliveInterval when idle.
  virtual Status keep_alive() = 0;

  /// Rows [first_seq, ...) in order, at most rows_max and about bytes_max (but at least one), read
  /// on this connection.
  virtual Result<std::vector<Row>> read_range(std::uint64_t first_seq,
                                              std::size_t rows_max,
                                              std::size_t bytes_max) = 0;

  /// Server settings that weaken "committed" (innodb_flush_log_at_trx_commit, sync_binlog), in
  /// words; empty when durable.
  virtual std::vector<std::string> durability_warnings() const = 0;
};

/// The server ends our session after so long without a statement, which ends the election of a
/// stopped or unreachable controller.
inline constexpr std::chrono::seconds kSessionIdleMax{4};
inline constexpr std::chrono::seconds kKeepAliveInterval{1};

}  // namespace feedvault::storage
