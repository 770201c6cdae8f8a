#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "broker/store/message_log.h"
#include "broker/streams/ack_ledger.h"
#include "broker/streams/ack_payload.h"
#include "broker/streams/ack_subject.h"
#include "broker/streams/consumer_config.h"
#include "broker/streams/consumer_file.h"
#include "broker/streams/consumer_info.h"
#include "broker/streams/flow_control.h"
#include "broker/streams/output.h"
#include "broker/streams/pull_requests.h"

namespace feedvault::broker::streams {

class Stream;

/// What a client published to an ack subject, decoded.
struct Ack {
  AckSubject subject;  // what it was published to
  AckKind kind = AckKind::kUnknown;
  std::int64_t delay_ns = 0;  // of kNak
  std::string_view reason;    // of kTerm
  PullRequest next;           // of kNext
  std::string_view reply;     // "": nobody waits for an answer
};

class Consumer;

/// What a set of consumers knows of them without asking each: who needs looking after.
class ConsumerWatch {
 public:
  virtual ~ConsumerWatch() = default;
  /// Something happened to it: its deadline may have changed, and it may have something to flush.
  /// Called often; told again only after the owner has called Consumer::settle().
  virtual void touched(Consumer& consumer) = 0;
  /// Those to whom it delivers have enough pending. Told again only after on_receivers_ready().
  virtual void awaits_receivers(Consumer& consumer) = 0;
  /// Its failure() is not ok from now on.
  virtual void failed(Consumer& consumer) = 0;
};

/// One consumer of a stream: decides which message goes to whom and when, and keeps account of what
/// is acknowledged. Made and owned by a ConsumerSet, on the stream's thread; knows no sockets,
/// threads or JSON.
///
/// Order. A message is delivered again before new ones are; new ones go in the stream's order, each
/// to one receiver. Nothing above the stream's visible_seq() is looked at, or, where the consumer
/// asks for it (kDeliverKey), above its written_seq().
///
/// What survives. Every delivery and acknowledgement is in the operating system's hands once
/// flush() returned, which the loop calls before its output leaves: a killed broker knows
/// everything that clients know. An acknowledgement whose sender wants an answer is answered when
/// it is as durable as the stream's sync policy promises; docs/decisions/0010 has the reasons.
///
/// Bounds. One call delivers at most kTurnMessages or kTurnBytes and leaves the rest to the next
/// on_timer(), whose time has then come already. Memory: the ledger's, max_waiting requests, and
/// 256 KiB of read-ahead while messages flow.
class Consumer {
 public:
  static constexpr std::size_t kTurnMessages = 4096;
  static constexpr std::size_t kTurnBytes = 1U << 20U;
  /// Answers that one consumer may owe, each for an acknowledgement that is not durable yet. Only a
  /// stuck disk gets this far; further ones are not answered, and their senders ask again.
  static constexpr std::size_t kAnswersMax = 1U << 16U;

  /// A new consumer, which begins where its deliver policy says. `config` has been checked; `file`
  /// may be null (nothing is kept).
  Consumer(Stream& stream, StoredConsumer stored);
  /// One that was stored.
  Consumer(Stream& stream,
           StoredConsumer stored,
           AckLedger ledger,
           std::unique_ptr<ConsumerFile> file);
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  /// Keeps it in a new file from now on; durable on return.
  Status keep_in(const std::string& path);
  /// Who is told when something happens to it, and a number that tells it from others that had its
  /// name.
  void attach(ConsumerWatch& watch, std::uint64_t id);
  std::uint64_t id() const { return id_; }
  /// From now on the watch is told again.
  void settle() { touched_ = false; }

  // --- What clients do ---

  /// CONSUMER.MSG.NEXT. Everything is answered to `reply`.
  void on_pull(std::string_view reply, const PullRequest& request);
  /// Something was published to an ack subject of this consumer.
  void on_ack(const Ack& ack);
  /// Something was published to `$JS.FC.<stream>.<consumer>.<...>`.
  void on_flow_control(std::string_view subject);
  /// Push: looks whether anybody is subscribed to the deliver subject, after that may have changed.
  void check_interest();
  /// What was not taken may be offered again.
  void on_receivers_ready();

