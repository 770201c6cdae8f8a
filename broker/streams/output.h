#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "broker/store/message.h"

namespace feedvault::broker::streams {

using store::StreamSeq;

/// A message that goes out. All texts are the caller's and live until the call returns.
struct OutgoingMessage {
  std::string_view subject;  // as receivers see it
  std::string_view reply;    // "" for none
  std::string_view headers;  // whole block with "NATS/1.0" and the empty line, or ""
  std::string_view payload;
};

// What happened, for `$JS.EVENT.ADVISORY.>` and `$JS.EVENT.METRIC.>`; whoever has JSON writes it.
// Names are copies: events may outlive what they tell of. Rare, all of them.

enum class Action : std::uint8_t { kCreate, kModify, kDelete };

struct StreamAction {
  std::string stream;
  Action action = Action::kCreate;
};
struct ConsumerAction {
  std::string stream;
  std::string consumer;
  Action action = Action::kCreate;
};
struct ConsumerPaused {
  std::string stream;
  std::string consumer;
  bool paused = false;
  std::int64_t pause_until_ns = 0;  // Unix time
};
/// A message was delivered max_deliver times without being acknowledged.
struct MaxDeliveries {
  std::string stream;
  std::string consumer;
  StreamSeq stream_seq = 0;
  std::uint64_t deliveries = 0;
};
struct MessageNaked {
  std::string stream;
  std::string consumer;
  std::uint64_t consumer_seq = 0;
  StreamSeq stream_seq = 0;
  std::uint64_t deliveries = 0;
};
struct MessageTerminated {
  std::string stream;
  std::string consumer;
  std::uint64_t consumer_seq = 0;
  StreamSeq stream_seq = 0;
  std::uint64_t deliveries = 0;
  std::string reason;
};
/// A sampled acknowledgement.
struct AckMetric {
  std::string stream;
  std::string consumer;
  std::uint64_t consumer_seq = 0;
  StreamSeq stream_seq = 0;
  std::int64_t delay_ns = 0;
  std::uint64_t deliveries = 0;
};

/// What was asked of the API, and answered. Only where somebody listens to kAuditSubject.
struct ApiAudit {
  std::string subject;
  std::string request;
  std::string response;
  std::uint64_t connection = 0;
};
inline constexpr std::string_view kAuditSubject = "$JS.EVENT.ADVISORY.API";

using Advisory = std::variant<StreamAction,
                              ConsumerAction,
                              ConsumerPaused,
                              MaxDeliveries,
                              MessageNaked,
                              MessageTerminated,
                              AckMetric,
                              ApiAudit>;

/// The world outside, as streams and consumers see it. Called on the thread that owns the streams,
/// from within any of their methods; must not call back into them before it returns.
class Output {
 public:
  virtual ~Output() = default;

  /// Delivers to whoever is subscribed to `to`; returns to how many (0: nobody, and it is gone).
  /// What they get shows message.subject: consumers send a stored message, with its own subject, to
  /// the subject of a request's reply or to deliver_subject.
  virtual std::size_t deliver(std::string_view to, const OutgoingMessage& message) = 0;

  /// The same for what can wait: nothing goes out, and nothing is returned, while a receiver has
  /// enough pending. ConsumerSet::on_receivers_ready() says when to offer it again.
  virtual std::optional<std::size_t> offer(std::string_view to, const OutgoingMessage& message) {
    return deliver(to, message);
  }

  /// The usual case.
  std::size_t publish(const OutgoingMessage& message) { return deliver(message.subject, message); }

  /// Is anybody subscribed to this subject (a literal one)?
  virtual bool has_interest(std::string_view subject) = 0;

  virtual void advisory(Advisory event) = 0;
};

}  // namespace feedvault::broker::streams
