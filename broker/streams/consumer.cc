#include "broker/streams/consumer.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "broker/streams/status_message.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {
namespace {

/// What goes out of a full bucket of the rate limit at once, when the stream does not say how large
/// a message can be: nats-server's max_payload.
constexpr std::uint64_t kDefaultBurstBytes = 1U << 20U;

/// Messages that are counted in less than a millisecond.
constexpr StreamSeq kCheapCount = 1U << 16U;
constexpr std::int64_t kRecountNs = 100'000'000;

std::uint64_t percent_of(const std::string& text) {
  std::uint64_t percent = 0;
  std::from_chars(text.data(), text.data() + text.size(), percent);
  return std::min<std::uint64_t>(percent, 100);
}

}  // namespace

Consumer::Consumer(Stream& stream, StoredConsumer stored)
    : Consumer(stream, std::move(stored), AckLedger(AckPolicy::kNone), nullptr) {}

Consumer::Consumer(Stream& stream,
                   StoredConsumer stored,
                   AckLedger ledger,
                   std::unique_ptr<ConsumerFile> file)
    : stream_(stream),
      out_(*stream.options().output),
      clock_(*stream.options().clock),
      stored_(std::move(stored)),
      ledger_(file == nullptr ? AckLedger(stored_.config.ack_policy) : std::move(ledger)),
      file_(std::move(file)),
      filter_(stored_.config.filters()),
      reader_(stream.log(), 1, filter_),
      ack_subject_(stream.name(), stored_.config.name) {
  const Moment now = moment();
  if (file_ == nullptr) {
    begin();
  } else {
    // What the stream lost meanwhile, or an acknowledgement removed before this was written.
    ledger_.forget_below(stream_.log().counts().first_seq);
    std::vector<StreamSeq> gone;
    store::SubjectFilter all;
    const auto look = [&](StreamSeq seq) {
      if (stream_.log().next_matching(seq, all) != seq) {
        gone.push_back(seq);
      }
    };
    ledger_.pending().for_each([&](const PendingAck& entry) { look(entry.seq); });
    for (const auto& each : ledger_.exhausted()) {
      look(each.first);
    }
    for (const StreamSeq seq : gone) {
      ledger_.forget(seq);
    }
    next_seq_ = ledger_.delivered().stream + 1;
    if (ledger_.resume_after() != 0) {
      collect_last_per_subject(ledger_.delivered().stream, ledger_.resume_after());
      next_seq_ = ledger_.resume_after() + 1;
      end_of_last_per_subject();
    }
  }
  set_up(now);
}

Consumer::~Consumer() = default;

Status Consumer::keep_in(const std::string& path) {
  CHECK(file_ == nullptr);
  ASSIGN_OR_RETURN(file_,
                   ConsumerFile::create(*stream_.options().fs, path, stored_, ledger_, moment()));
  return {};
}

/// What follows from configuration and position, at the start and after an update.
void Consumer::set_up(const Moment& now) {
  reader_.seek(next_seq_);
  has_candidate_ = false;
  pending_stale_ = true;
  sample_percent_ = percent_of(config().sample_freq);
  random_ = static_cast<std::uint64_t>(stored_.created_ns) | 1U;
  rate_.reset();
  if (config().rate_limit_bps > 0) {
    const std::int64_t largest = stream_.config().max_msg_size;
    rate_.emplace(config().rate_limit_bps,
                  largest > 0 ? static_cast<std::uint64_t>(largest) : kDefaultBurstBytes);
  }
  if (config().replay_policy == ReplayPolicy::kOriginal) {
    replay_to_ = end_seq();
  }
  touch(now);
  if (!config().is_pull()) {
    active_ = out_.has_interest(config().deliver_subject);
    set_active(active_, now);
  }
  inactive_at_ns_ = config().inactive_threshold_ns > 0
                        ? now.steady_ns + config().inactive_threshold_ns
                        : kNoDeadline;
  more_ = true;  // look at what is there at the next turn
}