  // --- What the stream does ---

  /// There is more that it may see.
  void on_visible();
  void on_removed(StreamSeq first, StreamSeq last);
  void on_stream_config();
  /// Would it get a message on this subject?
  bool matches(std::string_view subject) const { return filter_.matches(subject); }
  /// Requires: it matches the message's subject.
  bool needs(StreamSeq seq) const;
  bool is_done(StreamSeq seq) const;

  // --- Time ---

  /// Steady nanoseconds; kNoDeadline for never.
  std::int64_t next_deadline();
  enum class Fate : std::uint8_t { kStays, kInactive };
  /// kInactive: nobody has used it for so long that it is to be deleted.
  Fate on_timer();

  // --- State ---

  /// Hands what happened to the operating system. Cheap when nothing did.
  void flush();
  bool needs_flush() const;
  /// Something was flushed that is not durable.
  bool unsynced() const { return unsynced_since_ns_ != kNoDeadline; }
  /// Somebody waits for an answer until a sync is done, or changes are older than the stream's
  /// sync_interval.
  bool wants_sync(std::int64_t now_ns) const;
  /// When wants_sync() may become true by itself.
  std::int64_t sync_deadline() const;
  /// Requires: flushed. The rest as StateFile's.
  store::StateFile::Sync begin_sync();
  void end_sync(const store::StateFile::Sync& sync, const Status& result);
  /// Not ok: its state could not be written. It delivers nothing more, and acknowledgements are not
  /// answered.
  const Status& failure() const { return failure_; }

  // --- The API ---

  const std::string& name() const { return stored_.config.name; }
  const ConsumerConfig& config() const { return stored_.config; }
  ConsumerInfo info();
  /// needs() is false for everything below.
  StreamSeq first_needed() const;
  /// `config` has passed check_consumer_update. Written on return: when_durable() says the rest.
  Status update(const ConsumerConfig& config);
  /// Calls `done` once all that was written before is durable, by a sync that wants_sync() asks
  /// for; at once where nothing is kept. Not ok: its state could not be written.
  using Done = std::function<void(const Status&)>;
  void when_durable(Done done);
  /// Everybody who waits is told "409 <why>".
  void release_requests(std::string_view why);
  /// For shutting down: waiting requests are answered, the state is durable on return.
  Status close();
  /// Nothing of it is used any more but its file, which is the caller's to remove; null for none.
  std::unique_ptr<ConsumerFile> destroy();
  bool has_interest() const { return active_; }

 private:
  enum class Next : std::uint8_t { kMessage, kEnd, kStalled, kFailed };

  void mark();
  void begin();
  void set_up(const Moment& now);
  StreamSeq starting_seq(StreamSeq first, StreamSeq last);
  void collect_last_per_subject(StreamSeq after, StreamSeq up_to);

  StreamSeq end_seq() const;
  Moment moment() const { return Moment::of(clock_); }
  bool tracks_acks() const { return config().ack_policy != AckPolicy::kNone; }
  std::int64_t wait_ns(std::uint32_t deliveries) const;
  std::uint64_t num_pending();
  std::uint64_t count_pending();
  std::uint64_t pending_for_reply(const Moment& now);
  void end_of_last_per_subject();
  bool is_paused(const Moment& now) const;

  // Delivering (consumer_deliver.cc)
  void pump(const Moment& now);
  bool has_receiver(const Moment& now);
  Next next_message(StreamSeq end);
  Next next_redelivery();
  Next next_of_last_per_subject();
  bool may_go_now(const OutgoingMessage& message, const Moment& now);
  bool send(const OutgoingMessage& message, const Moment& now);
  bool send_to_request(const OutgoingMessage& message, const Moment& now);
  void await_receivers();
  void delivered(std::size_t size, const Moment& now);
  OutgoingMessage outgoing(std::string_view ack_subject);
  void drop_candidate();
  void settle_requests(const Moment& now, bool at_end);
  bool may_join(const PullRequest& request, const Moment& now);
  bool has_room(const Moment& now);

