// TLS: who is let in and how it begins (ours beside nats-server), and that bytes stay bytes.

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/broker/broker_fixture.h"
#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/tls_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::CertificateAuthority;
using feedvault::testing::CertificateFiles;
using feedvault::testing::eventually;
using std::chrono::milliseconds;

class Tls : public ::testing::Test {
 protected:
  using Change = std::function<void(TlsOptions&)>;

  TlsOptions options(const Change& change = {}) const {
    TlsOptions tls;
    tls.enabled = true;
    tls.cert_file = server_.certificate;
    tls.key_file = server_.key;
    tls.ca_file = authority_.file();
    if (change) {
      change(tls);
    }
    return tls;
  }
  std::unique_ptr<BrokerFixture> start(const Change& change = {}, std::size_t loops = 1) const {
    return std::make_unique<BrokerFixture>(loops, [&](Options& all) { all.tls = options(change); });
  }
  TlsClient::Options trusting() const { return {authority_.file(), {}, false}; }

  CertificateAuthority authority_{"authority"};
  CertificateFiles server_ = authority_.issue("server");
};

// A client that is through its handshake.
struct SecureClient {
  RawClient raw;
  TlsClient tls;
  SecureClient(std::uint16_t port,
               const TlsClient::Options& options,
               RawClient::Greeting greeting = RawClient::Greeting::kInfo)
      : raw(port, greeting), tls(raw, options) {
    EXPECT_TRUE(tls.shake_hands()) << tls.error();
  }
};

bool serves(TlsClient& client) {
  client.send("PING\r\n");
  return without_pings(client.receive_until("PONG\r\n")) == "PONG\r\n";
}

// A connection ends for that reason.
bool closes_for(BrokerFixture& broker, const std::string& reason) {
  return eventually([&] {
    const auto closed = broker.server().connection_snapshots({false, true, false, {}});
    return std::any_of(closed.begin(), closed.end(), [&](const ConnectionSnapshot& each) {
      return each.reason == reason;
    });
  });
}

TEST_F(Tls, InfoComesInTheClearAndAllElseEncrypted) {
  for (const bool tls12 : {false, true}) {
    const auto broker = start();
    RawClient raw(broker->port());
    EXPECT_NE(raw.info().find("\"tls_required\":true"), std::string::npos) << raw.info();
    EXPECT_EQ(raw.info().find("tls_verify"), std::string::npos) << raw.info();
    TlsClient client(raw, {authority_.file(), {}, tls12});
    ASSERT_TRUE(client.shake_hands()) << client.error();
    EXPECT_TRUE(client.verified());
    client.send(std::string(kQuiet) + "SUB a 1\r\nPUB a 5\r\nhello\r\nPING\r\n");
    EXPECT_EQ(client.receive_until("PONG\r\n"), "MSG a 1 5\r\nhello\r\nPONG\r\n");
    const auto shots = broker->server().connection_snapshots({});
    ASSERT_EQ(shots.size(), 1U);
    EXPECT_EQ(shots[0].tls_version, tls12 ? "1.2" : "1.3");
    EXPECT_EQ(shots[0].tls_cipher_suite,
              tls12 ? "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" : "TLS_AES_256_GCM_SHA384");
  }
}