void Consumer::attach(ConsumerWatch& watch, std::uint64_t id) {
  watch_ = &watch;
  id_ = id;
  mark();
}

void Consumer::mark() {
  if (!touched_ && watch_ != nullptr) {
    touched_ = true;
    watch_->touched(*this);
  }
}

StreamSeq Consumer::end_seq() const {
  return config().delivers_written() ? stream_.written_seq() : stream_.visible_seq();
}

StreamSeq Consumer::first_needed() const {
  const StreamSeq first = ledger_.floor().stream + 1;
  return ledger_.exhausted().empty() ? first : std::min(first, ledger_.exhausted().begin()->first);
}

std::int64_t Consumer::wait_ns(std::uint32_t deliveries) const {
  const std::vector<std::int64_t>& backoff = config().backoff_ns;
  if (backoff.empty()) {
    return config().ack_wait_ns;
  }
  return backoff[std::min<std::size_t>(deliveries == 0 ? 0 : deliveries - 1, backoff.size() - 1)];
}

bool Consumer::is_paused(const Moment& now) const {
  return config().pause_until_ns.has_value() && *config().pause_until_ns > now.unix_ns;
}

bool Consumer::needs(StreamSeq seq) const {
  if (seq < next_seq_ && seq > ledger_.delivered().stream) {
    // Passed over by last_per_subject, unless it is still to come.
    return std::find(last_seqs_.begin(), last_seqs_.end(), seq) != last_seqs_.end();
  }
  return ledger_.needs(seq);
}

bool Consumer::is_done(StreamSeq seq) const {
  return seq <= ledger_.delivered().stream && !ledger_.needs(seq);
}

// --- num_pending ---

std::uint64_t Consumer::count_pending() {
  return last_seqs_.size() + stream_.count_matching(next_seq_, end_seq(), filter_);
}

std::uint64_t Consumer::num_pending() {
  const StreamSeq end = end_seq();
  if (pending_stale_) {
    pending_ = count_pending();
    pending_stale_ = false;
    counted_to_ = end;
  } else if (end > counted_to_) {
    pending_ += stream_.count_matching(std::max(counted_to_ + 1, next_seq_), end, filter_);
    counted_to_ = end;
  }
  return pending_;
}

/// Of what is delivered now. While messages are being removed ahead of a consumer that lags far
/// behind, counting again for each would take longer than delivering; then the number may be up to
/// kRecountNs old. Near the end it is always exact: clients take 0 for the end.
std::uint64_t Consumer::pending_for_reply(const Moment& now) {
  if (pending_stale_) {
    const bool far = end_seq() > next_seq_ + kCheapCount;
    if (far && now.steady_ns < recounted_ns_ + kRecountNs) {
      pending_stale_ = false;
      num_pending();
      pending_stale_ = true;
      return pending_;
    }
    recounted_ns_ = now.steady_ns;
  }
  return num_pending();
}

// --- What the stream does ---

void Consumer::on_visible() {
  const bool wanted = config().is_pull() ? !requests_.empty() : active_;
  if (wanted) {
    pump(moment());
  }
}

