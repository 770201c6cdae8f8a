#include "broker/tls_transport.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "base/check.h"
#include "broker/limits.h"
#include "broker/monitoring.h"

namespace feedvault::broker {
namespace {

constexpr std::size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;
constexpr std::size_t kEncryptedRecordBytes = SSL3_RT_MAX_ENCRYPTED_LENGTH + SSL3_RT_HEADER_LENGTH;
static_assert(kTlsReadBytesMin >= 2 * kEncryptedRecordBytes);
static_assert(kReadBytes >= kTlsReadBytesMin);
constexpr char kHandshakeRecord = 0x16;

// What a thread's connections share while one of them reads or writes; nothing stays in it.
struct Scratch {
  std::array<char, kReadBytes> received;
  std::array<char, kRecordBytes> joined;
};

// On the heap: the C library fills thread-local storage with zeros when a thread begins, so that
// all threads would keep these pages, those without TLS, too.
Scratch& scratch() {
  thread_local const std::unique_ptr<Scratch> mine(new Scratch);
  return *mine;
}

std::string last_error() {
  const unsigned long error = ::ERR_peek_error();
  ::ERR_clear_error();
  switch (::ERR_GET_REASON(error)) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:  // "CONNE..."
    case SSL_R_WRONG_VERSION_NUMBER:
      return "the client does not speak TLS";
    default:
      break;
  }
  const char* const text = ::ERR_reason_error_string(error);
  return text != nullptr ? text : "unknown error";
}

}  // namespace

// The socket as OpenSSL sees it: reads come out of what the transport has received already, writes
// go to the socket without SIGPIPE.
struct TlsBio {
  static int read(BIO* bio, char* into, int size) {
    auto& transport = *static_cast<TlsTransport*>(::BIO_get_data(bio));
    ::BIO_clear_retry_flags(bio);
    std::string_view& fed = transport.fed_;
    if (fed.empty()) {
      ::BIO_set_retry_read(bio);
      return -1;
    }
    const std::size_t taken = std::min(fed.size(), static_cast<std::size_t>(std::max(size, 0)));
    std::memcpy(into, fed.data(), taken);
    fed.remove_prefix(taken);
    return static_cast<int>(taken);
  }

  static int write(BIO* bio, const char* bytes, int size) {
    auto& transport = *static_cast<TlsTransport*>(::BIO_get_data(bio));
    ::BIO_clear_retry_flags(bio);
    const ssize_t sent =
        ::send(transport.fd(), bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
      ::BIO_set_retry_write(bio);
    }
    return static_cast<int>(sent);
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static int create(BIO* bio) {
    ::BIO_set_init(bio, 1);
    return 1;
  }

  static const BIO_METHOD* method() {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* const made = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
      ::BIO_meth_set_read(made, read);
      ::BIO_meth_set_write(made, write);
      ::BIO_meth_set_ctrl(made, control);
      ::BIO_meth_set_create(made, create);
      return made;  // lives as long as the process
    }();
    return method;
  }
};

TlsTransport::Opening TlsTransport::opening(const TlsOptions& options) {
  return {!options.handshake_first,
          options.allow_non_tls,
          options.timeout,
          options.handshake_first ? options.handshake_first_fallback : std::chrono::nanoseconds(0)};
}

TlsTransport::TlsTransport(const TlsContext& context,
                           UniqueFd fd,
                           const Clock& clock,
                           const Opening& opening)
    : socket_(std::move(fd)),
      clock_(clock),
      ssl_(::SSL_new(context.native())),
      opening_(opening),
      deadline_(clock.now() + (opening.fallback.count() > 0 ? opening.fallback : opening.timeout)),
      state_(opening.info_first             ? State::kInfo
             : opening.fallback.count() > 0 ? State::kChoose
                                            : State::kHandshake) {
  CHECK(ssl_ != nullptr);
  BIO* const bio = ::BIO_new(TlsBio::method());
  CHECK(bio != nullptr);
  ::BIO_set_data(bio, this);
  ::SSL_set_bio(ssl_, bio, bio);  // takes it over
  ::SSL_set_accept_state(ssl_);
}

TlsTransport::~TlsTransport() {
  ::SSL_free(ssl_);
}

void TlsTransport::begin_handshake() {
  state_ = State::kHandshake;
  deadline_ = clock_.now() + opening_.timeout;
}

IoWaits TlsTransport::waits() const {
  switch (state_) {
    case State::kChoose:
      return {false, true};
    case State::kHandshake:
      return {shaking_waits_for_output_, true};
    case State::kSecure:
      return {shaking_waits_for_output_, write_waits_for_input_};
    case State::kInfo:
    case State::kPlain:
    case State::kFailed:
      break;
  }
  return {};
}

