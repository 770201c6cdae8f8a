#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "broker/options.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace feedvault::broker {

/// Certificate, key and rules of a TLS listener, read from files once and shared by the transports
/// made with it, which may outlive it. Immutable; any thread.
///
/// There is no session resumption: every connection shows its certificate again, so that a changed
/// authority counts for all new ones.
class TlsContext {
 public:
  /// Reads the files. An error is one line that names `block` ("tls", "websocket: tls"), the key
  /// and the remedy: kInvalidArgument.
  static Result<std::shared_ptr<const TlsContext>> make(const TlsOptions& options,
                                                        std::string_view block);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  const TlsOptions& options() const { return options_; }
  ssl_ctx_st* native() const { return context_; }

 private:
  explicit TlsContext(const TlsOptions& options);
  Status read_files(std::string_view block);
  Status set_rules(std::string_view block);
  Status set_ciphers(std::string_view block);

  TlsOptions options_;
  ssl_ctx_st* context_;
};

/// The same for a listener that may have none: null where TLS is off.
Result<std::shared_ptr<const TlsContext>> make_tls_context(const TlsOptions& options,
                                                           std::string_view block);

}  // namespace feedvault::broker
