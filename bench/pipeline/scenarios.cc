#include "bench/pipeline/scenarios.h"

#include <csignal>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "base/clock.h"
#include "bench/database_ceiling.h"
#include "bench/support/instance.h"
#include "storage/catalogue_reader.h"
#include "tests/support/process.h"

namespace feedvault::bench {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::built_program;
using testing::eventually;
using testing::Process;

constexpr double kThroughputGoal = 0.2;
constexpr std::uint64_t kLatencySeconds = 20;
constexpr double kLatencyP50Goal = 3;
constexpr double kLatencyP99Goal = 10;
constexpr double kMemoryGoalMib = 100;
constexpr double kHistoryGoal = 150'000;

// The key=value line that a child printed last.
std::map<std::string, double> parse_result(const std::string& output) {
  std::map<std::string, double> values;
  std::istringstream words(output);
  std::string word;
  while (words >> word) {
    if (const std::size_t equals = word.find('='); equals != std::string::npos) {
      values[word.substr(0, equals)] = std::strtod(word.c_str() + equals + 1, nullptr);
    }
  }
  return values;
}

/// One scenario's instance and the two ends of its pipeline.
class Pipeline {
 public:
  explicit Pipeline(bool json) : instance_(json) {}

  std::unique_ptr<Process> start_producer(std::uint64_t count, std::uint32_t rate) {
    return start_self("producer",
                      {"--port",
                       std::to_string(instance_.broker().port()),
                       "--count",
                       std::to_string(count),
                       "--rate",
                       std::to_string(rate),
                       "--bytes",
                       std::to_string(kPayloadBytes)});
  }

  std::unique_ptr<Process> start_subscriber(std::uint64_t count, std::uint64_t skip) {
    return start_self("subscriber",
                      {"--port",
                       std::to_string(instance_.broker().port()),
                       "--count",
                       std::to_string(count),
                       "--skip",
                       std::to_string(skip)});
  }

  static std::map<std::string, double> finish(Process& child, const std::string& what) {
    const auto exit_code = child.wait_for_exit(minutes(5));
    const std::string output = child.output();
    require(exit_code == 0, what + " failed:\n" + output);
    return parse_result(output);
  }

  Instance& instance() { return instance_; }

 private:
  std::unique_ptr<Process> start_self(const std::string& role, std::vector<std::string> arguments) {
    std::vector<std::string> command = {built_program("feedvault-bench"), role};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return std::make_unique<Process>(Process::Options{
        .command = std::move(command),
        .environment = {},
        .output_file = instance_.folder().file(fmt::format("{}-{}.out", role, ++children_)),
        .working_folder = {}});
  }

  Instance instance_;
  int children_ = 0;
};

double measure_ceiling(std::uint64_t rows) {
  testing::MariadbServer database(database_options());
  const MysqlConfig config = database.config();
  require(storage::migrate(config).ok(), "cannot make the schema for the ceiling");
  const auto rate = measure_insert_ceiling(config, {.rows = rows, .payload_bytes = kPayloadBytes});
  require(rate.has_value(), "cannot measure the ceiling");
  return *rate;
}

double run_throughput(std::uint64_t messages, bool json, Figures& figures) {
  Pipeline pipeline(json);
  pipeline.instance().start_controller();
  const int broker = pipeline.instance().broker().process().pid();
  const int database = pipeline.instance().database().pid();
  const int controller = pipeline.instance().controller().pid();
  const double broker_before = cpu_microseconds(broker);
  const double database_before = cpu_microseconds(database);
  const double controller_before = cpu_microseconds(controller);

  const auto subscriber = pipeline.start_subscriber(messages, messages);
  const auto producer = pipeline.start_producer(messages, 0);
  const auto sent = Pipeline::finish(*producer, "producer");
  const auto got = Pipeline::finish(*subscriber, "subscriber");

  const auto count = static_cast<double>(messages);
  const double rate = count / ((got.at("last_ns") - sent.at("first_ns")) * 1e-9);
  const std::string suffix = json ? "_json_on" : "_json_off";
  figures.add("cpu_producer" + suffix, sent.at("cpu_us") / count, "us/msg");
  figures.add("cpu_broker" + suffix, (cpu_microseconds(broker) - broker_before) / count, "us/msg");
  figures.add("cpu_controller" + suffix,
              (cpu_microseconds(controller) - controller_before) / count,
              "us/msg");
  figures.add(
      "cpu_database" + suffix, (cpu_microseconds(database) - database_before) / count, "us/msg");
  figures.add("cpu_subscriber" + suffix, got.at("cpu_us") / count, "us/msg");
  return rate;
}

}  // namespace

void measure_throughput(const ScenarioOptions& options, Figures& figures) {
  fmt::print(stderr,
             "throughput: {} executions of {} bytes\n",
             options.throughput_messages,
             kPayloadBytes);
  const double ceiling = measure_ceiling(options.throughput_messages);
  figures.add("database_ceiling", ceiling, "rows/s");
  for (const bool json : {false, true}) {
    const double rate = run_throughput(options.throughput_messages, json, figures);
    const std::string suffix = json ? "_json_on" : "_json_off";
    figures.add("throughput" + suffix, rate, "msg/s");
    const double ratio = rate / ceiling;
    if (json) {
      figures.add("throughput_ratio" + suffix, ratio, "");
    } else {
      figures.add("throughput_ratio" + suffix,
                  ratio,
                  "",
                  fmt::format(">= {} of the ceiling", kThroughputGoal),
                  ratio >= kThroughputGoal);
    }
  }
}

