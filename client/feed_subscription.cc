#include "client/feed_subscription.h"

#include <exception>
#include <random>

#include "base/clock.h"

namespace feedvault {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kApiTimeout{5000};
// How long the thread waits for a message before it looks whether it is to drain, and saves.
constexpr milliseconds kLook{50};
constexpr milliseconds kFirstWait{50};
constexpr milliseconds kLongestWait{1000};

std::int64_t feed_time_us(const std::optional<std::string_view>& header, std::int64_t stored_ns) {
  // Ours always carry the time; for a stranger's, the stream's own is the best there is.
  if (header) {
    if (const auto ns = parse_rfc3339_ns(*header)) {
      return *ns / 1000;
    }
  }
  return stored_ns / 1000;
}

}  // namespace

FeedSubscription::FeedSubscription(nats::Connection& connection,
                                   SubscribeOptions options,
                                   StreamService::Callback callback,
                                   std::function<void(const Gap&)> on_gap)
    : connection_(connection),
      jetstream_(connection, kApiTimeout),
      options_(std::move(options)),
      stream_("FEED_" + options_.feed),
      callback_(std::move(callback)),
      on_gap_(std::move(on_gap)),
      decoder_(make_feed_decoder(options_.feed, options_.schema)),
      backoff_(kFirstWait, kLongestWait, std::random_device()()) {}

