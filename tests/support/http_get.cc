#include "tests/support/http_get.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "tests/support/loopback.h"

namespace feedvault::testing {

HttpAnswer http_get(std::uint16_t port, const std::string& target, std::chrono::seconds patience) {
  const UniqueFd fd = connect_loopback(port);
  if (!fd.valid()) {
    return {};
  }
  const timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
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

}  // namespace feedvault::testing
