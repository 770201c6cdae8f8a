// What one log can do on this machine, on real files.
//
//   store_bench DIR [MESSAGES]     default: 1,000,000 messages of 128 bytes
//
// Prints one line a measurement: appending (without syncs, and with a group commit of 1, 16, 256
// and 1,000 messages beside a bare write and fdatasync of the same bytes), reading in sequence and
// at random, opening after a clean stop and after a kill, and memory a message, with few subjects
// and with one a message.

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "broker/store/message_log.h"

namespace feedvault::broker::store {
namespace {

constexpr std::size_t kPayload = 128;
constexpr std::uint64_t kRecord = 184;  // such a message on disk

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

/// Of this process: what others do on the machine does not count.
double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void give_up(const Status& status) {
  std::fprintf(stderr, "store_bench: %s\n", status.to_string().c_str());
  std::exit(1);
}

void must(const Status& status) {
  if (!status.ok()) {
    give_up(status);
  }
}

template <typename T>
T must(Result<T> result) {
  must(result.status());
  return std::move(result).value();
}

std::unique_ptr<MessageLog> open(const std::string& dir) {
  return must(MessageLog::open(real_file_system(), dir, {}, Clock::system()));
}

void fill(MessageLog& log, std::uint64_t messages, std::uint64_t subjects) {
  const std::string payload(kPayload, 'p');
  for (std::uint64_t i = 0; i < messages; ++i) {
    char subject[32];
    const int size = std::snprintf(
        subject, sizeof subject, "orders.%llu", static_cast<unsigned long long>(i % subjects));
    must(log.append(
        {subject, static_cast<std::size_t>(size)}, "", payload, static_cast<std::int64_t>(i + 1)));
  }
}

void bench_append(const std::string& dir, std::uint64_t messages) {
  const auto log = open(dir + "/append");
  const auto start = SteadyClock::now();
  const double cpu = cpu_seconds();
  fill(*log, messages, 100);
  const double filled = seconds_since(start);
  std::printf("append, no sync asked for   %9.0f messages/s (%.0f a second of processor time)\n",
              static_cast<double>(messages) / filled,
              static_cast<double>(messages) / (cpu_seconds() - cpu));
  must(log->close());
}

void bench_groups(const std::string& dir) {
  const std::string payload(kPayload, 'p');
  for (const std::uint64_t group : {1U, 16U, 256U, 1000U}) {
    const auto log = open(dir + "/groups" + std::to_string(group));
    const UniqueFd bare(::open((dir + "/bare").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644));
    const std::string bytes(group * kRecord, 'b');
    std::vector<double> ours;
    std::vector<double> theirs;
    off_t offset = 0;
    // In turn, so that both meet the same disk.
    for (int round = 0; round < 200; ++round) {
      auto start = SteadyClock::now();
      for (std::uint64_t i = 0; i < group; ++i) {
        must(log->append("orders.1", "", payload, 1));
      }
      must(log->sync());
      ours.push_back(seconds_since(start));
      start = SteadyClock::now();
      if (::pwrite(bare.get(), bytes.data(), bytes.size(), offset) < 0 ||
          ::fdatasync(bare.get()) != 0) {
        give_up(io_error("the bare file cannot be written"));
      }
      offset += static_cast<off_t>(bytes.size());
      theirs.push_back(seconds_since(start));
    }
    std::ranges::sort(ours);
    std::ranges::sort(theirs);
    const double p50 = ours[ours.size() / 2];
    const double bare_p50 = theirs[theirs.size() / 2];
    std::printf(
        "group commit of %4llu         %9.0f messages/s, p50 %.2f ms; bare write+sync %.2f ms, "
        "ratio %.2f\n",
        static_cast<unsigned long long>(group),
        static_cast<double>(group) / p50,
        p50 * 1e3,
        bare_p50 * 1e3,
        p50 / bare_p50);
  }
}

void bench_read(const std::string& dir, std::uint64_t messages) {
  const auto log = open(dir + "/append");
  for (const char* filter : {">", "orders.7"}) {
    const auto start = SteadyClock::now();
    const double cpu = cpu_seconds();
    MessageReader reader(*log, 1, SubjectFilter(filter));
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
    for (auto next = must(reader.next(messages)); next.has_value();
         next = must(reader.next(messages))) {
      ++count;
      bytes += next->payload.size();
    }
    std::printf("read in sequence, %-9s %9.0f messages/s (%.0f a second of processor time)\n",
                filter,
                static_cast<double>(count) / seconds_since(start),
                static_cast<double>(count) / (cpu_seconds() - cpu));
    if (count == 0 || bytes != count * kPayload) {
      give_up(internal_error("the messages are not what was appended"));
    }
  }
  std::mt19937_64 random(1);
  ReadBuffer buffer;
  constexpr int kReads = 200'000;
  const auto start = SteadyClock::now();
  const double cpu = cpu_seconds();
  for (int i = 0; i < kReads; ++i) {
    must(log->read(1 + random() % messages, buffer).status());
  }
  std::printf("read at random              %9.0f messages/s (%.0f a second of processor time)\n",
              kReads / seconds_since(start),
              kReads / (cpu_seconds() - cpu));
}

void open_and_tell(const std::string& dir, const char* how, std::uint64_t messages) {
  const auto start = SteadyClock::now();
  const double cpu = cpu_seconds();
  const auto log = open(dir);
  std::printf(
      "open, %-21s %9.1f ms (%.1f ms of processor time; %llu messages, %llu bytes "
      "scanned)\n",
      how,
      seconds_since(start) * 1e3,
      (cpu_seconds() - cpu) * 1e3,
      static_cast<unsigned long long>(messages),
      static_cast<unsigned long long>(log->recovery().scanned_bytes));
}

void bench_open(const std::string& dir, std::uint64_t messages) {
  open_and_tell(dir + "/append", "clean", messages);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto log = open(dir + "/killed");
    // The last segment as full as it gets: all of it must be scanned.
    fill(*log, messages - messages % 182'000 - 1, 100);
    must(log->flush());
    ::_exit(0);  // nothing is closed, nothing is said
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  open_and_tell(dir + "/killed", "killed", messages - messages % 182'000 - 1);
  {
    const auto log = open(dir + "/subjects");
    fill(*log, messages, messages);
    must(log->close());
  }
  open_and_tell(dir + "/subjects", "clean, own subjects", messages);
}

void report_memory(const std::string& dir, const char* name, std::uint64_t messages) {
  // In a process of its own, where nothing else has used the heap.
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::malloc_trim(0);
    const auto before = static_cast<double>(::mallinfo2().uordblks + ::mallinfo2().hblkhd);
    const auto log = open(dir + '/' + name);
    const double after = static_cast<double>(::mallinfo2().uordblks + ::mallinfo2().hblkhd);
    std::printf("memory, %-19s %9.1f bytes a message in use (%.1f by the index's own count)\n",
                name,
                (after - before) / static_cast<double>(messages),
                static_cast<double>(log->index_bytes()) / static_cast<double>(messages));
    std::fflush(stdout);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
}

int run(const std::string& dir, std::uint64_t messages) {
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  bench_append(dir, messages);
  bench_read(dir, messages);
  bench_open(dir, messages);
  report_memory(dir, "append", messages);
  report_memory(dir, "subjects", messages);
  bench_groups(dir);
  std::filesystem::remove_all(dir);
  return 0;
}

}  // namespace
}  // namespace feedvault::broker::store

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: store_bench DIR [MESSAGES]   (DIR is emptied first)\n");
    return 2;
  }
  const std::uint64_t messages = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  return feedvault::broker::store::run(argv[1], messages);
}
