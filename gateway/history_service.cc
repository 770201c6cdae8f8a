#include "gateway/history_service.h"

#include <array>
#include <atomic>
#include <charconv>
#include <deque>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/version.h"
#include "client/history_pack.h"
#include "client/history_wire.h"
#include "client/nats/connection.h"
#include "gateway/history_request.h"
#include "gateway/service_discovery.h"
#include "gateway/table_history.h"

namespace feedvault::gateway {
namespace {

namespace wire = history_wire;

constexpr const char* kQueueGroup = "feedvault-history";
constexpr const char* kDescription = "The past of Feedvault's feeds, out of the table";
/// A request is some numbers; what is longer is not one.
constexpr std::size_t kRequestBytesMax = 4096;
/// Short pages leave at once; longer ones fill cnats' buffer anyway.
constexpr std::size_t kFlushPageMax = 64;
constexpr std::chrono::seconds kFlushTimeout{5};
/// Of packed messages, unless one alone has more: enough that what a message costs on its way is
/// divided by hundreds. What is over the broker's max_payload would not be sent at all.
constexpr std::size_t kPackBytes = 32U << 10U;
constexpr std::size_t kPackHeaderBytes = 64;

std::string random_id() {
  std::array<unsigned char, 12> bytes{};
  fill_random(bytes.data(), bytes.size());
  std::string id;
  for (const unsigned char byte : bytes) {
    id += fmt::format("{:02x}", byte);
  }
  return id;
}

/// Digits of a number, without an allocation.
class Digits {
 public:
  explicit Digits(std::uint64_t value)
      : size_(static_cast<std::size_t>(std::to_chars(text_, text_ + sizeof(text_), value).ptr -
                                       text_)) {}
  std::string_view view() const { return {text_, size_}; }

 private:
  char text_[20];
  std::size_t size_;
};

/// `sent`, where it is about the message and not the connection: as a fault of ours.
Status naming(std::uint64_t seq, const Status& sent) {
  return sent.code() == StatusCode::kInvalidArgument
             ? internal_error(fmt::format("message {} cannot be sent: {}", seq, sent.message()))
             : sent;
}

int code_of(const Status& problem) {
  switch (problem.code()) {
    case StatusCode::kInvalidArgument:
      return 400;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kExhausted:
      return 429;
    default:
      return 503;
  }
}

/// What is counted of one feed: for the discovery, and for Prometheus.
struct Endpoint {
  std::string feed;
  std::string subject;
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> errors{0};
  std::atomic<std::int64_t> processing_ns{0};
  Counter requests_total;
  Counter errors_total;
  Counter messages_total;
  Counter bytes_total;
  Mutex mutex;
  std::string last_error GUARDED_BY(mutex);
};

class HistoryServiceImpl final : public HistoryService {
 public:
  HistoryServiceImpl(const Options& options, Metrics& metrics);
  HistoryServiceImpl(const HistoryServiceImpl&) = delete;
  HistoryServiceImpl& operator=(const HistoryServiceImpl&) = delete;
  ~HistoryServiceImpl() override;

  Status start();
  const std::string& id() const override { return description_.id; }
  Status ready() const override;

 private:
  void on_request(nats::Message message);
  void on_discovery(const nats::Message& message);
  void work();
  void serve(TableHistory& history, const nats::Message& message);
  Status answer(TableHistory& history, const nats::Message& message, Endpoint& endpoint);
  Status send_page(TableHistory& history,
                   std::string_view reply,
                   const HistoryAsk& ask,
                   Endpoint& endpoint);
  Status send_packed(std::string_view reply, const std::vector<HistoryMessage>& messages);
  Status send_message(std::string_view reply, const HistoryMessage& message, const Endpoint& to);
  Status send_held(TableHistory& history,
                   std::string_view reply,
                   const HistoryRequest& request,
                   const Endpoint& endpoint);
  void refuse(std::string_view reply, const Status& problem);
  /// Whether broker and database could be used.
  void note(const Status& outcome);
  Endpoint* endpoint_of(std::string_view subject);

  const Options options_;
  ServiceDescription description_;  // without what is counted
  Logger log_ = logger("gateway");
  std::map<std::string, std::unique_ptr<Endpoint>, std::less<>> endpoints_;  // by subject
  Counter refused_total_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<nats::Message> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  Status last_outcome_ GUARDED_BY(mutex_);

