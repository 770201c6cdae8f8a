// What makes messages go: limits, age, acknowledgements, purges, deletions.

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {
namespace {

/// Messages that grow old one by one are removed in batches.
constexpr std::chrono::milliseconds kExpiryPause{50};
/// Removals alone wait this long for a sync: only then can files of dead messages go.
constexpr std::chrono::milliseconds kRemovalSync{1000};
/// Removals wait this long for others before the room of dead messages is looked for, and one
/// rewritten segment is so far from the next.
constexpr std::chrono::milliseconds kCompactDelay{2000};
constexpr std::chrono::milliseconds kCompactPause{200};

}  // namespace

std::uint64_t Stream::Impl::bytes_in(const store::LogState& state) const {
  // nats-server counts 16 bytes a message in memory, and 30 (34 with headers) in a file.
  return in_memory() ? state.bytes - 14 * state.messages - 4 * state.with_headers : state.bytes;
}

/// The steady time at which Unix time will be that, if nobody turns the clock.
SteadyTime Stream::Impl::steady(std::int64_t unix_ns) const {
  return options_.clock->now() + std::chrono::nanoseconds(unix_ns - options_.clock->unix_ns());
}

/// From now on the server's budget has so many bytes of this stream.
void Stream::Impl::charge(std::uint64_t bytes) {
  if (budget_ != nullptr && bytes != charged_) {
    budget_->change(charged_, bytes);
    charged_ = bytes;
  }
}

/// After anything went.
void Stream::Impl::note_removal() {
  ++room_made_;
  if (budget_ != nullptr) {
    charge(bytes_in(log_->counts()));
  }
  unwritten_ = true;
  if (sync_at_ == SteadyTime::max() && !in_memory()) {
    sync_at_ = options_.clock->now() + kRemovalSync;
  }
  if (compact_at_ == SteadyTime::max()) {
    compact_at_ = options_.clock->now() + kCompactDelay;
  }
}

/// One segment that is mostly dead, if there is any, is to give its room back.
bool Stream::Impl::begin_compaction() {
  if (!compaction_due_ || compaction_ != nullptr || !failure_.ok()) {
    return false;
  }
  compaction_due_ = false;
  compaction_ = log_->begin_compaction();
  if (compaction_ == nullptr) {
    if (log_->wants_compaction()) {
      compact_at_ = options_.clock->now() + kCompactDelay;  // not durable yet
    }
    return false;
  }
  if (in_memory()) {
    log_->run_compaction(*compaction_);
    end_compaction();
    return false;
  }
  return true;
}

void Stream::Impl::end_compaction() {
  const Status status = log_->end_compaction(*std::exchange(compaction_, nullptr));
  if (const Status failure = log_->failure(); !failure.ok()) {
    fail(failure);
    return;
  }
  if (!after_compaction_.empty()) {
    std::ranges::move(after_compaction_, std::back_inserter(want_durable_));
    after_compaction_.clear();
    sync_wanted_ = true;
  }
  unwritten_ = true;  // what went meanwhile, its segment perhaps, goes with the next flush
  // No room for it, or unreadable for now: later.
  compact_at_ = !status.ok()               ? options_.clock->now() + kCompactDelay
                : log_->wants_compaction() ? options_.clock->now() + kCompactPause
                                           : SteadyTime::max();
}

void Stream::Impl::removed(StreamSeq first, StreamSeq last) {
  note_removal();
  if (consumers_ != nullptr) {
    consumers_->on_removed(first, last);
  }
}

void Stream::Impl::enforce_subject_limit(std::string_view subject) {
  const auto most = static_cast<std::uint64_t>(config_.max_msgs_per_subject);
  for (store::SubjectState state = log_->subject_state(subject); state.messages > most;
       state = log_->subject_state(subject)) {
    if (const Status status = log_->remove(state.first_seq); !status.ok()) {
      fail(status);
      return;
    }
    ++counters_.expired;
    removed(state.first_seq, state.first_seq);
  }
}

void Stream::Impl::enforce_subject_limits() {
  if (config_.max_msgs_per_subject <= 0) {
    return;
  }
  for (const store::SubjectCount& subject : log_->subjects({})) {
    enforce_subject_limit(subject.subject);
  }
}

void Stream::Impl::enforce_limits() {
  if (config_.max_msgs <= 0 && config_.max_bytes <= 0) {
    return;
  }
  StreamSeq first = 0;
  StreamSeq last = 0;
  for (;;) {
    const store::LogState state = log_->counts();
    const bool too_many =
        config_.max_msgs > 0 && state.messages > static_cast<std::uint64_t>(config_.max_msgs);
    const bool too_large =
        config_.max_bytes > 0 && bytes_in(state) > static_cast<std::uint64_t>(config_.max_bytes);
    if (state.messages == 0 || !(too_many || too_large)) {
      break;
    }
    const auto expired = log_->expire_below(state.first_seq + 1);
    if (!expired.has_value()) {
      fail(expired.error());
      break;
    }
    counters_.expired += *expired;
    first = first == 0 ? state.first_seq : first;
    last = state.first_seq;
  }
  if (last != 0) {
    removed(first, last);
  }
}

/// Messages that are max_age old go. Sets the time of the next look.
void Stream::Impl::expire_old() {
  expire_at_ = SteadyTime::max();
  if (config_.max_age_ns <= 0) {
    return;
  }
  const std::int64_t oldest = options_.clock->unix_ns() - config_.max_age_ns;
  const store::LogState before = log_->state();
  if (before.messages == 0) {
    return;
  }
  if (before.first_time_ns <= oldest) {
    const auto keep = log_->seq_at_time(oldest + 1);
    if (!keep.has_value()) {
      expire_at_ = options_.clock->now() + kRemovalSync;  // unreadable for now
      return;
    }
    const auto expired = log_->expire_below(*keep);
    if (!expired.has_value()) {
      fail(expired.error());
      return;
    }
    if (*expired > 0) {
      counters_.expired += *expired;
      removed(before.first_seq, *keep - 1);
    }
  }
  if (const store::LogState left = log_->state(); left.messages > 0) {
    expire_at_ = std::max(steady(left.first_time_ns + config_.max_age_ns),
                          options_.clock->now() + kExpiryPause);
  }
}

SteadyTime Stream::Impl::next_deadline() const {
  SteadyTime deadline =
      std::min({retry_at_, sync_at_, expire_at_, forget_at_, compact_at_, room_at_});
  if (consumers_ != nullptr) {
    deadline = std::min(deadline, consumers_->next_deadline());
  }
  return deadline;
}

void Stream::Impl::on_timer() {
  const SteadyTime now = options_.clock->now();
  if (now >= expire_at_ && failure_.ok()) {
    expire_old();
  }
  if (now >= compact_at_) {
    compact_at_ = SteadyTime::max();
    compaction_due_ = failure_.ok();
  }
  if (now >= forget_at_) {
    duplicates_.expire_before(options_.clock->unix_ns() - config_.duplicate_window_ns);
    forget_at_ = duplicates_.empty()
                     ? SteadyTime::max()
                     : std::max(steady(duplicates_.next_to_go_ns() + config_.duplicate_window_ns),
                                now + kRemovalSync);
  }
  if (now >= retry_at_) {
    retry_at_ = SteadyTime::max();
    retry_due_ = true;
    // Whoever was held back at append may try again; nothing need be buffered.
    if (!unwritten_) {
      disk_full_ = false;
      ++room_made_;
    }
  }
  if (now >= room_at_) {
    room_at_ = SteadyTime::max();
    log_full_ = false;
    ++room_made_;
  }
  if (now >= sync_at_) {
    sync_at_ = SteadyTime::max();
    sync_wanted_ = true;
  }
  if (consumers_ != nullptr && now >= consumers_->next_deadline()) {
    consumers_->on_timer();
  }
}

ApiResult<std::uint64_t> Stream::Impl::purge(const PurgeRequest& request) {
  if (config_.sealed) {
    return make_error(errors::kStreamSealed);
  }
  if (config_.deny_purge) {
    return make_error(errors::kPurgeFailed, "stream purge not permitted");
  }
  if (request.below > 0 && request.keep > 0) {
    return make_error(errors::kBadRequest);
  }
  store::SubjectFilter filter =
      request.filter.empty() ? store::SubjectFilter() : store::SubjectFilter(request.filter);
  const store::LogState before = log_->counts();
  auto purged = log_->purge(filter, request.keep, request.below);
  Status status = purged.status();
  if (status.ok() && filter.matches_all() && request.below > before.last_seq + 1) {
    // The next message gets the number that was named.
    status = log_->skip_to(request.below);
    appended_.seq = log_->last_seq();
  }
  if (status.code() == StatusCode::kExhausted) {
    disk_full_ = true;
  } else if (!status.ok()) {
    fail(status);
    return make_error(errors::kPurgeFailed, "the stream's disk has failed");
  }
  if (*purged > 0) {
    const StreamSeq end = request.below == 0 ? before.last_seq + 1 : request.below;
    removed(before.first_seq, std::min(end - 1, before.last_seq));
  }
  unwritten_ = true;
  retry_due_ = retry_due_ || disk_full_;  // a purge may make room on a full disk
  return *purged;
}

std::optional<ApiError> Stream::Impl::delete_message(StreamSeq seq, bool erase) {
  if (config_.sealed) {
    return make_error(errors::kStreamSealed);
  }
  if (config_.deny_delete) {
    return make_error(errors::kMessageDeleteFailed, "message delete not permitted");
  }
  const Status status = seq > visible_ ? not_found("not visible yet")
                                       : log_->remove(seq,
                                                      erase ? store::MessageLog::Erase::kYes
                                                            : store::MessageLog::Erase::kNo);
  if (status.code() == StatusCode::kNotFound) {
    return make_error(errors::kMessageDeleteFailed, "no message found");
  }
  if (!status.ok()) {
    fail(status);
    return make_error(errors::kMessageDeleteFailed, "the stream's disk has failed");
  }
  removed(seq, seq);
  return std::nullopt;
}

/// Removes it if that has not happened; an acknowledgement may come twice.
bool Stream::Impl::remove_done(StreamSeq seq) {
  const Status status = log_->remove(seq);
  if (!status.ok()) {
    if (status.code() != StatusCode::kNotFound) {
      fail(status);
    }
    return false;
  }
  note_removal();
  return true;
}

bool Stream::Impl::acknowledged(StreamSeq seq) {
  if (config_.retention == Retention::kLimits || !failure_.ok() || seq > visible_) {
    return false;
  }
  if (config_.retention == Retention::kInterest) {
    std::string subject;
    if (!log_->subject_of(seq, subject) ||
        (consumers_ != nullptr && consumers_->needs(seq, subject))) {
      return false;
    }
  }
  return remove_done(seq);
}

void Stream::Impl::acknowledged(StreamSeq first, StreamSeq last) {
  if (config_.retention == Retention::kLimits) {
    return;
  }
  store::SubjectFilter all;
  last = std::min(last, visible_);
  for (StreamSeq seq = log_->next_matching(first, all); seq != 0 && seq <= last;
       seq = log_->next_matching(seq + 1, all)) {
    acknowledged(seq);
  }
}

void Stream::Impl::sweep(StreamSeq from) {
  if (config_.retention == Retention::kInterest) {
    acknowledged(from, visible_);
  }
}

}  // namespace feedvault::broker::streams
