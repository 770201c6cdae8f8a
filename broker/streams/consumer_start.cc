// Where a consumer begins.

#include <algorithm>
#include <functional>

#include "broker/streams/consumer.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {

void Consumer::begin() {
  const StreamSeq end = end_seq();
  const StreamSeq first = std::min(stream_.log().counts().first_seq, end + 1);
  next_seq_ = starting_seq(first, end);
  StreamSeq resume_after = 0;
  if (config().deliver_policy == DeliverPolicy::kLastPerSubject &&
      stream_.config().max_msgs_per_subject != 1) {
    collect_last_per_subject(0, end);
    if (!last_seqs_.empty()) {
      resume_after = end;
      next_seq_ = end + 1;
    }
  }
  ledger_.start(last_seqs_.empty() ? next_seq_ : last_seqs_.back(), resume_after);
}

/// Between the first visible message and one behind the last, but for a number that the client
/// gave: that may lie ahead.
StreamSeq Consumer::starting_seq(StreamSeq first, StreamSeq last) {
  StreamSeq seq = last + 1;
  switch (config().deliver_policy) {
    case DeliverPolicy::kAll:
      seq = first;
      break;
    case DeliverPolicy::kLast: {
      const StreamSeq found = stream_.log().last_matching(last, filter_);
      seq = found == 0 ? last + 1 : found;
      break;
    }
    case DeliverPolicy::kNew:
      break;
    case DeliverPolicy::kByStartSequence:
      return std::max({config().opt_start_seq, first, StreamSeq{1}});
    case DeliverPolicy::kByStartTime: {
      const auto found = stream_.log().seq_at_time(config().opt_start_time_ns.value_or(0));
      // Unreadable: rather too much than too little.
      seq = found.has_value() ? *found : first;
      break;
    }
    case DeliverPolicy::kLastPerSubject:
      // With one message a subject, the stream is the list.
      seq = stream_.config().max_msgs_per_subject == 1 ? first : last + 1;
      break;
  }
  return std::clamp(seq, first, last + 1);
}

/// Fills last_seqs_ with the last message of each subject, above `after` and at or below `up_to`. A
/// subject whose last message is newer is left out when nothing of it was visible at `up_to`.
void Consumer::collect_last_per_subject(StreamSeq after, StreamSeq up_to) {
  last_seqs_.clear();
  for (const store::SubjectCount& each : stream_.log().subjects(filter_)) {
    StreamSeq seq = each.state.last_seq;
    if (seq > up_to && each.state.first_seq <= up_to) {
      store::SubjectFilter only(each.subject);
      seq = stream_.log().last_matching(up_to, only);
    }
    if (seq > after && seq <= up_to) {
      last_seqs_.push_back(seq);
    }
  }
  std::sort(last_seqs_.begin(), last_seqs_.end(), std::greater<>());
}

/// Once nothing is left of the beginning, everything behind it comes in order.
void Consumer::end_of_last_per_subject() {
  if (last_seqs_.empty() && ledger_.resume_after() != 0) {
    ledger_.skip_to(ledger_.resume_after() + 1);
    ledger_.set_resume_after(0);
  }
}

}  // namespace feedvault::broker::streams
