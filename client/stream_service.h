#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "client/nats/connection.h"
#include "client/position_store.h"
#include "proto/message_schema.h"

namespace feedvault {

/// `<feed>:<seq>`: the same in C++, SQL (WHERE feed = ? AND seq > ?) and the browser's
/// Last-Event-ID.
struct Position {
  std::string feed;
  std::uint64_t seq = 0;

  std::string to_string() const { return feed + ":" + std::to_string(seq); }
  friend bool operator==(const Position&, const Position&) = default;
};

/// A message as the callback gets it. Views live until the callback returns.
struct FeedMessage {
  Position position;
  std::int64_t timestamp_us = 0;  // Unix, UTC; when the broker captured it
  std::string_view id;            // as in Messages.id
  std::string_view data;          // the bytes as the producer sent them
  /// The message decoded: an `event` for feed events, an `execution` for feed executions, for other
  /// feeds whatever SubscribeOptions::schema makes of it. nullptr without a schema, and for bytes
  /// that are no such message.
  const google::protobuf::Message* decoded = nullptr;
};

/// Where a subscription starts.
class Start {
 public:
  enum class Kind : std::uint8_t { kNew, kFirst, kSeq, kTime, kStored };

  static Start at_new() { return Start(Kind::kNew, 0); }      // what comes from now on
  static Start at_first() { return Start(Kind::kFirst, 0); }  // the table's first
  static Start at_seq(std::uint64_t seq) {
    return Start(Kind::kSeq, static_cast<std::int64_t>(seq));
  }
  static Start at_time(std::int64_t unix_us) { return Start(Kind::kTime, unix_us); }
  /// Behind the stored position; kFirst when none is stored. Needs a position store.
  static Start at_stored() { return Start(Kind::kStored, 0); }
  /// Reads "new", "first", a seq or an RFC 3339 time. kInvalidArgument for anything else.
  static Result<Start> parse(std::string_view text);

  Kind kind() const { return kind_; }
  std::uint64_t seq() const { return static_cast<std::uint64_t>(value_); }
  std::int64_t time_us() const { return value_; }

 private:
  Start(Kind kind, std::int64_t value) : kind_(kind), value_(value) {}
  Kind kind_;
  std::int64_t value_;
};

/// Messages [first, last] of a feed that will never come: the stream does not hold them any more,
/// and the table says that it does not have them either. (Without history: that the stream does not
/// hold; after a start at a time older than the stream, some of them may be older than the time.)
struct Gap {
  std::string feed;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// Where a subscription's messages come from just now.
enum class Phase : std::uint8_t {
  kStarting,  // nowhere yet
  kHistory,   // the table: what the stream does not hold any more
  kLive,      // the stream
  kWaiting,   // nowhere: broker, stream, history service or the table's end is away; it goes on
};
/// "starting", "history", "live", "waiting".
std::string_view phase_name(Phase phase);

struct SubscribeOptions {
  std::string feed;  // "events"
  Start start = Start::at_new();
  /// Bound of what is held in memory for a slow callback, messages not yet delivered.
  std::uint32_t max_in_flight = 1024;
  /// Saves the position after each callback that returned true; not owned, may be null. While
  /// saving fails, delivery waits and tries again.
  PositionStore* positions = nullptr;
  /// Saving at every message is exact and slow; with more, a crash repeats up to so many messages.
  /// What is unsaved is saved when the feed is silent for a moment, and at the end.
  std::uint32_t save_every = 1;
  /// What the stream does not hold any more comes from the table, through the history service of
  /// feedvault-gateway; while none answers, delivery waits for it. False: it is reported as a Gap,
  /// and delivery goes on behind it.
  bool history = true;
  /// Makes FeedMessage::decoded for feeds other than our two; not owned, may be null.
  const MessageSchema* schema = nullptr;
};

/// Subscribes to feeds, live and from any point of the past, each message once and in order: seq +
/// 1 after seq, across lost connections, broker restarts, recreated streams and the end of the
/// stream's retention. Reconnects for ever.
///
///   auto service = StreamService::connect(config.nats, {});
///   (*service)->subscribe({.feed = "events", .start = Start::at_first()},
///                         [](const FeedMessage& m) { ...; return true; });
///   (*service)->drain(5s);
///
/// Any thread may call any method, except drain() and the destructor from inside a callback.
class StreamService {
 public:
  struct Options {
    std::string name = "stream-service";
    /// Connected, reconnecting, closed; on a thread of the library.
    std::function<void(nats::ConnectionState, const std::string& detail)> on_state;
    /// Messages that are gone for good; delivery goes on behind them. Called on the feed's thread.
    std::function<void(const Gap&)> on_gap;
    /// A feed's phase has changed; `why` is what kWaiting waits for, in words, and empty otherwise.
    /// Called on the feed's thread.
    std::function<void(const std::string& feed, Phase phase, const std::string& why)> on_phase =
        nullptr;
  };

  /// Succeeds also while the broker is away: delivery starts when it can be reached.
  /// kInvalidArgument for refused credentials and unreadable TLS files.
  static Result<std::unique_ptr<StreamService>> connect(const NatsConfig& config, Options options);
  virtual ~StreamService() = default;  // stops at once, without waiting for undelivered messages

  /// True: dealt with, the position moves. False: stop this subscription here; the message counts
  /// as not delivered. An exception is logged and counts as false.
  using Callback = std::function<bool(const FeedMessage&)>;

  /// Starts delivery on a thread of its own, one message at a time. With Start::at_new(), all that
  /// is published after the return is delivered, if the broker can be reached now. Waits for a feed
  /// stream that is not there yet. kInvalidArgument for a feed name that cannot be one, kDuplicate
  /// for a second subscription to the same feed while the first runs, and what the position store
  /// says when it cannot load.
  virtual Status subscribe(const SubscribeOptions& options, Callback callback) = 0;

  /// Position of the last message that a callback accepted; seq 0: none yet.
  virtual Position position(const std::string& feed) const = 0;

  /// False when no subscription to the feed delivers any more: its callback returned false, or
  /// drain().
  virtual bool running(const std::string& feed) const = 0;

  /// Stops fetching, delivers what is in memory, saves positions. kTimeout when the callback did
  /// not finish in time (what it did not take is not lost: its position was not moved).
  virtual Status drain(std::chrono::milliseconds timeout) = 0;
};

}  // namespace feedvault