FeedSubscription::~FeedSubscription() {
  stop_.request_stop();
  {
    MutexLock lock(reader_mutex_);
    if (reader_ != nullptr) {
      reader_->cancel();
    }
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

Status FeedSubscription::start() {
  switch (options_.start.kind()) {
    case Start::Kind::kStored: {
      ASSIGN_OR_RETURN(const auto stored, options_.positions->load(options_.feed));
      last_ = stored.value_or(0);
      gap_is_news_ = stored.has_value();
      position_ = *last_;
      break;
    }
    case Start::Kind::kFirst:
      last_ = 0;
      gap_is_news_ = false;
      break;
    case Start::Kind::kSeq:
      last_ = options_.start.seq() == 0 ? 0 : options_.start.seq() - 1;
      break;
    case Start::Kind::kNew:
      if (connection_.connected()) {
        static_cast<void>(resolve_start());  // else the thread does, when it can
      }
      break;
    case Start::Kind::kTime:
      break;
  }
  thread_ = std::thread([this] {
    run();
    finished_ = true;
    finish_.request_stop();
  });
  return {};
}

Status FeedSubscription::resolve_start() {
  if (last_) {
    return {};
  }
  if (options_.start.kind() == Start::Kind::kTime) {
    return resolve_time();
  }
  const auto info = jetstream_.stream_info(stream_);
  if (info) {
    last_ = info->last_seq;
  } else if (info.error().code() == StatusCode::kNotFound) {
    last_ = 0;  // all that will be in it is new
    gap_is_news_ = false;
  }
  return info.status();
}

Status FeedSubscription::resolve_time() {
  const std::int64_t time_ns = options_.start.time_us() * 1000;
  ASSIGN_OR_RETURN(const std::uint64_t first,
                   jetstream_.seq_at_time(stream_, time_ns, [](const nats::StoredMessage& stored) {
                     return 1000 * feed_time_us(stored.header("Feed-Timestamp"), stored.time_ns);
                   }));
  ASSIGN_OR_RETURN(const nats::StreamInfo info, jetstream_.stream_info(stream_));
  if (first == info.first_seq && first > 1 && info.messages > 0) {
    ASSIGN_OR_RETURN(const nats::StoredMessage oldest, jetstream_.get_message(stream_, first));
    if (feed_time_us(oldest.header("Feed-Timestamp"), oldest.time_ns) > options_.start.time_us()) {
      report_gap(1, first - 1);
    }
  }
  last_ = first - 1;
  return {};
}

Status FeedSubscription::open_reader() {
  RETURN_IF_ERROR(resolve_start());
  ASSIGN_OR_RETURN(const nats::StreamInfo info, jetstream_.stream_info(stream_));
  if (info.last_seq < *last_) {
    log_->warn(
        "feed stream is behind our position, waiting for it to be refilled "
        "feed={} last_seq={} position={}",
        options_.feed,
        info.last_seq,
        *last_);
  }
  nats::ReaderOptions options;
  options.window_messages = options_.max_in_flight;
  auto reader = nats::StreamReader::open(connection_, stream_, *last_ + 1, options);
  if (!reader) {
    return reader.error();
  }
  set_reader(std::move(*reader));
  return {};
}

void FeedSubscription::set_reader(std::unique_ptr<nats::StreamReader> reader) {
  {
    MutexLock lock(reader_mutex_);
    reader_.swap(reader);
    if (reader_ != nullptr && stop_.stop_requested()) {
      reader_->cancel();
    }
  }
  // The old one goes here, outside of the lock.
}

void FeedSubscription::run() {
  while (!stopping()) {
    if (const Status status =
            connection_.connected() ? open_reader() : unavailable("no connection to the broker");
        !status.ok()) {
      // Once per problem. What the connection suffers, it has logged itself.
      if (connection_.connected() && status.message() != last_problem_) {
        last_problem_ = status.message();
        log_->warn("cannot read the feed yet, trying again feed={} problem={}",
                   options_.feed,
                   last_problem_);
      }
      stop_.wait_for(backoff_.next());
      continue;
    }
    last_problem_.clear();
    backoff_.reset();
    const bool end = read();
    set_reader(nullptr);
    if (end) {
      break;
    }
    stop_.wait_for(backoff_.next());
  }
  save();
}

bool FeedSubscription::read() {
  bool fetching = true;
  for (;;) {
    if (stop_.stop_requested()) {
      return true;
    }
    if (draining_ && fetching) {
      fetching = false;
      reader_->stop_fetching();
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    auto message = reader_->next(fetching ? now + kLook : now);
    if (message) {
      if (!deliver(*message)) {
        return true;
      }
      continue;
    }
    switch (message.error().code()) {
      case StatusCode::kTimeout:
        if (!fetching || !save()) {
          return true;
        }
        break;
      case StatusCode::kCancelled:
        return true;
      default:
        log_->info("reading interrupted, opening again feed={} reason={}",
                   options_.feed,
                   message.error().message());
        return stopping();
    }
  }
}

bool FeedSubscription::deliver(const nats::StreamMessage& message) {
  const std::uint64_t seq = message.stream_seq;
  if (seq <= *last_) {
    return true;
  }
  if (seq > *last_ + 1 && gap_is_news_) {
    report_gap(*last_ + 1, seq - 1);
  }
  gap_is_news_ = true;
  FeedMessage out;
  out.position = {.feed = options_.feed, .seq = seq};
  out.timestamp_us = feed_time_us(message.message.header("Feed-Timestamp"), message.time_ns);
  out.id = message.message.header("Feed-Id").value_or(std::string_view());
  out.data = message.message.payload();
  out.decoded = decoder_ == nullptr ? nullptr : decoder_->decode(out.data);
  if (!call(out)) {
    return false;
  }
  last_ = seq;
  position_.store(seq);
  ++unsaved_;
  return unsaved_ < options_.save_every || save();
}

bool FeedSubscription::call(const FeedMessage& message) {
  try {
    if (callback_(message)) {
      return true;
    }
    log_->info("callback stopped the subscription position={}", message.position.to_string());
  } catch (const std::exception& e) {
    log_->error("callback failed with an exception, the subscription ends here position={} what={}",
                message.position.to_string(),
                e.what());
  } catch (...) {
    log_->error("callback failed with an exception, the subscription ends here position={}",
                message.position.to_string());
  }
  return false;
}

bool FeedSubscription::save() {
  if (unsaved_ == 0 || options_.positions == nullptr) {
    unsaved_ = 0;
    return true;
  }
  Backoff backoff(kFirstWait, kLongestWait, std::random_device()());
  std::string problem;
  for (;;) {
    const Status status = options_.positions->save(options_.feed, *last_);
    if (status.ok()) {
      unsaved_ = 0;
      return true;
    }
    if (status.message() != problem) {
      problem = status.message();
      log_->error("position cannot be saved, delivery waits position={}:{} problem={}",
                  options_.feed,
                  *last_,
                  status.to_string());
    }
    if (stopping() || stop_.wait_for(backoff.next())) {
      return false;
    }
  }
}

void FeedSubscription::report_gap(std::uint64_t first, std::uint64_t last) {
  log_->warn("the stream does not hold these messages any more feed={} first={} last={}",
             options_.feed,
             first,
             last);
  if (on_gap_) {
    on_gap_({.feed = options_.feed, .first = first, .last = last});
  }
}

bool FeedSubscription::wait_finished(SteadyTime deadline) {
  return finish_.wait_until(deadline);
}

}  // namespace feedvault
