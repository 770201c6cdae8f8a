// What one stream can take in on one core, without sockets: from PublishedMessage to the answer.
//
//   streams_bench DIR [MESSAGES]     default: 1,000,000 messages of 128 bytes
//
// Prints one line a kind of publisher and stream: messages a second of this process's CPU time
// (what others do on the machine does not count) and of wall time. Commits after every 256
// messages, with real syncs, for streams in files, which are then opened again.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "broker/streams/stream.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kPayload = 128;
constexpr std::uint64_t kCommitEvery = 4096;

/// Counts and forgets.
class Sink final : public Output {
 public:
  std::size_t deliver(std::string_view /*to*/, const OutgoingMessage& message) override {
    bytes += message.payload.size();
    return 1;
  }
  bool has_interest(std::string_view /*subject*/) override { return true; }
  void advisory(Advisory /*event*/) override {}
  std::uint64_t bytes = 0;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Load {
  const char* name = "";
  bool reply = false;
  bool ids = false;
  std::uint64_t subjects = 1;
  std::int64_t max_msgs = -1;
  std::int64_t max_msgs_per_subject = -1;
};

/// Opening it as it is after a kill, and after a clean stop.
void time_starts(std::unique_ptr<Stream> stream, const StreamOptions& options) {
  for (const bool clean : {false, true}) {
    if (clean && !stream->close().ok()) {
      std::abort();
    }
    stream.reset();
    const double cpu = cpu_seconds();
    const auto start = std::chrono::steady_clock::now();
    auto opened = Stream::open("BENCH", options);
    if (!opened.has_value()) {
      std::fprintf(stderr, "streams_bench: %s\n", opened.error().to_string().c_str());
      std::exit(1);
    }
    const double cpu_took = cpu_seconds() - cpu;
    const double took =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("       opened after a %s in %.0f ms, %.0f ms of CPU\n",
                clean ? "clean stop" : "kill",
                took * 1e3,
                cpu_took * 1e3);
    stream = std::move(*opened);
  }
}

void run(const std::string& dir, StorageType storage, const Load& load, std::uint64_t messages) {
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  Sink sink;
  StreamOptions options;
  options.dir = dir;
  options.fs = &store::real_file_system();
  options.clock = &Clock::system();
  options.output = &sink;
  StreamConfig config;
  config.name = "BENCH";
  config.subjects = {"bench.>"};
  config.storage = storage;
  config.max_msgs = load.max_msgs;
  config.max_msgs_per_subject = load.max_msgs_per_subject;
  if (check_stream_config(config).has_value()) {
    std::abort();
  }
  auto made = Stream::create(config, options);
  if (!made.has_value()) {
    std::fprintf(stderr, "streams_bench: %s\n", made.error().to_string().c_str());
    std::exit(1);
  }
  Stream& stream = **made;
  const std::string payload(kPayload, 'x');
  std::vector<std::string> subjects;
  for (std::uint64_t i = 0; i < load.subjects; ++i) {
    subjects.push_back("bench." + std::to_string(i));
  }
  const std::string_view reply = load.reply ? "_INBOX.abcdefghijkl.0001" : "";
  std::string headers;
  const double cpu = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < messages; ++i) {
    if (load.ids) {
      headers = "NATS/1.0\r\nNats-Msg-Id: message-" + std::to_string(i) + "\r\n\r\n";
    }
    if (stream.store({subjects[i % load.subjects], reply, headers, payload}) !=
        Stream::Outcome::kStored) {
      std::fprintf(stderr, "streams_bench: %s\n", stream.last_refusal().description.c_str());
      std::exit(1);
    }
    if (i % kCommitEvery == kCommitEvery - 1) {
      stream.commit();
    }
  }
  stream.commit();
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double used = cpu_seconds() - cpu;
  std::printf("%-6s %-34s %10.0f messages/s of CPU %10.0f of wall time\n",
              storage == StorageType::kFile ? "file" : "memory",
              load.name,
              static_cast<double>(messages) / used,
              static_cast<double>(messages) / wall);
  if (storage == StorageType::kFile) {
    time_starts(std::move(*made), options);
  }
  std::fflush(stdout);
}

}  // namespace
}  // namespace feedvault::broker::streams

int main(int argc, char** argv) {
  using namespace feedvault::broker::streams;  // NOLINT(google-build-using-namespace)
  if (argc < 2) {
    std::fprintf(stderr, "usage: streams_bench DIR [MESSAGES]\n");
    return 2;
  }
  const std::uint64_t messages = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const std::string dir = std::string(argv[1]) + "/streams_bench";
  const Load loads[] = {
      {"plain", false, false, 1, -1, -1},
      {"answered", true, false, 1, -1, -1},
      {"answered, with ids", true, true, 1, -1, -1},
      {"plain, 1,000 subjects", false, false, 1000, -1, -1},
      {"plain, max_msgs 10,000", false, false, 1, 10'000, -1},
      {"plain, history 1 of 1,000", false, false, 1000, -1, 1},
  };
  for (const StorageType storage : {StorageType::kMemory, StorageType::kFile}) {
    for (const Load& load : loads) {
      run(dir, storage, load, messages);
    }
  }
  std::filesystem::remove_all(dir);
  return 0;
}
