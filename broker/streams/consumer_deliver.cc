// Who gets which message now.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "broker/streams/consumer.h"
#include "broker/streams/go_duration.h"
#include "broker/streams/status_message.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
/// Replay with the original gaps does not wait for shorter ones.
constexpr std::int64_t kReplayGapMinNs = 1'000'000;

std::size_t wire_size(const OutgoingMessage& message) {
  return message.subject.size() + message.reply.size() + message.headers.size() +
         message.payload.size();
}

}  // namespace

void Consumer::pump(const Moment& now) {
  mark();
  more_ = false;
  stalled_ = false;
  resume_at_ns_ = kNoDeadline;
  Next next = Next::kEnd;
  if (is_paused(now)) {
    resume_at_ns_ = now.steady_ns + (*config().pause_until_ns - now.unix_ns);
  } else if (failure_.ok()) {
    const StreamSeq end = end_seq();
    std::size_t messages = 0;
    std::size_t bytes = 0;
    while (has_receiver(now)) {
      if (messages == kTurnMessages || bytes >= kTurnBytes) {
        more_ = true;
        break;
      }
      next = next_message(end);
      if (next != Next::kMessage) {
        break;
      }
      const PendingAck* const entry = again_ ? ledger_.pending().find(candidate_.seq) : nullptr;
      CHECK(!again_ || entry != nullptr);
      const std::uint64_t pending = pending_for_reply(now);
      const OutgoingMessage message =
          outgoing(ack_subject_.write({{},
                                       {},
                                       again_ ? std::uint64_t{entry->deliveries} + 1 : 1,
                                       candidate_.seq,
                                       ledger_.delivered().consumer + 1,
                                       candidate_.time_ns,
                                       again_ || pending == 0 ? pending : pending - 1}));
      if (!may_go_now(message, now)) {
        break;
      }
      const std::size_t size = wire_size(message);
      if (send(message, now)) {
        ++messages;
        bytes += size;
        delivered(size, now);
      }
    }
    if (messages > 0) {
      touch(now);
      rest_at_ns_ = now.steady_ns + kSecondNs;
    }
  }
  stalled_ = next == Next::kStalled;
  if (config().is_pull()) {
    settle_requests(now, next == Next::kEnd && !more_);
  }
}

bool Consumer::has_receiver(const Moment& now) {
  if (awaiting_) {
    return false;
  }
  if (!config().is_pull()) {
    return active_ && !(config().flow_control && flow_.stalled());
  }
  while (!requests_.empty()) {
    const WaitingRequest& head = requests_.head();
    if (head.expires_ns > now.steady_ns) {
      return true;
    }
    out_.publish(
        {head.reply, {}, status_block("408 Request Timeout", head.left, head.bytes_left), {}});
    touch(now);  // its sender has just been told, and will ask again
    requests_.remove_head();
  }
  return false;
}

Consumer::Next Consumer::next_message(StreamSeq end) {
  if (has_candidate_) {
    return Next::kMessage;
  }
  if (const Next next = next_redelivery(); next != Next::kEnd) {
    return next;
  }
  if (tracks_acks() && config().max_ack_pending > 0 &&
      ledger_.pending().size() >= static_cast<std::uint64_t>(config().max_ack_pending)) {
    return Next::kStalled;
  }
  if (!last_seqs_.empty()) {
    if (const Next next = next_of_last_per_subject(); next != Next::kEnd) {
      return next;
    }
  }
  auto read = reader_.next(end);
  if (reader_.damaged() != damaged_) {
    damaged_ = reader_.damaged();
    pending_stale_ = true;  // what cannot be read was counted
  }
  if (!read.has_value()) {
    resume_at_ns_ = moment().steady_ns + kSecondNs;
    return Next::kFailed;
  }
  if (!read->has_value()) {
    reader_.rest();
    return Next::kEnd;
  }
  candidate_ = **read;
  has_candidate_ = true;
  again_ = false;
  return Next::kMessage;
}

Consumer::Next Consumer::next_redelivery() {
  while (PendingAck* const entry = ledger_.pending().next_queued()) {
    const std::int64_t deliveries_max = config().max_deliver;
    if (deliveries_max > 0 && entry->deliveries >= deliveries_max) {
      exhaust(*entry);  // the limit was lowered
      continue;
    }
    const auto read = stream_.log().read(entry->seq, buffer_);
    if (read.has_value()) {
      candidate_ = *read;
      has_candidate_ = true;
      again_ = true;
      return Next::kMessage;
    }
    if (read.error().code() == StatusCode::kNotFound) {
      ledger_.forget(entry->seq);
    } else if (read.error().code() == StatusCode::kCorruption) {
      // Nobody will ever get it, and nobody has acknowledged it: it stays known as such.
      ledger_.exhaust(*entry);
    } else {
      resume_at_ns_ = moment().steady_ns + kSecondNs;
      return Next::kFailed;
    }
  }
  return Next::kEnd;
}

