#include "base/asio_listen.h"

#include <boost/asio/ip/v6_only.hpp>
#include <fmt/format.h>

namespace feedvault {

Status listen_on(boost::asio::ip::tcp::acceptor& acceptor,
                 const std::string& bind,
                 std::uint16_t port) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(bind, error);
  if (error) {
    return invalid_argument(fmt::format("'{}' is not an IP address to listen on", bind));
  }
  const boost::asio::ip::tcp::endpoint endpoint(address, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) {
    acceptor.set_option(boost::asio::socket_base::reuse_address(true), error);
  }
  if (!error && address.is_v6() && address.is_unspecified()) {
    acceptor.set_option(boost::asio::ip::v6_only(false), error);  // whatever the system's default
  }
  if (!error) {
    acceptor.bind(endpoint, error);
  }
  if (!error) {
    acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return unavailable(fmt::format("cannot listen on {}:{}: {}", bind, port, error.message()));
  }
  return {};
}

}  // namespace feedvault
