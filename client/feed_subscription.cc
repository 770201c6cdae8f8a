#include "client/feed_subscription.h"

#include <algorithm>
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
                                   const StreamService::Options& hooks)
    : connection_(connection),
      jetstream_(connection, kApiTimeout),
      options_(std::move(options)),
      stream_("FEED_" + options_.feed),
      callback_(std::move(callback)),
      hooks_(hooks),
      decoder_(make_feed_decoder(options_.feed, options_.schema)),
      backoff_(kFirstWait, kLongestWait, std::random_device()()) {}

FeedSubscription::~FeedSubscription() {
  stop_.request_stop();
  {
    MutexLock lock(readers_mutex_);
    if (reader_ != nullptr) {
      reader_->cancel();
    }
    if (history_ != nullptr) {
      history_->cancel();
    }
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

void FeedSubscription::begin(std::uint64_t last, bool from_oldest) {
  join_.emplace(last, FeedJoin::Options{.history = options_.history, .from_oldest = from_oldest});
}

Status FeedSubscription::start() {
  switch (options_.start.kind()) {
    case Start::Kind::kStored: {
      ASSIGN_OR_RETURN(const auto stored, options_.positions->load(options_.feed));
      begin(stored.value_or(0), /*from_oldest=*/!stored.has_value());
      position_ = join_->last();
      break;
    }
    case Start::Kind::kFirst:
      begin(0, /*from_oldest=*/true);
      break;
    case Start::Kind::kSeq:
      begin(std::max<std::uint64_t>(1, options_.start.seq()) - 1, /*from_oldest=*/false);
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
  if (join_) {
    return {};
  }
  return options_.start.kind() == Start::Kind::kTime ? resolve_time() : resolve_new();
}

Status FeedSubscription::resolve_new() {
  const auto info = jetstream_.stream_info(stream_);
  if (info) {
    begin(new_is_all_ ? info->first_seq - 1 : info->last_seq, /*from_oldest=*/false);
  } else if (info.error().code() == StatusCode::kNotFound) {
    new_is_all_ = true;
  }
  return info.status();
}

Status FeedSubscription::resolve_time() {
  const auto time_of = [](const nats::StoredMessage& stored) {
    return feed_time_us(stored.header("Feed-Timestamp"), stored.time_ns);
  };
  const std::int64_t time_us = options_.start.time_us();
  ASSIGN_OR_RETURN(const nats::StreamInfo info, jetstream_.stream_info(stream_));
  // Does the stream reach back so far? Only then it can say where the time is.
  bool reaches_back = info.first_seq <= 1;
  if (!reaches_back && info.messages > 0) {
    ASSIGN_OR_RETURN(const nats::StoredMessage oldest,
                     jetstream_.get_message(stream_, info.first_seq));
    // With the very same time, others may be before it.
    reaches_back = time_of(oldest) < time_us || (time_of(oldest) == time_us && !options_.history);
  }
  if (!reaches_back && options_.history) {
    ASSIGN_OR_RETURN(NatsHistory* const table, history());
    ASSIGN_OR_RETURN(const std::uint64_t first, table->seq_at_time(options_.feed, time_us));
    begin(first - 1, /*from_oldest=*/false);
    return {};
  }
  ASSIGN_OR_RETURN(const std::uint64_t first,
                   jetstream_.seq_at_time(stream_, time_us * 1000, [&](const auto& stored) {
                     return 1000 * time_of(stored);
                   }));
  if (!reaches_back && info.messages > 0) {
    report_gap({.first = 1, .last = first - 1});
  }
  begin(first - 1, /*from_oldest=*/false);
  return {};
}

Status FeedSubscription::look_at_stream() {
  const auto info = jetstream_.stream_info(stream_);
  if (!info) {
    join_->live_unknown();
    return info.error();
  }
  if (info->last_seq < join_->last()) {
    log_->warn(
        "feed stream is behind our position, waiting for it to be refilled "
        "feed={} last_seq={} position={}",
        options_.feed,
        info->last_seq,
        join_->last());
  }
  join_->live_holds({.first = info->first_seq, .last = info->last_seq});
  return {};
}

void FeedSubscription::set_reader(std::unique_ptr<nats::StreamReader> reader) {
  {
    MutexLock lock(readers_mutex_);
    reader_.swap(reader);
    if (reader_ != nullptr && stop_.stop_requested()) {
      reader_->cancel();
    }
  }
  // The old one goes here, outside of the lock.
}

Result<NatsHistory*> FeedSubscription::history() {
  if (history_ == nullptr) {
    ASSIGN_OR_RETURN(auto opened, NatsHistory::open(connection_, {}));
    MutexLock lock(readers_mutex_);
    history_ = std::move(opened);
    if (stop_.stop_requested()) {
      history_->cancel();
    }
  }
  return history_.get();
}

void FeedSubscription::close_history() {
  std::unique_ptr<NatsHistory> old;
  MutexLock lock(readers_mutex_);
  old.swap(history_);
}

void FeedSubscription::run() {
  while (!stopping() && !ended_) {
    const Status status =
        connection_.connected() ? read_round() : unavailable("no connection to the broker");
    set_reader(nullptr);
    if (status.ok() || stopping()) {
      continue;
    }
    set_phase(Phase::kWaiting, status.message());
    stop_.wait_for(backoff_.next());
  }
  save();
}

void FeedSubscription::set_phase(Phase phase, const std::string& why) {
  if (phase == phase_ && why == waits_for_) {
    return;
  }
  phase_ = phase;
  waits_for_ = why;
  // What the connection suffers, it has logged itself.
  if (phase == Phase::kWaiting && connection_.connected()) {
    log_->warn("cannot read the feed yet, trying again feed={} problem={}", options_.feed, why);
  } else {
    log_->info("feed is read feed={} phase={}", options_.feed, phase_name(phase));
  }
  if (hooks_.on_phase) {
    hooks_.on_phase(options_.feed, phase, why);
  }
}

Status FeedSubscription::read_round() {
  RETURN_IF_ERROR(resolve_start());
  Status stream = look_at_stream();
  // The table can be read all the same.
  if (!stream.ok() && (stream.code() != StatusCode::kNotFound || !options_.history)) {
    return stream;
  }
  join_->ask_table_again();
  while (!stopping() && !ended_) {
    switch (join_->step()) {
      case FeedJoin::Step::kLive:
        return read_live();
      case FeedJoin::Step::kHistory:
        if (Status status = read_history(); !status.ok()) {
          join_->table_away();
          if (join_->step() != FeedJoin::Step::kLive) {
            return stream.ok() ? status : status.with_context(stream.message());
          }
        }
        break;
      case FeedJoin::Step::kGap:
        pass_gap();
        break;
      case FeedJoin::Step::kWait:
        return unavailable("neither the feed stream nor the table has message " +
                           std::to_string(join_->next()) + " yet");
    }
  }
  return {};
}

Status FeedSubscription::read_history() {
  ASSIGN_OR_RETURN(NatsHistory* const table, history());
  const HistoryRequest request{.range = join_->history_range()};
  ASSIGN_OR_RETURN(const HistoryPage page, table->read_page(options_.feed, request));
  set_phase(Phase::kHistory);
  backoff_.reset();
  for (const HistoryMessage& message : page.messages) {
    FeedMessage out;
    out.position = {.feed = options_.feed, .seq = message.seq};
    out.timestamp_us = message.timestamp_us;
    out.id = message.id;
    out.data = message.data;
    if (stop_.stop_requested() || !take(out, /*live=*/false)) {
      return {};
    }
  }
  join_->history_read(page.next_seq, page.end);
  return {};
}

Status FeedSubscription::open_reader() {
  nats::ReaderOptions options;
  options.window_messages = options_.max_in_flight;
  options.written = true;  // the table has it, and the feed stream gets it again
  ASSIGN_OR_RETURN(auto reader,
                   nats::StreamReader::open(connection_, stream_, join_->next(), options));
  set_reader(std::move(reader));
  close_history();
  set_phase(Phase::kLive);
  backoff_.reset();
  return {};
}

Status FeedSubscription::read_live() {
  RETURN_IF_ERROR(open_reader());
  bool fetching = true;
  while (!stop_.stop_requested()) {
    if (draining_ && fetching) {
      fetching = false;
      reader_->stop_fetching();
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    auto message = reader_->next(fetching ? now + kLook : now);
    if (message) {
      if (!take_live(*message)) {
        return {};
      }
      continue;
    }
    if (message.error().code() == StatusCode::kTimeout) {
      if (!fetching || !save()) {
        ended_ = true;
        return {};
      }
    } else if (message.error().code() == StatusCode::kCancelled) {
      return {};
    } else {
      log_->info("reading interrupted, opening again feed={} reason={}",
                 options_.feed,
                 message.error().message());
      stop_.wait_for(backoff_.next());
      return {};
    }
  }
  return {};
}

bool FeedSubscription::take_live(const nats::StreamMessage& message) {
  FeedMessage out;
  out.position = {.feed = options_.feed, .seq = message.stream_seq};
  out.timestamp_us = feed_time_us(message.message.header("Feed-Timestamp"), message.time_ns);
  out.id = message.message.header("Feed-Id").value_or(std::string_view());
  out.data = message.message.payload();
  return take(out, /*live=*/true);
}

bool FeedSubscription::take(FeedMessage& message, bool live) {
  const std::uint64_t seq = message.position.seq;
  for (;;) {
    switch (live ? join_->offer_live(seq) : join_->offer_history(seq)) {
      case FeedJoin::Verdict::kRepeat:
        return true;
      case FeedJoin::Verdict::kDeliver:
        ended_ = !deliver(message);
        return !ended_;
      case FeedJoin::Verdict::kStop:
        break;
    }
    const std::uint64_t next = join_->next();
    if (join_->step() == FeedJoin::Step::kGap) {
      pass_gap();
    } else if (join_->next() == next) {
      return false;  // the other side may have what is missing
    }
  }
}

bool FeedSubscription::deliver(FeedMessage& message) {
  message.decoded = decoder_ == nullptr ? nullptr : decoder_->decode(message.data);
  if (!call(message)) {
    return false;
  }
  join_->delivered();
  position_.store(join_->last());
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
    const Status status = options_.positions->save(options_.feed, join_->last());
    if (status.ok()) {
      unsaved_ = 0;
      return true;
    }
    if (status.message() != problem) {
      problem = status.message();
      log_->error("position cannot be saved, delivery waits position={}:{} problem={}",
                  options_.feed,
                  join_->last(),
                  status.to_string());
    }
    if (stopping() || stop_.wait_for(backoff.next())) {
      return false;
    }
  }
}

void FeedSubscription::pass_gap() {
  report_gap(join_->gap());
  join_->pass_gap();
}

void FeedSubscription::report_gap(const SeqRange& gap) {
  log_->warn("these messages are gone for good feed={} first={} last={}",
             options_.feed,
             gap.first,
             gap.last);
  if (hooks_.on_gap) {
    hooks_.on_gap({.feed = options_.feed, .first = gap.first, .last = gap.last});
  }
}

bool FeedSubscription::wait_finished(SteadyTime deadline) {
  return finish_.wait_until(deadline);
}

}  // namespace feedvault