Consumer::Next Consumer::next_of_last_per_subject() {
  while (!last_seqs_.empty()) {
    const auto read = stream_.log().read(last_seqs_.back(), buffer_);
    if (read.has_value()) {
      candidate_ = *read;
      has_candidate_ = true;
      again_ = false;
      return Next::kMessage;
    }
    if (read.error().code() == StatusCode::kIo) {
      resume_at_ns_ = moment().steady_ns + kSecondNs;
      return Next::kFailed;
    }
    last_seqs_.pop_back();
    pending_stale_ = true;
  }
  end_of_last_per_subject();
  return Next::kEnd;
}

void Consumer::drop_candidate() {
  // (Those of last_per_subject's beginning are below next_seq_, and still in the list.)
  if (has_candidate_ && !again_ && candidate_.seq >= next_seq_) {
    reader_.seek(candidate_.seq);  // read it again, if it is still there
  }
  has_candidate_ = false;
}

OutgoingMessage Consumer::outgoing(std::string_view ack_subject) {
  if (!config().headers_only) {
    return {candidate_.subject, ack_subject, candidate_.headers, candidate_.payload};
  }
  headers_only_block(candidate_.headers, candidate_.payload.size(), headers_);
  return {candidate_.subject, ack_subject, headers_, {}};
}

bool Consumer::may_go_now(const OutgoingMessage& message, const Moment& now) {
  if (!again_ && candidate_.seq <= replay_to_ && replayed_time_ns_ != 0) {
    const std::int64_t gap = candidate_.time_ns - replayed_time_ns_;
    if (gap > kReplayGapMinNs && replayed_at_ns_ + gap > now.steady_ns) {
      resume_at_ns_ = replayed_at_ns_ + gap;
      return false;
    }
  }
  if (rate_.has_value()) {
    const std::int64_t at = rate_->take(wire_size(message), now.steady_ns);
    if (at > now.steady_ns) {
      resume_at_ns_ = at;
      return false;
    }
  }
  return true;
}

bool Consumer::send(const OutgoingMessage& message, const Moment& now) {
  if (config().is_pull()) {
    return send_to_request(message, now);
  }
  const auto reached = out_.offer(config().deliver_subject, message);
  if (!reached.has_value()) {
    await_receivers();
    return false;
  }
  if (*reached == 0) {
    set_active(false, now);
    return false;
  }
  heartbeat_at_ns_ =
      config().idle_heartbeat_ns > 0 ? now.steady_ns + config().idle_heartbeat_ns : kNoDeadline;
  return true;
}

/// False when no request is left that can take it.
bool Consumer::send_to_request(const OutgoingMessage& message, const Moment& now) {
  const auto size = static_cast<std::int64_t>(wire_size(message));
  std::size_t passed = 0;
  while (has_receiver(now)) {
    WaitingRequest& request = requests_.head();
    if (request.bounded_bytes && size > request.bytes_left) {
      out_.publish(
          {request.reply,
           {},
           status_block("409 Message Size Exceeds MaxBytes", request.left, request.bytes_left),
           {}});
      requests_.remove_head();
      continue;
    }
    const auto reached = out_.offer(request.reply, message);
    if (!reached.has_value()) {
      requests_.pass();
      if (++passed >= requests_.size()) {
        await_receivers();
      }
      continue;
    }
    if (*reached == 0) {
      requests_.remove_head();  // its sender is gone
      continue;
    }
    if (request.bounded_bytes) {
      request.bytes_left -= size;
      request.left = request.bytes_left == 0 ? 1 : request.left;
    }
    if (request.heartbeat_ns > 0) {
      request.next_heartbeat_ns = now.steady_ns + request.heartbeat_ns;
    }
    requests_.turn();
    return true;
  }
  return false;
}

/// All those to whom it could deliver have enough pending.
void Consumer::await_receivers() {
  awaiting_ = true;
  if (!std::exchange(told_awaiting_, true) && watch_ != nullptr) {
    watch_->awaits_receivers(*this);
  }
}

void Consumer::on_receivers_ready() {
  told_awaiting_ = false;
  awaiting_ = false;
  pump(moment());
}

/// The candidate is on its way.
void Consumer::delivered(std::size_t size, const Moment& now) {
  const StreamSeq seq = candidate_.seq;
  has_candidate_ = false;
  if (again_) {
    PendingAck& entry = *ledger_.pending().find(seq);
    ledger_.deliver_again(entry, now, wait_ns(entry.deliveries + 1));
  } else {
    replayed_time_ns_ = candidate_.time_ns;
    replayed_at_ns_ = now.steady_ns;
    ledger_.deliver(seq, now, wait_ns(1));
    pending_ -= pending_ > 0 ? 1 : 0;
    if (seq >= next_seq_) {
      next_seq_ = seq + 1;
    } else {
      last_seqs_.pop_back();
      end_of_last_per_subject();
    }
    if (!tracks_acks() && stream_.config().retention != Retention::kLimits) {
      stream_.acknowledged(seq);
    }
  }
  if (config().flow_control && flow_.sent(size)) {
    ask_for_flow();
  }
}

