#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/config.h"
#include "client/nats/connection.h"
#include "client/nats/stream_reader.h"
#include "controller/bounded_queue.h"
#include "controller/feed_metrics.h"
#include "controller/ingest_message.h"
#include "controller/session.h"
#include "proto/message_schema.h"

namespace feedvault::controller {

/// First stage of a feed's pipeline: reads the ingest stream in order, decodes, and queues. Runs on
/// a thread of its own from start() to stop(). A full queue makes it wait, and then the broker
/// keeps what is not asked for. Failures end the session.
class IngestReader {
 public:
  using Queue = BoundedQueue<IngestMessage>;

  struct Options {
    std::string stream;
    std::int64_t stream_created_ns = 0;
    std::uint64_t start_seq = 1;  // a later first message is a gap
    std::size_t payload_bytes_max = 0;
    bool json = true;
    std::uint32_t stop_after_bad_messages = 100;
  };

  /// Borrows everything; all of it outlives this object.
  IngestReader(Options options,
               nats::Connection& connection,
               const MessageSchema& schema,
               Queue& queue,
               Session& session,
               FeedMetrics& metrics);
  ~IngestReader() { stop(); }
  IngestReader(const IngestReader&) = delete;
  IngestReader& operator=(const IngestReader&) = delete;

  Status start();
  /// Asks to stop reading; the queue is closed then, and what is in it stays. Any thread.
  void cancel();
  /// cancel(), and waits for the thread. Session's thread.
  void stop();

  /// True once so many bad messages came in a row that the feed must stop. They are in the queue.
  bool too_many_bad() const { return too_many_bad_.load(std::memory_order_acquire); }

 private:
  void run();
  bool take(nats::StreamMessage received);
  void decode(IngestMessage& message);

  const Options options_;
  nats::Connection& connection_;
  std::unique_ptr<MessageSchema::Decoder> decoder_;
  Queue& queue_;
  Session& session_;
  FeedMetrics& metrics_;
  std::unique_ptr<nats::StreamReader> reader_;
  std::uint64_t next_seq_;
  std::uint32_t bad_in_a_row_ = 0;
  std::atomic<bool> too_many_bad_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace feedvault::controller