TEST_F(Tls, TheLastWordsAndTheProperEndArrive) {
  const auto broker = start();
  SecureClient client(broker->port(), trusting());
  client.tls.send(std::string(kQuiet) + "FOO\r\n" + std::string(100'000, 'x'));
  bool closed = false;
  EXPECT_EQ(client.tls.receive_to_end(closed), "-ERR 'Unknown Protocol Operation'\r\n");
  EXPECT_TRUE(closed) << client.tls.error();
}

TEST_F(Tls, AClientMayEndTlsWithoutClosing) {
  const auto broker = start();
  SecureClient client(broker->port(), trusting());
  client.tls.send(std::string(kQuiet) + "SUB a 1\r\nPUB a 1\r\nx\r\n");
  client.tls.close_notify();
  bool closed = false;
  client.tls.receive_to_end(closed);
  EXPECT_TRUE(closes_for(*broker, "Client Closed"));
  EXPECT_TRUE(eventually([&] { return broker->server().server_snapshot().connections == 0; }));
}

TEST_F(Tls, AHandshakeByteByByteSucceeds) {
  const auto broker = start();
  RawClient raw(broker->port());
  TlsClient client(raw, trusting());
  ASSERT_TRUE(client.shake_hands(1)) << client.error();
  client.send(kQuiet, 1);
  client.send("PING\r\n", 1);
  EXPECT_EQ(client.receive_until("PONG\r\n"), "PONG\r\n");
}

TEST_F(Tls, HalfHandshakesHoldUpNobodyAndEnd) {
  const auto broker = start([](TlsOptions& tls) { tls.timeout = milliseconds(2000); });
  SecureClient other(broker->port(), trusting());
  other.tls.send(kQuiet);
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<RawClient>(broker->port()));
    TlsClient tls(*slow.back(), trusting());
    const std::string hello = tls.hello();
    slow.back()->send(std::string_view(hello).substr(0, static_cast<std::size_t>(i) * 10));
  }
  EXPECT_TRUE(serves(other.tls));
  for (const auto& each : slow) {
    bool closed = false;
    EXPECT_EQ(each->receive_to_end(closed), "");
    EXPECT_TRUE(closed);
  }
  EXPECT_TRUE(closes_for(*broker, "TLS Handshake Failure"));
  EXPECT_TRUE(serves(other.tls));
}

TEST_F(Tls, WhoIsToShowACertificateMust) {
  CertificateAuthority stranger("stranger");
  const CertificateFiles good = authority_.issue("client");
  const CertificateFiles bad = stranger.issue("client");
  const auto broker = start([](TlsOptions& tls) { tls.verify = true; });
  for (const bool tls12 : {false, true}) {
    RawClient raw(broker->port());
    EXPECT_NE(raw.info().find("\"tls_verify\":true"), std::string::npos);
    TlsClient client(raw, {authority_.file(), good, tls12});
    ASSERT_TRUE(client.shake_hands()) << client.error();
    client.send(kQuiet);
    EXPECT_TRUE(serves(client));

    for (const CertificateFiles& wrong : {bad, CertificateFiles()}) {
      RawClient other(broker->port());
      TlsClient refused(other, {authority_.file(), wrong, tls12});
      if (refused.shake_hands()) {
        EXPECT_FALSE(tls12);
        refused.send(std::string(kQuiet) + "PING\r\n");
        EXPECT_EQ(refused.receive_until("PONG\r\n"), "");
      }
      // The alert came through, not a reset.
      EXPECT_NE(refused.error().find("alert"), std::string::npos) << refused.error();
    }
  }
  EXPECT_TRUE(closes_for(*broker, "TLS Handshake Failure"));
}

TEST_F(Tls, AClientThatTrustsAnotherAuthorityGoes) {
  CertificateAuthority stranger("stranger");
  const auto broker = start();
  RawClient raw(broker->port());
  TlsClient client(raw, {stranger.file(), {}, false});
  EXPECT_FALSE(client.shake_hands());
  EXPECT_TRUE(closes_for(*broker, "TLS Handshake Failure"));
}

