// From a published message to one that has a number: the checks, in nats-server's order.

#include <algorithm>

#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {
namespace {

/// How long a full disk is left alone, and a server whose streams hold all that they may.
constexpr std::chrono::milliseconds kDiskRetry{100};

/// Letters' case does not matter, as in nats-server.
bool is_rollup(std::string_view value, std::string_view kind) {
  return std::ranges::equal(
      value, kind, [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + 32 == b); });
}

}  // namespace

struct Stream::Impl::Incoming {
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
  std::string_view reply;  // "" when nobody gets an answer
  PublishHeaders asks;
  std::int64_t time_ns = 0;
};

/// Never falls: the log finds messages by time.
std::int64_t Stream::Impl::now_ns() {
  last_time_ns_ = std::max(last_time_ns_, options_.clock->unix_ns());
  return last_time_ns_;
}

Stream::Outcome Stream::Impl::store(const PublishedMessage& message) {
  Incoming in;
  in.subject = message.subject;
  in.headers = message.headers;
  in.payload = message.payload;
  in.reply = config_.no_ack ? std::string_view() : message.reply;
  if (!failure_.ok()) {
    return refuse(in, disk_failed());
  }
  if (config_.sealed) {
    return refuse(in, make_error(errors::kStreamSealed));
  }
  if (transform_.has_value() && transform_->apply(message.subject, subject_)) {
    in.subject = subject_;
  }
  in.time_ns = now_ns();
  Outcome outcome{};
  if (!in.headers.empty()) {
    in.asks = read_publish_headers(in.headers);
    if (!check_headers(in, outcome)) {
      return outcome;
    }
  }
  const std::size_t size = in.headers.size() + in.payload.size();
  if (config_.max_msg_size >= 0 && size > static_cast<std::uint64_t>(config_.max_msg_size)) {
    return refuse(in, make_error(errors::kMessageTooLarge));
  }
  if (in.headers.size() > kMessageHeaderBytesMax) {
    return refuse(in, make_error(errors::kHeaderTooLarge));
  }
  if (log_full_ || (disk_full_ && !in.reply.empty()) ||
      (budget_ != nullptr && !budget_->has_room_for(bytes_of(in)))) {
    return refuse_for_want_of_room(in);
  }
  if (config_.discard == Discard::kNew && !check_room(in, outcome)) {
    return outcome;
  }
  return append(in);
}

/// False: `outcome` says how it ended.
bool Stream::Impl::check_headers(const Incoming& in, Outcome& outcome) {
  const PublishHeaders& asks = in.asks;
  if (!asks.expected_stream.empty() && asks.expected_stream != config_.name) {
    outcome = refuse(in, make_error(errors::kExpectedStream));
    return false;
  }
  if (!asks.message_id.empty()) {
    duplicates_.expire_before(in.time_ns - config_.duplicate_window_ns);
    if (const StreamSeq seq = duplicates_.find(asks.message_id); seq != 0) {
      ++counters_.duplicates;
      answer({AnswerQueue::Kind::kDuplicate, seq, seq, in.reply, {}});
      outcome = Outcome::kDuplicate;
      return false;
    }
  }
  return check_expectations(in, outcome);
}

bool Stream::Impl::check_expectations(const Incoming& in, Outcome& outcome) {
  const PublishHeaders& asks = in.asks;
  const StreamSeq last = log_->last_seq();
  if (asks.expected_last_subject_seq.has_value()) {
    const StreamSeq actual = log_->subject_state(in.subject).last_seq;
    if (actual != *asks.expected_last_subject_seq) {
      outcome = refuse(in, make_error(errors::kWrongLastSequence, actual), actual);
      return false;
    }
  }
  if (asks.expected_last_seq.has_value() && *asks.expected_last_seq != last) {
    outcome = refuse(in, make_error(errors::kWrongLastSequence, last), last);
    return false;
  }
  if (!asks.expected_last_id.empty() && asks.expected_last_id != last_message_id_) {
    outcome = refuse(in, make_error(errors::kWrongLastMsgId, last_message_id_), last);
    return false;
  }
  if (!asks.rollup.empty()) {
    if (!config_.allow_rollup_hdrs || config_.deny_purge) {
      outcome = refuse(in, make_error(errors::kRollupFailed, "rollup not permitted"));
      return false;
    }
    if (!is_rollup(asks.rollup, "sub") && !is_rollup(asks.rollup, "all")) {
      outcome = refuse(
          in,
          make_error(errors::kRollupFailed, "rollup value invalid: " + json_quoted(asks.rollup)));
      return false;
    }
  }
  return true;
}

std::uint64_t Stream::Impl::bytes_of(const Incoming& in) const {
  return in_memory()
             ? 16 + in.subject.size() + in.headers.size() + in.payload.size()
             : store::accounted_bytes(in.subject.size(), in.headers.size(), in.payload.size());
}

