// TLS with the broker as a program, and nats.c as a client that knows nothing of us.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nats/nats.h>

#include "tests/support/certificates.h"
#include "tests/support/process.h"

// nats.c loses OpenSSL's objects when a broker dies in the middle of a handshake. The broker of
// these tests is a process of its own, so nothing of ours is passed over.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libcrypto.so\n";
}

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::accepts_connections;
using feedvault::testing::built_program;
using feedvault::testing::CertificateAuthority;
using feedvault::testing::CertificateFiles;
using feedvault::testing::eventually;
using feedvault::testing::free_port;
using feedvault::testing::Process;
using feedvault::testing::TempDir;

class TlsProgram : public ::testing::Test {
 protected:
  std::string configuration(const CertificateFiles& files, const std::string& more = "") const {
    return fmt::format(
        "listen: \"127.0.0.1:{}\"\ntls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\" {} "
        "}}\n",
        port_,
        files.certificate,
        files.key,
        authority_.file(),
        more);
  }
  void write(const std::string& text) const { std::ofstream(folder_.file("nats.conf")) << text; }
  std::unique_ptr<Process> start(std::vector<std::string> more = {}) {
    std::vector<std::string> command = {
        built_program("feedvault-broker"), "-c", folder_.file("nats.conf")};
    command.insert(command.end(), more.begin(), more.end());
    auto process = std::make_unique<Process>(
        Process::Options{command, {}, folder_.file("output"), folder_.path()});
    EXPECT_TRUE(eventually([&] { return accepts_connections(port_); })) << process->output();
    return process;
  }
  std::string url() const { return "tls://127.0.0.1:" + std::to_string(port_); }

  TempDir folder_;
  CertificateAuthority authority_{"authority"};
  CertificateFiles server_ = authority_.issue("server");
  std::uint16_t port_ = free_port();
};

struct Natsc {
  natsOptions* options = nullptr;
  natsConnection* connection = nullptr;

  Natsc(const std::string& url, const std::string& ca_file) {
    EXPECT_EQ(natsOptions_Create(&options), NATS_OK);
    natsOptions_SetURL(options, url.c_str());
    natsOptions_SetTimeout(options, 5000);
    natsOptions_SetReconnectWait(options, 50);
    natsOptions_SetAllowReconnect(options, true);
    if (!ca_file.empty()) {
      EXPECT_EQ(natsOptions_SetSecure(options, true), NATS_OK);
      EXPECT_EQ(natsOptions_LoadCATrustedCertificates(options, ca_file.c_str()), NATS_OK);
      EXPECT_EQ(natsOptions_SetExpectedHostname(options, "localhost"), NATS_OK);
    }
  }
  natsStatus connect() { return natsConnection_Connect(&connection, options); }
  ~Natsc() {
    natsConnection_Destroy(connection);
    natsOptions_Destroy(options);
  }
  Natsc(const Natsc&) = delete;
  Natsc& operator=(const Natsc&) = delete;
};

// One message there and back.
void expect_exchange(natsConnection* connection, const std::string& body) {
  natsSubscription* subscription = nullptr;
  ASSERT_EQ(natsConnection_SubscribeSync(&subscription, connection, "tls.data"), NATS_OK);
  ASSERT_EQ(
      natsConnection_Publish(connection, "tls.data", body.data(), static_cast<int>(body.size())),
      NATS_OK);
  natsMsg* got = nullptr;
  EXPECT_EQ(natsSubscription_NextMsg(&got, subscription, 5000), NATS_OK);
  if (got != nullptr) {
    const std::string text(natsMsg_GetData(got),
                           static_cast<std::size_t>(natsMsg_GetDataLength(got)));
    EXPECT_TRUE(text == body);
  }
  natsMsg_Destroy(got);
  natsSubscription_Destroy(subscription);
}

TEST_F(TlsProgram, NatsCExchangesAMegabyte) {
  write(configuration(server_));
  auto broker = start();
  Natsc client(url(), authority_.file());
  ASSERT_EQ(client.connect(), NATS_OK);
  expect_exchange(client.connection, "small");
  expect_exchange(client.connection, std::string(1U << 20U, 'm'));
}

