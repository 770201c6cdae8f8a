#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "storage/catalogue.h"
#include "storage/catalogue_reader.h"
#include "tests/support/mariadb_server.h"

namespace feedvault::storage {

/// A batch that owns what its views point to, and a small language to fill it.
class TestBatch {
 public:
  explicit TestBatch(std::uint64_t first_stream_seq = 1) : next_(first_stream_seq) {
    batch.position.stream_created_ns = kCreatedNs;
  }

  TestBatch& message(std::string id, std::string data, std::string body = "") {
    const std::int64_t time = kTimeUs + static_cast<std::int64_t>(next_);
    return message_at(std::move(id), std::move(data), time, /*generated=*/false, std::move(body));
  }
  TestBatch& generated(std::string id, std::string data, std::int64_t timestamp_us) {
    return message_at(std::move(id), std::move(data), timestamp_us, /*generated=*/true);
  }
  TestBatch& message_at(std::string id,
                        std::string data,
                        std::int64_t timestamp_us,
                        bool generated,
                        std::string body = "") {
    batch.messages.push_back({.id = keep(std::move(id)),
                              .id_generated = generated,
                              .stream_seq = next_,
                              .timestamp_us = timestamp_us,
                              .data = keep(std::move(data)),
                              .body = keep(std::move(body))});
    return moved();
  }
  TestBatch& bad(std::string id, std::string data, std::string error) {
    const std::int64_t time = kTimeUs + static_cast<std::int64_t>(next_);
    batch.quarantine.push_back(
        {keep(std::move(id)), next_, time, keep(std::move(data)), std::move(error)});
    return moved();
  }
  TestBatch& gap(std::uint64_t first, std::uint64_t last) {
    batch.gaps.push_back({kCreatedNs, first, last, "expired"});
    return *this;
  }

  static constexpr std::int64_t kCreatedNs = 1'760'000'000'000'000'000;
  static constexpr std::int64_t kTimeUs = 1'760'000'100'000'000;

  Batch batch;

 private:
  std::string_view keep(std::string text) {
    kept_.push_back(std::make_unique<std::string>(std::move(text)));
    return *kept_.back();
  }
  TestBatch& moved() {
    batch.position.stream_seq = next_++;
    batch.position.time_ns = kTimeUs * 1000 + static_cast<std::int64_t>(next_);
    batch.position.hash = batch.position.stream_seq * 0x9E3779B97F4A7C15U;
    return *this;
  }

  std::uint64_t next_;
  std::vector<std::unique_ptr<std::string>> kept_;
};

/// A server for all tests of a process, and a fresh, migrated database for each.
class StorageTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (shared_server == nullptr) {
      shared_server = std::make_unique<testing::MariadbServer>();
    }
  }
  static testing::MariadbServer& server() { return *shared_server; }

  void SetUp() override {
    config_ = server().config();
    feed_.name = "events";
    feed_.number = 1;
    other_feed_.name = "executions";
    other_feed_.number = 2;
    const Status migrated = migrate(config_);
    ASSERT_TRUE(migrated.ok()) << migrated.to_string();
  }

  std::unique_ptr<Catalogue> open() { return open(feed_); }
  std::unique_ptr<Catalogue> open(const FeedConfig& feed) {
    auto catalogue = Catalogue::open(config_, feed);
    if (!catalogue.has_value()) {
      throw std::runtime_error(catalogue.error().to_string());
    }
    return std::move(catalogue).value();
  }
  /// Opened and taken over.
  std::unique_ptr<Catalogue> writer() { return writer(feed_); }
  std::unique_ptr<Catalogue> writer(const FeedConfig& feed) {
    auto catalogue = open(feed);
    const auto state = catalogue->take_over();
    if (!state.has_value()) {
      throw std::runtime_error(state.error().to_string());
    }
    return catalogue;
  }
  static CommitOutcome commit(Catalogue& catalogue, const TestBatch& batch) {
    auto outcome = catalogue.commit(batch.batch);
    if (!outcome.has_value()) {
      throw std::runtime_error(outcome.error().to_string());
    }
    return std::move(outcome).value();
  }
  std::string value(const std::string& sql) { return server().value(sql, config_.database); }

  MysqlConfig config_;
  FeedConfig feed_;
  FeedConfig other_feed_;

 private:
  static inline std::unique_ptr<testing::MariadbServer> shared_server;
};

inline std::string fates(const CommitOutcome& outcome) {
  std::string text;
  for (const CommitOutcome::Item& item : outcome.items) {
    switch (item.fate) {
      case CommitOutcome::Fate::kStored:
        text += std::to_string(item.seq);
        break;
      case CommitOutcome::Fate::kDuplicate:
        text += "duplicate";
        break;
      case CommitOutcome::Fate::kConflict:
        text += "conflict";
        break;
      case CommitOutcome::Fate::kQuarantined:
        text += "quarantined";
        break;
    }
    text += ' ';
  }
  text += "last " + std::to_string(outcome.last_seq);
  return text;
}

}  // namespace feedvault::storage
