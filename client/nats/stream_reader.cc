#include "client/nats/stream_reader.h"

#include <array>
#include <atomic>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/mutex.h"
#include "client/nats/ack_subject.h"

// Requests and credits. A pull consumer sends only what was asked for. `credits_` counts messages
// that were requested and that next() has not handed out; it is exact, because a request ends in
// one of two ways: its batch is delivered, or a status names it and says how many are missing.
//
// Requests ask for `batch_` messages, and the next one goes out when credits_ has fallen to half of
// that. The broker serves open requests in turn, so the older of two ends first, and at most two
// are open at a time: window_messages bounds 1.5 batches, and window_bytes three byte limits (three
// requests overlap for a moment after an expiry). The half batch in hand covers the round trip.
//
// Statuses travel in the same queue as messages. When next() meets one, everything that its request
// delivered has been handed out, so what is asked for again is not in memory twice.

namespace feedvault::nats {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kInactiveThresholdNs = 30'000'000'000;
constexpr milliseconds kExpires{30'000};
// Every other request lives longer, so that two idle ones do not expire in the same instant.
constexpr milliseconds kExpiresOdd{43'000};
constexpr milliseconds kCreateTimeout{5000};
constexpr int kMissedHeartbeats = 3;

/// Batch sizes of the requests that may still be open, by id.
constexpr std::size_t kRequestsRemembered = 64;

class StreamReaderImpl final : public StreamReader {
 public:
  StreamReaderImpl(Connection& connection,
                   std::string stream,
                   std::uint64_t start_seq,
                   const ReaderOptions& options)
      : connection_(connection),
        stream_(std::move(stream)),
        start_seq_(std::max<std::uint64_t>(1, start_seq)),
        credits_max_(std::max<std::uint32_t>(1, options.window_messages)),
        batch_(std::max<std::uint32_t>(1, options.window_messages / 3 * 2)),
        request_bytes_(std::max<std::uint32_t>(1, options.window_bytes / 3)),
        heartbeat_(options.heartbeat),
        written_(options.written),
        inbox_(connection.new_inbox()) {}
  StreamReaderImpl(const StreamReaderImpl&) = delete;
  StreamReaderImpl& operator=(const StreamReaderImpl&) = delete;
  ~StreamReaderImpl() override;

  Status open();
  Result<StreamMessage> next(SteadyTime deadline) override;
  void stop_fetching() override { fetching_ = false; }
  void cancel() override;

 private:
  Status create_consumer();
  void arrive(Message message);
  void interrupt_from_outside();
  /// Waits until there is something in ready_. Ok, kTimeout, kCancelled or kUnavailable.
  Status fill(SteadyTime deadline);
  Status interrupted(std::string why);
  /// True when `out` is the next message of the stream.
  Result<bool> take(Message message, StreamMessage& out);
  Status on_status(const Message& message);
  Status request_more(std::uint32_t batch, bool limit_bytes);
  Status top_up();

  Connection& connection_;
  const std::string stream_;
  const std::uint64_t start_seq_;
  const std::uint32_t credits_max_;
  const std::uint32_t batch_;
  const std::uint32_t request_bytes_;
  const milliseconds heartbeat_;
  const bool written_;
  const std::string inbox_;
  std::string consumer_;
  std::string next_subject_;  // $JS.API.CONSUMER.MSG.NEXT...

  // The reading thread's.
  std::vector<Message> ready_;
  std::size_t ready_index_ = 0;
  std::uint32_t credits_ = 0;
  std::uint64_t last_consumer_seq_ = 0;
  std::uint64_t last_request_ = 0;
  std::array<std::uint32_t, kRequestsRemembered> request_batch_{};
  SteadyTime silent_since_{};  // zero: not waiting
  Status failure_;             // once interrupted, for ever
  bool fetching_ = true;

  Mutex mutex_;
  CondVar arrived_;
  std::vector<Message> queue_ GUARDED_BY(mutex_);
  bool waiting_ GUARDED_BY(mutex_) = false;
  bool cancelled_ GUARDED_BY(mutex_) = false;
  bool lost_ GUARDED_BY(mutex_) = false;

  std::unique_ptr<Subscription> subscription_;  // last: its handler uses the members above
};

StreamReaderImpl::~StreamReaderImpl() {
  subscription_.reset();
  if (!consumer_.empty()) {
    // With a reply subject that nobody reads: the API answers requests only.
    const std::string subject = "$JS.API.CONSUMER.DELETE." + stream_ + "." + consumer_;
    static_cast<void>(
        connection_.publish({.subject = subject, .reply = inbox_, .headers = {}, .payload = {}}));
  }
}

Status StreamReaderImpl::open() {
  // With a handler: whoever waits in cnats for a message is told "no responders" in place of one
  // that a producer made to look like that.
  auto subscription = connection_.subscribe(
      inbox_ + ".*",
      [this](Message message) { arrive(std::move(message)); },
      [this] { interrupt_from_outside(); });
  if (!subscription) {
    return subscription.error();
  }
  subscription_ = std::move(*subscription);
  RETURN_IF_ERROR(create_consumer());
  return top_up();
}

Status StreamReaderImpl::create_consumer() {
  using nlohmann::json;
  const std::string name = "reader-" + inbox_.substr(inbox_.rfind('.') + 1);
  const std::string subject = "$JS.API.CONSUMER.CREATE." + stream_ + "." + name;
  json body = {
      {"stream_name", stream_},
      {"config",
       {{"name", name},
        {"deliver_policy", "by_start_sequence"},
        {"opt_start_seq", start_seq_},
        {"ack_policy", "none"},
        {"replay_policy", "instant"},
        {"max_deliver", 1},
        {"inactive_threshold", kInactiveThresholdNs},
        {"mem_storage", true},
        {"num_replicas", 1}}},
  };
  if (written_) {
    body["config"]["metadata"]["feedvault.deliver"] = "written";
  }
  const std::string text = body.dump();
  auto answer = connection_.request(
      {.subject = subject, .reply = {}, .headers = {}, .payload = text}, kCreateTimeout);
  if (!answer) {
    return unavailable(answer.error().message());
  }
  try {
    const json in = json::parse(answer->payload());
    if (const auto error = in.find("error"); error != in.end()) {
      const int code = error->value("code", 0);
      const std::string why = "read stream " + stream_ + ": " +
                              error->value("description", std::string("no reason")) + " (" +
                              std::to_string(error->value("err_code", 0)) + ")";
      return code == 404 ? not_found(why) : code == 400 ? invalid_argument(why) : unavailable(why);
    }
    consumer_ = in.at("name").get<std::string>();
  } catch (const json::exception& e) {
    return protocol_error("read stream " + stream_ + ": " + e.what());
  }
  next_subject_ = "$JS.API.CONSUMER.MSG.NEXT." + stream_ + "." + consumer_;
  return {};
}

void StreamReaderImpl::arrive(Message message) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(message));
    wake = std::exchange(waiting_, false);
  }
  if (wake) {
    arrived_.notify_one();
  }
}

