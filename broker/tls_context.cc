#include "broker/tls_context.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/file.h"

namespace feedvault::broker {
namespace {

template <typename T, void (*kFree)(T*)>
struct Free {
  void operator()(T* object) const { kFree(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO, BIO_free_all>>;

// Files of certificates and keys are a few kilobytes; a system's authorities a few hundred.
constexpr std::size_t kFileBytesMax = 4U << 20U;

// OpenSSL's reason for what failed last on this thread; forgets all of them.
std::string openssl_reason() {
  const unsigned long error = ::ERR_peek_last_error();
  ::ERR_clear_error();
  const char* const text = ::ERR_reason_error_string(error);
  return text != nullptr ? text : "unknown error";
}

Status bad(std::string_view block, const char* key, const std::string& what) {
  return invalid_argument(fmt::format("{}: {}: {}", block, key, what));
}

Result<Memory> open_file(std::string_view block, const char* key, const std::string& path) {
  auto text = read_file(path, kFileBytesMax);
  if (!text) {
    return bad(block, key, text.error().message() + "; name a readable PEM file");
  }
  Memory memory(::BIO_new(::BIO_s_mem()));
  ::BIO_write(memory.get(), text->data(), static_cast<int>(text->size()));
  return memory;
}

// Nobody sits at the terminal of a server: an encrypted key is refused, not asked about.
int no_passphrase(char* /*into*/, int /*size*/, int /*writing*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

// Go's names of curves, which nats-server's configuration has, in OpenSSL's words.
struct Curve {
  std::string_view go;
  const char* openssl;
};
constexpr std::array<Curve, 4> kCurves{
    {{"X25519", "X25519"}, {"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"}}};

bool is_tls13_suite(const std::string& name) {
  return name.rfind("TLS_", 0) == 0 && name.find("_WITH_") == std::string::npos;
}

void append(std::string& list, const std::string& item) {
  list += (list.empty() ? "" : ":") + item;
}

}  // namespace

TlsContext::TlsContext(const TlsOptions& options)
    : options_(options), context_(::SSL_CTX_new(::TLS_server_method())) {
  CHECK(context_ != nullptr);
}

TlsContext::~TlsContext() {
  ::SSL_CTX_free(context_);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const TlsOptions& options,
                                                           std::string_view block) {
  const std::shared_ptr<TlsContext> made(new TlsContext(options));
  RETURN_IF_ERROR(made->set_rules(block));
  RETURN_IF_ERROR(made->read_files(block));
  return std::shared_ptr<const TlsContext>(made);
}

Result<std::shared_ptr<const TlsContext>> make_tls_context(const TlsOptions& options,
                                                           std::string_view block) {
  if (!options.enabled) {
    return std::shared_ptr<const TlsContext>();
  }
  return TlsContext::make(options, block);
}

Status TlsContext::set_rules(std::string_view block) {
  // Idle connections hold no record buffers; output that could not be written is offered again
  // from another place.
  ::SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Many clients just close the socket; the protocol inside has its own frames, so that a message
  // cut short is never taken for a whole one.
  ::SSL_CTX_set_options(context_,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                            SSL_OP_IGNORE_UNEXPECTED_EOF);
  ::SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context_, 0);
  ::SSL_CTX_set_min_proto_version(context_,
                                  options_.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  RETURN_IF_ERROR(set_ciphers(block));
  std::string curves;
  for (const std::string& name : options_.curve_preferences) {
    const auto* const curve = std::find_if(
        kCurves.begin(), kCurves.end(), [&](const Curve& each) { return each.go == name; });
    if (curve == kCurves.end()) {
      return bad(block,
                 "curve_preferences",
                 fmt::format("'{}' is unknown; use X25519, CurveP256, CurveP384, CurveP521", name));
    }
    append(curves, curve->openssl);
  }
  if (!curves.empty() && ::SSL_CTX_set1_groups_list(context_, curves.c_str()) != 1) {
    return bad(block, "curve_preferences", openssl_reason() + "; name each curve once");
  }
  return {};
}

// Suites of 1.2 and 1.3 are two lists to OpenSSL and one to us. As in nats-server, those of 1.3
// stay as they are where none is named.
Status TlsContext::set_ciphers(std::string_view block) {
  std::string tls12;
  std::string tls13;
  for (const std::string& name : options_.cipher_suites) {
    if (is_tls13_suite(name)) {
      append(tls13, name);
      continue;
    }
    const char* const known = ::OPENSSL_cipher_name(name.c_str());
    if (known == nullptr || std::string_view(known) == "(NONE)") {
      return bad(block,
                 "cipher_suites",
                 fmt::format("'{}' is unknown; use names such as TLS_AES_128_GCM_SHA256", name));
    }
    append(tls12, known);
  }
  if (!tls13.empty() && ::SSL_CTX_set_ciphersuites(context_, tls13.c_str()) != 1) {
    return bad(block, "cipher_suites", openssl_reason() + "; check the names of TLS 1.3");
  }
  if (!tls12.empty() && ::SSL_CTX_set_cipher_list(context_, tls12.c_str()) != 1) {
    return bad(block, "cipher_suites", openssl_reason() + "; check the names of TLS 1.2");
  }
  if (tls12.empty() && !tls13.empty()) {
    ::SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION);  // nothing was left for 1.2
  }
  return {};
}

Status TlsContext::read_files(std::string_view block) {
  ASSIGN_OR_RETURN(const Memory chain, open_file(block, "cert_file", options_.cert_file));
  const Certificate leaf(::PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr || ::SSL_CTX_use_certificate(context_, leaf.get()) != 1) {
    return bad(block,
               "cert_file",
               fmt::format("{}: {}; name a PEM file with the server's certificate first",
                           options_.cert_file,
                           openssl_reason()));
  }
  while (X509* const more = ::PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    ::SSL_CTX_add0_chain_cert(context_, more);  // takes it over
  }
  ::ERR_clear_error();  // the end of the file

  ASSIGN_OR_RETURN(const Memory secret, open_file(block, "key_file", options_.key_file));
  bool encrypted = false;
  const Key key(::PEM_read_bio_PrivateKey(secret.get(), nullptr, no_passphrase, &encrypted));
  if (key == nullptr) {
    const std::string reason = encrypted ? "the key is encrypted" : openssl_reason();
    ::ERR_clear_error();
    return bad(block,
               "key_file",
               fmt::format("{}: {}; name a PEM file with a plain private key, readable by the "
                           "broker only",
                           options_.key_file,
                           reason));
  }
  if (::SSL_CTX_use_PrivateKey(context_, key.get()) != 1) {
    ::ERR_clear_error();
    return bad(block,
               "key_file",
               fmt::format("{} is not the key of {}; name the two that belong together",
                           options_.key_file,
                           options_.cert_file));
  }
  if (!options_.verify) {
    return {};
  }
  ::SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (options_.ca_file.empty()) {
    ::SSL_CTX_set_default_verify_paths(context_);
    return {};
  }
  RETURN_IF_ERROR(open_file(block, "ca_file", options_.ca_file).status());
  STACK_OF(X509_NAME)* const names = ::SSL_load_client_CA_file(options_.ca_file.c_str());
  if (names == nullptr ||
      ::SSL_CTX_load_verify_locations(context_, options_.ca_file.c_str(), nullptr) != 1) {
    return bad(block,
               "ca_file",
               fmt::format("{}: {}; name a PEM file with the authorities' certificates",
                           options_.ca_file,
                           openssl_reason()));
  }
  ::SSL_CTX_set_client_CA_list(context_, names);  // takes it over
  return {};
}

}  // namespace feedvault::broker