bool TlsTransport::handshake_timed_out() {
  if (state_ == State::kChoose && !opening_.info_first) {
    opening_.info_first = true;
    state_ = State::kInfo;
    deadline_ = clock_.now() + opening_.timeout;
    return true;
  }
  if (state_ == State::kChoose) {  // silent so far, so it is not waiting for us to begin TLS
    state_ = State::kPlain;
    deadline_ = SteadyTime::max();
    return true;
  }
  fail("TLS handshake timeout");
  return false;
}

Protection TlsTransport::protection() const {
  if (state_ != State::kSecure) {
    return {};
  }
  const char* const suite = ::SSL_CIPHER_standard_name(::SSL_get_current_cipher(ssl_));
  return {::SSL_version(ssl_) == TLS1_3_VERSION ? "1.3" : "1.2", suite != nullptr ? suite : ""};
}

IoResult TlsTransport::fail(std::string why) {
  if (const long verified = ::SSL_get_verify_result(ssl_); verified != X509_V_OK) {
    why += fmt::format(" ({})", ::X509_verify_cert_error_string(verified));
  }
  refusal_ = {
      state_ == State::kSecure ? close_reasons::kReadError : close_reasons::kTlsHandshakeError,
      std::move(why)};
  state_ = State::kFailed;
  return {IoState::kRefused, 0, 0};
}

// --- reading ---

IoResult TlsTransport::read(char* into, std::size_t size) {
  if (write_shut_ || state_ == State::kPlain) {
    return socket_.read(into, size);  // what comes after our farewell nobody wants to understand
  }
  if (state_ == State::kChoose) {
    const IoResult chosen = choose();
    if (chosen.state != IoState::kDone) {
      return chosen;
    }
  }
  switch (state_) {
    case State::kPlain:
      return socket_.read(into, size);
    case State::kHandshake:
    case State::kSecure:
      return receive(into, size);
    case State::kFailed:
      return {IoState::kRefused, 0, 0};
    case State::kInfo:
    case State::kChoose:
      break;
  }
  return {IoState::kWouldBlock, 0, 0};
}

// Looks at the first byte: TLS begins with a handshake record, and nothing of NATS looks like one.
IoResult TlsTransport::choose() {
  char first = 0;
  const ssize_t got = ::recv(fd(), &first, 1, MSG_PEEK);
  if (got == 0) {
    return {IoState::kEnd, 0, 0};
  }
  if (got < 0) {
    return errno == EAGAIN || errno == EINTR ? IoResult{IoState::kWouldBlock, 0, 0}
                                             : IoResult{IoState::kFailed, 0, errno};
  }
  if (first == kHandshakeRecord) {
    begin_handshake();
  } else if (!opening_.info_first) {
    handshake_timed_out();  // it speaks before INFO and not TLS: it shall have INFO first
  } else {
    state_ = State::kPlain;
    deadline_ = SteadyTime::max();
  }
  return {};
}

// Receives so much that its plain text surely has room, with what may be in OpenSSL of a record
// that is not complete: then OpenSSL takes all of it, and nothing is left that epoll does not know
// of.
IoResult TlsTransport::receive(char* into, std::size_t size) {
  CHECK(size >= kTlsReadBytesMin);
  if (ended_ != IoState::kDone) {
    return {ended_, 0, 0};
  }
  Scratch& shared = scratch();
  const std::size_t room = std::min(size, shared.received.size()) - kEncryptedRecordBytes;
  std::string kept = std::exchange(kept_, {});
  if (!kept.empty()) {
    fed_ = kept;
  } else {
    const IoResult got = socket_.read(shared.received.data(), room);
    if (got.state == IoState::kEnd && state_ == State::kHandshake) {
      return fail("the client closed during the TLS handshake");
    }
    if (got.state != IoState::kDone &&
        !(shaking_waits_for_output_ && got.bytes == 0 && got.state == IoState::kWouldBlock)) {
      return got;
    }
    fed_ = {shared.received.data(), got.bytes};
  }
  IoResult result = state_ == State::kHandshake ? shake_hands() : IoResult();
  if (state_ == State::kSecure) {
    result = decrypt(into, size);
  }
  if (state_ != State::kFailed) {
    kept_ = fed_;
  }
  fed_ = {};
  return result;
}

IoResult TlsTransport::shake_hands() {
  ::ERR_clear_error();
  const int done = ::SSL_do_handshake(ssl_);
  const int error = ::SSL_get_error(ssl_, done);
  shaking_waits_for_output_ = error == SSL_ERROR_WANT_WRITE;
  if (done == 1) {
    state_ = State::kSecure;
    deadline_ = SteadyTime::max();
    return {};
  }
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    return {IoState::kWouldBlock, 0, 0};
  }
  return fail(error == SSL_ERROR_SYSCALL ? "the connection broke during the TLS handshake"
                                         : last_error());
}

