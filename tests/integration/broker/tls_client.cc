#include "tests/integration/broker/tls_client.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace feedvault::broker::testing {
namespace {

void require(bool done, const char* what) {
  if (!done) {
    throw std::runtime_error(std::string("tls client: ") + what);
  }
}

}  // namespace

TlsClient::TlsClient(RawClient& raw, const Options& options)
    : raw_(raw),
      context_(::SSL_CTX_new(::TLS_client_method())),
      ssl_(nullptr),
      in_(::BIO_new(::BIO_s_mem())),
      out_(::BIO_new(::BIO_s_mem())) {
  if (options.tls12) {
    ::SSL_CTX_set_max_proto_version(context_, TLS1_2_VERSION);
  }
  if (!options.ca_file.empty()) {
    require(::SSL_CTX_load_verify_locations(context_, options.ca_file.c_str(), nullptr) == 1,
            "ca file");
    ::SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  }
  if (!options.identity.certificate.empty()) {
    require(
        ::SSL_CTX_use_certificate_chain_file(context_, options.identity.certificate.c_str()) == 1 &&
            ::SSL_CTX_use_PrivateKey_file(
                context_, options.identity.key.c_str(), SSL_FILETYPE_PEM) == 1,
        "identity");
  }
  ssl_ = ::SSL_new(context_);
  ::BIO_set_mem_eof_return(in_, -1);
  ::SSL_set_bio(ssl_, in_, out_);
  ::SSL_set_connect_state(ssl_);
}

TlsClient::~TlsClient() {
  ::SSL_free(ssl_);
  ::SSL_CTX_free(context_);
}

bool TlsClient::flush(std::size_t piece) {
  std::array<char, 65536> buffer;
  std::string all;
  for (int got = 0; (got = ::BIO_read(out_, buffer.data(), static_cast<int>(buffer.size()))) > 0;) {
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
  for (std::size_t at = 0; at < all.size(); at += std::min(piece, all.size() - at)) {
    if (!raw_.send(std::string_view(all).substr(at, piece))) {
      return false;
    }
  }
  return true;
}

bool TlsClient::feed(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  const std::string got = raw_.receive_some(std::max(left, std::chrono::milliseconds(0)));
  if (got.empty()) {
    error_ = raw_.ended() ? "closed" : "silent";
    return false;
  }
  return ::BIO_write(in_, got.data(), static_cast<int>(got.size())) > 0;
}

bool TlsClient::shake_hands(std::size_t piece) {
  const Deadline deadline = in(std::chrono::seconds(10));
  for (;;) {
    ::ERR_clear_error();
    const int done = ::SSL_do_handshake(ssl_);
    const int error = ::SSL_get_error(ssl_, done);
    if (!flush(piece)) {
      return false;
    }
    if (done == 1) {
      return true;
    }
    if (error != SSL_ERROR_WANT_READ) {
      const char* const text = ::ERR_reason_error_string(::ERR_peek_error());
      error_ = text != nullptr ? text : "handshake failed";
      return false;
    }
    if (!feed(deadline)) {
      return false;
    }
  }
}

std::string TlsClient::hello() {
  ::SSL_do_handshake(ssl_);
  std::string text(static_cast<std::size_t>(BIO_pending(out_)), '\0');
  ::BIO_read(out_, text.data(), static_cast<int>(text.size()));
  return text;
}

bool TlsClient::send(std::string_view text, std::size_t piece) {
  ::ERR_clear_error();
  std::size_t written = 0;
  return ::SSL_write_ex(ssl_, text.data(), text.size(), &written) == 1 && flush(piece);
}

bool TlsClient::receive_more(std::string& into, Deadline deadline) {
  std::array<char, 65536> buffer;
  for (;;) {
    ::ERR_clear_error();
    std::size_t got = 0;
    const int done = ::SSL_read_ex(ssl_, buffer.data(), buffer.size(), &got);
    if (done == 1) {
      into.append(buffer.data(), got);
      return true;
    }
    const int error = ::SSL_get_error(ssl_, done);
    if (error == SSL_ERROR_ZERO_RETURN) {
      error_ = "close_notify";
      return false;
    }
    if (error != SSL_ERROR_WANT_READ) {
      const char* const text = ::ERR_reason_error_string(::ERR_peek_error());
      error_ = text != nullptr ? text : "broken";
      return false;
    }
    if (!feed(deadline)) {
      return false;
    }
  }
}

bool TlsClient::update_keys() {
  return ::SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) == 1;
}

void TlsClient::close_notify() {
  ::SSL_shutdown(ssl_);
  flush(SIZE_MAX);
}

bool TlsClient::verified() const {
  return ::SSL_get_verify_result(ssl_) == X509_V_OK;
}

std::string TlsClient::server_name() const {
  X509* const certificate = ::SSL_get1_peer_certificate(ssl_);
  if (certificate == nullptr) {
    return "";
  }
  std::array<char, 256> name{};
  ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate),
                              NID_commonName,
                              name.data(),
                              static_cast<int>(name.size()));
  ::X509_free(certificate);
  return name.data();
}

}  // namespace feedvault::broker::testing
