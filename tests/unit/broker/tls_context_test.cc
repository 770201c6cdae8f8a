#include "broker/tls_context.h"

#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/certificates.h"

namespace feedvault::broker {
namespace {

using feedvault::testing::CertificateAuthority;
using feedvault::testing::CertificateFiles;
using feedvault::testing::TempDir;

class TlsContextTest : public ::testing::Test {
 protected:
  TlsContextTest() : files_(authority_.issue("server")) {
    options_.enabled = true;
    options_.cert_file = files_.certificate;
    options_.key_file = files_.key;
    options_.ca_file = authority_.file();
    options_.verify = true;
  }
  std::string problem() const {
    const auto made = TlsContext::make(options_, "tls");
    return made.has_value() ? "" : made.error().message();
  }
  void expect_problem(const std::string& begin, const std::string& end) const {
    const std::string text = problem();
    EXPECT_EQ(text.rfind(begin, 0), 0U) << text;
    EXPECT_NE(text.find(end), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.file(name)) << text;
    return folder_.file(name);
  }
  static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  CertificateAuthority authority_{"authority"};
  TempDir folder_;
  CertificateFiles files_;
  TlsOptions options_;
};

TEST_F(TlsContextTest, GoodFilesAreGood) {
  EXPECT_EQ(problem(), "");
}

TEST_F(TlsContextTest, AChainMayFollowTheCertificateAndTheKeyMayBeInTheSameFile) {
  options_.cert_file = options_.key_file =
      write("all", text_of(files_.key) + text_of(files_.certificate) + text_of(authority_.file()));
  EXPECT_EQ(problem(), "");
}

TEST_F(TlsContextTest, FilesThatAreNotThereAreNamed) {
  options_.cert_file = "/nowhere/cert.pem";
  expect_problem("tls: cert_file: ", "/nowhere/cert.pem");
  options_.cert_file = files_.certificate;
  options_.key_file = "/nowhere/key.pem";
  expect_problem("tls: key_file: ", "name a readable PEM file");
  options_.key_file = files_.key;
  options_.ca_file = "/nowhere/ca.pem";
  expect_problem("tls: ca_file: ", "/nowhere/ca.pem");
}

TEST_F(TlsContextTest, FilesWithOtherContentsAreRefused) {
  const std::string text = write("text", "not a certificate\n");
  options_.cert_file = text;
  expect_problem("tls: cert_file: ", "name a PEM file");
  options_.cert_file = files_.certificate;
  options_.key_file = text;
  expect_problem("tls: key_file: ", "plain private key");
  options_.key_file = files_.key;
  options_.ca_file = text;
  expect_problem("tls: ca_file: ", "authorities' certificates");
}

TEST_F(TlsContextTest, AKeyOfAnotherCertificateIsRefused) {
  options_.key_file = authority_.issue("other").key;
  expect_problem("tls: key_file: ", "is not the key of " + files_.certificate);
}

TEST_F(TlsContextTest, AnEncryptedKeyIsRefusedWithoutAsking) {
  options_.key_file = authority_.locked_key("server");
  expect_problem("tls: key_file: ", "the key is encrypted");
}

TEST_F(TlsContextTest, SuitesAndCurvesHaveTheNamesOfNatsServer) {
  options_.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"};
  options_.curve_preferences = {"X25519", "CurveP256"};
  EXPECT_EQ(problem(), "");
  options_.curve_preferences = {"P-256"};
  expect_problem("tls: curve_preferences: 'P-256' is unknown", "CurveP256");
  options_.curve_preferences = {};
  options_.cipher_suites = {"ECDHE-RSA-AES128-GCM-SHA256"};
  expect_problem("tls: cipher_suites: 'ECDHE-RSA-AES128-GCM-SHA256' is unknown", "TLS_AES");
  options_.cipher_suites = {"TLS_AES_512_NONSENSE"};
  expect_problem("tls: cipher_suites: ", "check the names of TLS 1.3");
}

}  // namespace
}  // namespace feedvault::broker
