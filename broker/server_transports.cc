// What carries a new connection's bytes: the socket, and what its listener puts around it.

#include "broker/server.h"
#include "broker/tls_transport.h"

namespace feedvault::broker {

// On the first loop's thread. A client that is refused gets INFO and the reason in the clear, as
// from nats-server: a full server has better things to do than handshakes.
std::unique_ptr<Transport> Server::make_transport(UniqueFd fd, bool refused) const {
  if (tls_ == nullptr || refused) {
    return std::make_unique<SocketTransport>(std::move(fd));
  }
  return std::make_unique<TlsTransport>(
      *tls_, std::move(fd), clock_, TlsTransport::opening(tls_->options()));
}

}  // namespace feedvault::broker