void Consumer::on_removed(StreamSeq first, StreamSeq last) {
  if (last >= next_seq_ && first <= counted_to_) {
    pending_stale_ = true;
  }
  if (!last_seqs_.empty()) {
    // The list falls.
    store::SubjectFilter all;
    const auto from =
        std::lower_bound(last_seqs_.begin(), last_seqs_.end(), last, std::greater<>());
    const auto to = std::upper_bound(from, last_seqs_.end(), first, std::greater<>());
    const auto gone = std::remove_if(
        from, to, [&](StreamSeq seq) { return stream_.log().next_matching(seq, all) != seq; });
    pending_stale_ = pending_stale_ || gone != to;
    last_seqs_.erase(gone, to);
    end_of_last_per_subject();
  }
  if (has_candidate_ && candidate_.seq >= first && candidate_.seq <= last) {
    drop_candidate();
  }
  std::vector<StreamSeq> gone;
  store::SubjectFilter all;
  const auto look = [&](StreamSeq seq) {
    if (seq >= first && seq <= last && stream_.log().next_matching(seq, all) != seq) {
      gone.push_back(seq);
    }
  };
  const PendingAck* const lowest = ledger_.pending().first();
  if (first == last) {
    // What limits do with every new message.
    if (ledger_.pending().find(first) != nullptr || ledger_.exhausted().count(first) != 0) {
      look(first);
    }
  } else if (lowest != nullptr && lowest->seq <= last) {
    ledger_.pending().for_each([&](const PendingAck& entry) { look(entry.seq); });
  }
  if (first != last) {
    const auto end = ledger_.exhausted().upper_bound(last);
    for (auto at = ledger_.exhausted().lower_bound(first); at != end; ++at) {
      look(at->first);
    }
  }
  for (const StreamSeq seq : gone) {
    ledger_.forget(seq);
  }
  if (!gone.empty()) {
    more_ = true;  // max_ack_pending may have room
    mark();
  }
}

void Consumer::on_stream_config() {
  set_up(moment());
  mark();
}

// --- Time ---

std::int64_t Consumer::next_deadline() {
  if (more_) {
    return 0;
  }
  std::int64_t next = std::min({resume_at_ns_, inactive_at_ns_, sync_deadline(), rest_at_ns_});
  if (config().is_pull()) {
    next = std::min(next, requests_.next_deadline());
  } else {
    next = std::min({next, interest_at_ns_, active_ ? heartbeat_at_ns_ : kNoDeadline});
  }
  return std::min(next, ledger_.pending().next_deadline());
}

Consumer::Fate Consumer::on_timer() {
  mark();
  const Moment now = moment();
  expire_waits(now);
  if (!config().is_pull()) {
    if (interest_at_ns_ <= now.steady_ns) {
      check_interest();
    }
    if (active_ && heartbeat_at_ns_ <= now.steady_ns) {
      send_heartbeat(config().deliver_subject);
      heartbeat_at_ns_ = now.steady_ns + config().idle_heartbeat_ns;
    }
  }
  pump(now);
  if (rest_at_ns_ <= now.steady_ns) {
    rest_at_ns_ = kNoDeadline;
    drop_candidate();
    reader_.rest();
  }
  return inactive_at_ns_ <= now.steady_ns && is_inactive(now) ? Fate::kInactive : Fate::kStays;
}

/// Nobody has used it for inactive_threshold. Sets the next time to ask otherwise.
bool Consumer::is_inactive(const Moment& now) {
  const std::int64_t threshold = config().inactive_threshold_ns;
  if (!config().is_pull()) {
    if (active_) {
      inactive_at_ns_ = kNoDeadline;
      return false;
    }
    return true;
  }
  if (now.steady_ns - last_activity_ns_ < threshold) {
    inactive_at_ns_ = last_activity_ns_ + threshold;
    return false;
  }
  requests_.look([&](const WaitingRequest& each) { return !out_.has_interest(each.reply); });
  if (!requests_.empty()) {
    inactive_at_ns_ = now.steady_ns + threshold;
    return false;
  }
  // Somebody may still be working on a message that he got; then the time starts at the end of what
  // he was given.
  std::int64_t last_wait_ns = 0;
  ledger_.pending().for_each([&](const PendingAck& entry) {
    last_wait_ns = std::max(last_wait_ns, entry.sent_ns + wait_ns(entry.deliveries));
  });
  if (last_wait_ns + threshold > now.steady_ns) {
    inactive_at_ns_ = last_wait_ns + threshold;
    return false;
  }
  return true;
}

// --- State ---

bool Consumer::needs_flush() const {
  return ledger_.changes_size() > 0 || !unflushed_answers_.empty();
}

