// Requests out of bytes, paths to handlers, errors as problem details, who may do what.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gateway/http/access.h"
#include "gateway/http/message.h"
#include "gateway/http/problem.h"
#include "gateway/http/request_reader.h"
#include "gateway/http/router.h"
#include "gateway/http/target.h"
#include "gateway/limits.h"

namespace feedvault::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using State = RequestReader::State;

/// The status that these bytes get: 0 for a request.
int refusal_of(std::string bytes) {
  RequestReader reader;
  const State state = reader.feed(bytes);
  EXPECT_NE(state, State::kNeedMore) << bytes.substr(0, 100);
  return state == State::kComplete ? 0 : reader.refused_status();
}

TEST(RequestReaderTest, ReadsARequestHoweverItIsCut) {
  const std::string whole =
      "POST /quarantine/7/requeue?x=1#f HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nContent-Length: "
      "3\r\n\r\nabc";
  for (std::size_t step = 1; step <= whole.size(); ++step) {
    RequestReader reader;
    std::string bytes;
    State state = State::kNeedMore;
    for (std::size_t at = 0; at < whole.size(); at += step) {
      ASSERT_EQ(state, State::kNeedMore);
      bytes += whole.substr(at, step);
      state = reader.feed(bytes);
    }
    ASSERT_EQ(state, State::kComplete) << "step " << step;
    const Request request = reader.take();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/quarantine/7/requeue");
    EXPECT_EQ(request.query, "x=1");
    EXPECT_EQ(request.header("x-y"), "z");
    EXPECT_EQ(request.body, "abc");
    EXPECT_TRUE(request.keep_alive);
    EXPECT_TRUE(bytes.empty());
  }
}

TEST(RequestReaderTest, LeavesWhatFollowsARequest) {
  RequestReader reader;
  std::string bytes = "\r\n\nGET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.0\r\n\r\nGET";
  ASSERT_EQ(reader.feed(bytes), State::kComplete);
  EXPECT_EQ(reader.take().path, "/a");
  ASSERT_EQ(reader.feed(bytes), State::kComplete);
  const Request second = reader.take();
  EXPECT_EQ(second.path, "/b");
  EXPECT_FALSE(second.http11);
  EXPECT_FALSE(second.keep_alive);
  EXPECT_EQ(reader.feed(bytes), State::kNeedMore);
  EXPECT_EQ(bytes, "GET");
}

TEST(RequestReaderTest, AChunkedBodyIsPutTogether) {
  RequestReader reader;
  std::string bytes =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
  ASSERT_EQ(reader.feed(bytes), State::kComplete);
  EXPECT_EQ(reader.take().body, "abc");
}

TEST(RequestReaderTest, RefusesWhatIsNoRequest) {
  const std::string end = " HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_EQ(refusal_of("GET /" + end), 0);
  EXPECT_EQ(refusal_of("\x16\x03\x01\x02\x01\r\n\r\n"), 400);
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(refusal_of("GET http://h/" + end), 400);
  EXPECT_EQ(refusal_of("GET *" + end), 400);
  EXPECT_EQ(refusal_of("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nHost : h\r\n\r\n"), 400) << "space before the colon";
  EXPECT_EQ(
      refusal_of("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
      400);
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n"),
            400)
      << "two lengths: which one a proxy before us takes is unknown";
}

TEST(RequestReaderTest, BoundsEverything) {
  const std::string host = "Host: h\r\n";
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\n" + host + "X: " + std::string(kHeaderBytesMax, 'x')),
            431);
  EXPECT_EQ(
      refusal_of("GET /" + std::string(kTargetBytesMax, 'a') + " HTTP/1.1\r\n" + host + "\r\n"),
      414);
  std::string many;
  for (std::size_t i = 0; i <= kHeadersMax; ++i) {
    many += "a:b\r\n";
  }
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\n" + host + many + "\r\n"), 431);
  EXPECT_EQ(refusal_of("POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999\r\n\r\n"), 413);
  EXPECT_EQ(
      refusal_of("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\n" +
                 std::string(2 * kRequestBodyBytesMax, 'x')),
      413);
}

