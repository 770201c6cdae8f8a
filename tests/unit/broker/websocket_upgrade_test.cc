#include "broker/websocket_upgrade.h"

#include <string>

#include <gtest/gtest.h>

namespace feedvault::broker {
namespace {

constexpr const char* kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

std::string request(const std::string& more = "",
                    const std::string& key = kKey,
                    const std::string& line = "GET / HTTP/1.1") {
  return line + "\r\nHost: broker.example:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
         key + "Sec-WebSocket-Version: 13\r\n" + more + "\r\n";
}

UpgradeRequest::Answer ask(const std::string& text,
                           const WebsocketOptions& options = {},
                           bool tls = false) {
  UpgradeRequest upgrade;
  EXPECT_EQ(upgrade.take(text), text.size());
  EXPECT_TRUE(upgrade.complete()) << text;
  return upgrade.complete() ? upgrade.answer(options, tls) : UpgradeRequest::Answer{};
}

std::string status_of(const std::string& text, const WebsocketOptions& options = {}) {
  return ask(text, options).response.substr(9, 3);
}

// The example of RFC 6455, section 1.3.
TEST(WebsocketUpgrade, AnswersTheRequestOfTheRfc) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const auto answer = ask(request());
  EXPECT_TRUE(answer.accepted);
  EXPECT_FALSE(answer.compression);
  EXPECT_EQ(answer.response,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST(WebsocketUpgrade, TakesTheRequestHoweverItIsSplitAndLeavesWhatFollows) {
  const std::string text = request();
  for (std::size_t split = 1; split < text.size(); ++split) {
    UpgradeRequest upgrade;
    EXPECT_EQ(upgrade.take(text.substr(0, split)), split);
    EXPECT_FALSE(upgrade.complete());
    EXPECT_EQ(upgrade.take(text.substr(split) + "frames"), text.size() - split);
    EXPECT_TRUE(upgrade.complete());
    EXPECT_EQ(upgrade.take("more"), 0U);
    EXPECT_TRUE(upgrade.answer({}, false).accepted);
  }
}

TEST(WebsocketUpgrade, NamesAndWordsInAnyCaseAndListsAreUnderstood) {
  EXPECT_TRUE(ask("GET /any/path?x=1 HTTP/1.1\nhOST: a\nUPGRADE: h2c, WebSocket\n"
                  "connection:keep-alive\nConnection: UPGRADE\nsec-websocket-KEY:  abc \n"
                  "Sec-WebSocket-Version:13\n\n")
                  .accepted);
}

TEST(WebsocketUpgrade, SaysWhatIsMissing) {
  const auto without = [](const std::string& line) {
    std::string text = request();
    const std::size_t at = text.find(line);
    return text.erase(at, text.find("\r\n", at) + 2 - at);
  };
  EXPECT_EQ(status_of(without("Host")), "400");
  EXPECT_EQ(status_of(without("Upgrade:")), "400");
  EXPECT_EQ(status_of(without("Connection:")), "400");
  EXPECT_EQ(status_of(without("Sec-WebSocket-Key")), "400");
  EXPECT_EQ(status_of(without("Sec-WebSocket-Version")), "400");
  EXPECT_EQ(status_of(request("", kKey, "POST / HTTP/1.1")), "405");
  EXPECT_EQ(status_of(request("", kKey, "GET / HTTP/2")), "400");
  EXPECT_EQ(status_of(request("", kKey, "GET /")), "400");
  EXPECT_EQ(status_of(request("Host: another\r\n")), "400");
  EXPECT_EQ(status_of(request("no colon\r\n")), "400");
  EXPECT_EQ(status_of(request("X: a\r\n continued\r\n")), "400");
  EXPECT_EQ(status_of("CONNECT {}\r\n\r\n"), "400");
  EXPECT_EQ(status_of("\r\n"), "400");
  const auto answer = ask(request("", ""));
  EXPECT_FALSE(answer.accepted);
  EXPECT_EQ(answer.problem, "Sec-WebSocket-Key is missing");
  EXPECT_NE(answer.response.find("\r\nConnection: close\r\n"), std::string::npos);
}

TEST(WebsocketUpgrade, LongRequestsAreCutOff) {
  UpgradeRequest upgrade;
  EXPECT_EQ(upgrade.take("GET / HTTP/1.1\r\nCookie: " + std::string(1U << 20U, 'x')),
            kUpgradeBytesMax);
  ASSERT_TRUE(upgrade.complete());
  EXPECT_EQ(upgrade.answer({}, false).response.substr(9, 3), "431");
}

TEST(WebsocketUpgrade, OriginsAreComparedAsConfigured) {
  WebsocketOptions same;
  same.same_origin = true;
  EXPECT_EQ(status_of(request("Origin: http://broker.example:8080\r\n"), same), "101");
  EXPECT_EQ(status_of(request("Origin: https://BROKER.example:8080\r\n"), same), "101");
  EXPECT_EQ(status_of(request("Origin: http://broker.example\r\n"), same), "403");
  EXPECT_EQ(status_of(request("Origin: http://evil.example:8080\r\n"), same), "403");
  EXPECT_EQ(status_of(request("Origin: null\r\n"), same), "403");
  EXPECT_EQ(status_of(request(), same), "101");  // no browser
  WebsocketOptions listed;
  listed.allowed_origins = {"https://app.example", "http://[::1]:3000"};
  EXPECT_EQ(status_of(request("Origin: https://app.example:443\r\n"), listed), "101");
  EXPECT_EQ(status_of(request("Origin: http://[::1]:3000\r\n"), listed), "101");
  EXPECT_EQ(status_of(request("Origin: http://app.example\r\n"), listed), "403");
  EXPECT_EQ(status_of(request("Sec-WebSocket-Origin: http://x\r\n"), listed), "403");
  EXPECT_EQ(status_of(request("Origin: http://x\r\n")), "101");  // nothing is configured
}

TEST(WebsocketUpgrade, SameOriginKnowsTheDefaultPortOfItsScheme) {
  WebsocketOptions same;
  same.same_origin = true;
  const std::string text =
      "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      std::string(kKey) + "Sec-WebSocket-Version: 13\r\nOrigin: https://a.example\r\n\r\n";
  EXPECT_TRUE(ask(text, same, /*tls=*/true).accepted);
  EXPECT_FALSE(ask(text, same, /*tls=*/false).accepted);
}

TEST(WebsocketUpgrade, CompressionIsAgreedUponWhereItIsConfiguredAndOffered) {
  WebsocketOptions options;
  const std::string offer =
      request("Sec-WebSocket-Extensions: x-other, permessage-deflate; client_max_window_bits\r\n");
  EXPECT_FALSE(ask(offer, options).compression);
  options.compression = true;
  EXPECT_FALSE(ask(request(), options).compression);
  const auto answer = ask(offer, options);
  EXPECT_TRUE(answer.compression);
  EXPECT_NE(answer.response.find("\r\nSec-WebSocket-Extensions: permessage-deflate; "
                                 "server_no_context_takeover; client_no_context_takeover\r\n"),
            std::string::npos);
  // A smaller window than ours is asked for; the second offer does without.
  const std::string small = "permessage-deflate; server_max_window_bits=10";
  EXPECT_FALSE(ask(request("Sec-WebSocket-Extensions: " + small + "\r\n"), options).compression);
  EXPECT_TRUE(
      ask(request("Sec-WebSocket-Extensions: " + small + ", permessage-deflate\r\n"), options)
          .compression);
}

}  // namespace
}  // namespace feedvault::broker
