#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "client/nats/connection.h"

namespace feedvault::nats {

struct ReaderOptions {
  std::uint32_t window_messages = 2048;  // requested and not yet taken by next()
  /// The same in bytes. A message over a third of it comes alone, one a round trip.
  std::uint32_t window_bytes = 16U << 20U;
  /// The broker reports in at this interval when there is nothing to send; after three silent ones
  /// the reader is interrupted.
  std::chrono::milliseconds heartbeat{1000};
  /// Messages come when the broker has written them, not when they are durable. After a power cut
  /// the broker may lack some that were read, and give their numbers to others: for readers that
  /// keep a position of their own and compare. nats-server does so for everybody.
  bool written = false;
};

/// A message of a stream, with its place in it.
struct StreamMessage {
  Message message;
  std::uint64_t stream_seq = 0;
  std::int64_t time_ns = 0;   // when the stream stored it, Unix
  std::uint64_t pending = 0;  // how many the broker holds behind it
};

/// Reads a stream as a log: from a sequence on, in stream order, without acknowledgements, through
/// an ephemeral pull consumer. Messages come the moment they are stored, never waiting for a batch
/// to fill, and at most `window` of them are on their way, however slow the reader is. Nothing is
/// skipped or repeated in silence: a message the consumer lost in between, a reconnect, a deleted
/// consumer or stream and missed heartbeats interrupt the reader, and the owner opens a new one
/// where it stopped. A jump in stream_seq means that the stream no longer holds what lay between.
/// One thread.
class StreamReader {
 public:
  /// Starts with the first message at or after `start_seq`, also where the stream has yet to reach
  /// it. kNotFound: no such stream. kUnavailable: no connection or no answer.
  static Result<std::unique_ptr<StreamReader>> open(Connection& connection,
                                                    const std::string& stream,
                                                    std::uint64_t start_seq,
                                                    const ReaderOptions& options);
  virtual ~StreamReader() = default;  // deletes the consumer, without waiting for the answer

  /// The next message. kTimeout: none until `deadline`. kUnavailable: interrupted, open a new
  /// reader.
  virtual Result<StreamMessage> next(SteadyTime deadline) = 0;

  /// Asks the broker for nothing more: next() returns what is in memory and on its way, then
  /// kTimeout.
  virtual void stop_fetching() = 0;

  /// Wakes a waiting next(), which returns kCancelled from now on. Any thread.
  virtual void cancel() = 0;
};

}  // namespace feedvault::nats