  // Push (consumer_push.cc)
  void ask_for_flow();
  std::uint64_t next_random();
  void send_heartbeat(std::string_view to);
  void set_active(bool active, const Moment& now);

  // Acknowledgements (consumer_acks.cc)
  void acknowledge(const Ack& ack, const Moment& now);
  void reject(const Ack& ack, const Moment& now);
  void answer(std::string_view reply);
  void answer_durable(std::string_view reply);
  void sample(const Ack& ack, const PendingAck& entry, const Moment& now);
  void exhaust(PendingAck& entry);
  void forget_candidate(StreamSeq seq);
  void expire_waits(const Moment& now);

  // Time
  bool is_inactive(const Moment& now);
  void touch(const Moment& now) { last_activity_ns_ = now.steady_ns; }

  Stream& stream_;
  Output& out_;
  const Clock& clock_;
  StoredConsumer stored_;
  AckLedger ledger_;
  std::unique_ptr<ConsumerFile> file_;
  Status failure_;
  ConsumerWatch* watch_ = nullptr;
  std::uint64_t id_ = 0;
  bool touched_ = false;
  store::SubjectFilter filter_;
  store::MessageReader reader_;
  AckSubjectWriter ack_subject_;

  // The next message to go, when `has_candidate_`; its bytes are in reader_ or buffer_.
  bool has_candidate_ = false;
  bool again_ = false;  // it is a redelivery
  store::MessageView candidate_;
  store::ReadBuffer buffer_;
  std::string headers_;  // of a message without its payload

  // num_pending: what matches in [next_seq_, counted_to_], unless stale.
  StreamSeq next_seq_ = 1;  // for first deliveries
  StreamSeq counted_to_ = 0;
  std::uint64_t pending_ = 0;
  bool pending_stale_ = true;
  std::int64_t recounted_ns_ = 0;
  std::uint64_t damaged_ = 0;
  // Of last_per_subject: what is left of the beginning, backwards; next_seq_ is behind all of it.
  std::vector<StreamSeq> last_seqs_;

  PullRequests requests_;
  bool has_no_wait_ = false;
  std::int64_t requests_looked_ns_ = 0;  // whether they are still wanted

  bool active_ = false;
  FlowControl flow_;
  std::optional<RateLimit> rate_;
  std::int64_t heartbeat_at_ns_ = kNoDeadline;
  std::int64_t interest_at_ns_ = kNoDeadline;
  // Replay with the original gaps: until this message, each so long after the one before.
  StreamSeq replay_to_ = 0;
  std::int64_t replayed_time_ns_ = 0;
  std::int64_t replayed_at_ns_ = 0;

  bool more_ = false;                        // the turn was over before the work was
  std::int64_t resume_at_ns_ = kNoDeadline;  // rate limit or replay
  bool stalled_ = false;                     // by max_ack_pending
  bool awaiting_ = false;                    // receivers that have enough pending
  bool told_awaiting_ = false;               // ... and the watch knows
  std::int64_t rest_at_ns_ = kNoDeadline;    // the reader's memory goes back
  std::int64_t last_activity_ns_ = 0;
  std::int64_t inactive_at_ns_ = kNoDeadline;
  std::uint64_t sample_percent_ = 0;
  std::uint64_t random_ = 0;

  // Who waits for his acknowledgement to be durable.
  struct Answer {
    std::string reply;
    Done done;                     // instead of a reply
    std::uint64_t generation = 0;  // of the state that has to be
  };
  void give(const Answer& to);
  void fail(const Status& cause);
  std::vector<Answer> unflushed_answers_;
  std::vector<Answer> unsynced_answers_;
  std::int64_t unsynced_since_ns_ = kNoDeadline;
  std::uint64_t syncing_generation_ = 0;  // on its way to the disk; 0: none
};

}  // namespace feedvault::broker::streams
