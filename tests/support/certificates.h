#pragma once

#include <string>

#include "tests/support/process.h"

struct evp_pkey_st;
struct x509_st;

namespace feedvault::testing {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

/// An authority of the test's own: makes certificates for this machine's loopback, valid for a day,
/// as PEM files that go with it. Throws std::runtime_error.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  /// Its own certificate.
  std::string file() const { return folder_.file("authority.pem"); }
  /// A new key and a certificate for it with this common name, in files of that name.
  CertificateFiles issue(const std::string& name);
  /// Only a key, in a file that wants a passphrase.
  std::string locked_key(const std::string& name);

 private:
  TempDir folder_;
  std::string name_;
  evp_pkey_st* key_;
  x509_st* certificate_;
  long next_serial_ = 2;
};

}  // namespace feedvault::testing