void Consumer::flush() {
  if (file_ == nullptr) {
    ledger_.clear_changes();
    return;
  }
  if (!failure_.ok()) {
    return;
  }
  const Moment now = moment();
  const Status status = file_->flush(ledger_, now);
  if (status.code() == StatusCode::kExhausted) {
    return;  // the disk is full; tried again at the next turn
  }
  if (!status.ok()) {
    fail(status);
    return;
  }
  const bool synced = file_->synced_generation() == file_->generation();
  if (!synced && unsynced_since_ns_ == kNoDeadline) {
    unsynced_since_ns_ = now.steady_ns;
  }
  const bool always = stream_.options().sync == SyncPolicy::kAlways;
  for (Answer& each : std::exchange(unflushed_answers_, {})) {
    if (synced || (!always && !each.done)) {
      give(each);
    } else if (unsynced_answers_.size() < kAnswersMax || each.done) {
      each.generation = file_->generation();
      unsynced_answers_.push_back(std::move(each));
    }
  }
}

void Consumer::give(const Answer& to) {
  if (to.done) {
    to.done({});
  } else {
    answer(to.reply);
  }
}

/// Acknowledgements are not answered any more.
void Consumer::fail(const Status& cause) {
  failure_ = cause;
  if (watch_ != nullptr) {
    watch_->failed(*this);
  }
  std::vector<Answer> waiting = std::exchange(unsynced_answers_, {});
  std::ranges::move(unflushed_answers_, std::back_inserter(waiting));
  unflushed_answers_.clear();
  for (const Answer& each : waiting) {
    if (each.done) {
      each.done(failure_);
    }
  }
}

void Consumer::when_durable(Done done) {
  if (file_ == nullptr || !failure_.ok()) {
    done(failure_);
    return;
  }
  unflushed_answers_.push_back({{}, std::move(done), 0});
  mark();
}

std::int64_t Consumer::sync_deadline() const {
  return unsynced_since_ns_ == kNoDeadline || syncing_generation_ != 0 || !failure_.ok()
             ? kNoDeadline
             : unsynced_since_ns_ + stream_.options().sync_interval / std::chrono::nanoseconds(1);
}

bool Consumer::wants_sync(std::int64_t now_ns) const {
  if (!failure_.ok()) {
    return false;
  }
  const bool awaited =
      !unsynced_answers_.empty() && unsynced_answers_.back().generation > syncing_generation_;
  return awaited || sync_deadline() <= now_ns;
}

store::StateFile::Sync Consumer::begin_sync() {
  CHECK(file_ != nullptr);
  mark();
  syncing_generation_ = file_->generation();
  return file_->begin_sync();
}

void Consumer::end_sync(const store::StateFile::Sync& sync, const Status& result) {
  if (file_ == nullptr || !failure_.ok()) {
    return;
  }
  if (const Status status = file_->end_sync(sync, result); !status.ok()) {
    fail(status);
    return;
  }
  const std::uint64_t synced = file_->synced_generation();
  syncing_generation_ = synced >= syncing_generation_ ? 0 : syncing_generation_;
  const auto waiting = std::ranges::find_if(
      unsynced_answers_, [&](const Answer& each) { return each.generation > synced; });
  std::vector<Answer> due(std::make_move_iterator(unsynced_answers_.begin()),
                          std::make_move_iterator(waiting));
  unsynced_answers_.erase(unsynced_answers_.begin(), waiting);
  std::ranges::for_each(due, [this](const Answer& each) { give(each); });
  unsynced_since_ns_ = synced == file_->generation() ? kNoDeadline : moment().steady_ns;
  mark();
}

// --- The API ---

