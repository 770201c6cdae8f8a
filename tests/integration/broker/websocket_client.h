#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/tls_client.h"
#include "tests/unit/broker/naive_websocket.h"

namespace feedvault::broker::testing {

/// WebSocket as plainly as can be, over a RawClient or TLS on it. Throws std::runtime_error where
/// the server does not accept it.
class WebsocketClient {
 public:
  /// In the clear, or with `tls` encrypted. Upgrades and reads INFO.
  explicit WebsocketClient(std::uint16_t port, const TlsClient::Options* tls = nullptr);

  const std::string& info() const { return info_; }
  /// As one binary frame.
  void send(std::string_view text) { send_raw(client_frame(text)); }
  void send_raw(std::string_view bytes);
  /// The text of the frames that come until they end in `text`; control frames as "[opcode:...]".
  std::string receive_until(std::string_view text);
  std::string receive(std::size_t bytes);
  std::string receive_to_end(bool& closed);

 private:
  bool receive_some(std::string& into);

  RawClient raw_;
  std::unique_ptr<TlsClient> tls_;
  std::string info_;
  std::string bytes_;
  std::string rest_;
};

/// The answer to a request, without making a WebSocket of it: up to the end, or the blank line.
std::string upgrade_answer(std::uint16_t port, const std::string& request);
/// A good request, with these headers besides.
std::string upgrade_request(const std::string& more = "");

}  // namespace feedvault::broker::testing
