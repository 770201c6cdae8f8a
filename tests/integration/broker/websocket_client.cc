#include "tests/integration/broker/websocket_client.h"

#include <algorithm>
#include <stdexcept>

namespace feedvault::broker::testing {

std::string upgrade_request(const std::string& more) {
  return "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
         more + "\r\n";
}

std::string upgrade_answer(std::uint16_t port, const std::string& request) {
  RawClient client(port, RawClient::Greeting::kNone);
  client.send(request);
  std::string answer;
  while (answer.find("\r\n\r\n") == std::string::npos) {
    const std::string more = client.receive_some();
    if (more.empty()) {
      break;
    }
    answer += more;
  }
  return answer;
}

WebsocketClient::WebsocketClient(std::uint16_t port, const TlsClient::Options* tls)
    : raw_(port, RawClient::Greeting::kNone) {
  if (tls != nullptr) {
    tls_ = std::make_unique<TlsClient>(raw_, *tls);
    if (!tls_->shake_hands()) {
      throw std::runtime_error("no handshake: " + tls_->error());
    }
  }
  send_raw(upgrade_request());
  const std::string expected = "HTTP/1.1 101 Switching Protocols\r\n";
  while (bytes_.find("\r\n\r\n") == std::string::npos) {
    const std::string more = tls_ != nullptr ? tls_->receive(1) : raw_.receive(1);
    if (more.empty()) {
      throw std::runtime_error("no upgrade but: " + bytes_);
    }
    bytes_ += more;
  }
  if (bytes_.rfind(expected, 0) != 0) {
    throw std::runtime_error("no upgrade but: " + bytes_);
  }
  bytes_.erase(0, bytes_.find("\r\n\r\n") + 4);
  std::string received;
  while (received.find("\r\n") == std::string::npos && receive_some(received)) {
  }
  const std::size_t end = std::min(received.find("\r\n"), received.size());
  info_ = received.substr(0, end);
  rest_ = received.substr(std::min(end + 2, received.size()));
}

void WebsocketClient::send_raw(std::string_view bytes) {
  if (tls_ != nullptr) {
    tls_->send(bytes);
  } else {
    raw_.send(bytes);
  }
}

bool WebsocketClient::receive_some(std::string& into) {
  const std::string more =
      tls_ != nullptr ? tls_->receive_some(std::chrono::seconds(5)) : raw_.receive_some();
  bytes_ += more;
  for (const NaiveFrame& frame : take_frames(bytes_)) {
    into += frame.opcode == 2 && !frame.masked && frame.reserved == 0
                ? frame.payload
                : "[" + std::to_string(frame.opcode) + ":" + frame.payload + "]";
  }
  return !more.empty();
}

std::string WebsocketClient::receive_until(std::string_view text) {
  std::string received = std::exchange(rest_, {});
  const auto there = [&] {
    return received.size() >= text.size() &&
           received.compare(received.size() - text.size(), text.size(), text) == 0;
  };
  while (!there() && receive_some(received)) {
  }
  return received;
}

std::string WebsocketClient::receive(std::size_t bytes) {
  std::string received = std::exchange(rest_, {});
  while (received.size() < bytes && receive_some(received)) {
  }
  if (received.size() > bytes) {
    rest_ = received.substr(bytes);
    received.resize(bytes);
  }
  return received;
}

std::string WebsocketClient::receive_to_end(bool& closed) {
  std::string received = std::exchange(rest_, {});
  while (receive_some(received)) {
  }
  closed = raw_.ended() || (tls_ != nullptr && tls_->error() == "close_notify");
  return received;
}

}  // namespace feedvault::broker::testing
