#include "bench/database_ceiling.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "storage/session.h"
#include "storage/sql_text.h"

// Here and not in bench/, because nothing outside this folder speaks to libmysqlclient. No part of
// the product's libraries.

namespace feedvault::bench {
namespace {

using Clock = std::chrono::steady_clock;
using storage::Session;
using storage::Statement;
using storage::TextRow;

constexpr std::size_t kColumns = 5;
// Other ids than any feed's, as long as those that the controller makes.
constexpr std::string_view kIdPrefix = "CEILING_executions-1760000000-";

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The barest writer: a statement, its binds, and rows that are made in place.
class BareWriter {
 public:
  BareWriter(std::size_t rows, std::size_t payload_bytes)
      : payload_(payload_bytes, 'p'), ids_(rows), id_lengths_(rows), seqs_(rows) {
    binds_.resize(rows * kColumns);
    // NOLINTBEGIN(cppcoreguidelines-prefer-member-initializer): the payload is made first.
    payload_length_ = payload_.size();
    size_ = static_cast<std::uint32_t>(payload_.size());
    // NOLINTEND(cppcoreguidelines-prefer-member-initializer)
    time_ = storage::to_mysql_time(1'760'000'000'000'000);
  }

  Status open(const MysqlConfig& config) {
    storage::SessionOptions options;
    options.user = config.user;
    options.password = config.password;
    ASSIGN_OR_RETURN(session_, Session::open(config, options));
    std::string sql = "INSERT INTO Messages (feed,seq,id,timestamp,size,data,body) VALUES ";
    for (std::size_t i = 0; i < seqs_.size(); ++i) {
      sql += (i == 0 ? "(" : ",(") + std::to_string(kCeilingFeed) + ",?,?,?,?,?,NULL)";
    }
    RETURN_IF_SQL_ERROR(statement_.prepare(*session_, sql), "preparing");
    std::vector<TextRow> rows;
    RETURN_IF_SQL_ERROR(
        session_->query("SELECT MAX(seq) FROM Messages WHERE feed=" + std::to_string(kCeilingFeed),
                        rows),
        "reading the last seq");
    last_seq_ = storage::number_in<std::uint64_t>(rows[0][0]);
    return {};
  }

  Status write() {
    for (std::size_t i = 0; i < seqs_.size(); ++i) {
      MYSQL_BIND* bind = &binds_[i * kColumns];
      seqs_[i] = ++last_seq_;
      ids_[i] = kIdPrefix;
      ids_[i] += std::to_string(last_seq_);
      bind[0].buffer_type = MYSQL_TYPE_LONGLONG;
      bind[0].buffer = &seqs_[i];
      storage::bind_range(bind[1], MYSQL_TYPE_BLOB, ids_[i], &id_lengths_[i]);
      bind[2].buffer_type = MYSQL_TYPE_DATETIME;
      bind[2].buffer = &time_;
      bind[3].buffer_type = MYSQL_TYPE_LONG;
      bind[3].buffer = &size_;
      storage::bind_range(bind[4], MYSQL_TYPE_BLOB, payload_, &payload_length_);
    }
    RETURN_IF_SQL_ERROR(statement_.execute(binds_.data()), "inserting");
    return {};
  }

 private:
  std::unique_ptr<Session> session_;
  Statement statement_;
  std::string payload_;
  unsigned long payload_length_ = 0;
  std::uint32_t size_ = 0;
  MYSQL_TIME time_{};
  std::vector<std::string> ids_;
  std::vector<unsigned long> id_lengths_;
  std::vector<std::uint64_t> seqs_;
  std::vector<MYSQL_BIND> binds_;
  std::uint64_t last_seq_ = 0;
};

}  // namespace

Result<double> measure_insert_ceiling(const MysqlConfig& config, const CeilingOptions& options) {
  BareWriter writer(options.rows_per_commit, options.payload_bytes);
  RETURN_IF_ERROR(writer.open(config));
  RETURN_IF_ERROR(writer.write());  // buffers are grown and pages allocated
  const std::uint64_t writes =
      std::max<std::uint64_t>(1, options.rows / std::max<std::size_t>(1, options.rows_per_commit));
  const auto begin = Clock::now();
  for (std::uint64_t i = 0; i < writes; ++i) {
    RETURN_IF_ERROR(writer.write());
  }
  return static_cast<double>(writes * options.rows_per_commit) / seconds_since(begin);
}

Result<std::vector<double>> measure_single_commit_latency(const MysqlConfig& config,
                                                          std::size_t count,
                                                          std::size_t payload_bytes,
                                                          std::uint32_t rate) {
  BareWriter writer(1, payload_bytes);
  RETURN_IF_ERROR(writer.open(config));
  RETURN_IF_ERROR(writer.write());
  std::vector<double> microseconds;
  microseconds.reserve(count);
  const auto first = Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    if (rate != 0) {
      // The sleep is what is asked for: commits that begin at a rate.
      std::this_thread::sleep_until(first + std::chrono::nanoseconds(1'000'000'000 * i / rate));
    }
    const auto begin = Clock::now();
    RETURN_IF_ERROR(writer.write());
    microseconds.push_back(seconds_since(begin) * 1e6);
  }
  std::sort(microseconds.begin(), microseconds.end());
  return microseconds;
}

double percentile(const std::vector<double>& ascending, double share) {
  if (ascending.empty()) {
    return 0;
  }
  const auto index = static_cast<std::size_t>(share * static_cast<double>(ascending.size()));
  return ascending[std::min(index, ascending.size() - 1)];
}

}  // namespace feedvault::bench