TEST_F(Tls, AFullServerRefusesInTheClear) {
  BrokerFixture broker(1, [&](Options& all) {
    all.tls = options();
    all.limits.max_connections = 1;
  });
  SecureClient first(broker.port(), trusting());
  RawClient second(broker.port());
  bool closed = false;
  EXPECT_EQ(second.receive_to_end(closed), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_TRUE(closed);
}

TEST_F(Tls, TheAuthenticationTimeoutBeginsAfterTheHandshake) {
  BrokerFixture broker(1, [&](Options& all) {
    all.tls = options();
    all.authorization.token = "secret";
    all.authorization.timeout = milliseconds(100);
  });
  RawClient raw(broker.port());
  EXPECT_EQ(raw.receive_some(milliseconds(250)), "");  // longer than the authentication timeout
  TlsClient client(raw, trusting());
  ASSERT_TRUE(client.shake_hands()) << client.error();
  bool closed = false;
  EXPECT_EQ(client.receive_to_end(closed), "-ERR 'Authentication Timeout'\r\n");
}

TEST_F(Tls, HandshakeFirstSendsNothingInTheClear) {
  const auto broker = start([](TlsOptions& tls) { tls.handshake_first = true; });
  SecureClient client(broker->port(), trusting(), RawClient::Greeting::kNone);
  EXPECT_EQ(client.tls.receive_until("\r\n").substr(0, 6), "INFO {");
  client.tls.send(kQuiet);
  EXPECT_TRUE(serves(client.tls));
}

TEST_F(Tls, HandshakeFirstFallsBackToInfoAfterSilence) {
  const auto with_fallback = [this](milliseconds silence) {
    return start([silence](TlsOptions& tls) {
      tls.handshake_first = true;
      tls.handshake_first_fallback = silence;
    });
  };
  const auto waiting = with_fallback(milliseconds(10'000));
  SecureClient eager(waiting->port(), trusting(), RawClient::Greeting::kNone);
  EXPECT_EQ(eager.tls.receive_until("\r\n").substr(0, 6), "INFO {");
  const auto broker = with_fallback(milliseconds(50));
  SecureClient patient(broker->port(), trusting());
  EXPECT_NE(patient.raw.info().find("tls_required"), std::string::npos);
  patient.tls.send(kQuiet);
  EXPECT_TRUE(serves(patient.tls));
}

// --- ours and the reference ---

// What comes back to a client that begins like this, and whether it is closed.
struct Opening {
  std::string received;
  bool closed = false;
};
Opening open_with(std::uint16_t port, const std::string& first) {
  RawClient client(port);
  client.send(first);
  Opening opening;
  // Servers may send an answer in pieces: it is there when nothing follows.
  for (std::string more = client.receive_some(milliseconds(1500)); !more.empty();
       more = client.receive_some(milliseconds(300))) {
    opening.received += more;
  }
  opening.closed = client.ended();
  return opening;
}

class TlsBesideTheReference : public Tls {
 protected:
  void compare(const std::string& configuration, const std::vector<std::string>& firsts) {
    feedvault::testing::TempDir folder;
    const std::uint16_t port = feedvault::testing::free_port();
    std::ofstream(folder.file("nats.conf"))
        << fmt::format("port: {}\nhost: 127.0.0.1\ntls {{ cert_file: \"{}\", key_file: \"{}\", ",
                       port,
                       server_.certificate,
                       server_.key)
        << configuration;
    feedvault::testing::Process reference(
        {{"nats-server", "-c", folder.file("nats.conf")}, {}, "/dev/null", ""});
    ASSERT_TRUE(eventually([&] { return feedvault::testing::accepts_connections(port); }));
    CommandLine command_line;
    command_line.config_file = folder.file("nats.conf");
    command_line.program = "feedvault-broker";
    auto loaded = load_options(command_line, environ);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
    BrokerFixture broker(1, [&](Options& all) {
      all = loaded->options;
      all.port = -1;
    });
    for (const std::string& first : firsts) {
      SCOPED_TRACE(first);
      const Opening theirs = open_with(port, first);
      const Opening ours = open_with(broker.port(), first);
      EXPECT_EQ(ours.received, theirs.received);
      EXPECT_EQ(ours.closed, theirs.closed);
    }
    RawClient theirs(port);
    RawClient ours(broker.port());
    for (const char* field :
         {"\"tls_required\":true", "\"tls_available\":true", "\"tls_verify\":true"}) {
      EXPECT_EQ(ours.info().find(field) == std::string::npos,
                theirs.info().find(field) == std::string::npos)
          << field;
    }
    for (const std::uint16_t each : {port, broker.port()}) {
      SecureClient client(each, trusting());
      client.tls.send(kQuiet);
      EXPECT_TRUE(serves(client.tls));
    }
  }
};

TEST_F(TlsBesideTheReference, WhereTlsIsRequired) {
  compare("timeout: 0.7 }\n", {"CONNECT {}\r\nPING\r\n", "PI", "\x16", ""});
}

TEST_F(TlsBesideTheReference, WherePlainClientsAreServedToo) {
  compare("timeout: 0.7 }\nallow_non_tls: true\n",
          {"CONNECT {}\r\nPING\r\n", "CONNECT {\"verbose\":false}\r\nPING\r\n", "PI"});
}

TEST_F(Tls, AServerForBothTakesASilentClientForAPlainOne) {
  const auto broker = start([](TlsOptions& tls) {
    tls.allow_non_tls = true;
    tls.timeout = milliseconds(50);
  });
  RawClient client(broker->port());
  EXPECT_EQ(client.receive_some(milliseconds(150)), "");
  EXPECT_FALSE(client.ended());
  client.send(std::string(kQuiet) + "PING\r\n");
  EXPECT_EQ(client.receive_until("PONG\r\n"), "PONG\r\n");
  EXPECT_EQ(broker->server().connection_snapshots({}).at(0).tls_version, "");
}

// --- bytes ---

std::string random_text(std::mt19937& random, std::size_t size) {
  std::string text(size, ' ');
  for (char& c : text) {
    c = static_cast<char>('a' + random() % 26);
  }
  return text;
}

TEST_F(Tls, MegabytesStayWhatTheyAreBothWays) {
  for (const bool tls12 : {false, true}) {
    const auto broker = start({}, 2);
    SecureClient subscriber(broker->port(), {authority_.file(), {}, tls12});
    SecureClient publisher(broker->port(), {authority_.file(), {}, tls12});
    subscriber.tls.send(std::string(kQuiet) + "SUB big 1\r\n");
    ASSERT_TRUE(serves(subscriber.tls));
    publisher.tls.send(kQuiet);
    std::mt19937 random(11);
    std::string expected;
    for (int i = 0; i < 6; ++i) {
      const std::string body = random_text(random, 1U << 20U);
      ASSERT_TRUE(publisher.tls.send("PUB big 1048576\r\n" + body + "\r\n"));
      expected += "MSG big 1 1048576\r\n" + body + "\r\n";
    }
    EXPECT_TRUE(receive_without_pings(subscriber.tls, expected.size()) == expected);
    EXPECT_TRUE(serves(publisher.tls));
  }
}

// The sockets are full before it begins: writes are short, and what was encrypted already has to be
// offered again as it was.
TEST_F(Tls, ALateReaderGetsEveryByte) {
  const auto broker = start();
  SecureClient reader(broker->port(), trusting());
  reader.tls.send(std::string(kQuiet) + "SUB s 1\r\n");
  ASSERT_TRUE(serves(reader.tls));
  SecureClient publisher(broker->port(), trusting());
  std::mt19937 random(5);
  std::string sent = kQuiet;
  std::string expected;
  for (int i = 0; i < 600; ++i) {
    const std::string body = random_text(random, random() % (i % 2 == 0 ? 80'000 : 300));
    sent += fmt::format("PUB s {}\r\n{}\r\n", body.size(), body);
    expected += fmt::format("MSG s 1 {}\r\n{}\r\n", body.size(), body);
  }
  ASSERT_TRUE(publisher.tls.send(sent));
  ASSERT_TRUE(serves(publisher.tls));
  std::int64_t pending = 0;
  for (const ConnectionSnapshot& each : broker->server().connection_snapshots({})) {
    pending += each.pending_bytes;
  }
  EXPECT_GT(pending, 0);
  EXPECT_TRUE(receive_without_pings(reader.tls, expected.size()) == expected);
}

TEST_F(Tls, RecordsOfAnySizeInPiecesOfAnySizeAreOneStream) {
  const auto broker = start();
  SecureClient client(broker->port(), trusting());
  client.tls.send(std::string(kQuiet) + "SUB r 1\r\n");
  std::mt19937 random(17);
  std::string text;
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    const std::string body = random_text(random, random() % 2000);
    text += fmt::format("PUB r {}\r\n{}\r\n", body.size(), body);
    expected += fmt::format("MSG r 1 {}\r\n{}\r\n", body.size(), body);
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t record = std::min<std::size_t>(1 + random() % 16384, text.size() - at);
    ASSERT_TRUE(client.tls.send(text.substr(at, record), 1 + random() % 5000));
    if (random() % 4 == 0) {
      ASSERT_TRUE(client.tls.update_keys());
    }
    at += record;
  }
  EXPECT_TRUE(receive_without_pings(client.tls, expected.size()) == expected);
}

TEST_F(Tls, ABrokenRecordEndsItsConnectionOnly) {
  const auto broker = start();
  SecureClient good(broker->port(), trusting());
  good.tls.send(kQuiet);
  SecureClient bad(broker->port(), trusting());
  bad.tls.send(std::string(kQuiet) + "PING\r\n");
  ASSERT_EQ(bad.tls.receive_until("PONG\r\n"), "PONG\r\n");
  bad.raw.send(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
  bool closed = false;
  EXPECT_EQ(bad.tls.receive_to_end(closed), "");
  EXPECT_NE(bad.tls.error().find("alert"), std::string::npos) << bad.tls.error();
  EXPECT_TRUE(closes_for(*broker, "Read Error"));
  EXPECT_TRUE(serves(good.tls));
}

TEST_F(Tls, AReaderThatNeverReadsIsASlowConsumer) {
  BrokerFixture broker(1, [&](Options& all) {
    all.tls = options();
    all.limits.max_pending = 1 << 20;
  });
  SecureClient slow(broker.port(), trusting());
  slow.tls.send(std::string(kQuiet) + "SUB flood 1\r\n");
  ASSERT_TRUE(serves(slow.tls));
  SecureClient publisher(broker.port(), trusting());
  publisher.tls.send(kQuiet);
  const std::string message = "PUB flood 60000\r\n" + std::string(60000, 'x') + "\r\n";
  const auto dropped = [&] { return broker.server().server_snapshot().slow_consumers == 1; };
  for (int i = 0; i < 4000 && !dropped(); ++i) {
    ASSERT_TRUE(publisher.tls.send(message));
  }
  EXPECT_TRUE(eventually(dropped));
  EXPECT_TRUE(serves(publisher.tls));
}

// --- reload ---

TEST_F(Tls, NewConnectionsGetTheNewCertificate) {
  const auto broker = start({}, 2);
  SecureClient before(broker->port(), trusting());
  before.tls.send(kQuiet);
  EXPECT_EQ(before.tls.server_name(), "server");
  const CertificateFiles renewed = authority_.issue("renewed");
  Options wanted = *broker->server().server_snapshot().options;
  wanted.tls.cert_file = renewed.certificate;
  wanted.tls.key_file = renewed.key;
  ASSERT_TRUE(broker->server().reload(wanted, /*authorization_changed=*/false).ok());
  SecureClient after(broker->port(), trusting());
  EXPECT_EQ(after.tls.server_name(), "renewed");
  EXPECT_TRUE(serves(before.tls));

  wanted.tls.key_file = server_.key;  // of another certificate
  wanted.limits.max_payload = 1;
  EXPECT_FALSE(broker->server().reload(wanted, /*authorization_changed=*/false).ok());
  SecureClient still(broker->port(), trusting());
  EXPECT_EQ(still.tls.server_name(), "renewed");
  EXPECT_NE(still.raw.info().find("\"max_payload\":1048576"), std::string::npos);
}

}  // namespace
}  // namespace feedvault::broker::testing
