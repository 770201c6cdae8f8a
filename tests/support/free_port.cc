#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/loopback.h"
#include "tests/support/process.h"

namespace feedvault::testing {
namespace {

struct PortRange {
  unsigned first;
  unsigned last;
};

// Outside the ports that the kernel gives to outgoing connections: one of those could sit on a
// server's port while the server restarts.
PortRange ports_of_servers() {
  constexpr unsigned kFirst = 10'000;
  constexpr unsigned kEnough = 2'000;
  unsigned low = 32'768;
  unsigned high = 60'999;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> low >> high;
  if (low >= kFirst + kEnough) {
    return {kFirst, low - 1};
  }
  return high + kEnough <= 65'535 ? PortRange{high + 1, 65'535} : PortRange{kFirst, 65'535};
}

// An abstract socket of that name, which nobody else can have before this process ends.
UniqueFd claim(unsigned port) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "feedvault-test-port-" + std::to_string(port);
  name.copy(&address.sun_path[1], sizeof address.sun_path - 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    fd.reset();
  }
  return fd;
}

bool can_listen(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback_address(port);
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         ::listen(fd.get(), 1) == 0;
}

}  // namespace

std::uint16_t free_port() {
  static std::vector<UniqueFd> claims;
  static const PortRange range = ports_of_servers();
  static std::mt19937 random(static_cast<unsigned>(::getpid()));
  std::uniform_int_distribution<unsigned> any(range.first, range.last);
  for (int tries = 0; tries < 1'000; ++tries) {
    const unsigned port = any(random);
    UniqueFd claimed = claim(port);
    if (claimed.valid() && can_listen(static_cast<std::uint16_t>(port))) {
      claims.push_back(std::move(claimed));
      return static_cast<std::uint16_t>(port);
    }
  }
  throw std::runtime_error("no free port between " + std::to_string(range.first) + " and " +
                           std::to_string(range.last));
}

}  // namespace feedvault::testing
