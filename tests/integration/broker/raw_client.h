#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace feedvault::broker::testing {

/// A client that wants no +OK.
inline constexpr const char* kQuiet = "CONNECT {\"verbose\":false}\r\n";

/// A client that speaks bytes: for tests of what exactly goes over the wire. Throws
/// std::runtime_error where a server does not even accept it.
class RawClient {
 public:
  enum class Greeting : std::uint8_t { kInfo, kNone };
  /// Connects and reads the INFO line, if the server speaks first.
  explicit RawClient(std::uint16_t port, Greeting greeting = Greeting::kInfo);

  const std::string& info() const { return info_; }
  /// False when the server has closed; what was sent until then may be lost.
  bool send(std::string_view bytes);
  /// Reads until `text` is the end of what was received since the last call, or time is up, or the
  /// server closes. Returns what was received.
  std::string receive_until(std::string_view text,
                            std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// Reads until `bytes` have come, or time is up, or the server closes.
  std::string receive(std::size_t bytes,
                      std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// Reads all until the server closes; false in `closed` when it did not in time.
  std::string receive_to_end(bool& closed,
                             std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// Whatever comes next; empty when nothing does in time, or the server closes.
  std::string receive_some(std::chrono::milliseconds timeout = std::chrono::seconds(5));
  bool ended() const { return ended_; }
  /// Half-closes: no more will be sent.
  void shut_write();
  int fd() const { return fd_.get(); }

 private:
  /// Appends what comes before the deadline; false at the end of the stream or of the time.
  bool receive_some(std::string& into, std::chrono::steady_clock::time_point deadline);

  UniqueFd fd_;
  std::string info_;
  std::string rest_;
  bool ended_ = false;
};

/// On a slow machine the server's first PING, two seconds after CONNECT, may come in between. (No
/// text of a test has that line in it.)
inline std::string without_pings(std::string text) {
  for (std::size_t at = 0; (at = text.find("PING\r\n", at)) != std::string::npos;) {
    text.erase(at, 6);
  }
  return text;
}
/// As client.receive(bytes), without PINGs.
template <typename Client>
std::string receive_without_pings(Client& client, std::size_t bytes) {
  std::string received = client.receive(bytes);
  for (;;) {
    const std::size_t before = received.size();
    received = without_pings(std::move(received));
    if (received.size() == before) {
      return received;
    }
    received += client.receive(bytes - received.size());
  }
}

}  // namespace feedvault::broker::testing
