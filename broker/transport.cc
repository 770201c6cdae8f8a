#include "broker/transport.h"

#include <sys/socket.h>

#include <cerrno>

namespace feedvault::broker {
namespace {

IoResult failure() {
  if (errno == EAGAIN || errno == EINTR) {
    return {IoState::kWouldBlock, 0, 0};
  }
  return {IoState::kFailed, 0, errno};
}

}  // namespace

IoResult SocketTransport::read(char* into, std::size_t size) {
  const ssize_t got = ::recv(fd_.get(), into, size, 0);
  if (got > 0) {
    return {IoState::kDone, static_cast<std::size_t>(got), 0};
  }
  return got == 0 ? IoResult{IoState::kEnd, 0, 0} : failure();
}

IoResult SocketTransport::write(const iovec* pieces, std::size_t count) {
  ssize_t sent = 0;
  if (count == 1) {
    sent = ::send(fd_.get(), pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
  } else {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);  // sendmsg does not change them
    message.msg_iovlen = count;
    sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  }
  return sent >= 0 ? IoResult{IoState::kDone, static_cast<std::size_t>(sent), 0} : failure();
}

void SocketTransport::shut_write(std::string_view /*reason*/) {
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace feedvault::broker
