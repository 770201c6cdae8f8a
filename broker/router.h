#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/account.h"
#include "broker/connection.h"
#include "broker/subject_index.h"

namespace feedvault::broker {

// Order, and why it holds with several loops
//
// Clients rely on two things. (1) Messages of one publisher reach one subscriber in the order of
// publishing. (2) When a PONG arrives, all that was published on that connection before the PING is
// on its way: a subscriber, wherever it is, that sends its own PING after that gets those messages
// before its PONG.
//
// One loop: a publish is appended to its receivers' outputs before the next operation is parsed, so
// both hold by construction.
//
// Two loops, publisher X on A, subscriber Y on B: A appends the message to its outbox for B; B
// appends it to Y's output when it drains its inbox.
//  (1) Outbox, inbox and output are queues, and X never changes its loop.
//  (2) A hands its outboxes over before it writes anything (Connection::flush), so X's PONG leaves
//  A
//      after the message entered B's inbox. B drains its inbox after every read and before it
//      parses what was read. If Y's PING was sent because X's PONG had arrived, then B's read of
//      that PING comes after the hand-over, and the drain behind that read finds the message.
//
// Three loops: messages from X reach Y on B and Z on C; Z reacts by a message to Y. Y sees X's
// first, because a loop hands over to all others at once, under all their inbox locks.

/// Messages on their way from one loop to another: records behind each other in one piece of
/// memory,
///
///     | head | subject | tail | padding | target | target | ... |
///
/// A target is a Subscription of the receiving loop, with its lowest bit set when it was chosen
/// from a queue group. Subscriptions outlive the records: see Worker's graveyard.
class DeliveryBatch {
 public:
  struct Record {
    Publish message;
    std::uint32_t from_loop = 0;
    std::uint64_t from_connection = 0;
    std::uint32_t retries = 0;
    const std::uintptr_t* targets = nullptr;
    std::uint32_t target_count = 0;
  };

  bool empty() const { return size_ == 0; }
  /// Bytes that its receivers will get: what the other loop has to do, and at least what is stored
  /// here but for targets and heads.
  std::size_t delivered_bytes() const { return delivered_bytes_; }
  /// Starts a record; targets follow. Requires: message.tail is there.
  void begin(const Publish& message,
             std::uint32_t from_loop,
             std::uint64_t from_connection,
             std::uint32_t retries);
  void add_target(Subscription& subscription, bool of_queue);
  /// The record at `at`, which moves to the next one; false at the end.
  bool next(std::size_t& at, Record& record) const;
  bool at_end(std::size_t at) const { return at >= size_; }

 private:
  struct Head;
  char* extend(std::size_t bytes);

  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t head_at_ = 0;
  std::size_t message_bytes_ = 0;  // of the record in progress
  std::size_t delivered_bytes_ = 0;
};

/// Carries messages of one loop's publishers to their receivers: into the outputs of this loop's
/// connections, and into an outbox for each other loop. Its loop's thread, with the index's read
/// lock held.
class Router {
 public:
  enum class Serves : std::uint8_t {
    kConnections,
    kStreams,  // has no connections; what it publishes to itself goes through its own outbox, too
  };
  /// `indexes` by account.
  Router(std::uint32_t loop,
         std::size_t loops,
         const std::array<SubjectIndex, kAccounts>& indexes,
         bool cache_enabled,
         Serves serves = Serves::kConnections);

  void publish(Connection& from, const Publish& publish);
  /// The same without a 503; true when somebody was reached.
  bool route(Connection& from, const Publish& publish);
  /// A message of the server's own.
  void publish(Account account, const Publish& publish);
  /// To whoever listens to `to`, whatever the message's own subject is; how many that reached.
  std::size_t send(std::string_view to, const Publish& publish);
  /// The same, or nothing while a receiver has to be waited for (Receiving::await()). Of a queue
  /// group one that takes something is chosen.
  std::optional<std::size_t> offer(std::string_view to, const Publish& publish);
  /// Does a client listen to that subject?
  bool has_interest(std::string_view subject);
  /// Tells a client that nobody answers, if it has a subscription where it would hear that.
  void send_no_responders(Connection& to, std::string_view reply);
  /// Delivers what another loop's publishers sent to this loop's subscriptions.
  void deliver(const DeliveryBatch::Record& record);

  DeliveryBatch& outbox(std::size_t loop) { return outboxes_[loop]; }
  /// Bytes that the receivers of all outboxes will get.
  std::size_t outbox_bytes() const { return outbox_bytes_; }
  void outboxes_handed_over() { outbox_bytes_ = 0; }
  /// Subscriptions and index nodes that were looked at since forget_work().
  std::size_t work() const { return work_; }
  void forget_work() { work_ = 0; }
  const MatchCache& cache(Account account) const { return caches_[index_of(account)]; }
  /// What went to the streams' loop, ever: messages, and those that streams are to store.
  struct StreamTraffic {
    std::uint64_t messages = 0;
    std::uint64_t captured = 0;
  };
  StreamTraffic to_streams() const { return to_streams_; }

 private:
  struct Origin {
    const Connection* connection;  // null: on another loop
    std::uint64_t id;
    std::uint32_t loop;
    std::uint32_t retries;
    bool spares_congested = false;  // among members of a queue group
  };

  std::size_t spread(const MatchResult& found, const Publish& publish, const Origin& origin);
  /// Requires: the message has a tail.
  std::size_t deliver_to_all(const MatchResult& found,
                             const Publish& message,
                             const Origin& origin);
  std::size_t carry(Account account,
                    std::string_view to,
                    const Publish& publish,
                    const Origin& origin);
  bool deliver_to(Subscription& subscription,
                  const Publish& message,
                  const Origin& origin,
                  bool of_queue);
  bool deliver_to_queue(const QueueMembers& members, const Publish& message, const Origin& origin);
  std::uint64_t random();

  std::uint32_t loop_;
  std::uint32_t local_;  // the loop whose connections are at hand; kNoLoop: none's
  std::array<MatchCache, kAccounts> caches_;
  std::vector<DeliveryBatch> outboxes_;  // by loop; our own stays empty
  std::vector<bool> begun_;              // has the current message a record in that outbox?
  std::size_t outbox_bytes_ = 0;
  std::size_t work_ = 0;
  StreamTraffic to_streams_;
  std::uint64_t random_state_;
  std::string tail_;  // scratch: of messages that came without one
};

/// The tail of a message that came in an uncommon form, put together in `scratch`.
std::string_view make_tail(const Publish& publish, std::string& scratch);

}  // namespace feedvault::broker
