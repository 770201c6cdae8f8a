#include "tests/support/certificates.h"

#include <cstdio>
#include <memory>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace feedvault::testing {
namespace {

void require(bool done, const char* what) {
  if (!done) {
    throw std::runtime_error(std::string("certificates: ") + what);
  }
}

void add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const made = ::X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  require(made != nullptr && ::X509_add_ext(certificate, made, -1) == 1, value);
  ::X509_EXTENSION_free(made);
}

void set_name(X509_NAME* subject, const std::string& name) {
  require(::X509_NAME_add_entry_by_txt(subject,
                                       "CN",
                                       MBSTRING_ASC,
                                       reinterpret_cast<const unsigned char*>(name.c_str()),
                                       -1,
                                       -1,
                                       0) == 1,
          "name");
}

// Not signed yet.
X509* draft(const std::string& name, long serial, EVP_PKEY* key) {
  require(key != nullptr, "key");
  X509* const made = ::X509_new();
  ::X509_set_version(made, 2);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(made), serial);
  ::X509_gmtime_adj(::X509_getm_notBefore(made), -3600);
  ::X509_gmtime_adj(::X509_getm_notAfter(made), 86400);
  ::X509_set_pubkey(made, key);
  set_name(::X509_get_subject_name(made), name);
  return made;
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

void write_certificate(const std::string& path, X509* certificate) {
  const File file(std::fopen(path.c_str(), "w"), std::fclose);
  require(file != nullptr && ::PEM_write_X509(file.get(), certificate) == 1, path.c_str());
}

}  // namespace

CertificateAuthority::CertificateAuthority(const std::string& name)
    : name_(name), key_(::EVP_EC_gen("P-256")), certificate_(draft(name, 1, key_)) {
  set_name(::X509_get_issuer_name(certificate_), name);
  add_extension(certificate_, certificate_, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate_, certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
  require(::X509_sign(certificate_, key_, ::EVP_sha256()) > 0, "signature");
  write_certificate(file(), certificate_);
}

CertificateAuthority::~CertificateAuthority() {
  ::X509_free(certificate_);
  ::EVP_PKEY_free(key_);
}

CertificateFiles CertificateAuthority::issue(const std::string& name) {
  EVP_PKEY* const key = ::EVP_EC_gen("P-256");
  X509* const certificate = draft(name, next_serial_++, key);
  set_name(::X509_get_issuer_name(certificate), name_);
  add_extension(
      certificate, certificate_, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
  require(::X509_sign(certificate, key_, ::EVP_sha256()) > 0, "signature");
  CertificateFiles files{folder_.file(name + ".pem"), folder_.file(name + ".key")};
  write_certificate(files.certificate, certificate);
  {
    const File file(std::fopen(files.key.c_str(), "w"), std::fclose);
    require(file != nullptr &&
                ::PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
            "key file");
  }
  ::X509_free(certificate);
  ::EVP_PKEY_free(key);
  return files;
}

std::string CertificateAuthority::locked_key(const std::string& name) {
  EVP_PKEY* const key = ::EVP_EC_gen("P-256");
  std::string path = folder_.file(name + ".locked");
  const File file(std::fopen(path.c_str(), "w"), std::fclose);
  const std::string secret = "passphrase";
  require(file != nullptr &&
              ::PEM_write_PrivateKey(file.get(),
                                     key,
                                     ::EVP_aes_128_cbc(),
                                     reinterpret_cast<const unsigned char*>(secret.data()),
                                     static_cast<int>(secret.size()),
                                     nullptr,
                                     nullptr) == 1,
          "locked key");
  ::EVP_PKEY_free(key);
  return path;
}

}  // namespace feedvault::testing
