#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace feedvault::broker {

// Between the streams' loop, which knows threads and subscriptions, and the streams' service, which
// knows neither. Each side sees only this.

/// A client, as the loop finds it again. connection 0: nobody, the server itself.
struct Sender {
  std::uint32_t loop = 0;
  std::uint64_t connection = 0;
};

/// A message for one of our subscriptions. Views live until on_message() returns.
struct Arrival {
  std::string_view subject;
  std::string_view reply;    // "" when absent
  std::string_view headers;  // whole block with "NATS/1.0" and the empty line, or ""
  std::string_view payload;
  Sender from;
};

/// A message to be sent. Views are used only during the call.
struct Outgoing {
  std::string_view subject;
  std::string_view reply;
  std::string_view headers;
  std::string_view payload;
};

struct JetStreamSnapshot;

/// What the service gets to do. The loop's thread, all of it.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  /// In the order of publishing, connection by connection. `tag` is the subscription's.
  virtual void on_message(std::uint64_t tag, const Arrival& arrival) = 0;
  /// After some messages, and after each wake-up: store, acknowledge, deliver. True when there is
  /// more to do at once; others have their turn in between.
  virtual bool on_turn() = 0;
  /// What was sent leaves for the clients now: last chance to write down what they must not know
  /// before the disk does. May send more.
  virtual void before_output() = 0;
  /// Clients began or ceased to listen to watched subjects: look at them with has_interest().
  virtual void on_interest() = 0;
  /// What offer() did not take may be offered again.
  virtual void on_receivers_ready() = 0;
  /// The server stops: no message comes any more but those that are on their way.
  virtual void on_stop() = 0;
  /// After on_stop(), once it has settled or time was up: the last call. Puts things away for good,
  /// and may send.
  virtual void on_end() = 0;
  /// Nothing that arrived is still to be stored or acknowledged.
  virtual bool settled() const = 0;
  /// For monitoring.
  virtual JetStreamSnapshot snapshot() const = 0;
};

/// What the service may ask for. The loop's thread, or any before it runs, where nothing else is
/// said.
class StreamHost {
 public:
  enum class Captures : bool { kNo, kYes };

  virtual ~StreamHost() = default;
  virtual const Clock& clock() const = 0;

  /// Messages to `filter` come to on_message() with this tag, from the return on. A publisher to
  /// what is captured waits when we are behind. The number is for unsubscribe().
  virtual std::uint64_t subscribe(std::string_view filter,
                                  std::uint64_t tag,
                                  Captures captures) = 0;
  /// Nothing of it comes any more, not even what is on its way.
  virtual void unsubscribe(std::uint64_t subscription) = 0;
  /// Other filters take the place of `old` at once, so that no message falls in between or comes
  /// twice; what is on its way still comes. The new numbers.
  virtual std::vector<std::uint64_t> resubscribe(const std::vector<std::uint64_t>& old,
                                                 const std::vector<std::string>& filters,
                                                 std::uint64_t tag,
                                                 Captures captures) = 0;

  /// Sends to whoever listens to `to`; the message's own subject can be another one. How many that
  /// are: all plain subscriptions, and one a queue group.
  virtual std::size_t send(std::string_view to, const Outgoing& message) = 0;
  /// The same for what can wait. Nothing is sent, and nothing returned, while a receiver has enough
  /// pending already (of a queue group: all its members) or the clients' loops have enough to do;
  /// on_receivers_ready() follows. So no receiver is too slow for what streams deliver, as long as
  /// it takes something.
  virtual std::optional<std::size_t> offer(std::string_view to, const Outgoing& message) = 0;
  /// Does a client listen to that subject?
  virtual bool has_interest(std::string_view subject) = 0;
  /// From now on changes are told by on_interest(). Counted: as often as unwatch_interest().
  virtual void watch_interest(std::string_view subject) = 0;
  virtual void unwatch_interest(std::string_view subject) = 0;
  /// Can the clients' loops take more? Deliveries that can wait do so while this is false, and then
  /// on_turn() comes again soon. Answers need not ask.
  virtual bool can_deliver() = 0;

  /// Tells the client, if it wants to know, that nobody answers at the subject that it asked.
  virtual void no_responders(const Sender& to, std::string_view reply) = 0;
  /// Tells the client that what it published without a reply was not stored, and why.
  virtual void refuse(const Sender& to, std::string_view subject, std::string_view why) = 0;

  /// Nothing more is read from that client until the second call: a stream could not take what it
  /// published. What is on its way still arrives, at most what the loop's inbox holds.
  virtual void hold(const Sender& publisher) = 0;
  virtual void release(const Sender& publisher) = 0;

  /// Makes on_turn() come at that time, unless an earlier one was asked for. Forgotten when it
  /// comes.
  virtual void wake_at(SteadyTime when) = 0;
  /// Before anything that may take long (a disk): lets those who want to subscribe go on.
  virtual void let_go() = 0;
  /// Runs `task` on the loop's thread, with an on_turn() after it. Any thread.
  virtual void post(std::function<void()> task) = 0;
};

}  // namespace feedvault::broker