  std::unique_ptr<nats::Connection> connection_;
  std::vector<std::unique_ptr<nats::Subscription>> subscriptions_;
  std::vector<std::thread> workers_;
};

HistoryServiceImpl::HistoryServiceImpl(const Options& options, Metrics& metrics)
    : options_(options) {
  description_.name = kName;
  description_.id = random_id();
  description_.version = kVersion;
  description_.description = kDescription;
  description_.queue_group = kQueueGroup;
  description_.started = format_rfc3339_us(Clock::system().unix_ns() / 1000);
  for (const FeedConfig& feed : options.feeds) {
    auto endpoint = std::make_unique<Endpoint>();
    const Metrics::Labels labels = {{"feed", feed.name}};
    endpoint->feed = feed.name;
    endpoint->subject = wire::kSubjectPrefix + feed.name;
    endpoint->requests_total = metrics.counter(
        "feedvault_gateway_history_requests_total", "Requests to the history service", labels);
    endpoint->errors_total = metrics.counter("feedvault_gateway_history_errors_total",
                                             "Requests to the history service that failed",
                                             labels);
    endpoint->messages_total = metrics.counter("feedvault_gateway_history_messages_total",
                                               "Messages that the history service sent",
                                               labels);
    endpoint->bytes_total =
        metrics.counter("feedvault_gateway_history_bytes_total", "Bytes of their payloads", labels);
    std::string subject = endpoint->subject;
    endpoints_.emplace(std::move(subject), std::move(endpoint));
  }
  refused_total_ = metrics.counter("feedvault_gateway_history_refused_total",
                                   "Requests to the history service that found its queue full");
}

HistoryServiceImpl::~HistoryServiceImpl() {
  subscriptions_.clear();  // waits for running handlers
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
  MutexLock lock(mutex_);
  for (const nats::Message& message : queue_) {
    refuse(message.reply(), unavailable("this instance ends; ask again"));
  }
  if (connection_ != nullptr && connection_->connected()) {
    static_cast<void>(connection_->flush(kFlushTimeout));
  }
}

Status HistoryServiceImpl::start() {
  nats::ConnectionOptions connection_options;
  connection_options.name = kName;
  connection_options.require_at_open = false;
  ASSIGN_OR_RETURN(connection_, nats::Connection::open(options_.nats, connection_options));
  const auto subscribed = [this](Result<std::unique_ptr<nats::Subscription>> subscription) {
    if (subscription) {
      subscriptions_.push_back(std::move(*subscription));
    }
    return subscription.status();
  };
  for (const std::string& subject : discovery_subjects(description_)) {
    RETURN_IF_ERROR(subscribed(connection_->subscribe(
        subject, [this](const nats::Message& message) { on_discovery(message); })));
  }
  for (std::size_t i = 0; i < options_.workers; ++i) {
    workers_.emplace_back([this] { work(); });
  }
  RETURN_IF_ERROR(subscribed(connection_->subscribe_queue(
      std::string(wire::kSubjectPrefix) + "*", kQueueGroup, [this](nats::Message message) {
        on_request(std::move(message));
      })));
  if (connection_->connected()) {
    static_cast<void>(connection_->flush(kFlushTimeout));  // from now on, requests find us
  }
  return {};
}

Status HistoryServiceImpl::ready() const {
  if (!connection_->connected()) {
    return unavailable("history: no connection to the broker");
  }
  MutexLock lock(mutex_);
  return last_outcome_;
}

Endpoint* HistoryServiceImpl::endpoint_of(std::string_view subject) {
  const auto found = endpoints_.find(subject);
  return found == endpoints_.end() ? nullptr : found->second.get();
}

void HistoryServiceImpl::on_discovery(const nats::Message& message) {
  if (message.reply().empty()) {
    return;
  }
  ServiceDescription now = description_;
  for (const auto& [subject, endpoint] : endpoints_) {
    MutexLock lock(endpoint->mutex);
    now.endpoints.push_back({.name = endpoint->feed,
                             .subject = subject,
                             .requests = endpoint->requests,
                             .errors = endpoint->errors,
                             .last_error = endpoint->last_error,
                             .processing_ns = endpoint->processing_ns});
  }
  const std::string answer = answer_discovery(now, message.subject());
  if (!answer.empty()) {
    static_cast<void>(connection_->publish(
        {.subject = message.reply(), .reply = {}, .headers = {}, .payload = answer}));
  }
}

void HistoryServiceImpl::on_request(nats::Message message) {
  if (message.reply().empty()) {
    return;  // nobody could hear the answer
  }
  if (endpoint_of(message.subject()) == nullptr) {
    std::string known;
    for (const auto& [subject, endpoint] : endpoints_) {
      known += (known.empty() ? "" : ", ") + endpoint->feed;
    }
    return refuse(message.reply(), not_found("there is no such feed; there are: " + known));
  }
  if (message.payload().size() > kRequestBytesMax) {
    return refuse(message.reply(), invalid_argument("the request is too long"));
  }
  {
    MutexLock lock(mutex_);
    if (queue_.size() < options_.queue_max) {
      queue_.push_back(std::move(message));
      changed_.notify_one();
      return;
    }
  }
  refused_total_.increment();
  refuse(message.reply(), {StatusCode::kExhausted, "too many requests wait already; ask again"});
}

void HistoryServiceImpl::refuse(std::string_view reply, const Status& problem) {
  const Digits code(static_cast<std::uint64_t>(code_of(problem)));
  const nats::Header headers[] = {{wire::kErrorCode, code.view()},
                                  {wire::kError, problem.message()}};
  // Where the broker is away, so is who asked.
  static_cast<void>(
      connection_->publish({.subject = reply, .reply = {}, .headers = headers, .payload = {}}));
}

void HistoryServiceImpl::work() {
  TableHistory history(options_.mysql, options_.feeds);
  for (;;) {
    nats::Message message;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        changed_.wait(mutex_);
      }
      if (stopping_) {
        return;
      }
      message = std::move(queue_.front());
      queue_.pop_front();
    }
    serve(history, message);
  }
}

