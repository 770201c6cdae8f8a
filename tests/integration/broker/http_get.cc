#include "tests/integration/broker/http_get.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "base/unique_fd.h"

namespace feedvault::broker::testing {

HttpAnswer http_get(std::uint16_t port, const std::string& target) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  // HTTP/1.0: the answer ends with the connection, and comes in one piece.
  const std::string request = "GET " + target + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return {};
  }
  std::string text;
  std::array<char, 65536> buffer;
  for (ssize_t got = 0; (got = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  const std::size_t head_end = text.find("\r\n\r\n");
  if (text.size() < 12 || head_end == std::string::npos) {
    return {};
  }
  HttpAnswer answer;
  answer.status = std::atoi(text.c_str() + 9);
  answer.body = text.substr(head_end + 4);
  const std::string_view name = "Content-Type: ";
  if (const std::size_t at = text.find(name); at < head_end) {
    answer.content_type = text.substr(at + name.size(), text.find("\r\n", at) - at - name.size());
  }
  return answer;
}

}  // namespace feedvault::broker::testing
