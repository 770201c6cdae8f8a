// What clients say about messages, and what happens when they say nothing.

#include <utility>

#include "broker/streams/consumer.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {

void Consumer::on_ack(const Ack& ack) {
  const Moment now = moment();
  mark();
  touch(now);
  switch (ack.kind) {
    case AckKind::kAck:
      acknowledge(ack, now);
      answer_durable(ack.reply);
      break;
    case AckKind::kNext:
      acknowledge(ack, now);
      on_pull(ack.reply, ack.next);
      break;
    case AckKind::kTerm:
      acknowledge(ack, now);
      out_.advisory(MessageTerminated{stream_.name(),
                                      name(),
                                      ack.subject.consumer_seq,
                                      ack.subject.stream_seq,
                                      ack.subject.deliveries,
                                      std::string(ack.reason)});
      answer_durable(ack.reply);
      break;
    case AckKind::kNak:
      reject(ack, now);
      answer(ack.reply);
      break;
    case AckKind::kProgress:
      if (PendingAck* const entry = ledger_.pending().find(ack.subject.stream_seq)) {
        forget_candidate(entry->seq);
        ledger_.postpone(*entry, now, wait_ns(entry->deliveries));
      }
      answer(ack.reply);
      break;
    case AckKind::kUnknown:
      answer(ack.reply);
      break;
  }
  if (stalled_ || more_) {
    pump(now);
  }
}

/// The redelivery that was about to leave does not any more.
void Consumer::forget_candidate(StreamSeq seq) {
  if (has_candidate_ && again_ && candidate_.seq == seq) {
    has_candidate_ = false;
  }
}

void Consumer::acknowledge(const Ack& ack, const Moment& now) {
  const StreamSeq seq = ack.subject.stream_seq;
  const bool settles = stream_.config().retention != Retention::kLimits;
  switch (config().ack_policy) {
    case AckPolicy::kNone:
      break;
    case AckPolicy::kExplicit: {
      const PendingAck* const entry = ledger_.pending().find(seq);
      if (entry != nullptr && ack.kind != AckKind::kTerm) {
        sample(ack, *entry, now);
      }
      forget_candidate(seq);
      if (ledger_.ack(seq, now) && settles) {
        stream_.acknowledged(seq);
      }
      break;
    }
    case AckPolicy::kAll: {
      const StreamSeq first = ledger_.floor().stream + 1;
      if (seq < first || seq > ledger_.delivered().stream) {
        break;
      }
      if (has_candidate_ && again_ && candidate_.seq <= seq) {
        has_candidate_ = false;
      }
      ledger_.ack_through(seq, now, [](StreamSeq) {});
      if (settles) {
        stream_.acknowledged(first, seq);
      }
      break;
    }
  }
}

void Consumer::reject(const Ack& ack, const Moment& now) {
  PendingAck* const entry = ledger_.pending().find(ack.subject.stream_seq);
  if (entry == nullptr) {
    return;
  }
  out_.advisory(MessageNaked{stream_.name(),
                             name(),
                             ack.subject.consumer_seq,
                             ack.subject.stream_seq,
                             ack.subject.deliveries});
  if (ack.delay_ns > 0) {
    forget_candidate(entry->seq);
    ledger_.postpone(*entry, now, ack.delay_ns);
    return;
  }
  if (entry->ticket != 0) {
    return;  // on its way already
  }
  const bool again = config().max_deliver <= 0 || entry->deliveries < config().max_deliver;
  if (!again) {
    exhaust(*entry);
    return;
  }
  ledger_.postpone(*entry, now, 0);  // also after a restart
  ledger_.pending().queue(*entry);
  more_ = true;
}

/// The message stays in the stream, and this consumer will not deliver it any more.
void Consumer::exhaust(PendingAck& entry) {
  forget_candidate(entry.seq);
  out_.advisory(MaxDeliveries{stream_.name(), name(), entry.seq, entry.deliveries});
  ledger_.exhaust(entry);
  more_ = more_ || stalled_;
}

/// Messages that were not acknowledged in time are queued to be delivered again.
void Consumer::expire_waits(const Moment& now) {
  while (PendingAck* const entry = ledger_.pending().next_due(now.steady_ns)) {
    if (config().max_deliver > 0 && entry->deliveries >= config().max_deliver) {
      exhaust(*entry);
    } else {
      ledger_.pending().queue(*entry);
    }
  }
}

void Consumer::sample(const Ack& ack, const PendingAck& entry, const Moment& now) {
  if (sample_percent_ == 0 || next_random() % 100 >= sample_percent_) {
    return;
  }
  out_.advisory(AckMetric{stream_.name(),
                          name(),
                          ack.subject.consumer_seq,
                          entry.seq,
                          now.steady_ns - entry.sent_ns,
                          ack.subject.deliveries});
}

void Consumer::answer(std::string_view reply) {
  if (!reply.empty()) {
    out_.publish({reply, {}, {}, {}});
  }
}

/// Answers when what was acknowledged up to now is as durable as the stream's messages are.
void Consumer::answer_durable(std::string_view reply) {
  if (reply.empty() || !failure_.ok()) {
    return;
  }
  if (file_ == nullptr) {
    answer(reply);
    return;
  }
  const bool flushed = ledger_.changes().empty() && unflushed_answers_.empty();
  const bool durable = stream_.options().sync == SyncPolicy::kInterval ||
                       file_->synced_generation() == file_->generation();
  if (flushed && durable) {
    answer(reply);
  } else if (unflushed_answers_.size() < kAnswersMax) {
    unflushed_answers_.push_back({std::string(reply), {}, 0});
  }
}

}  // namespace feedvault::broker::streams
