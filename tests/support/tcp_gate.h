#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/unique_fd.h"

namespace feedvault::testing {

/// A TCP relay on loopback between a program and a server, whose network can be broken by name at
/// run time. Settings hold for all connections, present and future, until pass() lifts them. A
/// thread of its own moves the bytes; any thread may call the methods.
class TcpGate {
 public:
  explicit TcpGate(std::uint16_t server_port);
  ~TcpGate();  // closes everything
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  /// Programs connect here instead.
  std::uint16_t port() const { return port_; }

  /// Everything works again; what was dropped stays lost.
  void pass();
  /// Bytes vanish in both directions, connections stay: a dead link, seen from both ends.
  void drop();
  /// Each byte arrives so much later; order is kept.
  void delay(std::chrono::milliseconds time);
  /// At most so many bytes a segment, so that readers meet every split.
  void slice(std::size_t bytes);
  /// New connections are closed at once.
  void refuse_new(bool refuse);
  /// Closes all connections; new ones are welcome.
  void close_all();

  enum class From : std::uint8_t { kClient, kServer };
  enum class Cut : std::uint8_t { kBefore, kAfter };
  /// Once: when bytes from that side contain `pattern`, that connection is closed, both sides. With
  /// kAfter the pattern has been forwarded to its receiver, but no answer comes back; with kBefore
  /// it has not (when it came in two pieces, its second one has not).
  void cut_on(From from, std::string pattern, Cut cut);

  /// How often cut_on() has struck.
  int cuts() const;
  /// Connections that are open now, and ever.
  int open_connections() const;
  int connections() const;

 private:
  struct Link;
  struct Pipe;
  struct Rules {
    bool drop = false;
    bool refuse = false;
    std::chrono::milliseconds delay{0};
    std::size_t slice = 0;
    std::string pattern;
    From pattern_from = From::kClient;
    Cut cut = Cut::kBefore;
  };

  void change(const std::function<void(Rules&)>& how);
  void run();
  // Under the lock, so that a rule holds for every byte sent after its method has returned.
  void accept_one() REQUIRES_LOCK(mutex_);
  void read_into(Link& link, Pipe& pipe) REQUIRES_LOCK(mutex_);
  bool struck_by_pattern(Link& link, Pipe& pipe, std::string& bytes) REQUIRES_LOCK(mutex_);
  void write_out(Pipe& pipe) REQUIRES_LOCK(mutex_);

  const std::uint16_t server_port_;
  std::uint16_t port_ = 0;
  UniqueFd listener_;
  UniqueFd wake_;                               // eventfd
  std::map<int, std::unique_ptr<Link>> links_;  // the thread's own
  int next_link_ = 0;

  mutable Mutex mutex_;
  Rules rules_ GUARDED_BY(mutex_);
  bool stop_ GUARDED_BY(mutex_) = false;
  bool close_all_ GUARDED_BY(mutex_) = false;
  int cuts_ GUARDED_BY(mutex_) = 0;
  int open_ GUARDED_BY(mutex_) = 0;
  int connections_ GUARDED_BY(mutex_) = 0;

  std::thread thread_;
};

}  // namespace feedvault::testing
