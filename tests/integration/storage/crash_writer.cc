// crash_writer HOST PORT USER PASSWORD DATABASE COUNT: catalogues the messages 1 to COUNT of an
// imaginary ingest stream, from the checkpoint on, as a controller would: after a failure it opens
// a new catalogue and asks where it stands. The crash tests kill it, or its server, on the way.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "storage/catalogue.h"

namespace {

using feedvault::FeedConfig;
using feedvault::MysqlConfig;
using feedvault::Status;
using feedvault::StatusCode;
using feedvault::storage::Batch;
using feedvault::storage::Catalogue;

constexpr std::uint64_t kBatchMax = 37;

Status write_from_checkpoint(const MysqlConfig& config, std::uint64_t count) {
  FeedConfig feed;
  feed.name = "events";
  feed.number = 1;
  ASSIGN_OR_RETURN(const auto catalogue, Catalogue::open(config, feed));
  RETURN_IF_ERROR(catalogue->elect(std::chrono::seconds(20)));
  ASSIGN_OR_RETURN(const auto state, catalogue->take_over());
  for (std::uint64_t next = state.ingest.stream_seq + 1; next <= count;) {
    std::vector<std::string> ids;
    std::vector<std::string> data;
    for (std::uint64_t size = 1 + next % kBatchMax; size > 0 && next <= count; --size, ++next) {
      ids.push_back("m" + std::to_string(next));
      data.push_back("data of " + std::to_string(next));
    }
    Batch batch;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::uint64_t stream_seq = next - ids.size() + i;
      batch.messages.push_back({.id = ids[i],
                                .stream_seq = stream_seq,
                                .timestamp_us = static_cast<std::int64_t>(stream_seq),
                                .data = data[i],
                                .body = {}});
    }
    batch.position = {.stream_created_ns = 1, .stream_seq = next - 1};
    RETURN_IF_ERROR(catalogue->commit(batch).status());
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: crash_writer HOST PORT USER PASSWORD DATABASE COUNT\n");
    return 2;
  }
  MysqlConfig config;
  config.host = argv[1];
  config.port = static_cast<std::uint16_t>(std::atoi(argv[2]));
  config.user = argv[3];
  config.password = argv[4];
  config.database = argv[5];
  const auto count = std::strtoull(argv[6], nullptr, 10);
  for (;;) {
    const Status status = write_from_checkpoint(config, count);
    if (status.ok()) {
      return 0;
    }
    std::fprintf(stderr, "%s\n", status.to_string().c_str());
    if (status.code() != StatusCode::kUnavailable && status.code() != StatusCode::kUnknownOutcome &&
        status.code() != StatusCode::kTimeout) {
      return 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}
