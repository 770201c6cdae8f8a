#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "storage/catalogue.h"

namespace feedvault::storage {

/// What `status` shows of a feed.
struct FeedSummary {
  std::uint8_t feed = 0;
  std::string name;
  FeedState state;
  std::uint64_t quarantined = 0;  // rows, all time
  std::uint64_t duplicates = 0;   // dropped, all time
  std::uint64_t gaps = 0;
};

struct QuarantinedMessage {
  std::uint64_t id = 0;
  std::uint8_t feed = 0;
  std::string message_id;
  std::uint64_t stream_seq = 0;
  std::int64_t timestamp_us = 0;
  std::uint32_t size = 0;
  std::string data;  // find_quarantined() only
  std::string error;
  std::string state;      // "quarantined", "requested", "requeued", "failed"
  std::uint64_t seq = 0;  // once requeued
};

/// Which rows of one feed to read, in the order of seq. Value type.
struct Scan {
  std::uint8_t feed = 0;
  std::uint64_t first_seq = 1;
  std::uint64_t end_seq = 1;          // not read any more
  std::optional<std::int64_t> to_us;  // rows of this time and later are not wanted
  /// A member of `body` has this value. Rows without a body pass: it is the caller who decodes
  /// them. At most kEqualMax.
  struct Equal {
    std::string path;  // as JSON_EXTRACT takes it: "$.symbol"
    std::string value;
    bool numeric = false;  // compared as floating point, else byte by byte
  };
  static constexpr std::size_t kEqualMax = 5;
  std::vector<Equal> equal;
  bool with_data = false;  // else Row::data is filled for rows without a body only
  std::size_t rows_max = 1000;
  /// With conditions: how many positions one call looks at, so that none takes long.
  std::uint64_t positions_max = 20'000;
};

/// Reads the catalogue, without part in the election. Reconnects by itself at the next call after a
/// failure. One thread at a time.
class CatalogueReader {
 public:
  static std::unique_ptr<CatalogueReader> create(const MysqlConfig& config);
  virtual ~CatalogueReader() = default;

  /// Rows of `feed` from `first_seq` on, in order, at most rows_max and about bytes_max (but at
  /// least one when there is one). `with_body` fills Row::body.
  virtual Result<std::vector<Row>> read_range(std::uint8_t feed,
                                              std::uint64_t first_seq,
                                              std::size_t rows_max,
                                              std::size_t bytes_max,
                                              bool with_body = false) = 0;

  /// Calls `each` for rows that the scan wants, at most rows_max, until it returns false. Returns
  /// the first position that was not looked at: scan.end_seq when there is no more. Nothing is kept
  /// in memory, and the row is the reader's own.
  virtual Result<std::uint64_t> scan(const Scan& scan,
                                     const std::function<bool(const Row&)>& each) = 0;

  /// The first seq whose timestamp is at or after `timestamp_us`; nullopt when there is none.
  virtual Result<std::optional<std::uint64_t>> seq_at_time(std::uint8_t feed,
                                                           std::int64_t timestamp_us) = 0;

  /// The first and the last seq that the table holds; of an empty table what comes next, and the
  /// one before that.
  struct Held {
    std::uint64_t first = 1;
    std::uint64_t last = 0;
  };
  virtual Result<Held> held(std::uint8_t feed) = 0;

  /// The last seq whose timestamp is before `timestamp_us`; nullopt when there is none.
  virtual Result<std::optional<std::uint64_t>> last_before_time(std::uint8_t feed,
                                                                std::int64_t timestamp_us) = 0;

  virtual Result<std::vector<FeedSummary>> feeds() = 0;

  /// Newest first; feed 0: all.
  virtual Result<std::vector<QuarantinedMessage>> quarantined(std::uint8_t feed,
                                                              std::size_t rows_max) = 0;
  virtual Result<QuarantinedMessage> find_quarantined(std::uint64_t id) = 0;

  /// Asks the controller to catalogue it. kDuplicate when it has a seq already or was asked for.
  virtual Status request_requeue(std::uint64_t id) = 0;
};

/// Brings the schema up to the newest migration and grants the service user what it needs.
/// Idempotent; safe when several controllers start at once. kInvalidArgument when the schema is
/// newer than this program, with what to do; kUnavailable when the server is away.
Status migrate(const MysqlConfig& config);

}  // namespace feedvault::storage
