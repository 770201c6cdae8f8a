// storage_ceiling [ROWS [PAYLOAD_BYTES]]: how close Catalogue comes to what the database can do, on
// a private server. Workloads, each with rows of PAYLOAD_BYTES (128) and body NULL:
//   ceiling   one connection, prepared INSERT of 1024 rows, each a durable transaction
//   commit    Catalogue::commit() with batches of 1024 and of 4096 messages
//   single    durable commits of one row: bare, and through Catalogue::commit()
//   again     Catalogue::commit() of batches that it has, as after a rewind of the ingest stream
//   read      CatalogueReader::read_range() over all that commit wrote, 4 MiB a call
//   time      CatalogueReader::seq_at_time()
// "cpu" is this process's own time, without the server's.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/database_ceiling.h"
#include "storage/catalogue.h"
#include "storage/catalogue_reader.h"
#include "tests/support/mariadb_server.h"

namespace feedvault::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kFirstTimeUs = 1'760'000'000'000'000;

template <typename T>
T must(Result<T> result) {
  if (!result.has_value()) {
    throw std::runtime_error(result.error().to_string());
  }
  return std::move(result).value();
}

void must(const Status& status) {
  if (!status.ok()) {
    throw std::runtime_error(status.to_string());
  }
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Rate {
  double rows_per_second = 0;
  double cpu_us_per_row = 0;
};

/// Runs `work`, which says how many rows it did.
template <typename Function>
Rate measure(Function&& work) {
  const double cpu = cpu_seconds();
  const auto begin = Clock::now();
  const auto rows = static_cast<double>(work());
  return {rows / seconds_since(begin), (cpu_seconds() - cpu) * 1e6 / rows};
}

/// Feeds Catalogue with generated messages, as a controller would.
class Writer {
 public:
  Writer(const MysqlConfig& config, std::size_t payload_bytes) : payload_(payload_bytes, 'p') {
    FeedConfig feed;
    feed.name = "executions";
    feed.number = 2;
    catalogue_ = must(storage::Catalogue::open(config, feed));
    next_ = must(catalogue_->take_over()).ingest.stream_seq + 1;
  }

  void rewind() { next_ = 1; }

  void commit(std::size_t rows) {
    ids_.resize(rows);
    batch_.messages.resize(rows);
    for (std::size_t i = 0; i < rows; ++i, ++next_) {
      ids_[i] = "INGEST_executions-1760000000-" + std::to_string(next_);
      storage::NewMessage& message = batch_.messages[i];
      message.id = ids_[i];
      message.id_generated = true;
      message.stream_seq = next_;
      message.timestamp_us = kFirstTimeUs + static_cast<std::int64_t>(next_);
      message.data = payload_;
    }
    batch_.position.stream_seq = next_ - 1;
    must(catalogue_->commit(batch_));
  }

 private:
  std::string payload_;
  std::unique_ptr<storage::Catalogue> catalogue_;
  std::vector<std::string> ids_;
  storage::Batch batch_;
  std::uint64_t next_ = 1;
};

/// `again`: the rows that the table has, from the first one on.
Rate measure_commit(const MysqlConfig& config,
                    std::uint64_t rows,
                    std::size_t payload_bytes,
                    std::size_t batch_rows,
                    bool again = false) {
  Writer writer(config, payload_bytes);
  if (again) {
    writer.rewind();
  }
  writer.commit(batch_rows);
  return measure([&] {
    std::uint64_t written = 0;
    for (; written < rows; written += batch_rows) {
      writer.commit(batch_rows);
    }
    return written;
  });
}

std::vector<double> measure_single(const MysqlConfig& config,
                                   std::size_t count,
                                   std::size_t payload_bytes) {
  Writer writer(config, payload_bytes);
  writer.commit(1);
  std::vector<double> microseconds;
  for (std::size_t i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    writer.commit(1);
    microseconds.push_back(seconds_since(begin) * 1e6);
  }
  std::sort(microseconds.begin(), microseconds.end());
  return microseconds;
}

Rate measure_read(const MysqlConfig& config) {
  const auto reader = storage::CatalogueReader::create(config);
  return measure([&] {
    std::uint64_t next = 1;
    for (;;) {
      const auto rows = must(reader->read_range(2, next, 16384, 4U << 20U));
      if (rows.empty()) {
        return next - 1;
      }
      next = rows.back().seq + 1;
    }
  });
}

std::vector<double> measure_seq_at_time(const MysqlConfig& config, std::uint64_t rows) {
  const auto reader = storage::CatalogueReader::create(config);
  std::vector<double> microseconds;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const auto begin = Clock::now();
    must(reader->seq_at_time(2, kFirstTimeUs + static_cast<std::int64_t>(rows * i / 200)));
    microseconds.push_back(seconds_since(begin) * 1e6);
  }
  std::sort(microseconds.begin(), microseconds.end());
  return microseconds;
}

void print_rate(const char* name, const Rate& rate, double ceiling) {
  std::printf("%-24s %10.0f rows/s %8.2f of the ceiling %8.2f us cpu/row\n",
              name,
              rate.rows_per_second,
              rate.rows_per_second / ceiling,
              rate.cpu_us_per_row);
}

void print_latency(const char* name, const std::vector<double>& microseconds) {
  std::printf("%-24s %10.0f us p50 %10.0f us p99\n",
              name,
              percentile(microseconds, 0.5),
              percentile(microseconds, 0.99));
}

void run(std::uint64_t rows, std::size_t payload_bytes) {
  testing::MariadbServer server({"--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"});
  const MysqlConfig config = server.config();
  must(storage::migrate(config));
  CeilingOptions options;
  options.rows = rows;
  options.payload_bytes = payload_bytes;
  // In turns: a shared machine is not equally fast all the time.
  for (int round = 1; round <= 3; ++round) {
    const double ceiling = must(measure_insert_ceiling(config, options));
    std::printf("%-24s %10.0f rows/s\n", "ceiling", ceiling);
    print_rate("commit of 1024", measure_commit(config, rows, payload_bytes, 1024), ceiling);
    print_rate("commit of 4096", measure_commit(config, rows, payload_bytes, 4096), ceiling);
    print_rate("commit of 4096 again",
               measure_commit(config, rows / 4, payload_bytes, 4096, true),
               ceiling);
    print_rate("read_range", measure_read(config), ceiling);
    print_latency("seq_at_time", measure_seq_at_time(config, rows));
    print_latency("single, bare", must(measure_single_commit_latency(config, 1000, payload_bytes)));
    print_latency("single, Catalogue", measure_single(config, 1000, payload_bytes));
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace feedvault::bench

int main(int argc, char** argv) {
  try {
    feedvault::bench::run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 300'000,
                          argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 128);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "storage_ceiling: %s\n", error.what());
    return 1;
  }
  return 0;
}