void StreamReaderImpl::interrupt_from_outside() {
  {
    MutexLock lock(mutex_);
    lost_ = true;
  }
  arrived_.notify_one();
}

void StreamReaderImpl::cancel() {
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
  }
  arrived_.notify_one();
}

Status StreamReaderImpl::interrupted(std::string why) {
  failure_ = unavailable("reading stream " + stream_ + " was interrupted: " + std::move(why));
  return failure_;
}

Status StreamReaderImpl::fill(SteadyTime deadline) {
  ready_.clear();
  ready_index_ = 0;
  MutexLock lock(mutex_);
  while (queue_.empty()) {
    if (cancelled_) {
      return cancelled("reading stream " + stream_ + " was cancelled");
    }
    if (lost_) {
      return interrupted("the connection was lost");
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    if (silent_since_ == SteadyTime{}) {
      silent_since_ = now;
    }
    const SteadyTime missed = silent_since_ + kMissedHeartbeats * heartbeat_;
    if (now >= missed && credits_ > 0 && fetching_) {
      return interrupted("no sign of life from the broker");
    }
    if (now >= deadline) {
      return timeout_error("no message yet");
    }
    waiting_ = true;
    arrived_.wait_until(mutex_, std::min(missed, deadline));
    waiting_ = false;
  }
  if (cancelled_) {
    return cancelled("reading stream " + stream_ + " was cancelled");
  }
  silent_since_ = {};
  ready_.swap(queue_);
  return {};
}

Result<StreamMessage> StreamReaderImpl::next(SteadyTime deadline) {
  for (;;) {
    if (!failure_.ok()) {
      return failure_;
    }
    if (ready_index_ == ready_.size()) {
      RETURN_IF_ERROR(fill(deadline));
    }
    StreamMessage out;
    ASSIGN_OR_RETURN(const bool taken, take(std::move(ready_[ready_index_++]), out));
    if (taken) {
      return out;
    }
  }
}

Result<bool> StreamReaderImpl::take(Message message, StreamMessage& out) {
  AckSubject ack;
  // By the reply, not by the content: a producer's empty message may look like a status.
  if (!parse_ack_subject(message.reply(), ack)) {
    RETURN_IF_ERROR(on_status(message));
    return false;
  }
  if (ack.consumer_seq != last_consumer_seq_ + 1) {
    return interrupted("delivery " + std::to_string(ack.consumer_seq) + " came after " +
                       std::to_string(last_consumer_seq_));
  }
  last_consumer_seq_ = ack.consumer_seq;
  if (credits_ > 0) {
    --credits_;
  }
  if (credits_ <= batch_ / 2) {
    RETURN_IF_ERROR(top_up());
  }
  if (ack.stream_seq < start_seq_) {
    // The stream ends before start_seq: the broker then starts with whatever it stores next.
    return false;
  }
  out.stream_seq = ack.stream_seq;
  out.time_ns = ack.time_ns;
  out.pending = ack.pending;
  out.message = std::move(message);
  return true;
}

Status StreamReaderImpl::on_status(const Message& message) {
  const std::string_view code = message.status();
  if (code == "100") {
    return {};  // heartbeat
  }
  const std::string_view why = message.status_description();
  if (code == "503" || code == "404" || code.empty()) {
    return interrupted(code == "503" ? "the consumer is gone"
                                     : "unexpected answer " + std::string(code));
  }
  const auto pending = message.header("Nats-Pending-Messages");
  std::uint32_t missing = 0;
  const std::string_view subject = message.subject();
  std::uint64_t id = 0;
  const char* const end = subject.data() + subject.size();
  const bool ended =
      (code == "408" || why == "Message Size Exceeds MaxBytes" || why == "Batch Completed") &&
      pending &&
      std::from_chars(pending->data(), pending->data() + pending->size(), missing).ec ==
          std::errc() &&
      subject.size() > inbox_.size() + 1 &&
      std::from_chars(subject.data() + inbox_.size() + 1, end, id).ec == std::errc();
  if (!ended) {
    return interrupted(std::string(code) + " " + std::string(why));
  }
  credits_ -= std::min(credits_, missing);
  if (missing == 0 || !fetching_) {
    return top_up();
  }
  const bool too_large =
      why == "Message Size Exceeds MaxBytes" && request_batch_[id % kRequestsRemembered] == missing;
  if (too_large) {
    // Not even one message fitted into a whole request's bytes: take that one without a limit.
    return request_more(1, false);
  }
  return request_more(std::min(batch_, credits_max_ - std::min(credits_, credits_max_)), true);
}

Status StreamReaderImpl::top_up() {
  if (credits_ > batch_ / 2 || !fetching_) {
    return {};
  }
  return request_more(batch_, true);
}

Status StreamReaderImpl::request_more(std::uint32_t batch, bool limit_bytes) {
  if (batch == 0) {
    return {};
  }
  const std::uint64_t id = ++last_request_;
  const std::int64_t expires_ns =
      std::chrono::nanoseconds(id % 2 == 0 ? kExpires : kExpiresOdd).count();
  char limit[48] = "";
  if (limit_bytes) {
    std::snprintf(limit, sizeof(limit), "\"max_bytes\":%" PRIu32 ",", request_bytes_);
  }
  char body[192];
  const int body_size = std::snprintf(body,
                                      sizeof(body),
                                      R"({"batch":%)" PRIu32 R"(,%s"expires":%)" PRId64
                                      R"(,"idle_heartbeat":%)" PRId64 "}",
                                      batch,
                                      limit,
                                      expires_ns,
                                      std::int64_t{std::chrono::nanoseconds(heartbeat_).count()});
  const std::string reply = inbox_ + "." + std::to_string(id);
  const Status status =
      connection_.publish({.subject = next_subject_,
                           .reply = reply,
                           .headers = {},
                           .payload = {body, static_cast<std::size_t>(body_size)}});
  if (!status.ok()) {
    return interrupted(status.message());
  }
  request_batch_[id % kRequestsRemembered] = batch;
  credits_ += batch;
  return {};
}

}  // namespace

Result<std::unique_ptr<StreamReader>> StreamReader::open(Connection& connection,
                                                         const std::string& stream,
                                                         std::uint64_t start_seq,
                                                         const ReaderOptions& options) {
  auto reader = std::make_unique<StreamReaderImpl>(connection, stream, start_seq, options);
  RETURN_IF_ERROR(reader->open());
  return std::unique_ptr<StreamReader>(std::move(reader));
}

}  // namespace feedvault::nats
