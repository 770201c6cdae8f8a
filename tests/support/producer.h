#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/mutex.h"
#include "client/nats/connection.h"
#include "client/nats/jetstream.h"

namespace feedvault::testing {

/// A message that a producer handed over and that must come out at the other end.
struct Sent {
  std::string id;  // Nats-Msg-Id; empty: none
  std::string payload;
};

/// A well-formed message of the feed ("events", "executions") that names `number`: no two are
/// alike. None is of sport TENNIS.
std::string valid_payload(const std::string& feed, std::uint64_t number);

/// Produces messages of one feed the way producers in the field do, and keeps the list of what it
/// sent. Throws std::runtime_error when the broker does not take a message within a minute. Any
/// thread, one call at a time; sent() at any time.
class Producer {
 public:
  Producer(const NatsConfig& broker, const FeedConfig& feed);

  /// New messages as plain PUBs: no headers, no id, no acknowledgement. On return the broker has
  /// read them from its socket. Requires: the broker is up, or has just been restarted.
  void plain(std::size_t count);

  /// New messages with a Nats-Msg-Id each, published through JetStream; sends the same again until
  /// it is acknowledged.
  void acknowledged(std::size_t count);

  /// One new message as a plain PUB to a broker that may be away or about to die: whether it was
  /// captured only the ingest stream can tell, so it is noted as offered, not as sent.
  void offer();
  /// Offers one more, with an id, until it is captured. A broker takes what one connection sends in
  /// its order: what was offered before is captured by then, or never will be.
  void offer_last();
  /// Payloads offered so far, in order.
  std::vector<std::string> offered() const;

  /// Publishes exactly this and waits for the PubAck; returns its stream sequence. An empty id is
  /// none. Not noted as sent.
  std::uint64_t publish(std::string_view payload, std::string_view id = {});

  /// Notes a message as one that must come out, after those noted so far.
  void note(Sent message);
  void note(const std::vector<Sent>& messages);

  std::vector<Sent> sent() const;
  std::size_t sent_count() const;

  /// A payload that was not used yet.
  std::string fresh_payload();

 private:
  void wait_until_connected();
  std::string payload_to_offer();

  const FeedConfig feed_;
  std::unique_ptr<nats::Connection> connection_;
  std::unique_ptr<nats::JetStream> jetstream_;
  std::unique_ptr<nats::JetStream> patient_jetstream_;
  std::uint64_t next_ = 1;
  mutable Mutex mutex_;
  std::vector<Sent> sent_ GUARDED_BY(mutex_);
  std::vector<std::string> offered_ GUARDED_BY(mutex_);
};

}  // namespace feedvault::testing