TEST_F(TlsProgram, NatsCShowsItsCertificate) {
  write(configuration(server_, ", verify: true"));
  auto broker = start();
  const CertificateFiles files = authority_.issue("client");
  Natsc good(url(), authority_.file());
  ASSERT_EQ(
      natsOptions_LoadCertificatesChain(good.options, files.certificate.c_str(), files.key.c_str()),
      NATS_OK);
  ASSERT_EQ(good.connect(), NATS_OK);
  expect_exchange(good.connection, "with a certificate");
  Natsc bad(url(), authority_.file());
  EXPECT_NE(bad.connect(), NATS_OK);
}

TEST_F(TlsProgram, NatsCRefusesAServerOfAnotherAuthority) {
  write(configuration(server_));
  auto broker = start();
  CertificateAuthority stranger("stranger");
  Natsc client(url(), stranger.file());
  EXPECT_EQ(client.connect(), NATS_SSL_ERROR);
}

TEST_F(TlsProgram, NatsCInTheClearIsServedOnlyWhereThatIsAllowed) {
  write(configuration(server_));
  auto broker = start();
  const std::string plain = "nats://127.0.0.1:" + std::to_string(port_);
  {
    Natsc client(plain, "");
    EXPECT_EQ(client.connect(), NATS_SSL_ERROR);  // it turns to TLS, and trusts nobody
  }
  broker->kill_hard();
  write(configuration(server_) + "allow_non_tls: true\n");
  broker = start();
  Natsc client(plain, "");
  ASSERT_EQ(client.connect(), NATS_OK);
  expect_exchange(client.connection, "in the clear");
}

TEST_F(TlsProgram, NatsCReconnectsAfterTheBrokerWasKilled) {
  write(configuration(server_));
  auto broker = start();
  Natsc client(url(), authority_.file());
  ASSERT_EQ(client.connect(), NATS_OK);
  broker->kill_hard();
  broker = start();
  ASSERT_TRUE(eventually([&] {
    return natsConnection_Status(client.connection) == NATS_CONN_STATUS_CONNECTED &&
           natsConnection_FlushTimeout(client.connection, 1000) == NATS_OK;
  }));
  expect_exchange(client.connection, "back");
}

TEST_F(TlsProgram, ABadNewCertificateKeepsTheOldOneAndIsLogged) {
  write(configuration(server_));
  auto broker = start();
  const CertificateFiles other = authority_.issue("other");
  write(configuration({server_.certificate, other.key}));
  broker->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] {
    return broker->output().find("is not the key of") != std::string::npos;
  })) << broker->output();
  Natsc client(url(), authority_.file());
  EXPECT_EQ(client.connect(), NATS_OK);
  write(configuration(other));
  broker->send_signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return broker->output().find("reloaded") != std::string::npos; }))
      << broker->output();
  expect_exchange(client.connection, "still here");
}

TEST_F(TlsProgram, SaysInOneLineWhatIsWrongWithItsCertificate) {
  write(configuration({server_.certificate, authority_.issue("other").key}));
  const auto refused =
      feedvault::testing::run({built_program("feedvault-broker"), "-c", folder_.file("nats.conf")});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.output.find("nats.conf:2: tls: key_file: "), std::string::npos)
      << refused.output;
  EXPECT_EQ(std::count(refused.output.begin(), refused.output.end(), '\n'), 1) << refused.output;
}

TEST_F(TlsProgram, ItsPortsFileNamesTheScheme) {
  write(configuration(server_));
  auto broker = start({"--ports_file_dir", folder_.path()});
  const std::string path =
      folder_.file("feedvault-broker_" + std::to_string(broker->pid()) + ".ports");
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(path); }));
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, "{\"nats\":[\"" + url() + "\"]}");
}

}  // namespace
}  // namespace feedvault::broker::testing
