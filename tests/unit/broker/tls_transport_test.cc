#include "broker/tls_transport.h"

#include <sys/socket.h>

#include <array>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "broker/limits.h"
#include "broker/monitoring.h"
#include "broker/output_queue.h"
#include "tests/support/certificates.h"

namespace feedvault::broker {
namespace {

using feedvault::testing::CertificateAuthority;
using feedvault::testing::CertificateFiles;

class SteppedClock final : public Clock {
 public:
  SteadyTime now() const override { return now_; }
  std::int64_t unix_ns() const override { return 0; }
  void advance(std::chrono::milliseconds by) { now_ += by; }

 private:
  SteadyTime now_{std::chrono::hours(1)};
};

// A transport on one end of a pair of sockets whose buffers hold next to nothing, and OpenSSL's own
// client, which does not block, on the other.
class TlsTransportTest : public ::testing::Test {
 protected:
  TlsTransportTest() : context_(::SSL_CTX_new(::TLS_client_method())) {
    options_.enabled = true;
    options_.cert_file = files_.certificate;
    options_.key_file = files_.key;
    options_.timeout = std::chrono::seconds(2);
  }
  void TearDown() override {
    ::SSL_free(client_);
    ::SSL_CTX_free(context_);
  }

  void make() {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
    const int small = 1;  // the kernel makes the least of it, a few kilobytes
    for (const int fd : pair) {
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    }
    peer_ = UniqueFd(pair[1]);
    auto context = TlsContext::make(options_, "tls");
    ASSERT_TRUE(context.has_value());
    transport_ = std::make_unique<TlsTransport>(
        **context, UniqueFd(pair[0]), clock_, TlsTransport::opening(options_));
    client_ = ::SSL_new(context_);
    ::SSL_set_fd(client_, peer_.get());
    ::SSL_set_connect_state(client_);
  }
  IoResult read() {
    std::vector<char> buffer(kReadBytes);
    const IoResult result = transport_->read(buffer.data(), buffer.size());
    received_.append(buffer.data(), result.bytes);
    return result;
  }
  IoResult write(std::string text) {
    const iovec piece{text.data(), text.size()};
    return transport_->write(&piece, 1);
  }
  // What the peer got as it is.
  std::string raw() {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(peer_.get(), buffer.data(), buffer.size(), 0);
    return {buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
  }
  // Both in turns until both are content; how many turns it took.
  int shake_hands() {
    for (int turn = 1; turn < 1000; ++turn) {
      ::ERR_clear_error();
      const int done = ::SSL_do_handshake(client_);
      EXPECT_TRUE(done == 1 || ::SSL_get_error(client_, done) != SSL_ERROR_SSL);
      EXPECT_EQ(read().state, IoState::kWouldBlock);
      if (done == 1 && transport_->handshake_deadline() == SteadyTime::max()) {
        return turn;
      }
    }
    ADD_FAILURE() << "no handshake";
    return 0;
  }
  std::string client_reads() {
    std::array<char, 65536> buffer{};
    std::string text;
    for (int got = 0; (got = ::SSL_read(client_, buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    ::ERR_clear_error();
    return text;
  }

  CertificateAuthority authority_{"authority"};
  CertificateFiles files_ = authority_.issue("server");
  SteppedClock clock_;
  TlsOptions options_;
  SSL_CTX* context_;
  SSL* client_ = nullptr;
  UniqueFd peer_;
  std::unique_ptr<TlsTransport> transport_;
  std::string received_;
  ChunkPool pool_;
};

TEST_F(TlsTransportTest, OnlyTheFirstLineGoesOutInTheClear) {
  make();
  EXPECT_EQ(write("INFO {").bytes, 6U);
  EXPECT_EQ(write("} \r\nPING\r\n").bytes, 4U);
  EXPECT_EQ(write("PING\r\n").state, IoState::kWouldBlock);
  EXPECT_TRUE(transport_->waits().write_for_input);
  EXPECT_EQ(raw(), "INFO {} \r\n");
  EXPECT_EQ(raw(), "");
  shake_hands();
  EXPECT_FALSE(transport_->waits().write_for_input);
  EXPECT_EQ(write("PING\r\n").bytes, 6U);
  EXPECT_EQ(client_reads(), "PING\r\n");
}

// A chain of certificates that does not fit the socket: the handshake has to wait for output.
TEST_F(TlsTransportTest, AHandshakeMayNotFitTheSocket) {
  feedvault::testing::TempDir folder;
  options_.cert_file = folder.file("chain.pem");
  {
    std::ofstream chain(options_.cert_file);
    chain << std::ifstream(files_.certificate).rdbuf();
    for (int i = 0; i < 40; ++i) {
      chain << std::ifstream(authority_.issue(std::to_string(i)).certificate).rdbuf();
    }
  }
  make();
  write("INFO {}\r\n");
  raw();
  ASSERT_NE(::SSL_do_handshake(client_), 1);
  EXPECT_EQ(read().state, IoState::kWouldBlock);
  EXPECT_TRUE(transport_->waits().read_for_output);
  EXPECT_GT(shake_hands(), 1);
  EXPECT_FALSE(transport_->waits().read_for_output);
  EXPECT_EQ(::SSL_write(client_, "PING\r\n", 6), 6);
  EXPECT_EQ(read().state, IoState::kDone);
  EXPECT_EQ(received_, "PING\r\n");
}

// With a queue as connections have it, and a peer that takes little at a time.
TEST_F(TlsTransportTest, ShortWritesLoseNothing) {
  make();
  write("INFO {}\r\n");
  raw();
  shake_hands();
  OutputQueue queue(pool_);
  std::mt19937 random(1);
  std::string expected;
  std::string got;
  int short_writes = 0;
  for (int i = 0; i < 400 || !queue.empty(); ++i) {
    if (i < 400) {
      const std::string text(random() % (i % 20 == 0 ? 60'000 : 500),
                             static_cast<char>('a' + i % 26));
      queue.append(text);
      expected += text;
    }
    short_writes += queue.flush(*transport_).state == IoState::kWouldBlock ? 1 : 0;
    if (random() % 3 == 0 || i >= 400) {
      got += client_reads();
    }
  }
  got += client_reads();
  EXPECT_GT(short_writes, 10);
  EXPECT_TRUE(got == expected);
}

TEST_F(TlsTransportTest, TimeEndsAHandshake) {
  make();
  EXPECT_EQ(transport_->handshake_deadline(), clock_.now() + options_.timeout);
  EXPECT_FALSE(transport_->handshake_timed_out());
  EXPECT_EQ(transport_->refusal().reason, close_reasons::kTlsHandshakeError);
  EXPECT_EQ(write("INFO {}\r\n").state, IoState::kFailed);
  EXPECT_EQ(read().state, IoState::kRefused);
}

TEST_F(TlsTransportTest, SilenceMeansInTheClearWhereThatIsAllowed) {
  options_.allow_non_tls = true;
  make();
  write("INFO {}\r\n");
  EXPECT_EQ(read().state, IoState::kWouldBlock);
  EXPECT_TRUE(transport_->handshake_timed_out());
  EXPECT_EQ(transport_->handshake_deadline(), SteadyTime::max());
  ASSERT_EQ(::send(peer_.get(), "PING\r\n", 6, 0), 6);
  EXPECT_EQ(read().state, IoState::kDone);
  EXPECT_EQ(received_, "PING\r\n");
  EXPECT_EQ(transport_->protection().tls_version, "");
}

TEST_F(TlsTransportTest, AHandshakeThatBeginsLateHasItsWholeTime) {
  options_.allow_non_tls = true;
  make();
  write("INFO {}\r\n");
  raw();
  clock_.advance(std::chrono::milliseconds(1900));
  ::SSL_do_handshake(client_);
  EXPECT_EQ(read().state, IoState::kWouldBlock);
  EXPECT_EQ(transport_->handshake_deadline(), clock_.now() + options_.timeout);
  shake_hands();
}

TEST_F(TlsTransportTest, HandshakeFirstSendsInfoInTheClearAfterSilenceOrAPlainWord) {
  options_.handshake_first = true;
  options_.handshake_first_fallback = std::chrono::milliseconds(50);
  for (const bool silent : {true, false}) {
    make();
    EXPECT_EQ(write("INFO {}\r\n").state, IoState::kWouldBlock);
    EXPECT_EQ(transport_->handshake_deadline(), clock_.now() + std::chrono::milliseconds(50));
    if (silent) {
      EXPECT_TRUE(transport_->handshake_timed_out());
    } else {
      ASSERT_EQ(::send(peer_.get(), "CONNECT {}\r\n", 12, 0), 12);
      read();
    }
    EXPECT_EQ(transport_->handshake_deadline(), clock_.now() + options_.timeout);
    EXPECT_EQ(write("INFO {}\r\n").bytes, 9U);
    EXPECT_EQ(raw(), "INFO {}\r\n");
    if (silent) {
      shake_hands();
    } else {
      EXPECT_EQ(read().state, IoState::kRefused);
      EXPECT_EQ(transport_->refusal().detail, "the client does not speak TLS");
    }
    ::SSL_free(std::exchange(client_, nullptr));
  }
}

TEST_F(TlsTransportTest, TheEndBehindDataIsAnnounced) {
  make();
  write("INFO {}\r\n");
  raw();
  shake_hands();
  EXPECT_EQ(::SSL_write(client_, "PING\r\n", 6), 6);
  ::SSL_shutdown(client_);
  EXPECT_EQ(read().state, IoState::kDone);
  EXPECT_TRUE(transport_->has_input());
  EXPECT_EQ(read().state, IoState::kEnd);
  EXPECT_EQ(write("PONG\r\n").bytes, 6U);  // the other direction is still open
  EXPECT_EQ(client_reads(), "PONG\r\n");
}

}  // namespace
}  // namespace feedvault::broker
