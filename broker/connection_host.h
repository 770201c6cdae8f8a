#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "broker/auth.h"
#include "broker/counters.h"
#include "broker/options.h"
#include "broker/output_queue.h"
#include "broker/parser.h"
#include "broker/subscription.h"
#include "broker/warning_limit.h"

namespace feedvault::broker {

class Connection;

/// What a connection needs of the loop that it lives on. Implemented by Worker, and by tests.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;

  // The loop's; set before the first connection, and at reload.
  std::shared_ptr<const Options> options;
  std::shared_ptr<const Authenticator> authenticator;
  ChunkPool chunks;
  LoopCounters counters;
  WarningLimit refusals;              // of clients: credentials, handshakes
  std::size_t turn_output_bytes = 0;  // appended since the last flush of all connections

  virtual SteadyTime now() const = 0;
  virtual std::int64_t unix_ns() const = 0;
  /// Where the next read goes; shared by all connections of the loop.
  virtual std::span<char> read_buffer() = 0;
  /// Between a read and its parsing; see "order" in router.h.
  virtual void before_input() = 0;
  /// Read more before the others have their turn? `drained`: the last read left room in the buffer.
  virtual bool worth_reading_on(bool drained) = 0;
  virtual void after_input(Connection& connection) = 0;
  /// Before anything is written to a socket, never within a publish; see "order" in router.h.
  virtual void before_output() = 0;

  /// The connection has something to be flushed at the turn's end.
  virtual void mark_dirty(Connection& connection) = 0;
  virtual void watch(Connection& connection, bool readable, bool writable) = 0;
  /// Says nothing more about its socket until the next watch(), not even that it is broken.
  virtual void mute(Connection& connection) = 0;
  virtual void schedule(Connection& connection, SteadyTime when) = 0;
  /// The connection has stopped: take its subscriptions out at the turn's end, then call
  /// Connection::wind_up().
  virtual void closing(Connection& connection) = 0;
  /// Nothing more can happen on it: destroy it when nobody can refer to it any more.
  virtual void finished(Connection& connection) = 0;

  virtual void route(Connection& from, const Publish& publish) = 0;
  /// The same for a publish with a reply to $SYS.REQ.>, which the server itself answers.
  virtual void system_request(Connection& from, const Publish& publish) = 0;
  /// Its first CONNECT was accepted.
  virtual void connected(Connection& connection) = 0;
  virtual void insert(Subscription& subscription) = 0;
  /// Takes it out of the index and destroys it when nobody can refer to it any more.
  virtual void drop(std::unique_ptr<Subscription> subscription) = 0;
  /// It has had its last message; the owner's forget_expired() is called when that is possible.
  virtual void expired(Subscription& subscription) = 0;
  /// The receiver has so much pending that who sends to it should wait.
  virtual void congested(Connection& receiver) = 0;
  /// The streams' loop waits for a receiver that can take more now, or is closing.
  virtual void receiver_ready() = 0;

  /// Checks credentials away from the loop and calls Connection::authenticated() later. False when
  /// too many are waiting.
  virtual bool authenticate_elsewhere(Connection& connection, ConnectCredentials credentials) = 0;
  /// The INFO line.
  virtual std::string info(const Connection& connection, bool lame_duck) = 0;
};

}  // namespace feedvault::broker
