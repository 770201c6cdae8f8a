// WebSocket over sockets: the upgrade and the frames beside nats-server's, and the broker behind
// them.

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
#include "tests/integration/broker/websocket_client.h"
#include "tests/support/process.h"

namespace feedvault::broker::testing {
namespace {

using feedvault::testing::CertificateAuthority;
using feedvault::testing::CertificateFiles;
using feedvault::testing::eventually;
using feedvault::testing::free_port;
using std::chrono::milliseconds;

Options& with_websocket(Options& options) {
  options.websocket.enabled = true;
  options.websocket.host = "127.0.0.1";
  options.websocket.port = -1;
  options.websocket.no_tls = true;
  return options;
}

std::uint16_t websocket_port(BrokerFixture& broker) {
  return static_cast<std::uint16_t>(broker.server().websocket_port());
}

bool serves(WebsocketClient& client) {
  client.send("PING\r\n");
  return without_pings(client.receive_until("PONG\r\n")) == "PONG\r\n";
}

TEST(Websocket, CarriesMessagesBetweenItsClientsAndOthers) {
  BrokerFixture broker(2, [](Options& options) { with_websocket(options); });
  WebsocketClient browser(websocket_port(broker));
  EXPECT_EQ(browser.info().rfind("INFO {", 0), 0U) << browser.info();
  EXPECT_EQ(browser.info().find("tls_required"), std::string::npos) << browser.info();
  browser.send(std::string(kQuiet) + "SUB a.* 1\r\n");
  ASSERT_TRUE(serves(browser));
  RawClient other(broker.port());
  other.send(std::string(kQuiet) + "SUB a.b 2\r\nPUB a.b 5\r\nhello\r\nPING\r\n");
  EXPECT_EQ(other.receive_until("PONG\r\n"), "MSG a.b 2 5\r\nhello\r\nPONG\r\n");
  EXPECT_EQ(browser.receive_until("hello\r\n"), "MSG a.b 1 5\r\nhello\r\n");
  browser.send("PUB a.b 2\r\nhi\r\n");
  EXPECT_EQ(other.receive_until("hi\r\n"), "MSG a.b 2 2\r\nhi\r\n");
  for (const ConnectionSnapshot& each : broker.server().connection_snapshots({})) {
    EXPECT_EQ(each.websocket, each.port != 0 && each.subscriptions == 1 && each.cid == 1);
  }
}

TEST(Websocket, OverTlsTheHandshakeComesFirst) {
  CertificateAuthority authority("authority");
  const CertificateFiles files = authority.issue("server");
  BrokerFixture broker(1, [&](Options& options) {
    with_websocket(options).websocket.no_tls = false;
    options.websocket.tls.enabled = true;
    options.websocket.tls.cert_file = files.certificate;
    options.websocket.tls.key_file = files.key;
    options.websocket.handshake_timeout = milliseconds(2000);
  });
  const TlsClient::Options trusting{authority.file(), {}, false};
  WebsocketClient client(websocket_port(broker), &trusting);
  EXPECT_NE(client.info().find("\"tls_required\":true"), std::string::npos) << client.info();
  client.send(std::string(kQuiet) + "SUB big 1\r\n");
  std::mt19937 random(7);
  std::string expected;
  for (int i = 0; i < 4; ++i) {
    std::string body(1U << 20U, ' ');
    for (char& c : body) {
      c = static_cast<char>('a' + random() % 26);
    }
    client.send("PUB big 1048576\r\n" + body + "\r\n");
    expected += "MSG big 1 1048576\r\n" + body + "\r\n";
  }
  EXPECT_TRUE(receive_without_pings(client, expected.size()) == expected);
  EXPECT_EQ(broker.server().connection_snapshots({}).at(0).tls_version, "1.3");
  // Neither a client in the clear nor one that says nothing gets in.
  EXPECT_EQ(upgrade_answer(websocket_port(broker), upgrade_request()), "");
  RawClient silent(websocket_port(broker), RawClient::Greeting::kNone);
  bool closed = false;
  EXPECT_EQ(silent.receive_to_end(closed), "");
  EXPECT_TRUE(closed);
  client.send("FOO\r\n");
  EXPECT_EQ(without_pings(client.receive_to_end(closed)),
            "-ERR 'Unknown Protocol Operation'\r\n[8:\x03\xeaProtocol Violation]");
  EXPECT_TRUE(closed);
}

// A client adds to its servers what it is told; another protocol's address would be no use to it.
TEST(Websocket, ItsClientsAreToldItsOwnAddress) {
  BrokerFixture broker(1, [](Options& options) {
    with_websocket(options).client_advertise = "example.org:4222";
    options.websocket.advertise = "example.org:443";
  });
  EXPECT_NE(
      WebsocketClient(websocket_port(broker)).info().find(R"("connect_urls":["example.org:443"])"),
      std::string::npos);
  EXPECT_NE(RawClient(broker.port()).info().find(R"("connect_urls":["example.org:4222"])"),
            std::string::npos);
  Options options = *broker.server().server_snapshot().options;
  options.websocket.advertise.clear();
  ASSERT_TRUE(broker.server().reload(options, /*authorization_changed=*/false).ok());
  EXPECT_EQ(WebsocketClient(websocket_port(broker)).info().find("connect_urls"), std::string::npos);
}

TEST(Websocket, AFullServerSaysSoInFrames) {
  BrokerFixture broker(
      1, [](Options& options) { with_websocket(options).limits.max_connections = 1; });
  WebsocketClient first(websocket_port(broker));
  WebsocketClient second(websocket_port(broker));
  bool closed = false;
  EXPECT_EQ(second.receive_to_end(closed),
            "-ERR 'maximum connections exceeded'\r\n[8:\x03\xf0Maximum Connections Exceeded]");
  EXPECT_TRUE(closed);
}

TEST(Websocket, ItsListenerHasAnAnonymousUserOfItsOwn) {
  BrokerFixture broker(1, [](Options& options) {
    with_websocket(options).websocket.no_auth_user = "guest";
    UserOptions guest;
    guest.user = "guest";
    guest.password = "unused";
    PermissionRules rules;
    rules.publish.allow = {{"open.>"}};
    guest.permissions = rules;
    options.authorization.users = {guest};
  });
  RawClient plain(broker.port());
  plain.send(kQuiet);
  bool closed = false;
  EXPECT_EQ(plain.receive_to_end(closed), "-ERR 'Authorization Violation'\r\n");
  WebsocketClient guest(websocket_port(broker));
  guest.send(std::string(kQuiet) + "PUB other 1\r\nx\r\nPING\r\n");
  EXPECT_EQ(guest.receive_until("PONG\r\n"),
            "-ERR 'Permissions Violation for Publish to \"other\"'\r\nPONG\r\n");
}

TEST(Websocket, TheAuthenticationTimeoutBeginsAfterTheUpgrade) {
  BrokerFixture broker(1, [](Options& options) {
    with_websocket(options).authorization.token = "secret";
    options.authorization.timeout = milliseconds(50);
  });
  RawClient raw(websocket_port(broker), RawClient::Greeting::kNone);
  EXPECT_EQ(raw.receive_some(milliseconds(150)), "");
  EXPECT_FALSE(raw.ended());
  WebsocketClient client(websocket_port(broker));
  bool closed = false;
  EXPECT_EQ(client.receive_to_end(closed),
            "-ERR 'Authentication Timeout'\r\n[8:\x03\xf0"
            "Authentication Timeout]");
}

TEST(Websocket, HalfUpgradesHoldUpNobodyAndEnd) {
  BrokerFixture broker(1, [](Options& options) {
    with_websocket(options).websocket.handshake_timeout = milliseconds(1500);
  });
  WebsocketClient other(websocket_port(broker));
  other.send(kQuiet);
  std::vector<std::unique_ptr<RawClient>> slow;
  for (std::size_t i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<RawClient>(websocket_port(broker), RawClient::Greeting::kNone));
    slow.back()->send(upgrade_request().substr(0, i * 3));
  }
  EXPECT_TRUE(serves(other));
  for (std::size_t i = 0; i < slow.size(); ++i) {
    bool closed = false;
    EXPECT_EQ(slow[i]->receive_to_end(closed).substr(0, 12), i == 0 ? "" : "HTTP/1.1 408");
    EXPECT_TRUE(closed);
  }
  EXPECT_TRUE(serves(other));
}

TEST(Websocket, EndlessRequestsAreCutOff) {
  BrokerFixture broker(1, [](Options& options) { with_websocket(options); });
  RawClient client(websocket_port(broker), RawClient::Greeting::kNone);
  client.send("GET / HTTP/1.1\r\nCookie: ");
  const std::string more(1U << 20U, 'x');
  for (int i = 0; i < 100 && client.send(more); ++i) {
  }
  bool closed = false;
  client.receive_to_end(closed);
  EXPECT_TRUE(closed);
}

TEST(Websocket, AReaderThatNeverReadsIsASlowConsumer) {
  BrokerFixture broker(
      1, [](Options& options) { with_websocket(options).limits.max_pending = 1 << 20; });
  WebsocketClient slow(websocket_port(broker));
  slow.send(std::string(kQuiet) + "SUB flood 1\r\n");
  ASSERT_TRUE(serves(slow));
  WebsocketClient publisher(websocket_port(broker));
  publisher.send(kQuiet);
  const std::string message = "PUB flood 60000\r\n" + std::string(60000, 'x') + "\r\n";
  const auto dropped = [&] { return broker.server().server_snapshot().slow_consumers == 1; };
  for (int i = 0; i < 4000 && !dropped(); ++i) {
    publisher.send(message);
  }
  EXPECT_TRUE(eventually(dropped));
  EXPECT_TRUE(serves(publisher));
}

TEST(Websocket, StoppingSaysGoodbye) {
  BrokerFixture broker(2, [](Options& options) { with_websocket(options); });
  WebsocketClient client(websocket_port(broker));
  client.send(kQuiet);
  ASSERT_TRUE(serves(client));
  RawClient half(websocket_port(broker), RawClient::Greeting::kNone);
  broker.server().stop();
  bool closed = false;
  EXPECT_EQ(client.receive_to_end(closed), "[8:\x03\xe9Server Shutdown]");
  EXPECT_TRUE(closed);
  EXPECT_FALSE(feedvault::testing::accepts_connections(websocket_port(broker)));
}

TEST(Websocket, CompressionIsAgreedUponOnlyWhereItIsConfigured) {
  const std::string offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
  for (const bool compression : {false, true}) {
    BrokerFixture broker(
        1, [&](Options& options) { with_websocket(options).websocket.compression = compression; });
    const std::string answer = upgrade_answer(websocket_port(broker), upgrade_request(offer));
    EXPECT_EQ(answer.find("permessage-deflate") != std::string::npos, compression) << answer;
  }
}

// --- hostile ---

TEST(WebsocketHostile, GarbageEndsItsConnectionOnly) {
  CertificateAuthority authority("authority");
  const CertificateFiles files = authority.issue("server");
  BrokerFixture broker(2, [&](Options& options) {
    with_websocket(options).websocket.compression = true;
    options.tls.enabled = true;
    options.tls.cert_file = files.certificate;
    options.tls.key_file = files.key;
  });
  WebsocketClient good(websocket_port(broker));
  good.send(kQuiet);
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    const bool tls = i % 3 == 0;
    RawClient client(tls ? broker.port() : websocket_port(broker), RawClient::Greeting::kNone);
    if (i % 3 == 1) {
      client.send(upgrade_request("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    }
    std::string garbage(1 + random() % 2000, ' ');
    for (char& c : garbage) {
      c = static_cast<char>(random());
    }
    if (i % 6 == 1) {  // in a frame that is one, and compressed
      NaiveFrame frame;
      frame.reserved = 4;
      frame.payload = garbage;
      garbage = frame.encode();
    } else if (tls && i % 2 == 0) {
      garbage.insert(0, "\x16\x03\x01\x02\x01\x01");
    }
    client.send(garbage);
  }
  EXPECT_TRUE(serves(good));
  EXPECT_TRUE(eventually([&] { return broker.server().server_snapshot().connections == 1; }));
}

TEST(WebsocketHostile, PingsWithoutEndAreAnsweredOrLeftOut) {
  BrokerFixture broker(1, [](Options& options) { with_websocket(options); });
  RawClient flood(websocket_port(broker), RawClient::Greeting::kNone);
  flood.send(upgrade_request());
  std::string pings;
  for (int i = 0; i < 50'000; ++i) {
    pings += client_frame("ping", 9);
  }
  for (int i = 0; i < 5; ++i) {  // and reads no answer
    ASSERT_TRUE(flood.send(pings));
  }
  WebsocketClient other(websocket_port(broker));
  other.send(kQuiet);
  EXPECT_TRUE(serves(other));
}

// --- beside the reference ---

// What goes over the wire after the upgrade: bytes in, bytes out, and whether the server closes.
struct FrameCase {
  std::string shows;
  std::string sent;
  std::string received;
  bool closed = false;
  // Where nats-server does something else, and why we differ.
  std::string reason_to_differ = {};
  std::string reference_received = {};
};

std::string unmasked(const std::string& text) {
  NaiveFrame frame;
  frame.masked = false;
  frame.payload = text;
  return frame.encode();
}

std::string server_frame(unsigned opcode, const std::string& text) {
  NaiveFrame frame;
  frame.masked = false;
  frame.opcode = opcode;
  frame.payload = text;
  return frame.encode();
}

const std::vector<FrameCase>& frame_table() {
  static const std::string tells = "RFC 6455 wants a close frame with the reason";
  static const std::vector<FrameCase> table = {
      {"text is taken", client_frame("PING\r\n", 1), server_frame(2, "PONG\r\n")},
      {"an operation may be in several frames",
       client_frame("PI", 2, false) + client_frame("x", 9) + client_frame("NG\r\n", 0),
       server_frame(10, "x") + server_frame(2, "PONG\r\n")},
      {"a ping is answered", client_frame("hi", 9), server_frame(10, "hi")},
      {"a close is answered",
       client_frame("\x03\xe8"
                    "bye",
                    8),
       server_frame(8,
                    "\x03\xe8"
                    "bye"),
       true},
      {"a close without status is answered",
       client_frame("", 8),
       server_frame(8, ""),
       true,
       "1005 must never be sent",
       server_frame(8, "\x03\xed")},
      {"a frame without a mask",
       unmasked("PING\r\n"),
       server_frame(8, "\x03\xeamask bit missing"),
       true,
       tells,
       ""},
      {"an unknown opcode",
       client_frame("", 3),
       server_frame(8, "\x03\xeaunknown opcode"),
       true,
       tells,
       ""},
      {"an error of NATS",
       client_frame("FOO\r\n"),
       server_frame(2, "-ERR 'Unknown Protocol Operation'\r\n") +
           server_frame(8, "\x03\xeaProtocol Violation"),
       true},
      {"a payload that is too large",
       client_frame(std::string(kQuiet) + "PUB a 99999999\r\n"),
       server_frame(2, "-ERR 'Maximum Payload Violation'\r\n") +
           server_frame(8, "\x03\xf1Maximum Message Payload Exceeded"),
       true},
  };
  return table;
}

void check_frames(std::uint16_t port, bool reference, std::size_t piece) {
  for (const FrameCase& each : frame_table()) {
    SCOPED_TRACE(each.shows);
    RawClient client(port, RawClient::Greeting::kNone);
    client.send(upgrade_request());
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos || head.find("} \r\n") == std::string::npos) {
      const std::string more = client.receive_some();
      ASSERT_FALSE(more.empty()) << head;
      head += more;
    }
    for (std::size_t at = 0; at < each.sent.size(); at += piece) {
      client.send(std::string_view(each.sent).substr(at, piece));
    }
    const std::string& expected =
        reference && !each.reason_to_differ.empty() ? each.reference_received : each.received;
    bool closed = false;
    EXPECT_EQ(each.closed ? client.receive_to_end(closed) : client.receive(expected.size()),
              expected);
    EXPECT_EQ(closed, each.closed);
  }
}

TEST(WebsocketFrames, OursDoesWhatTheTableSays) {
  BrokerFixture broker(1, [](Options& options) { with_websocket(options); });
  check_frames(websocket_port(broker), false, SIZE_MAX);
  check_frames(websocket_port(broker), false, 1);
}

class Reference {
 public:
  Reference() {
    std::ofstream(folder_.file("nats.conf")) << fmt::format(
        "listen: 127.0.0.1:{}\nwebsocket {{ listen: \"127.0.0.1:{}\", no_tls: true,"
        " compression: true, allowed_origins: [\"http://good.example:8080\"] }}\n",
        free_port(),
        port_);
    process_ = std::make_unique<feedvault::testing::Process>(feedvault::testing::Process::Options{
        {"nats-server", "-c", folder_.file("nats.conf")}, {}, "/dev/null", ""});
    EXPECT_TRUE(eventually([&] { return feedvault::testing::accepts_connections(port_); }));
  }
  std::uint16_t port() const { return port_; }
  std::string configuration() const { return folder_.file("nats.conf"); }

 private:
  feedvault::testing::TempDir folder_;
  std::uint16_t port_ = free_port();
  std::unique_ptr<feedvault::testing::Process> process_;
};

TEST(WebsocketFrames, NatsServerDoesWhatTheTableSays) {
  const Reference reference;
  check_frames(reference.port(), true, SIZE_MAX);
}

TEST(WebsocketUpgrades, AreAnsweredAsNatsServerAnswersThem) {
  const Reference reference;
  BrokerFixture broker(1, [&](Options& options) {
    CommandLine command_line;
    command_line.config_file = reference.configuration();
    command_line.program = "feedvault-broker";
    auto loaded = load_options(command_line, environ);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
    options = loaded->options;
    options.port = -1;
    options.websocket.port = -1;
  });
  const auto header = [](const std::string& answer, const std::string& name) {
    const std::size_t at = answer.find("\r\n" + name + ": ");
    return at == std::string::npos ? "" : answer.substr(at, answer.find("\r\n", at + 2) - at);
  };
  const std::string good = upgrade_request();
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& request :
       {good,
        changed("GET / ", "GET /some/path?x=1 "),
        changed("GET", "POST"),
        changed("HTTP/1.1", "HTTP/1.0"),
        changed("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
        changed("Upgrade: websocket", "Upgrade: h2c"),
        changed("Connection: Upgrade", "Connection: keep-alive, upgrade"),
        changed("Connection: Upgrade", "Connection: close"),
        changed("Host: 127.0.0.1\r\n", ""),
        changed("Version: 13", "Version: 8"),
        changed("Sec-WebSocket-Key", "Sec-WebSocket-Kex"),
        changed("dGhlIHNhbXBsZSBub25jZQ==", "abc"),
        upgrade_request("Origin: http://good.example:8080\r\n"),
        upgrade_request("Origin: https://good.example:8080\r\n"),
        upgrade_request("Origin: http://bad.example\r\n"),
        upgrade_request("Origin: null\r\n"),
        upgrade_request("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        upgrade_request("Sec-WebSocket-Protocol: nats\r\n"),
        std::string("PING\r\n\r\n")}) {
    SCOPED_TRACE(request);
    const std::string theirs = upgrade_answer(reference.port(), request);
    const std::string ours = upgrade_answer(websocket_port(broker), request);
    EXPECT_EQ(ours.substr(0, 12), theirs.substr(0, 12));
    for (const char* name : {"Sec-WebSocket-Accept",
                             "Sec-WebSocket-Extensions",
                             "Sec-WebSocket-Protocol",
                             "Upgrade"}) {
      EXPECT_EQ(header(ours, name), header(theirs, name));
    }
  }
}

}  // namespace
}  // namespace feedvault::broker::testing
