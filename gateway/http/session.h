#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "gateway/http/message.h"
#include "gateway/http/request_reader.h"
#include "gateway/limits.h"

namespace feedvault::gateway {

/// Bytes of somebody who keeps them until they are written.
struct Bytes {
  const char* data = nullptr;
  std::size_t size = 0;
};

/// A connection's two directions. One read and one write at a time; their functions are called on
/// the loop's thread, never from inside the call that starts them, also after close(), and hold
/// what they need until then.
class Transport {
 public:
  using Done = std::function<void(bool ok, std::size_t bytes)>;

  virtual ~Transport() = default;
  /// What comes before the first byte (TLS); at once where nothing does.
  virtual void handshake(Done done) = 0;
  /// At least one byte, or not ok at the end.
  virtual void read_some(char* into, std::size_t size, Done done) = 0;
  /// All of them.
  virtual void write(const std::vector<Bytes>& parts, Done done) = 0;
  /// The peer reads the end; it may go on writing.
  virtual void shutdown_send(Done done) = 0;
  /// Ends what is pending, with not ok.
  virtual void close() = 0;
};

/// The thread on which connections live. Held by those who may call back after the server is gone:
/// then nothing is run.
class Loop {
 public:
  virtual ~Loop() = default;
  /// Runs it on the thread, later; any thread.
  virtual void post(std::function<void()> task) = 0;
  /// The same, at once when the caller is on the thread.
  virtual void dispatch(std::function<void()> task) = 0;
  /// The same, after a while.
  virtual void post_after(std::chrono::milliseconds wait, std::function<void()> task) = 0;
};

struct SessionLimits {
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds idle_timeout{60'000};
  std::chrono::milliseconds write_timeout{30'000};
  std::chrono::milliseconds heartbeat = kHeartbeatInterval;
};

class Session;

/// What a session needs of its server. Loop's thread only.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual void handle(const Request& request, Respond respond) = 0;
  virtual const SessionLimits& limits() const = 0;
  virtual SteadyTime now() const = 0;
  /// The Date header's value.
  virtual std::string_view date() = 0;
  virtual void answered(int status) = 0;
  virtual void sent(std::size_t bytes) = 0;
  /// A reader did not take what was sent for write_timeout; it is being ended.
  virtual void too_slow() = 0;
  /// A request came: the session is not the longest idle one any more.
  virtual void busy(Session& session) = 0;
  /// To be dropped; once.
  virtual void left(Session& session) = 0;
};

/// One connection: reads requests one after another and writes their answers, each whole before the
/// next request is looked at, so that pipelining is safe. Holds no more than a request within its
/// limits and kWriteBytes of an answer. Lives in its pending operations and its server's list;
/// loop's thread only.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::unique_ptr<Transport> transport, SessionHost& host, std::shared_ptr<Loop> loop);
  ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  /// To be called every kTick or so: ends what takes too long, sends heartbeats.
  void check_deadline(SteadyTime now);
  /// No further request; ends streams in an orderly way, and idle connections at once.
  void drain();
  /// Ends the connection now.
  void leave();
  /// Waits for a request that has not begun.
  bool idle() const { return state_ == State::kReading && !request_begun_; }

 private:
  enum class State { kReading, kHandling, kWriting, kWaiting, kLingering, kLeft };
  class Answering;

  void read();
  void on_read(bool ok, std::size_t bytes);
  void parse();
  void handle();
  void answer(Response response);
  void begin_body();
  bool end_stream();
  void send_more();
  void send_body_text();
  void write(bool last);
  void on_written(bool ok, std::size_t bytes, bool last);
  void finish_answer();
  void wait_for_stream();
  void linger();
  void set_deadline(std::chrono::milliseconds from_now);

  std::unique_ptr<Transport> transport_;
  SessionHost& host_;
  const std::shared_ptr<Loop> loop_;
  State state_ = State::kReading;
  bool reading_ = false;  // an operation is pending
  bool request_begun_ = false;
  bool draining_ = false;
  SteadyTime deadline_ = SteadyTime::max();

  RequestReader reader_;
  std::string unread_;  // received, not yet taken by reader_
  std::size_t discarded_ = 0;
  char buffer_[kReadBytes];

  // The answer under way.
  bool head_only_ = false;
  bool chunked_ = false;
  bool close_ = false;
  std::string head_;  // empty once it is written
  std::string text_;
  std::size_t text_sent_ = 0;
  std::shared_ptr<BodyStream> stream_;
  bool ending_ = false;  // stream_, which is endless, has been told to
  std::vector<Piece> pieces_;
  std::vector<Bytes> parts_;
  char chunk_head_[20];
};

}  // namespace feedvault::gateway
