#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "base/metrics.h"
#include "gateway/history_service.h"
#include "tests/integration/storage/fixture.h"
#include "tests/support/feed_stream.h"
#include "tests/support/nats_server.h"

namespace feedvault::gateway {

/// Feed `events` in the table and in its stream, without the controller: message N is
/// FeedStream::payload_of(N) with its id and time. And the history service.
class HistoryTest : public storage::StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    stream().create();
  }

  /// Connected anew after restart_broker().
  testing::FeedStream& stream() {
    if (stream_ == nullptr) {
      stream_ = std::make_unique<testing::FeedStream>(broker_.config(), "events");
    }
    return *stream_;
  }

  /// Messages up to `last`: first the table, then the stream, as the controller does it.
  void append_until(std::uint64_t last, std::size_t padding = 0) {
    const std::uint64_t first = last_ + 1;
    catalogue_until(last, padding);
    stream().publish(first, last, padding);
  }
  void catalogue_until(std::uint64_t last, std::size_t padding = 0) {
    // A writer that waited longer than the server keeps its session would be of no use.
    auto writer = this->writer(feed_);
    while (last_ < last) {
      const std::uint64_t first = last_ + 1;
      last_ = std::min(last, last_ + 2000);
      storage::TestBatch batch(first);
      for (std::uint64_t seq = first; seq <= last_; ++seq) {
        batch.message_at(testing::FeedStream::id_of(seq),
                         testing::FeedStream::payload_of(seq, padding),
                         testing::FeedStream::timestamp_us_of(seq),
                         /*generated=*/false);
      }
      commit(*writer, batch);
    }
  }

  /// What retention does: the stream loses everything before `first`.
  void trim_to(std::uint64_t first) {
    const Status purged = stream().jetstream().purge_below(stream().name(), first);
    ASSERT_TRUE(purged.ok()) << purged.to_string();
  }
  void delete_rows(std::uint64_t first, std::uint64_t last) {
    server().sql("DELETE FROM Messages WHERE seq BETWEEN " + std::to_string(first) + " AND " +
                     std::to_string(last),
                 config_.database);
  }

  void restart_broker() {
    stream_.reset();
    broker_.kill_hard();
    broker_.start();
  }

  HistoryService::Options service_options() {
    HistoryService::Options options;
    options.nats = broker_.config();
    options.mysql = config_;
    options.feeds = {feed_, other_feed_};
    return options;
  }
  std::unique_ptr<HistoryService> start_service() { return start_service(service_options()); }
  std::unique_ptr<HistoryService> start_service(const HistoryService::Options& options) {
    auto service = HistoryService::start(options, metrics_);
    if (!service.has_value()) {
      throw std::runtime_error(service.error().to_string());
    }
    return std::move(service).value();
  }

  testing::NatsServer broker_;
  Metrics metrics_;
  std::uint64_t last_ = 0;

 private:
  std::unique_ptr<testing::FeedStream> stream_;
};

}  // namespace feedvault::gateway
