// Requests to $JS.API: whatever comes, each is answered with JSON of a type or not at all, and what
// a stream or consumer was configured with can be sent back as its configuration. An input is
// lines: a subject behind "$JS.API.", a blank, a payload; "!" before a payload publishes it to that
// subject instead.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/clock.h"
#include "broker/jetstream/advisories.h"
#include "broker/jetstream/api.h"
#include "broker/jetstream/config_json.h"
#include "broker/jetstream/pull_json.h"
#include "broker/streams/memory_file_system.h"

namespace {

using namespace feedvault;          // NOLINT(google-build-using-namespace)
using namespace feedvault::broker;  // NOLINT(google-build-using-namespace)
using feedvault::broker::jetstream::Api;
using feedvault::broker::jetstream::ApiHost;
using nlohmann::json;

// Time stands still, so that an input does the same each time.
class FrozenClock final : public Clock {
 public:
  SteadyTime now() const override { return SteadyTime(std::chrono::hours(1)); }
  std::int64_t unix_ns() const override { return 1'800'000'000'000'000'000; }
};

class World final : public ApiHost, public streams::Output {
 public:
  World() {
    CHECK(fs_.make_dir("/s").ok());
    streams::Streams::Options options;
    options.stream.dir = "/s";
    options.stream.fs = &fs_;
    options.stream.clock = &clock_;
    options.stream.output = this;
    options.stream.consumers = streams::ConsumerSet::open;
    auto opened = streams::Streams::open(options);
    CHECK(opened.has_value());
    streams_ = std::move(*opened);
    api_ = std::make_unique<Api>(*streams_, *this, *this, Api::Limits{});
  }

  void line(std::string_view text) {
    const std::size_t blank = text.find(' ');
    const std::string_view subject = text.substr(0, blank);
    std::string_view payload =
        blank == std::string_view::npos ? std::string_view() : text.substr(blank + 1);
    if (!payload.empty() && payload.front() == '!') {
      for (streams::Stream* const stream : streams_->list(subject)) {
        stream->store({subject, "ack", "", payload.substr(1)});
      }
    } else {
      Arrival arrival;
      arrival.subject = subject;
      arrival.reply = "reply";
      arrival.payload = payload;
      api_->handle(subject, arrival);
      check_configs(payload);
    }
    do {
      for (const auto& task : std::exchange(later_, {})) {
        task();
      }
      for (streams::Stream* const stream : streams_->list()) {
        if (stream->needs_commit()) {
          stream->commit();
        }
        streams::ConsumerSet& consumers = streams::consumers_of(*stream);
        consumers.flush();
        if (consumers.wants_sync()) {
          auto sync = consumers.begin_sync();
          sync.run();
          consumers.end_sync(sync);
        }
      }
    } while (!later_.empty());
  }

  // ApiHost
  void answer(std::string_view reply, std::string_view text) override {
    CHECK(reply == "reply");
    const json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
    CHECK(parsed.is_object() && parsed.contains("type"));
    if (parsed.contains("config")) {
      CHECK(parsed["config"].is_object());
    }
  }
  void no_responders(const Sender&, std::string_view) override {}
  std::int64_t unix_ns() const override { return clock_.unix_ns(); }
  void stream_created(streams::Stream&) override {}
  void stream_updated(streams::Stream&) override {}
  void stream_removed(streams::Stream&, std::function<void()> then) override { then(); }
  void touched(streams::Stream&) override {}
  void on_disk(std::function<void()> work, std::function<void()> then) override {
    work();
    later_.push_back(std::move(then));
  }
  void later(std::function<void()> task) override { later_.push_back(std::move(task)); }

  // streams::Output
  std::size_t deliver(std::string_view, const streams::OutgoingMessage&) override { return 1; }
  bool has_interest(std::string_view) override { return true; }
  void advisory(streams::Advisory event) override {
    const auto text = jetstream::advisory_text(event, "id", clock_.unix_ns(), "");
    CHECK(!text.subject.empty() && json::parse(text.payload).contains("type"));
  }

 private:
  static void check_configs(std::string_view payload) {
    const auto parsed = jetstream::parse_json(payload);
    if (!parsed) {
      return;
    }
    streams::StreamConfig stream;
    if (jetstream::read_stream_config(*parsed, stream) && !stream.has_placement &&
        !stream.has_mirror && !stream.has_sources) {
      streams::StreamConfig again;
      CHECK(jetstream::read_stream_config(json::parse(jetstream::stream_config_json(stream).dump()),
                                          again));
      CHECK(again == stream);
    }
    streams::ConsumerConfig consumer;
    if (jetstream::read_consumer_config(*parsed, consumer) && consumer.opt_start_time_ns != 0 &&
        consumer.pause_until_ns != 0) {
      streams::ConsumerConfig again;
      CHECK(jetstream::read_consumer_config(
          json::parse(jetstream::consumer_config_json(consumer).dump()), again));
      CHECK(again == consumer);
    }
    streams::PullRequest request;
    jetstream::read_pull_request(payload, request);
    CHECK(jetstream::read_nak_delay(payload) >= 0);
  }

  FrozenClock clock_;
  streams::MemoryFileSystem fs_;
  std::unique_ptr<streams::Streams> streams_;
  std::unique_ptr<Api> api_;
  std::vector<std::function<void()>> later_;
};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  World world;
  for (int lines = 0; !text.empty() && lines < 64; ++lines) {
    const std::size_t end = text.find('\n');
    world.line(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return 0;
}
