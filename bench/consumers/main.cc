// What consumers can do on one core, on real files, with receivers that only count.
//
//   consumers_bench DIR [MESSAGES]     default: 1,000,000 messages of 128 bytes
//
// Prints one line a measurement, in processor time of this thread: pulls of 1,000 with ack all,
// with ack none and with an acknowledgement a message; ordered push; the same for a filter that
// takes a tenth. Each turn hands the consumers' state to the operating system, as the broker's loop
// does. Then acknowledgements whose sender waits for an answer: so many a sync.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "broker/streams/consumer_set.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {
namespace {

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Takes everything and remembers the reply subjects of one batch.
class Counting final : public Output {
 public:
  std::size_t deliver(std::string_view to, const OutgoingMessage& message) override {
    static_cast<void>(to);
    ++messages;
    if (keep_replies) {
      replies.emplace_back(message.reply);
    } else {
      last_reply.assign(message.reply);
    }
    if (message.reply.starts_with("$JS.FC.")) {
      flow = std::string(message.reply);
    }
    return 1;
  }
  bool has_interest(std::string_view subject) override { return !subject.empty(); }
  void advisory(Advisory event) override { static_cast<void>(event); }

  std::uint64_t messages = 0;
  bool keep_replies = false;
  std::vector<std::string> replies;
  std::string last_reply;
  std::string flow;
};

class Bench {
 public:
  Bench(std::string dir, int messages) : dir_(std::move(dir)), total_(messages) {
    options_.dir = dir_;
    options_.fs = &store::real_file_system();
    options_.clock = &Clock::system();
    options_.output = &output_;
    options_.consumers = &ConsumerSet::open;
    StreamConfig config;
    config.name = "BENCH";
    config.subjects = {"bench.>"};
    if (check_stream_config(config).has_value()) {
      std::abort();
    }
    auto made = Stream::create(config, options_);
    if (!made.has_value()) {
      std::fprintf(stderr, "consumers_bench: %s\n", made.error().to_string().c_str());
      std::exit(1);
    }
    stream_ = std::move(*made);
    const std::string payload(128, 'x');
    for (int i = 0; i < total_; ++i) {
      stream_->store({"bench." + std::to_string(i % 10), {}, {}, payload});
      if (i % 1000 == 999) {
        stream_->begin_commit();
        stream_->end_commit(stream_->sync());
      }
    }
    stream_->commit();
  }

  void pulls(const char* what, AckPolicy policy, std::int64_t batch, const std::string& filter) {
    Consumer& consumer = make(policy, filter);
    begin();
    PullRequest request;
    request.batch = batch;
    while (consumer.info().num_pending > 0) {
      output_.replies.clear();
      output_.keep_replies = policy == AckPolicy::kExplicit;
      consumer.on_pull("inbox", request);
      if (policy == AckPolicy::kAll) {
        acknowledge(consumer, output_.last_reply, {});
      }
      for (const std::string& reply : output_.replies) {
        acknowledge(consumer, reply, {});
      }
      set().flush();
    }
    end(what);
  }

  void push(const char* what) {
    ConsumerConfig config;
    config.deliver_subject = "deliver";
    config.flow_control = true;
    config.idle_heartbeat_ns = 5'000'000'000;
    config.mem_storage = true;
    config.max_deliver = 1;
    Consumer& consumer = *set().create(config, ConsumerSet::CreateAction::kCreate)->consumer;
    begin();
    while (consumer.info().num_pending > 0) {
      stream_->on_timer();
      if (!output_.flow.empty()) {
        consumer.on_flow_control(output_.flow);
        output_.flow.clear();
      }
      set().flush();
    }
    end(what);
    static_cast<void>(set().remove(consumer.name()));
  }

  /// Senders that wait for an answer, `together` of them a sync.
  void waiting(int together, int syncs) {
    Consumer& consumer = make(AckPolicy::kExplicit, {});
    PullRequest request;
    request.batch = together;
    const double start = clock_seconds();
    for (int i = 0; i < syncs; ++i) {
      output_.replies.clear();
      output_.keep_replies = true;
      consumer.on_pull("inbox", request);
      output_.keep_replies = false;
      for (const std::string& reply : output_.replies) {
        acknowledge(consumer, reply, "answer");
      }
      ConsumerSet::Sync sync = set().begin_sync();
      sync.run();
      set().end_sync(sync);
    }
    const double took = clock_seconds() - start;
    std::printf("%-34s %12.0f acks/s %10.3f ms a sync\n",
                ("answered acks, " + std::to_string(together) + " a sync").c_str(),
                together * syncs / took,
                took / syncs * 1e3);
    static_cast<void>(set().remove(consumer.name()));
  }

 private:
  ConsumerSet& set() { return consumers_of(*stream_); }
  Consumer& make(AckPolicy policy, const std::string& filter) {
    ConsumerConfig config;
    config.durable_name = "C" + std::to_string(++consumers_);
    config.ack_policy = policy;
    config.max_ack_pending = policy == AckPolicy::kNone ? 0 : -1;
    config.filter_subject = filter;
    auto created = set().create(config, ConsumerSet::CreateAction::kCreate);
    if (!created.has_value()) {
      std::fprintf(stderr, "consumers_bench: %s\n", created.error().description.c_str());
      std::exit(1);
    }
    return *created->consumer;
  }
  void acknowledge(Consumer& consumer, std::string_view subject, std::string_view reply) {
    Ack ack;
    ack.subject = *parse_ack_subject(subject);
    ack.kind = parse_ack_payload("").kind;
    ack.reply = reply;
    consumer.on_ack(ack);
  }
  void begin() {
    output_.messages = 0;
    output_.keep_replies = false;
    cpu_ = cpu_seconds();
  }
  void end(const char* what) {
    const double took = cpu_seconds() - cpu_;
    std::printf("%-34s %12.0f msgs/s %8.0f ns a message\n",
                what,
                static_cast<double>(output_.messages) / took,
                took * 1e9 / static_cast<double>(output_.messages));
    std::fflush(stdout);
  }

  std::string dir_;
  int total_;
  Counting output_;
  StreamOptions options_;
  std::unique_ptr<Stream> stream_;
  int consumers_ = 0;
  double cpu_ = 0;
};

}  // namespace
}  // namespace feedvault::broker::streams

int main(int argc, char** argv) {
  using feedvault::broker::streams::AckPolicy;
  if (argc < 2) {
    std::fprintf(stderr, "usage: consumers_bench DIR [MESSAGES]; DIR is emptied\n");
    return 2;
  }
  std::filesystem::remove_all(argv[1]);
  std::filesystem::create_directories(argv[1]);
  feedvault::broker::streams::Bench bench(argv[1], argc > 2 ? std::atoi(argv[2]) : 1'000'000);
  bench.pulls("pull 1,000, ack all", AckPolicy::kAll, 1000, "");
  bench.pulls("pull 1,000, ack none", AckPolicy::kNone, 1000, "");
  bench.pulls("pull 1,000, ack each", AckPolicy::kExplicit, 1000, "");
  bench.pulls("pull 1, ack each", AckPolicy::kExplicit, 1, "");
  bench.pulls("pull 1,000 of a tenth, ack all", AckPolicy::kAll, 1000, "bench.3");
  bench.push("ordered push");
  bench.waiting(1, 200);
  bench.waiting(100, 100);
  std::filesystem::remove_all(argv[1]);
  return 0;
}
