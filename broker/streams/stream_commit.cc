// Group commit: what a sync made durable is answered and shown.

#include <algorithm>

#include "broker/streams/rfc3339.h"
#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::chrono::milliseconds kFullDiskRetry{100};

}  // namespace

bool Stream::Impl::needs_commit() const {
  if (!failure_.ok()) {
    return false;
  }
  return disk_full_ ? retry_due_ : unwritten_ || sync_wanted_ || flushed_.seq > visible_;
}

/// Hands everything to the operating system. False: not now, or never.
bool Stream::Impl::flush() {
  const Status status = log_->flush();
  if (status.code() == StatusCode::kExhausted) {
    disk_full_ = true;
    retry_at_ = options_.clock->now() + kFullDiskRetry;
    tell(want_durable_, {});
    return false;
  }
  if (!status.ok()) {
    fail(status);
    return false;
  }
  if (disk_full_) {
    disk_full_ = false;
    retry_at_ = SteadyTime::max();
    ++room_made_;
  }
  unwritten_ = false;
  const bool more = appended_.seq > flushed_.seq;
  flushed_ = appended_;
  if (more && consumers_ != nullptr && consumers_->wants_written()) {
    consumers_->on_written();
  }
  return true;
}

void Stream::Impl::write() {
  if (!failure_.ok() || disk_full_ || appended_.seq <= flushed_.seq || consumers_ == nullptr ||
      !consumers_->wants_written()) {
    return;
  }
  flush();
  sync_wanted_ = sync_wanted_ || log_->wants_sync();
}

Stream::Commit Stream::Impl::begin_commit() {
  CHECK(!committing_);
  if (!failure_.ok()) {
    return Commit::kNothing;
  }
  ++counters_.commits;
  retry_due_ = false;
  // What write() got onto the disk before that was full is made durable all the same.
  if (!flush() && !(failure_.ok() && flushed_.seq > visible_)) {
    return Commit::kNothing;
  }
  if (in_memory()) {
    if (const Status synced = log_->sync_written(); !synced.ok()) {
      fail(synced);
      return Commit::kNothing;
    }
    sync_wanted_ = false;
    show(flushed_);
    return Commit::kNothing;
  }
  sync_wanted_ = sync_wanted_ || log_->wants_sync();
  const bool interval = options_.sync == SyncPolicy::kInterval;
  if (interval) {
    show(flushed_);
    if (sync_at_ == SteadyTime::max() && log_->durable_seq() < flushed_.seq) {
      sync_at_ = options_.clock->now() + options_.sync_interval;
    }
  } else if (flushed_.seq <= log_->durable_seq() && flushed_.seq > visible_) {
    show(flushed_);  // a new segment's start has synced it
  }
  if (!sync_wanted_ && (interval || flushed_.seq <= visible_)) {
    send_answers();
    return Commit::kNothing;
  }
  committing_ = true;
  being_synced_mark_ = flushed_;
  being_synced_.swap(want_durable_);
  sync_wanted_ = false;
  sync_at_ = SteadyTime::max();
  return Commit::kSync;
}

void Stream::Impl::end_commit(const Status& synced) {
  CHECK(committing_);
  committing_ = false;
  if (!synced.ok()) {
    fail(synced);
    return;
  }
  // A failure in between has answered everybody.
  if (failure_.ok()) {
    show(being_synced_mark_);
  }
  tell(being_synced_, {});
}

void Stream::Impl::when_durable(Done done) {
  if (in_memory() || disk_full_ || !failure_.ok()) {
    done(failure_);
    return;
  }
  if (log_->compaction_erases()) {
    after_compaction_.push_back(std::move(done));
    return;
  }
  want_durable_.push_back(std::move(done));
  sync_wanted_ = true;
}

void Stream::Impl::tell(std::vector<Done>& waiting, const Status& status) {
  for (const Done& done : std::exchange(waiting, {})) {
    done(status);
  }
}

/// Everything up to the mark is stored for good.
void Stream::Impl::show(const Mark& mark) {
  const StreamSeq before = visible_;
  visible_ = std::max(visible_, mark.seq);
  visible_mark_ = mark;
  send_answers();
  if (visible_ == before) {
    return;
  }
  if (!to_republish_.empty()) {
    republish(before + 1, visible_);
  }
  if (consumers_ != nullptr) {
    consumers_->on_visible();
  }
}

void Stream::Impl::send_answers() {
  while (!answers_.empty()) {
    const AnswerQueue::Answer answer = answers_.front();
    if (answer.covers > visible_) {
      return;
    }
    send(answer);
    answers_.pop();
  }
}

void Stream::Impl::send(const AnswerQueue::Answer& answer) {
  const std::string_view payload =
      answer.kind == AnswerQueue::Kind::kError
          ? answer.error
          : acks_->acknowledge(answer.seq, answer.kind == AnswerQueue::Kind::kDuplicate);
  options_.output->publish({answer.reply, {}, {}, payload});
}

/// With the headers that nats-server adds, those of the message before them.
void Stream::Impl::republish(StreamSeq first, StreamSeq last) {
  const auto end = std::ranges::upper_bound(
      to_republish_, last, {}, [](const auto& waiting) { return waiting.first; });
  store::MessageReader reader(*log_, first);
  std::string subject;
  for (auto waiting = to_republish_.begin(); waiting != end;) {
    const auto next = reader.next(last);
    if (!next.has_value() || !next->has_value()) {
      break;  // gone already, or unreadable
    }
    const store::MessageView& message = **next;
    while (waiting != end && waiting->first < message.seq) {
      ++waiting;
    }
    if (waiting == end || waiting->first != message.seq ||
        !republish_->apply(message.subject, subject)) {
      continue;
    }
    const bool bare = config_.republish->headers_only;
    std::string headers = message.headers.empty()
                              ? std::string("NATS/1.0\r\n")
                              : std::string(message.headers.substr(0, message.headers.size() - 2));
    headers += "Nats-Stream: " + config_.name + "\r\nNats-Subject: ";
    headers += message.subject;
    headers += "\r\nNats-Sequence: " + std::to_string(message.seq) +
               "\r\nNats-Time-Stamp: " + format_rfc3339_ns(message.time_ns) +
               "\r\nNats-Last-Sequence: " + std::to_string(waiting->second) + "\r\n";
    if (bare) {
      headers += "Nats-Msg-Size: " + std::to_string(message.payload.size()) + "\r\n";
    }
    headers += "\r\n";
    options_.output->publish({subject, {}, headers, bare ? std::string_view() : message.payload});
  }
  to_republish_.erase(to_republish_.begin(), end);
}

/// Nothing more is stored, and nobody waits for what may never be durable.
void Stream::Impl::fail(const Status& cause, const ApiError& answer_to_all) {
  if (!failure_.ok()) {
    return;
  }
  failure_ = cause;
  const std::string refusal = acks_->refuse(answer_to_all);
  while (!answers_.empty()) {
    AnswerQueue::Answer answer = answers_.front();
    if (answer.covers > visible_) {
      answer.kind = AnswerQueue::Kind::kError;
      answer.error = refusal;
      ++counters_.refused;
    }
    send(answer);
    answers_.pop();
  }
  tell(being_synced_, failure_);
  tell(want_durable_, failure_);
  tell(after_compaction_, failure_);
}

}  // namespace feedvault::broker::streams