ConsumerInfo Consumer::info() {
  const Moment now = moment();
  requests_.look([&](const WaitingRequest& each) { return !out_.has_interest(each.reply); });
  ConsumerInfo info;
  info.created_ns = stored_.created_ns;
  info.delivered = ledger_.delivered();
  info.last_delivery_ns = ledger_.last_delivery_ns();
  // As nats-server says it: nothing is acknowledged, wherever the consumer began.
  info.ack_floor = ledger_.floor().consumer == 0 ? SequencePair{} : ledger_.floor();
  info.last_ack_ns = ledger_.last_ack_ns();
  info.num_ack_pending = ledger_.pending().size();
  // With one delivery each there is no redelivery to speak of; the exhausted ones stay to be known.
  info.num_redelivered =
      config().max_deliver == 1 ? 0 : ledger_.pending().redelivered() + ledger_.exhausted().size();
  info.num_waiting = requests_.size();
  info.num_pending = num_pending();
  info.push_bound = !config().is_pull() && active_;
  info.paused = is_paused(now);
  info.pause_remaining_ns = info.paused ? *config().pause_until_ns - now.unix_ns : 0;
  return info;
}

Status Consumer::update(const ConsumerConfig& config) {
  const Moment now = moment();
  const bool new_filter = config.filters() != stored_.config.filters();
  const bool new_subject = config.deliver_subject != stored_.config.deliver_subject;
  const bool new_wait = config.ack_wait_ns != stored_.config.ack_wait_ns ||
                        config.backoff_ns != stored_.config.backoff_ns;
  StoredConsumer next{config, stored_.created_ns};
  if (file_ != nullptr) {
    RETURN_IF_ERROR(file_->rewrite(next, ledger_, now, store::Promise::kToBeSynced));
    when_durable([](const Status&) {});  // synced soon, whoever waits for it
  }
  stored_ = std::move(next);
  if (new_filter) {
    filter_ = store::SubjectFilter(stored_.config.filters());
    reader_ = store::MessageReader(stream_.log(), next_seq_, filter_);
  }
  std::vector<StreamSeq> pending;
  ledger_.pending().for_each([&](const PendingAck& entry) { pending.push_back(entry.seq); });
  for (const StreamSeq seq : pending) {
    PendingAck* const entry = ledger_.pending().find(seq);
    if (new_subject && entry->ticket == 0) {
      // The new receiver gets everything that the old one has not acknowledged.
      ledger_.postpone(*entry, now, 0);
      ledger_.pending().queue(*entry);
    } else if (new_wait && entry->deadline_ns != kNoDeadline) {
      const std::int64_t due = entry->sent_ns + wait_ns(entry->deliveries);
      ledger_.postpone(*entry, now, due - now.steady_ns);
    }
  }
  if (has_candidate_ && !again_) {
    drop_candidate();
  }
  if (new_subject) {
    flow_.reset();
  }
  set_up(now);
  mark();
  return {};
}

void Consumer::release_requests(std::string_view why) {
  const std::string block = status_block(std::string("409 ").append(why));
  requests_.look([&](const WaitingRequest& each) {
    out_.publish({each.reply, {}, block, {}});
    return true;
  });
}

Status Consumer::close() {
  requests_.look([&](const WaitingRequest& each) {
    out_.publish(
        {each.reply, {}, status_block("409 Server Shutdown", each.left, each.bytes_left), {}});
    return true;
  });
  if (file_ == nullptr || !failure_.ok()) {
    return failure_;
  }
  flush();
  if (const Status status = file_->flush_durably(ledger_, moment()); !status.ok()) {
    fail(status);
  }
  for (const Answer& each : std::exchange(unsynced_answers_, {})) {
    give(each);
  }
  return failure_;
}

std::unique_ptr<ConsumerFile> Consumer::destroy() {
  release_requests("Consumer Deleted");
  // Who waits for what is written hears that it is: nothing of it can come back.
  std::vector<Answer> waiting = std::exchange(unsynced_answers_, {});
  std::ranges::move(unflushed_answers_, std::back_inserter(waiting));
  unflushed_answers_.clear();
  for (const Answer& each : waiting) {
    if (each.done) {
      each.done({});
    }
  }
  return std::exchange(file_, nullptr);
}

}  // namespace feedvault::broker::streams
