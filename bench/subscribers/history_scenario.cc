#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <random>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/stop_token.h"
#include "bench/database_ceiling.h"
#include "bench/subscribers/scenarios.h"
#include "bench/support/instance.h"
#include "bench/support/sample_execution.h"
#include "client/stream_service.h"
#include "proto/message_schema.h"
#include "tests/support/feed_stream.h"
#include "tests/support/loopback.h"

namespace feedvault::bench {
namespace {

using std::chrono::minutes;
using std::chrono::steady_clock;

constexpr double kNdjsonGoal = 200'000;
constexpr double kServiceGoal = 150'000;
constexpr double kFirstByteGoalMs = 20;
constexpr std::size_t kPages = 500;

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return text;
}

// By the server itself, out of its sequence engine, and into an empty table in one statement: then
// it builds each index by sorting, and not row by row.
void load_table(Instance& instance, std::uint64_t rows, Figures& figures) {
  const std::string data = execution_of_size(kPayloadBytes).SerializeAsString();
  const auto schema =
      MessageSchema::load(FEEDVAULT_SOURCE_DIR "/proto/execution.proto", "execution");
  std::string body;
  require(schema.has_value() && (*schema)->new_decoder()->to_json(data, body).ok(),
          "cannot decode an execution");
  const std::string sql = fmt::format(
      "SET unique_checks=0, foreign_key_checks=0;"
      "INSERT INTO Messages (feed,seq,id,timestamp,size,data,body) SELECT {0},seq,"
      "CONCAT('INGEST_executions-1760000000-',seq),"
      "TIMESTAMPADD(MICROSECOND,seq*100,'2026-01-01'),{1},x'{2}','{3}' FROM seq_1_to_{4};"
      "INSERT INTO Feeds (feed,name,last_seq) VALUES ({0},'{5}',{4})",
      kFeedNumber,
      data.size(),
      hex(data),
      body,
      rows,
      kFeed);
  const auto begin = steady_clock::now();
  const auto loaded = testing::run({"mariadb",
                                    "--no-defaults",
                                    "--socket=" + instance.database().socket(),
                                    "--user=root",
                                    "--execute=" + sql,
                                    instance.mysql().database},
                                   {},
                                   minutes(30));
  require(loaded.exit_code == 0, "the table cannot be filled: " + loaded.output);
  figures.add("table_rows", static_cast<double>(rows), "");
  figures.add("table_load", static_cast<double>(rows) / seconds_since(begin), "rows/s");
}

/// A connection to the gateway that gives an answer's body as it comes.
class Client {
 public:
  explicit Client(std::uint16_t port)
      : socket_(testing::connect_loopback(port)), buffer_(1U << 20U) {
    require(socket_.valid(), "the gateway does not accept a connection");
  }

  /// By HTTP/1.0, so that the body comes bare and ends with the connection.
  void ask(const std::string& target) {
    const std::string request =
        "GET " + target + " HTTP/1.0\r\nAccept: application/x-ndjson\r\n\r\n";
    require(::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(request.size()),
            "cannot send a request");
  }
  /// Empty at the end.
  std::string_view receive() {
    const ssize_t got = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
    return {buffer_.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got))};
  }

 private:
  UniqueFd socket_;
  std::vector<char> buffer_;
};

/// Counts lines, whose seqs must follow one another.
class Lines {
 public:
  explicit Lines(std::uint64_t first) : next_(first), first_(first) {}

  void take(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      rest_.append(bytes.substr(0, end));
      if (end == std::string_view::npos) {
        return;
      }
      bytes.remove_prefix(end + 1);
      take_line(rest_);
      rest_.clear();
    }
  }
  std::uint64_t count() const { return next_ - first_; }

 private:
  void take_line(std::string_view line) {
    if (line == "\r" && !in_body_) {
      in_body_ = true;
      return;
    }
    if (!in_body_) {
      return;
    }
    constexpr std::string_view kSeq = "{\"seq\":";
    std::uint64_t seq = 0;
    if (line.substr(0, kSeq.size()) == kSeq) {
      std::from_chars(line.data() + kSeq.size(), line.data() + line.size(), seq);
    }
    require(seq == next_, fmt::format("message {} was to come, not {}", next_, line));
    ++next_;
  }

  std::uint64_t next_;
  std::uint64_t first_;
  std::string rest_;
  bool in_body_ = false;
};

