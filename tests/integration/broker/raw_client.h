#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "tests/integration/broker/byte_reader.h"

namespace feedvault::broker::testing {

/// A client that wants no +OK.
inline constexpr const char* kQuiet = "CONNECT {\"verbose\":false}\r\n";

/// A client that speaks bytes: for tests of what exactly goes over the wire. Throws
/// std::runtime_error where a server does not even accept it.
class RawClient final : public ByteReader {
 public:
  enum class Greeting : std::uint8_t { kInfo, kNone };
  /// Connects and reads the INFO line, if the server speaks first.
  explicit RawClient(std::uint16_t port, Greeting greeting = Greeting::kInfo);

  const std::string& info() const { return info_; }
  /// False when the server has closed; what was sent until then may be lost.
  bool send(std::string_view bytes);
  bool ended() const { return ended_; }
  /// Half-closes: no more will be sent.
  void shut_write();
  int fd() const { return fd_.get(); }

 private:
  bool receive_more(std::string& into, Deadline deadline) override;
  bool closed_properly() const override { return ended_; }

  UniqueFd fd_;
  std::string info_;
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
