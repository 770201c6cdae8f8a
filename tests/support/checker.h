#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/config.h"
#include "base/mutex.h"
#include "base/result.h"
#include "client/position_store.h"
#include "client/stream_service.h"
#include "storage/catalogue_reader.h"
#include "tests/support/producer.h"

namespace feedvault::testing {

/// A message as one of the places holds it. Comparable across all of them.
struct Delivered {
  std::uint64_t seq = 0;
  std::string id;
  std::int64_t timestamp_us = 0;
  std::string payload;

  friend bool operator==(const Delivered&, const Delivered&) = default;
};

/// A subscriber of one feed: a StreamService that starts at the first message or, when restarted,
/// at its stored position, and remembers all that its callback got over all its lives.
class Subscriber {
 public:
  Subscriber(NatsConfig broker, std::string feed);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  void start();
  /// As abruptly as a process that ends between two callbacks.
  void stop();
  void restart() {
    stop();
    start();
  }

  std::vector<Delivered> received() const;
  std::size_t received_count() const;

 private:
  const NatsConfig broker_;
  const std::string feed_;
  std::unique_ptr<PositionStore> positions_;
  std::unique_ptr<StreamService> service_;
  mutable Mutex mutex_;
  std::vector<Delivered> received_ GUARDED_BY(mutex_);
};

/// Where the lists of one feed come from. Past any gate: the checker sees what is there.
struct Places {
  NatsConfig broker;
  MysqlConfig mysql;
  FeedConfig feed;
};

struct VerifyOptions {
  /// How long the last message may take to arrive everywhere.
  std::chrono::milliseconds settle{20000};
  /// The ingest stream still holds every message that was sent: its times are compared too.
  bool ingest_is_whole = true;
};

/// Compares the lists of one feed: what was sent, table Messages, the feed stream, what a
/// subscriber got. One thread.
class Checker {
 public:
  explicit Checker(Places places);

  /// Waits until all that the ingest stream holds has come through, then compares: the same
  /// messages in the same order, seq 1 to N, ids, bytes and timestamps equal everywhere, nothing
  /// twice. A failure names the first difference. `subscriber` may be null.
  ::testing::AssertionResult verify(const std::vector<Sent>& sent,
                                    const Subscriber* subscriber,
                                    const VerifyOptions& options = {});

  /// The lists, for tests that look closer. Throw std::runtime_error when a place cannot be read.
  std::vector<Delivered> table();
  std::vector<Delivered> feed_stream();
  struct Captured {
    std::uint64_t stream_seq = 0;
    std::string id;  // the producer's, or made of stream, created time and sequence
    bool id_generated = false;
    std::int64_t timestamp_us = 0;
    std::string payload;
  };
  std::vector<Captured> ingest_stream();

  /// Last sequence of a stream; 0 when there is no such stream.
  std::uint64_t stream_tail(const std::string& stream);
  /// The feed's row in table Feeds; all zero when there is none yet, or no database.
  storage::FeedSummary summary();
  /// Newest first, without their data.
  std::vector<storage::QuarantinedMessage> quarantined();

  const Places& places() const { return places_; }

 private:
  nats::Connection& connection();
  std::string unsettled(std::size_t sent_count, const Subscriber* subscriber);
  std::string ingest_difference(const std::vector<Delivered>& rows);

  const Places places_;
  std::unique_ptr<nats::Connection> connection_;
  std::unique_ptr<storage::CatalogueReader> reader_;
};

}  // namespace feedvault::testing
