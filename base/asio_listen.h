#pragma once

#include <cstdint>
#include <string>

#include <boost/asio/ip/tcp.hpp>

#include "base/status.h"

namespace feedvault {

/// Opens `acceptor` and listens on an IP address and a port (0: any free one). kInvalidArgument for
/// what is no address, kUnavailable with the system's reason when it cannot listen there.
Status listen_on(boost::asio::ip::tcp::acceptor& acceptor,
                 const std::string& bind,
                 std::uint16_t port);

}  // namespace feedvault