void measure_ndjson(Instance& instance, const HistoryOptions& options, Figures& figures) {
  const double cpu_before = cpu_microseconds(instance.gateway_pid());
  const auto begin = steady_clock::now();
  Client client(instance.http_port());
  client.ask(fmt::format("/feeds/{}/messages?limit={}", kFeed, options.read));
  Lines lines(1);
  for (std::string_view bytes = client.receive(); !bytes.empty(); bytes = client.receive()) {
    lines.take(bytes);
  }
  const double rate = static_cast<double>(lines.count()) / seconds_since(begin);
  require(lines.count() == options.read, fmt::format("only {} lines came", lines.count()));
  figures.add(
      "history_ndjson", rate, "msg/s", fmt::format(">= {:.0f}", kNdjsonGoal), rate >= kNdjsonGoal);
  figures.add(
      "history_ndjson_cpu",
      (cpu_microseconds(instance.gateway_pid()) - cpu_before) / static_cast<double>(lines.count()),
      "us/msg");
}

void measure_service(Instance& instance, const HistoryOptions& options, Figures& figures) {
  // The feed stream begins where the table ends: all of it is the past.
  testing::FeedStream stream(instance.broker().config(), kFeed);
  stream.create(options.rows + 1);
  auto service = StreamService::connect(instance.broker().config(), {});
  require(service.has_value(), "cannot connect to the broker");
  std::uint64_t seen = 0;
  StopSource done;
  const double cpu_before = cpu_microseconds(instance.gateway_pid());
  const auto begin = steady_clock::now();
  SubscribeOptions subscription;
  subscription.feed = kFeed;
  subscription.start = Start::at_seq(1);
  const Status subscribed = (*service)->subscribe(subscription, [&](const FeedMessage& message) {
    if (message.position.seq != ++seen || seen == options.read) {
      done.request_stop();
      return false;
    }
    return true;
  });
  require(subscribed.ok(), subscribed.to_string());
  done.wait_until(steady_clock::now() + minutes(5));
  const double rate = static_cast<double>(options.read) / seconds_since(begin);
  service->reset();
  require(seen == options.read, fmt::format("the subscriber stopped at {}", seen));
  figures.add("history_stream_service",
              rate,
              "msg/s",
              fmt::format(">= {:.0f}", kServiceGoal),
              rate >= kServiceGoal);
  figures.add(
      "history_stream_service_cpu",
      (cpu_microseconds(instance.gateway_pid()) - cpu_before) / static_cast<double>(options.read),
      "us/msg");
}

// Anywhere in the table; a connection of its own each, as curl has.
void measure_first_byte(Instance& instance, const HistoryOptions& options, Figures& figures) {
  std::mt19937_64 random(4711);
  std::vector<double> first_ms;
  for (std::size_t i = 0; i < kPages; ++i) {
    const std::uint64_t from = 1 + random() % (options.rows - 100);
    const auto begin = steady_clock::now();
    Client client(instance.http_port());
    client.ask(fmt::format("/feeds/{}/messages?from={}&limit=100", kFeed, from));
    std::string_view bytes = client.receive();
    first_ms.push_back(seconds_since(begin) * 1e3);
    Lines lines(from);
    for (; !bytes.empty(); bytes = client.receive()) {
      lines.take(bytes);
    }
    require(lines.count() == 100, "a page is not whole");
  }
  std::sort(first_ms.begin(), first_ms.end());
  const double p99 = percentile(first_ms, 0.99);
  figures.add("page_first_byte_p50", percentile(first_ms, 0.5), "ms");
  figures.add("page_first_byte_p99",
              p99,
              "ms",
              fmt::format("<= {:.0f}", kFirstByteGoalMs),
              p99 <= kFirstByteGoalMs);
}

}  // namespace

void measure_history(const HistoryOptions& options, Figures& figures) {
  fmt::print(stderr, "history: {} rows in the table\n", options.rows);
  Instance instance;
  load_table(instance, options.rows, figures);
  instance.start_gateway();
  measure_first_byte(instance, options, figures);
  measure_ndjson(instance, options, figures);
  measure_service(instance, options, figures);
}

}  // namespace feedvault::bench