TEST(TargetTest, DecodesOnlyWhatIsText) {
  EXPECT_EQ(percent_decode("a%20b+c", false), "a b+c");
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("%c3%BC", false), "\xC3\xBC");
  for (const char* bad : {"%", "%4", "%zz", "a%", "%00", "%ff", "%c3"}) {
    EXPECT_EQ(percent_decode(bad, false), std::nullopt) << bad;
  }
  EXPECT_EQ(percent_encode("a-b/\xC3\xBC&"), "a-b%2F%C3%BC%26");
}

TEST(TargetTest, SplitsAQuery) {
  EXPECT_THAT(*parse_query("a=1&&b=%26%3D&c"),
              ElementsAre(Pair("a", "1"), Pair("b", "&="), Pair("c", "")));
  EXPECT_FALSE(parse_query("=1").has_value());
  EXPECT_FALSE(parse_query("a=%0").has_value());
  std::string many;
  for (int i = 0; i < 65; ++i) {
    many += "a=1&";
  }
  EXPECT_FALSE(parse_query(many).has_value());
}

TEST(ProblemTest, IsProblemDetailsWithoutAnythingThatRuns) {
  const Response response = problem(404, "no '<script>\"\x01\xff\xE2\x80\xA8'");
  EXPECT_EQ(response.headers.front().second, "application/problem+json");
  EXPECT_THAT(response.body, Not(HasSubstr("<")));
  const auto json = nlohmann::json::parse(response.body);
  EXPECT_EQ(json["status"], 404);
  EXPECT_EQ(json["title"], "Not Found");
  EXPECT_EQ(json["detail"], "no '<script>\"\x01\xEF\xBF\xBD\xE2\x80\xA8'");
}

TEST(ProblemTest, SaysWhatTheClientCanDo) {
  EXPECT_EQ(problem(not_found("x")).status, 404);
  EXPECT_EQ(problem(invalid_argument("x")).status, 400);
  EXPECT_EQ(problem(Status(StatusCode::kDuplicate, "x")).status, 409);
  EXPECT_EQ(problem(internal_error("x")).status, 500);
  const Response away = problem(unavailable("x"));
  EXPECT_EQ(away.status, 503);
  EXPECT_EQ(away.headers.back(), (std::pair<std::string, std::string>("Retry-After", "1")));
}

TEST(ResponseHeadTest, AHeaderCannotBeginAnother) {
  Response response;
  response.set("Link", "a\r\nSet-Cookie: b\n\x01");
  const std::string head = response_head(response, true, false, "now");
  EXPECT_THAT(head, HasSubstr("Link: a  Set-Cookie: b  \r\n"));
  EXPECT_THAT(head, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 0\r\nConnection: close\r\n\r\n"));
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    const auto note = [this](const char* name) {
      return [this, name](const Request&, const PathParameters& path, const Respond& respond) {
        called_ = name;
        for (const std::string& value : path) {
          called_ += " " + value;
        }
        respond({});
      };
    };
    router_.add("GET", "/feeds", note("feeds"));
    router_.add("GET", "/feeds/{feed}/messages/{seq}", note("message"));
    router_.add("POST", "/quarantine/{id}/requeue", note("requeue"));
  }

  Response route(const std::string& method, const std::string& path) {
    Request request;
    request.method = method;
    request.path = path;
    called_.clear();
    Response answer;
    int answers = 0;
    router_.route(request, [&](Response response) {
      answer = std::move(response);
      ++answers;
    });
    EXPECT_EQ(answers, 1);
    return answer;
  }

  Router router_;
  std::string called_;
};