/// Discard new. A message whose subject has its share already takes its oldest one's place, unless
/// that is refused, too.
bool Stream::Impl::check_room(const Incoming& in, Outcome& outcome) {
  store::SubjectState subject;
  bool replaces = false;
  if (config_.max_msgs_per_subject > 0) {
    subject = log_->subject_state(in.subject);
    replaces = subject.messages >= static_cast<std::uint64_t>(config_.max_msgs_per_subject);
  }
  // Room comes by itself with time or acknowledgements; otherwise only a purge could make some.
  const bool may_pass = config_.max_age_ns > 0 || config_.retention != Retention::kLimits;
  const auto refuse_it = [&](std::string_view why) {
    outcome = refuse_for_now(in, make_error(errors::kStoreFailed, why), may_pass);
    return false;
  };
  if (replaces && config_.discard_new_per_subject) {
    return refuse_it("maximum messages per subject exceeded");
  }
  if (config_.max_msgs <= 0 && config_.max_bytes <= 0) {
    return true;
  }
  const store::LogState state = log_->counts();
  if (config_.max_msgs > 0 && !replaces &&
      state.messages >= static_cast<std::uint64_t>(config_.max_msgs)) {
    return refuse_it("maximum messages exceeded");
  }
  if (config_.max_bytes > 0 && bytes_in(state) + in.headers.size() + in.payload.size() >=
                                   static_cast<std::uint64_t>(config_.max_bytes)) {
    std::uint64_t replaced = 0;
    if (replaces) {
      store::ReadBuffer buffer;
      const auto old = log_->read(subject.first_seq, buffer);
      replaced = old.has_value()
                     ? store::accounted_bytes(
                           old->subject.size(), old->headers.size(), old->payload.size())
                     : 0;
    }
    if (replaced <= bytes_of(in)) {
      return refuse_it("maximum bytes exceeded");
    }
  }
  return true;
}

Stream::Outcome Stream::Impl::append(const Incoming& in) {
  // Without interest the number is used all the same. The message is stored and removed in the same
  // breath, so that one that a power cut brings back is at least a real one.
  const bool wanted = config_.retention != Retention::kInterest ||
                      (consumers_ != nullptr && consumers_->wants(in.subject));
  StreamSeq subject_last = 0;
  if (republish_.has_value()) {
    subject_last = log_->subject_state(in.subject).last_seq;
  }
  const auto seq = log_->append(in.subject, in.headers, in.payload, in.time_ns);
  if (!seq.has_value()) {
    if (seq.error().code() == StatusCode::kExhausted) {
      log_full_ = true;
      return refuse_for_want_of_room(in);
    }
    if (seq.error().code() == StatusCode::kInvalidArgument) {
      return refuse(in, make_error(errors::kStoreFailed, seq.error().message()));
    }
    fail(seq.error());
    return refuse(in, disk_failed());
  }
  if (republish_.has_value() && wanted) {
    to_republish_.emplace_back(*seq, subject_last);
  }
  after_append(in, *seq, wanted);
  if (!failure_.ok()) {
    return refuse(in, disk_failed());
  }
  answer({AnswerQueue::Kind::kStored, *seq, *seq, in.reply, {}});
  return wanted ? Outcome::kStored : Outcome::kUnwanted;
}

void Stream::Impl::after_append(const Incoming& in, StreamSeq seq, bool wanted) {
  unwritten_ = true;
  appended_.seq = seq;
  appended_.time_ns = in.time_ns;
  appended_.bytes += bytes_of(in);
  charge(charged_ + bytes_of(in));
  last_message_id_.assign(in.asks.message_id);
  if (!in.asks.message_id.empty() && config_.duplicate_window_ns > 0) {
    duplicates_.add(in.asks.message_id, seq, in.time_ns);
    if (forget_at_ == SteadyTime::max()) {
      forget_at_ = steady(in.time_ns + config_.duplicate_window_ns);
    }
  }
  if (!wanted) {
    charge(charged_ - bytes_of(in));
    if (const Status status = log_->remove(seq); !status.ok()) {
      fail(status);
    }
    return;
  }
  ++counters_.stored;
  if (config_.max_age_ns > 0 && expire_at_ == SteadyTime::max()) {
    expire_at_ = steady(in.time_ns + config_.max_age_ns);
  }
  if (!in.asks.rollup.empty()) {
    const bool all = is_rollup(in.asks.rollup, "all");
    store::SubjectFilter filter =
        all ? store::SubjectFilter() : store::SubjectFilter(std::string(in.subject));
    const StreamSeq first = all ? 1 : log_->subject_state(in.subject).first_seq;
    const auto purged = log_->purge(filter, 1);
    if (!purged.has_value()) {
      fail(purged.error());
    } else if (*purged > 0) {
      removed(first, seq - 1);
    }
  }
  if (config_.max_msgs_per_subject > 0) {
    enforce_subject_limit(in.subject);
  }
  enforce_limits();
}

Stream::Outcome Stream::Impl::refuse(const Incoming& in, ApiError error, StreamSeq covers) {
  ++counters_.refused;
  refusal_ = std::move(error);
  if (!in.reply.empty()) {
    const std::string text = acks_->refuse(refusal_);
    answer({AnswerQueue::Kind::kError, covers, 0, in.reply, text});
  }
  return Outcome::kRefused;
}

/// For want of room: who waits for an answer gets one; who does not is held back if that can help.
Stream::Outcome Stream::Impl::refuse_for_now(const Incoming& in, ApiError error, bool may_pass) {
  if (!in.reply.empty() || !may_pass) {
    return refuse(in, std::move(error));
  }
  ++counters_.held_back;
  refusal_ = std::move(error);
  held_at_ = room_made_;
  return Outcome::kHold;
}

/// The disk's, or the server's: others may make some.
Stream::Outcome Stream::Impl::refuse_for_want_of_room(const Incoming& in) {
  if (room_at_ == SteadyTime::max()) {
    room_at_ = options_.clock->now() + kDiskRetry;
  }
  return refuse_for_now(in, make_error(errors::kInsufficientResources), true);
}

bool Stream::Impl::accepts() const {
  return !failure_.ok() || (room_made_ != held_at_ && !disk_full_);
}

/// Sends what may leave at once; the rest waits, and behind it everything that comes later.
void Stream::Impl::answer(const AnswerQueue::Answer& answer) {
  if (answer.reply.empty()) {
    return;
  }
  if (answers_.empty() && answer.covers <= visible_) {
    send(answer);
  } else {
    answers_.push(answer);
  }
}

}  // namespace feedvault::broker::streams
