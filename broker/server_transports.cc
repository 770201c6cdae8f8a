// Where clients come from, and what carries a new connection's bytes: the socket, and what its
// listener puts around it.

#include "base/log.h"
#include "broker/server.h"
#include "broker/tls_transport.h"
#include "broker/websocket_transport.h"

namespace feedvault::broker {

Status Server::read_certificates(const Options& options,
                                 std::shared_ptr<const TlsContext>& tls,
                                 std::shared_ptr<const TlsContext>& websocket_tls) const {
  ASSIGN_OR_RETURN(tls, make_tls_context(options.tls, "tls"));
  if (options.websocket.enabled) {
    ASSIGN_OR_RETURN(websocket_tls, make_tls_context(options.websocket.tls, "websocket: tls"));
  }
  return {};
}

Status Server::listen(const Options& options) {
  EventLoop& loop = shared_.workers.front()->loop();
  ASSIGN_OR_RETURN(listener_, Listener::listen(options.host, options.port));
  RETURN_IF_ERROR(listener_->attach(
      loop, [this](UniqueFd fd, Peer peer) { accept(std::move(fd), std::move(peer)); }));
  const WebsocketOptions& websocket = options.websocket;
  if (!websocket.enabled) {
    return {};
  }
  ASSIGN_OR_RETURN(websocket_listener_, Listener::listen(websocket.host, websocket.port));
  if (!websocket.tls.enabled) {
    logger("broker")->warn("websocket without TLS: what clients send can be read on the way");
  }
  return websocket_listener_->attach(loop, [this](UniqueFd fd, Peer peer) {
    peer.websocket = true;
    accept(std::move(fd), std::move(peer));
  });
}

// On the first loop's thread.
void Server::close_listeners() {
  listener_->close();
  if (websocket_listener_ != nullptr) {
    websocket_listener_->close();
  }
}

// On the first loop's thread. A client that is refused gets INFO and the reason in the clear, as
// from nats-server: a full server has better things to do than handshakes. Browsers understand
// nothing before theirs.
std::unique_ptr<Transport> Server::make_transport(UniqueFd fd, bool websocket, bool refused) const {
  if (!websocket) {
    if (tls_ == nullptr || refused) {
      return std::make_unique<SocketTransport>(std::move(fd));
    }
    return std::make_unique<TlsTransport>(
        *tls_, std::move(fd), clock_, TlsTransport::opening(tls_->options()));
  }
  const std::shared_ptr<const Options> options = shared_.workers.front()->options;
  std::unique_ptr<Transport> below;
  if (websocket_tls_ != nullptr) {
    const TlsTransport::Opening opening{false, false, options->websocket.handshake_timeout, {}};
    below = std::make_unique<TlsTransport>(*websocket_tls_, std::move(fd), clock_, opening);
  } else {
    below = std::make_unique<SocketTransport>(std::move(fd));
  }
  return std::make_unique<WebsocketTransport>(
      std::move(below),
      std::shared_ptr<const WebsocketOptions>(options, &options->websocket),
      clock_,
      websocket_tls_ != nullptr);
}

}  // namespace feedvault::broker