TEST_F(RouterTest, FindsHandlersAndTheirParameters) {
  EXPECT_EQ(route("GET", "/feeds").status, 200);
  EXPECT_EQ(called_, "feeds");
  route("GET", "/feeds/ev%2Fents/messages/%31");
  EXPECT_EQ(called_, "message ev/ents 1") << "an encoded slash stays in its segment";
  route("HEAD", "/feeds");
  EXPECT_EQ(called_, "feeds");
}

TEST_F(RouterTest, SaysWhatWouldBeRight) {
  for (const char* path : {"/",
                           "/feed",
                           "/feeds/",
                           "//feeds",
                           "/feeds/../feeds",
                           "/feeds//messages/1",
                           "/FEEDS",
                           "/feeds%2F"}) {
    EXPECT_EQ(route("GET", path).status, 404) << path;
    EXPECT_EQ(called_, "") << path;
  }
  EXPECT_THAT(
      route("GET", "/nothing").body,
      HasSubstr("there are /feeds, /feeds/{feed}/messages/{seq}, /quarantine/{id}/requeue"));
  EXPECT_EQ(route("GET", "/feeds/%ff/messages/1").status, 400);
  const Response wrong = route("DELETE", "/feeds");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_THAT(wrong.headers, ::testing::Contains(Pair("Allow", "GET, HEAD, OPTIONS")));
  EXPECT_EQ(route("OPTIONS", "/quarantine/1/requeue").status, 204);
}

HttpConfig with_tokens() {
  HttpConfig config;
  config.tokens = {"events:eeeeeeeeeeeeeeee", "*:aaaaaaaaaaaaaaaa", "write:aaaaaaaaaaaaaaaa"};
  config.cors_origins = {"https://desk.example.org"};
  return config;
}

Request with(const std::vector<std::pair<std::string, std::string>>& headers) {
  Request request;
  request.headers = headers;
  return request;
}

int reading(const Access& access, const Request& request, std::string_view feed) {
  const auto refused = access.refuse_reading(request, feed);
  return refused ? refused->status : 200;
}

TEST(AccessTest, LoopbackNeedsNoTokensAndOtherAddressesDo) {
  HttpConfig config;
  for (const char* bind : {"127.0.0.1", "127.8.8.8", "::1"}) {
    config.bind = bind;
    ASSERT_TRUE(Access::create(config).has_value()) << bind;
    EXPECT_FALSE(Access::create(config)->asks_for_tokens());
  }
  for (const char* bind : {"0.0.0.0", "::", "192.0.2.1"}) {
    config.bind = bind;
    config.auth = "auto";
    const auto refused = Access::create(config);
    ASSERT_FALSE(refused.has_value()) << bind;
    EXPECT_THAT(refused.error().message(), HasSubstr("auth = \"off\""));
    config.auth = "off";
    ASSERT_TRUE(Access::create(config).has_value());
    EXPECT_TRUE(Access::create(config)->wide_open());
  }
}

TEST(AccessTest, ATokenOpensItsFeed) {
  const Access access = Access::create(with_tokens()).value();
  EXPECT_EQ(reading(access, with({}), "events"), 401);
  EXPECT_EQ(reading(access, with({{"authorization", "Basic eeeeeeeeeeeeeeee"}}), "events"), 401);
  EXPECT_EQ(reading(access, with({{"authorization", "Bearer eeeeeeeeeeeeeeeX"}}), "events"), 401);
  EXPECT_EQ(reading(access, with({{"authorization", "Bearer eeeeeeeeeeeeeeeee"}}), "events"), 401);
  const Request events = with({{"authorization", "bearer eeeeeeeeeeeeeeee"}});
  EXPECT_EQ(reading(access, events, "events"), 200);
  EXPECT_EQ(reading(access, events, "executions"), 403);
  EXPECT_EQ(reading(access, events, ""), 200) << "what belongs to no feed";
  EXPECT_EQ(reading(access, events, "*"), 403);
  const Request all = with({{"authorization", "Bearer aaaaaaaaaaaaaaaa"}});
  EXPECT_EQ(reading(access, all, "executions"), 200);
  EXPECT_FALSE(access.refuse_writing(all).has_value());
  EXPECT_EQ(access.refuse_writing(events)->status, 403);
}