/// Tells requests whose time is over. `at_end`: there is nothing more to deliver for now.
void Consumer::settle_requests(const Moment& now, bool at_end) {
  if (requests_.next_deadline() > now.steady_ns && !(at_end && has_no_wait_)) {
    return;
  }
  has_no_wait_ = false;
  requests_.look([&](WaitingRequest& each) {
    if (each.expires_ns <= now.steady_ns) {
      touch(now);
      out_.publish(
          {each.reply, {}, status_block("408 Request Timeout", each.left, each.bytes_left), {}});
      return true;
    }
    if (at_end && each.no_wait) {
      // It takes what is there. When that was nothing and it may wait, the first messages end it.
      if (each.delivered > 0) {
        out_.publish(
            {each.reply, {}, status_block("408 Request Timeout", each.left, each.bytes_left), {}});
        return true;
      }
      if (!each.expires) {
        out_.publish({each.reply, {}, status_block("404 No Messages"), {}});
        return true;
      }
    }
    has_no_wait_ = has_no_wait_ || each.no_wait;
    if (each.next_heartbeat_ns <= now.steady_ns) {
      const std::string block =
          heartbeat_block(ledger_.delivered().consumer, ledger_.delivered().stream, {});
      each.next_heartbeat_ns = now.steady_ns + each.heartbeat_ns;
      return out_.publish({each.reply, {}, block, {}}) == 0;
    }
    return false;
  });
}

void Consumer::on_pull(std::string_view reply, const PullRequest& request) {
  if (reply.empty()) {
    return;
  }
  const auto refuse = [&](const std::string& status) {
    out_.publish({reply, {}, status_block(status), {}});
  };
  const ConsumerConfig& limits = config();
  if (!limits.is_pull()) {
    refuse("409 Consumer is push based");
    return;
  }
  const Moment now = moment();
  touch(now);
  const bool expires = request.expires_ns != 0;
  if (request.idle_heartbeat_ns > 0 && request.idle_heartbeat_ns > request.expires_ns / 2) {
    refuse("400 Bad Request - heartbeat value too large");
  } else if (limits.max_batch > 0 && request.batch > limits.max_batch) {
    refuse("409 Exceeded MaxRequestBatch of " + std::to_string(limits.max_batch));
  } else if (limits.max_expires_ns > 0 && request.expires_ns > limits.max_expires_ns) {
    refuse("409 Exceeded MaxRequestExpires of " + format_go_duration(limits.max_expires_ns));
  } else if (limits.max_bytes > 0 && request.max_bytes > limits.max_bytes) {
    refuse("409 Exceeded MaxRequestMaxBytes of " + std::to_string(limits.max_bytes));
  } else if (request.no_wait && !may_join(request, now)) {
    refuse(num_pending() + ledger_.pending().queued() == 0 ? "404 No Messages"
                                                           : "408 Requests Pending");
  } else if (!has_room(now)) {
    refuse("409 Exceeded MaxWaiting");
  } else {
    WaitingRequest& waiting = requests_.add(reply);
    waiting.left = std::max<std::int64_t>(request.batch, 1);
    waiting.bounded_bytes = request.max_bytes > 0;
    waiting.bytes_left = std::max<std::int64_t>(request.max_bytes, 0);
    waiting.no_wait = request.no_wait;
    waiting.expires = expires;
    waiting.expires_ns = expires ? now.steady_ns + request.expires_ns : kNoDeadline;
    waiting.heartbeat_ns = std::max<std::int64_t>(request.idle_heartbeat_ns, 0);
    waiting.next_heartbeat_ns =
        waiting.heartbeat_ns > 0 ? now.steady_ns + waiting.heartbeat_ns : kNoDeadline;
    requests_.watch(waiting);
    has_no_wait_ = has_no_wait_ || request.no_wait;
    awaiting_ = false;  // this one may take it
    pump(now);
  }
}

/// A request that does not wait: is there something for it?
bool Consumer::may_join(const PullRequest& request, const Moment& now) {
  const std::uint64_t pending = num_pending() + ledger_.pending().queued();
  if (pending == 0) {
    return request.expires_ns != 0;
  }
  settle_requests(now, false);
  return pending >= static_cast<std::uint64_t>(requests_.wanted());
}

bool Consumer::has_room(const Moment& now) {
  const auto most = static_cast<std::uint64_t>(std::max<std::int64_t>(config().max_waiting, 1));
  if (requests_.size() >= most && now.steady_ns >= requests_looked_ns_ + kSecondNs) {
    requests_looked_ns_ = now.steady_ns;
    requests_.look([&](const WaitingRequest& each) { return !out_.has_interest(each.reply); });
  }
  settle_requests(now, false);
  return requests_.size() < most;
}

}  // namespace feedvault::broker::streams