void HistoryServiceImpl::serve(TableHistory& history, const nats::Message& message) {
  Endpoint& endpoint = *endpoint_of(message.subject());
  const auto start = std::chrono::steady_clock::now();
  ++endpoint.requests;
  endpoint.requests_total.increment();
  const Status outcome = answer(history, message, endpoint);
  if (!outcome.ok()) {
    ++endpoint.errors;
    endpoint.errors_total.increment();
    log_->debug("history request failed feed={} problem={}", endpoint.feed, outcome.to_string());
    refuse(message.reply(), outcome);
    MutexLock lock(endpoint.mutex);
    endpoint.last_error = std::to_string(code_of(outcome)) + ":" + outcome.message();
  }
  endpoint.processing_ns +=
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
}

Status HistoryServiceImpl::answer(TableHistory& history,
                                  const nats::Message& message,
                                  Endpoint& endpoint) {
  ASSIGN_OR_RETURN(HistoryAsk ask, parse_history_request(message.payload()));
  const auto run = [&]() -> Status {
    SeqRange& range = ask.page.range;
    if (ask.from_time_us) {
      ASSIGN_OR_RETURN(range.first, history.seq_at_time(endpoint.feed, *ask.from_time_us));
    }
    if (ask.to_time_us) {
      ASSIGN_OR_RETURN(const std::uint64_t behind,
                       history.seq_at_time(endpoint.feed, *ask.to_time_us + 1));
      range.last = behind - 1;
    }
    return ask.page.messages_max == 0 ? send_held(history, message.reply(), ask.page, endpoint)
                                      : send_page(history, message.reply(), ask, endpoint);
  };
  Status outcome = run();
  note(outcome.code() == StatusCode::kUnavailable ? outcome : Status());
  return outcome;
}

void HistoryServiceImpl::note(const Status& outcome) {
  MutexLock lock(mutex_);
  if (outcome.ok() && !last_outcome_.ok()) {
    log_->info("history is served again");
  } else if (!outcome.ok() && last_outcome_.ok()) {
    log_->warn("history cannot be served problem={}", outcome.message());
  }
  last_outcome_ = outcome;
}

