#include "feeds/producer.h"

#include <charconv>
#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/subject.h"
#include "client/nats/connection.h"
#include "client/nats/jetstream.h"
#include "feeds/ack_window.h"
#include "feeds/generator.h"

namespace feedvault {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Publishes without their acknowledgement. Enough to hide a round trip and a stored batch; what is
// repeated after a lost connection is at most this.
constexpr std::size_t kWindow = 1024;
// No acknowledgement for so long: the answers are lost, or nobody captures the subject any more.
constexpr seconds kAckSilenceMax{5};
// What stopping waits for: the broker to take the last messages.
constexpr seconds kStopPatience{5};
// How soon a wait notices a stop or a connection.
constexpr milliseconds kGlance{10};
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{2000};

/// One feed's share of the work.
struct Lane {
  std::string feed;
  std::string subject;
  std::unique_ptr<Generator> generator;
};

Result<std::vector<Lane>> make_lanes(const Config& config, const ProducerOptions& options) {
  std::vector<Lane> lanes;
  for (const std::string& name : options.feeds) {
    const FeedConfig* feed = config.find_feed(name);
    auto generator = new_generator(name, options.seed);
    if (feed == nullptr || generator == nullptr) {
      return invalid_argument(fmt::format(
          "{}: feed '{}' is {}",
          config.path,
          name,
          feed == nullptr ? "not configured; add a [[feed]] or choose another with --feed"
                          : "not one that demo data can be made for"));
    }
    if (has_wildcard(feed->subjects.front())) {
      return invalid_argument(
          fmt::format("{}: the first of the subjects of feed '{}' has a wildcard; put one first "
                      "that can be published on",
                      config.path,
                      name));
    }
    lanes.push_back({name, feed->subjects.front(), std::move(generator)});
  }
  return lanes;
}

/// Lets `rate` rounds a second pass, evenly. What an outage delayed is not made up for in a burst.
class Pace {
 public:
  Pace(double rate, StopSource& stop) : stop_(stop) {
    if (rate > 0) {
      interval_ = std::chrono::duration_cast<steady_clock::duration>(
          std::chrono::duration<double>(1 / rate));
    }
  }

  /// False: stopped.
  bool wait() {
    if (interval_.count() == 0) {
      return !stop_.stop_requested();
    }
    const auto now = steady_clock::now();
    if (next_ + kLagMax < now) {
      next_ = now;
    }
    const bool stopped = next_ > now ? stop_.wait_until(next_) : stop_.stop_requested();
    next_ += interval_;
    return !stopped;
  }

 private:
  static constexpr milliseconds kLagMax{200};

  StopSource& stop_;
  steady_clock::duration interval_{0};
  steady_clock::time_point next_ = steady_clock::now();
};

/// What both ways of publishing share.
class Publisher {
 public:
  Publisher(nats::Connection& connection,
            std::vector<Lane> lanes,
            const ProducerOptions& options,
            StopSource& stop)
      : connection_(connection), lanes_(std::move(lanes)), options_(options), stop_(stop) {}
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  virtual ~Publisher() = default;

  Result<ProducerTally> run() {
    const auto start = steady_clock::now();
    Pace pace(options_.rate, stop_);
    bool stopped = false;
    for (std::uint64_t n = 1; !stopped && (options_.count == 0 || n <= options_.count); ++n) {
      stopped = !pace.wait();
      for (Lane& lane : lanes_) {
        if (stopped || !wait_for_connection()) {
          stopped = true;
          break;
        }
        RETURN_IF_ERROR(send(lane, n));
      }
    }
    RETURN_IF_ERROR(finish());
    tally_.seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
    return tally_;
  }

 protected:
  virtual Status send(Lane& lane, std::uint64_t n) = 0;
  virtual Status finish() = 0;

  /// False: stopped.
  bool wait_for_connection() {
    while (!connection_.connected()) {
      if (stop_.wait_for(kGlance)) {
        return false;
      }
    }
    return true;
  }

  nats::Connection& connection_;
  std::vector<Lane> lanes_;
  const ProducerOptions& options_;
  StopSource& stop_;
  ProducerTally tally_;
  std::string payload_;  // reused from message to message
};

/// PUB without headers or reply: gone with its call, whatever becomes of it.
class PlainPublisher final : public Publisher {
 public:
  using Publisher::Publisher;

 private:
  Status send(Lane& lane, std::uint64_t /*n*/) override {
    lane.generator->next(payload_);
    const Status status = connection_.publish(
        {.subject = lane.subject, .reply = {}, .headers = {}, .payload = payload_});
    if (status.code() == StatusCode::kUnavailable) {
      // It may have arrived, and nobody could tell it from its repetition.
      ++tally_.in_doubt;
      return {};
    }
    RETURN_IF_ERROR(status);
    ++tally_.sent;
    return {};
  }

  Status finish() override {
    if (tally_.sent > 0) {
      if (const Status flushed = connection_.flush(kStopPatience); !flushed.ok()) {
        logger("feeds")->warn("the last messages may be lost reason={}", flushed.message());
      }
    }
    return {};
  }
};

/// JetStream publishes in a window. After any doubt everything that is not acknowledged is
/// repeated in its order, with its id, so that nothing is lost and the id keeps it from doubling.
class AcknowledgedPublisher final : public Publisher {
 public:
  using Publisher::Publisher;

  Status subscribe() {
    inbox_ = connection_.new_inbox();
    ASSIGN_OR_RETURN(subscription_,
                     connection_.subscribe(
                         inbox_ + ".*",
                         [this](const nats::Message& answer) { on_answer(answer); },
                         [this] { window_.fail("the connection was lost"); }));
    return {};
  }