TEST(AccessTest, PagesOfOtherOriginsMayChangeNothing) {
  const Access open = Access::create(HttpConfig{}).value();
  const std::pair<std::string, std::string> host{"host", "127.0.0.1:8080"};
  EXPECT_FALSE(open.refuse_writing(with({host})).has_value());
  EXPECT_FALSE(open.refuse_writing(with({host, {"origin", "http://127.0.0.1:8080"}})).has_value());
  EXPECT_EQ(open.refuse_writing(with({host, {"origin", "https://evil.example"}}))->status, 403);
  EXPECT_EQ(open.refuse_writing(with({host, {"origin", "null"}}))->status, 403);
  EXPECT_EQ(open.refuse_writing(with({host, {"sec-fetch-site", "cross-site"}}))->status, 403);
}

int asked_as(const Access& access, const std::string& host) {
  const auto refused = access.refuse_host(with({{"host", host}}));
  return refused ? refused->status : 200;
}

TEST(AccessTest, NamesThatOthersMayGiveUsAreNotAnswered) {
  HttpConfig config;
  const Access open = Access::create(config).value();
  for (const char* own : {"localhost:8080",
                          "LOCALHOST",
                          "localhost.",
                          "a.localhost",
                          "127.0.0.1",
                          "127.0.0.1:8080",
                          "[::1]:8080",
                          "192.0.2.1:80",
                          ""}) {
    EXPECT_EQ(asked_as(open, own), 200) << own;
  }
  for (const char* foreign : {"evil.example",
                              "evil.example:8080",
                              "localhost.evil.example",
                              "notlocalhost",
                              "127.0.0.1.evil.example",
                              "[",
                              "[::1.evil]",
                              ":"}) {
    EXPECT_EQ(asked_as(open, foreign), 421) << foreign;
  }
  EXPECT_THAT(open.refuse_host(with({{"host", "desk"}}))->body, HasSubstr("[http] hosts"));
  config.hosts = {"feeds.example.org"};
  EXPECT_EQ(asked_as(Access::create(config).value(), "Feeds.Example.org:443"), 200);
  EXPECT_EQ(asked_as(Access::create(config).value(), "example.org"), 421);
}

TEST(AccessTest, WhereATokenIsAskedForAnyNameWill) {
  EXPECT_EQ(asked_as(Access::create(with_tokens()).value(), "desk.example.org"), 200);
  HttpConfig wide;
  wide.bind = "0.0.0.0";
  wide.auth = "off";
  EXPECT_EQ(asked_as(Access::create(wide).value(), "desk.example.org"), 200);
  wide.hosts = {"gateway"};
  EXPECT_EQ(asked_as(Access::create(wide).value(), "desk.example.org"), 421);
}

TEST(AccessTest, ListedOriginsMayRead) {
  const Access access = Access::create(with_tokens()).value();
  Response answer;
  access.add_cors(with({{"origin", "https://desk.example.org"}}), answer);
  EXPECT_THAT(answer.headers,
              ::testing::Contains(Pair("Access-Control-Allow-Origin", "https://desk.example.org")));
  // All of ours: raw bytes come with their position and time in headers alone.
  EXPECT_THAT(
      answer.headers,
      ::testing::Contains(Pair("Access-Control-Expose-Headers",
                               "Feedvault-Start, Feedvault-Position, Feedvault-Timestamp, Link")));
  Response other;
  access.add_cors(with({{"origin", "https://evil.example"}}), other);
  EXPECT_THAT(other.headers, ElementsAre(Pair("Vary", "Origin")));
}

}  // namespace
}  // namespace feedvault::gateway
