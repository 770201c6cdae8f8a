#pragma once

#include <string>
#include <string_view>

#include "tests/integration/broker/byte_reader.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/support/certificates.h"

struct ssl_ctx_st;
struct ssl_st;
struct bio_st;

namespace feedvault::broker::testing {

/// TLS in OpenSSL's memory between a test and its RawClient, so that the test decides which bytes
/// leave when. One thread.
class TlsClient final : public ByteReader {
 public:
  struct Options {
    std::string ca_file;                            // empty: any server is trusted
    feedvault::testing::CertificateFiles identity;  // empty: none
    bool tls12 = false;
  };
  /// Over `raw`, whose INFO has been read. `raw` must outlive this.
  TlsClient(RawClient& raw, const Options& options);
  ~TlsClient() override;

  /// Sends what it sends in pieces of `piece` bytes. False when either side is not content; error()
  /// says why. With TLS 1.3 the server's refusal only shows at the first receive.
  bool shake_hands(std::size_t piece = SIZE_MAX);
  /// What the client says first, instead of shake_hands().
  std::string hello();

  /// One record of plain text at most 16 KB, or several; in pieces of `piece` bytes.
  bool send(std::string_view text, std::size_t piece = SIZE_MAX);
  /// Asks for new keys in the middle of everything (TLS 1.3).
  bool update_keys();
  void close_notify();
  bool verified() const;
  std::string server_name() const;  // its certificate's common name
  const std::string& error() const { return error_; }

 private:
  bool flush(std::size_t piece);
  bool receive_more(std::string& into, Deadline deadline) override;
  bool closed_properly() const override { return error_ == "close_notify"; }
  bool feed(Deadline deadline);

  RawClient& raw_;
  ssl_ctx_st* context_;
  ssl_st* ssl_;
  bio_st* in_;   // owned by ssl_
  bio_st* out_;  // owned by ssl_
  std::string error_;
};

}  // namespace feedvault::broker::testing