 private:
  Status send(Lane& lane, std::uint64_t n) override {
    if (!wait_for(AckWindow::Wait::kRoom, steady_clock::time_point::max())) {
      return fatal_;
    }
    InFlight message;
    message.subject = lane.subject;
    message.id = fmt::format("{}-{}-{}", lane.feed, options_.seed, n);
    lane.generator->next(message.payload);
    payload_ = message.payload;
    const std::string id = message.id;
    const std::uint64_t token = window_.add(std::move(message));
    ++tally_.sent;
    return publish(token, lane.subject, id, payload_);
  }

  Status publish(std::uint64_t token,
                 std::string_view subject,
                 std::string_view id,
                 std::string_view payload) {
    const nats::Header header{"Nats-Msg-Id", id};
    reply_.assign(inbox_);
    reply_ += '.';
    reply_ += std::to_string(token);
    Status status = connection_.publish(
        {.subject = subject, .reply = reply_, .headers = {&header, 1}, .payload = payload});
    if (status.code() == StatusCode::kUnavailable) {
      window_.fail(status.message());
      return {};
    }
    return status;
  }

  void on_answer(const nats::Message& answer) {
    const std::string_view subject = answer.subject();
    std::uint64_t token = 0;
    const std::size_t dot = subject.rfind('.');
    const char* end = subject.data() + subject.size();
    if (dot == std::string_view::npos ||
        std::from_chars(subject.data() + dot + 1, end, token).ptr != end) {
      return;
    }
    const auto ack = nats::parse_pub_ack(answer);
    if (!ack.has_value()) {
      window_.fail(ack.error().message());
    } else if (ack->error_code != 0) {
      window_.fail(ack->error_code == -1 ? "no stream captures the subject" : ack->error_text);
    } else {
      window_.acknowledge(token, ack->duplicate);
    }
  }

  /// Waits for the window, repeating what has to be. False: stopped, past the deadline, or fatal_.
  bool wait_for(AckWindow::Wait what, steady_clock::time_point deadline) {
    auto silent_since = steady_clock::now();
    std::uint64_t acknowledged = window_.acknowledged();
    for (;;) {
      switch (window_.wait(what, steady_clock::now() + kGlance * 10)) {
        case AckWindow::Outcome::kReady:
          return true;
        case AckWindow::Outcome::kRepeat:
          if (!repeat(deadline)) {
            return false;
          }
          silent_since = steady_clock::now();
          break;
        case AckWindow::Outcome::kTimeout:
          break;
      }
      const auto now = steady_clock::now();
      if (now >= deadline ||
          (deadline == steady_clock::time_point::max() && stop_.stop_requested())) {
        return false;
      }
      if (const std::uint64_t current = window_.acknowledged(); current != acknowledged) {
        acknowledged = current;
        silent_since = now;
        pause_.reset();
      } else if (now - silent_since > kAckSilenceMax) {
        window_.fail("no acknowledgement came");
      }
    }
  }

  bool repeat(steady_clock::time_point deadline) {
    const bool stopping = deadline != steady_clock::time_point::max();
    const auto pause_end = steady_clock::now() + pause_.next();
    for (auto now = steady_clock::now(); now < pause_end || !connection_.connected();
         now = steady_clock::now()) {
      if (stopping ? now >= deadline : stop_.stop_requested()) {
        return false;
      }
      // Answers to what was sent before still come in, and need no repeating.
      if (window_.wait_until_empty(now + kGlance)) {
        break;
      }
    }
    std::string reason;
    const auto open = window_.take_open(reason);
    std::uint64_t held_back = 0;
    if (throttle_.allow(held_back)) {
      logger("feeds")->warn(
          "repeating messages count={} reason={} suppressed={}", open.size(), reason, held_back);
    }
    for (const AckWindow::Open& item : open) {
      if (const Status status =
              publish(item.token, item.message.subject, item.message.id, item.message.payload);
          !status.ok()) {
        fatal_ = status;
        return false;
      }
    }
    return true;
  }

  Status finish() override {
    // Counted messages are all acknowledged in the end; a stop waits for the broker only so long.
    bool done = false;
    if (!stop_.stop_requested()) {
      done = wait_for(AckWindow::Wait::kEmpty, steady_clock::time_point::max());
    }
    if (!done && fatal_.ok()) {
      done = wait_for(AckWindow::Wait::kEmpty, steady_clock::now() + kStopPatience);
    }
    tally_.acknowledged = window_.acknowledged();
    tally_.duplicates = window_.duplicates();
    if (!done && fatal_.ok()) {
      logger("feeds")->warn("stopped with messages unacknowledged count={}",
                            tally_.sent - tally_.acknowledged);
    }
    return fatal_;
  }

  AckWindow window_{kWindow};
  std::string inbox_;
  std::string reply_;
  Status fatal_;  // the broker will never take the message
  Backoff pause_{kFirstPause, kLongestPause, options_.seed};
  LogThrottle throttle_{seconds(10)};
  std::unique_ptr<nats::Subscription> subscription_;  // its handler uses all of the above
};

}  // namespace

Result<ProducerTally> produce(const Config& config,
                              const ProducerOptions& options,
                              StopSource& stop) {
  ASSIGN_OR_RETURN(auto lanes, make_lanes(config, options));
  nats::ConnectionOptions connection_options;
  connection_options.name = "feedvault-feeds";
  connection_options.require_at_open = false;
  ASSIGN_OR_RETURN(auto connection, nats::Connection::open(config.nats, connection_options));
  if (!options.acknowledged) {
    return PlainPublisher(*connection, std::move(lanes), options, stop).run();
  }
  AcknowledgedPublisher publisher(*connection, std::move(lanes), options, stop);
  RETURN_IF_ERROR(publisher.subscribe());
  return publisher.run();
}

}  // namespace feedvault