IoResult TlsTransport::decrypt(char* into, std::size_t size) {
  std::size_t total = 0;
  while (total < size) {
    ::ERR_clear_error();
    std::size_t got = 0;
    const int done = ::SSL_read_ex(ssl_, into + total, size - total, &got);
    if (done == 1) {
      total += got;
      continue;
    }
    const int error = ::SSL_get_error(ssl_, done);
    shaking_waits_for_output_ = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      write_waits_for_input_ = false;  // there was some
    } else if (error == SSL_ERROR_ZERO_RETURN) {
      ended_ = IoState::kEnd;
    } else {
      ended_ = fail(last_error()).state;
    }
    break;
  }
  if (total > 0) {
    return {IoState::kDone, total, 0};
  }
  return {ended_ == IoState::kDone ? IoState::kWouldBlock : ended_, 0, 0};
}

// --- writing ---

IoResult TlsTransport::write(const iovec* pieces, std::size_t count) {
  switch (state_) {
    case State::kInfo:
      return write_info(pieces, count);
    case State::kSecure:
      return encrypt(pieces, count);
    case State::kPlain:
      return socket_.write(pieces, count);
    case State::kFailed:
      return {IoState::kFailed, 0, EPIPE};
    case State::kChoose:
    case State::kHandshake:
      break;
  }
  return {IoState::kWouldBlock, 0, 0};
}

// The first line in the clear; all else waits for the handshake.
IoResult TlsTransport::write_info(const iovec* pieces, std::size_t count) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto* const bytes = static_cast<const char*>(pieces[i].iov_base);
    const void* const end = std::memchr(bytes, '\n', pieces[i].iov_len);
    const std::size_t wanted =
        end != nullptr ? static_cast<std::size_t>(static_cast<const char*>(end) - bytes) + 1
                       : pieces[i].iov_len;
    const iovec piece{pieces[i].iov_base, wanted};
    const IoResult result = socket_.write(&piece, 1);
    total += result.bytes;
    if (result.state != IoState::kDone || result.bytes < wanted) {
      return total > 0 ? IoResult{IoState::kDone, total, 0} : result;
    }
    if (end != nullptr) {
      state_ = opening_.allow_plain ? State::kChoose : State::kHandshake;
      break;
    }
  }
  return {IoState::kDone, total, 0};
}

// One record a round: a large piece as it lies, small ones joined. A record that OpenSSL could not
// send whole is offered again with exactly its bytes.
IoResult TlsTransport::encrypt(const iovec* pieces, std::size_t count) {
  std::size_t total = 0;
  std::size_t piece = 0;
  std::size_t offset = 0;  // in that piece
  while (piece < count) {
    const char* at = static_cast<const char*>(pieces[piece].iov_base) + offset;
    std::size_t size = pieces[piece].iov_len - offset;
    const std::size_t wanted = unfinished_record_ > 0 ? unfinished_record_ : kRecordBytes;
    if (size < wanted && piece + 1 < count) {
      char* const joined = scratch().joined.data();
      size = 0;
      for (std::size_t i = piece, skip = offset; i < count && size < wanted; ++i, skip = 0) {
        const std::size_t more = std::min(pieces[i].iov_len - skip, wanted - size);
        std::memcpy(joined + size, static_cast<const char*>(pieces[i].iov_base) + skip, more);
        size += more;
      }
      at = joined;
    }
    size = std::min(size, wanted);
    CHECK(unfinished_record_ == 0 || size == unfinished_record_);
    const int error = size > 0 ? write_record(at, size) : SSL_ERROR_NONE;
    if (error != SSL_ERROR_NONE) {
      if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) {
        fail(error == SSL_ERROR_SYSCALL ? "the connection broke" : last_error());
        return {IoState::kFailed, total, EPIPE};
      }
      return {total > 0 ? IoState::kDone : IoState::kWouldBlock, total, 0};
    }
    total += size;
    for (std::size_t left = size; piece < count;) {
      const std::size_t here = std::min(left, pieces[piece].iov_len - offset);
      left -= here;
      offset += here;
      if (offset < pieces[piece].iov_len) {
        break;
      }
      ++piece;
      offset = 0;
    }
  }
  return {total > 0 ? IoState::kDone : IoState::kWouldBlock, total, 0};
}

int TlsTransport::write_record(const char* bytes, std::size_t size) {
  ::ERR_clear_error();
  std::size_t written = 0;
  const int done = ::SSL_write_ex(ssl_, bytes, size, &written);
  if (done == 1) {
    CHECK(written == size);
    unfinished_record_ = 0;
    write_waits_for_input_ = false;
    return SSL_ERROR_NONE;
  }
  const int error = ::SSL_get_error(ssl_, done);
  unfinished_record_ = size;
  write_waits_for_input_ = error == SSL_ERROR_WANT_READ;
  return error;
}

void TlsTransport::shut_write(std::string_view reason) {
  if (state_ == State::kSecure && unfinished_record_ == 0 && !write_shut_) {
    ::ERR_clear_error();
    ::SSL_shutdown(ssl_);  // close_notify, if the socket takes it
    ::ERR_clear_error();
  }
  write_shut_ = true;
  socket_.shut_write(reason);
}

}  // namespace feedvault::broker