Status HistoryServiceImpl::send_page(TableHistory& history,
                                     std::string_view reply,
                                     const HistoryAsk& ask,
                                     Endpoint& endpoint) {
  ASSIGN_OR_RETURN(const HistoryPage page, history.read_page(endpoint.feed, ask.page));
  if (ask.packed) {
    RETURN_IF_ERROR(send_packed(reply, page.messages));
  }
  std::uint64_t bytes = 0;
  for (const HistoryMessage& message : page.messages) {
    if (!ask.packed) {
      RETURN_IF_ERROR(send_message(reply, message, endpoint));
    }
    bytes += message.data.size();
  }
  const Digits next(page.next_seq);
  const Digits count(page.messages.size());
  const nats::Header headers[] = {{wire::kNextSeq, next.view()},
                                  {wire::kMessages, count.view()},
                                  {wire::kPage, page.end ? wire::kEnd : wire::kMore}};
  RETURN_IF_ERROR(
      connection_->publish({.subject = reply, .reply = {}, .headers = headers, .payload = {}}));
  endpoint.messages_total.increment(page.messages.size());
  endpoint.bytes_total.increment(bytes);
  return page.messages.size() > kFlushPageMax ? Status() : connection_->flush(kFlushTimeout);
}

Status HistoryServiceImpl::send_packed(std::string_view reply,
                                       const std::vector<HistoryMessage>& messages) {
  const auto payload_max = static_cast<std::size_t>(connection_->max_payload());
  const std::size_t pack_max =
      std::min(kPackBytes, std::max(payload_max, kPackHeaderBytes) - kPackHeaderBytes);
  std::string pack;
  pack.reserve(pack_max);
  for (auto message = messages.begin(); message != messages.end();) {
    const std::uint64_t first_seq = message->seq;
    std::uint64_t count = 0;
    pack.clear();
    for (; message != messages.end(); ++message, ++count) {
      const PackedMessage packed{.seq = message->seq,
                                 .timestamp_us = message->timestamp_us,
                                 .id = message->id,
                                 .data = message->data};
      if (count > 0 && pack.size() + packed_bytes(packed) > pack_max) {
        break;
      }
      append_packed(packed, pack);
    }
    const Digits held(count);
    const nats::Header header{wire::kPacked, held.view()};
    RETURN_IF_ERROR(
        naming(first_seq,
               connection_->publish(
                   {.subject = reply, .reply = {}, .headers = {&header, 1}, .payload = pack})));
  }
  return {};
}

Status HistoryServiceImpl::send_message(std::string_view reply,
                                        const HistoryMessage& message,
                                        const Endpoint& endpoint) {
  const Digits seq(message.seq);
  const std::string message_id = endpoint.feed + "-" + std::string(seq.view());
  const std::string timestamp = format_rfc3339_us(message.timestamp_us);
  const nats::Header headers[] = {{wire::kMessageId, message_id},
                                  {wire::kFeedId, message.id},
                                  {wire::kFeedSeq, seq.view()},
                                  {wire::kFeedTimestamp, timestamp}};
  return naming(message.seq,
                connection_->publish(
                    {.subject = reply, .reply = {}, .headers = headers, .payload = message.data}));
}

Status HistoryServiceImpl::send_held(TableHistory& history,
                                     std::string_view reply,
                                     const HistoryRequest& request,
                                     const Endpoint& endpoint) {
  ASSIGN_OR_RETURN(const SeqRange held, history.held(endpoint.feed));
  const Digits next(request.range.first);
  const Digits first(held.first);
  const Digits last(held.last);
  const nats::Header headers[] = {
      {wire::kNextSeq, next.view()},
      {wire::kMessages, "0"},
      {wire::kPage, request.range.first > held.last ? wire::kEnd : wire::kMore},
      {wire::kFirstSeq, first.view()},
      {wire::kLastSeq, last.view()}};
  RETURN_IF_ERROR(
      connection_->publish({.subject = reply, .reply = {}, .headers = headers, .payload = {}}));
  return connection_->flush(kFlushTimeout);
}

}  // namespace

Result<std::unique_ptr<HistoryService>> HistoryService::start(const Options& options,
                                                              Metrics& metrics) {
  auto service = std::make_unique<HistoryServiceImpl>(options, metrics);
  RETURN_IF_ERROR(service->start());
  return std::unique_ptr<HistoryService>(std::move(service));
}

}  // namespace feedvault::gateway
