#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/config.h"
#include "base/result.h"

namespace feedvault::nats {

// cnats behind a small C++ face. Only the .cc files of this folder include <nats/nats.h>.

/// A message as it came from the broker; owns its bytes. Move-only.
class Message {
 public:
  Message() = default;
  explicit Message(void* native) : native_(native) {}  // takes a natsMsg*
  Message(Message&& other) noexcept : native_(std::exchange(other.native_, nullptr)) {}
  Message& operator=(Message&& other) noexcept;
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();

  bool valid() const { return native_ != nullptr; }
  std::string_view subject() const;
  std::string_view reply() const;  // empty: none
  std::string_view payload() const;
  /// First value of the header, or nullopt. Not for two threads at once on one message.
  std::optional<std::string_view> header(const char* name) const;
  /// Status of an empty control message ("404", "100" ...), else empty; and its description.
  std::string_view status() const;
  std::string_view status_description() const;

  void* native() const { return native_; }

 private:
  void* native_ = nullptr;
};

struct Header {
  const char* name;        // zero-terminated
  std::string_view value;  // without CR and LF
};

/// What to publish. Views are borrowed for the duration of the call.
struct Outgoing {
  std::string_view subject;
  std::string_view reply;
  std::span<const Header> headers;
  std::string_view payload;
};

enum class ConnectionState : std::uint8_t { kConnected, kReconnecting, kClosed };

struct ConnectionOptions {
  std::string name;  // shown in the broker's connection list
  /// Write at every publish instead of collecting for about a millisecond: less latency, more CPU.
  bool send_asap = false;
  /// Give up when the broker is not there at open(); otherwise open() succeeds at once and the
  /// connection comes up when it can.
  bool require_at_open = true;
  std::chrono::milliseconds connect_timeout{2000};
  /// Called on a thread of the library, one call at a time.
  std::function<void(ConnectionState, const std::string& detail)> on_state;
};

/// A subscription with its handler. Destroying it unsubscribes and waits for a running handler
/// call, so it must not happen inside the handler; and it must happen before the connection goes.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

/// One connection to the broker; reconnects for ever by itself, with waits from 50 ms to 2 s. Any
/// thread may call any method. What is published while it is not connected fails with kUnavailable:
/// nothing waits in a buffer to be sent late. After kUnavailable from publish() or request() the
/// message may or may not have reached the broker.
class Connection {
 public:
  /// Tries to connect once, for at most connect_timeout a server. kInvalidArgument for refused
  /// credentials or TLS, also without require_at_open; kUnavailable when no server answers.
  static Result<std::unique_ptr<Connection>> open(const NatsConfig& config,
                                                  ConnectionOptions options);
  virtual ~Connection() = default;

  /// On return the bytes are queued in the connection's buffer and leave it within about a
  /// millisecond. kInvalidArgument when headers and payload are over max_payload. Blocks while the
  /// broker does not read and the buffer (32 KiB) is full; after 30 s of that the connection is
  /// given up.
  virtual Status publish(const Outgoing& message) = 0;

  /// Sends what is buffered at once and waits until the broker has processed it.
  virtual Status flush(std::chrono::milliseconds timeout) = 0;

  /// kTimeout; kNotFound when nobody listens on the subject (no responders).
  virtual Result<Message> request(const Outgoing& message, std::chrono::milliseconds timeout) = 0;

  using Handler = std::function<void(Message)>;
  using LostHandler = std::function<void()>;
  /// The handler runs on a thread of its own, one call at a time. The queue between socket and
  /// handler is unbounded: use it only where the flow is bounded otherwise. The subscription is
  /// made again at every reconnect, before anything can be published; messages that were queued
  /// when the connection was lost are gone. `lost` is told about that, on another thread.
  virtual Result<std::unique_ptr<Subscription>> subscribe(const std::string& subject,
                                                          Handler handler,
                                                          LostHandler lost) = 0;
  Result<std::unique_ptr<Subscription>> subscribe(const std::string& subject, Handler handler) {
    return subscribe(subject, std::move(handler), nullptr);
  }
  /// The same as one of a queue group: each message goes to one of its members.
  virtual Result<std::unique_ptr<Subscription>> subscribe_queue(const std::string& subject,
                                                                const std::string& queue_group,
                                                                Handler handler) = 0;

  virtual bool connected() const = 0;
  /// How many times the connection was lost and made again; a change means that anything in flight
  /// is in doubt.
  virtual std::uint64_t reconnects() const = 0;
  /// The server's limit for headers and payload together, in bytes.
  virtual std::int64_t max_payload() const = 0;
  /// "2.9.10"; asks the server again, over a connection of its own. Empty when it is away.
  virtual std::string server_version() const = 0;
  virtual std::string connected_url() const = 0;

  /// A fresh inbox subject for replies.
  virtual std::string new_inbox() = 0;
};

}  // namespace feedvault::nats