void measure_latency(const ScenarioOptions& options, Figures& figures) {
  fmt::print(stderr, "latency: {} messages/s\n", options.latency_rate);
  Pipeline pipeline(true);
  pipeline.instance().start_controller();
  const auto measure_commits = [&](std::uint32_t rate) {
    auto measured =
        measure_single_commit_latency(pipeline.instance().mysql(), 2000, kPayloadBytes, rate);
    require(measured.has_value(), "cannot measure single commits");
    return *std::move(measured);
  };
  const std::vector<double> commits = measure_commits(0);
  const double commit_p50 = percentile(commits, 0.5);
  const double commit_p99 = percentile(commits, 0.99);
  figures.add("single_commit_p50", commit_p50, "us");
  figures.add("single_commit_p99", commit_p99, "us");
  // At the rate of the messages, processors fall asleep between two commits as between two
  // messages: what a wake-up costs on this machine shows in the difference.
  const std::vector<double> paced_commits = measure_commits(options.latency_rate);
  const double paced_p50 = percentile(paced_commits, 0.5);
  const double paced_p99 = percentile(paced_commits, 0.99);
  figures.add("paced_commit_p50", paced_p50, "us");
  figures.add("paced_commit_p99", paced_p99, "us");

  const std::uint64_t warm_up = options.latency_rate;
  const std::uint64_t count = warm_up + std::uint64_t{options.latency_rate} * kLatencySeconds;
  const auto subscriber = pipeline.start_subscriber(count, warm_up);
  const auto producer = pipeline.start_producer(count, options.latency_rate);
  Pipeline::finish(*producer, "producer");
  const auto got = Pipeline::finish(*subscriber, "subscriber");
  figures.add("latency_p50",
              got.at("p50_us"),
              "us",
              fmt::format("<= {} x commit p50", kLatencyP50Goal),
              got.at("p50_us") <= kLatencyP50Goal * commit_p50);
  figures.add("latency_p99",
              got.at("p99_us"),
              "us",
              fmt::format("<= {} x commit p99", kLatencyP99Goal),
              got.at("p99_us") <= kLatencyP99Goal * commit_p99);
  figures.add("latency_p999", got.at("p999_us"), "us");
  figures.add("latency_p50_in_paced_commits", got.at("p50_us") / paced_p50, "");
  figures.add("latency_p99_in_paced_commits", got.at("p99_us") / paced_p99, "");
}

void measure_backlog(const ScenarioOptions& options, Figures& figures) {
  const std::uint64_t count = options.backlog_messages;
  fmt::print(stderr, "backlog: {} messages captured while no controller runs\n", count);
  Pipeline pipeline(false);
  pipeline.instance().start_controller();  // makes the streams
  pipeline.instance().controller().send_signal(SIGTERM);
  require(pipeline.instance().controller().wait_for_exit(seconds(10)) == 0,
          "the controller does not stop");
  const auto producer = pipeline.start_producer(count, 0);
  Pipeline::finish(*producer, "producer");

  const auto started = steady_clock::now();
  pipeline.instance().start_controller();
  const auto reader = storage::CatalogueReader::create(pipeline.instance().mysql());
  const bool caught_up = eventually(
      [&] {
        const auto feeds = reader->feeds();
        return feeds.has_value() && !feeds->empty() && feeds->front().state.last_seq >= count;
      },
      minutes(5));
  require(caught_up, "the backlog is not worked off in time");
  const double worked_off = std::chrono::duration<double>(steady_clock::now() - started).count();
  figures.add("backlog_rate", static_cast<double>(count) / worked_off, "msg/s");
  const double peak = peak_resident_mib(pipeline.instance().controller().pid());
  figures.add("controller_peak_resident",
              peak,
              "MiB",
              fmt::format("<= {}", kMemoryGoalMib),
              peak <= kMemoryGoalMib);

  pipeline.instance().controller().kill_hard();
  const auto killed = steady_clock::now();
  pipeline.instance().start_controller();
  const double ready_s = std::chrono::duration<double>(steady_clock::now() - killed).count();
  figures.add("ready_after_kill", ready_s, "s", "< 1, with 1,000,000 rows", ready_s < 1);

  std::uint64_t next = 1;
  const auto reading = steady_clock::now();
  while (next <= count) {
    const auto rows = reader->read_range(kFeedNumber, next, 4096, 4U << 20U);
    require(rows.has_value() && !rows->empty() && rows->front().seq == next, "history has a hole");
    next += rows->size();
  }
  const double history = static_cast<double>(count) /
                         std::chrono::duration<double>(steady_clock::now() - reading).count();
  figures.add("history_rows",
              history,
              "rows/s",
              fmt::format(">= {:.0f}", kHistoryGoal),
              history >= kHistoryGoal);
}

}  // namespace feedvault::bench
