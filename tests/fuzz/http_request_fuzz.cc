// A connection's bytes: requests, however they are cut, through the router and what reads their
// parameters. Every answer is one well-formed answer, whatever the request put into it.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "gateway/history_query.h"
#include "gateway/http/access.h"
#include "gateway/http/problem.h"
#include "gateway/http/request_reader.h"
#include "gateway/http/router.h"

namespace feedvault::gateway {
namespace {

Feed make_feed() {
  Feed feed;
  feed.config.name = "executions";
  feed.schema =
      MessageSchema::load(FEEDVAULT_SOURCE_DIR "/proto/execution.proto", "execution").value();
  return feed;
}

Access make_access() {
  HttpConfig config;
  config.tokens = {"executions:0123456789abcdef"};
  config.cors_origins = {"https://a"};
  return Access::create(config).value();
}

/// What the site does with a history request, up to the database.
Response answer_history(const Feed& feed, const Request& request) {
  const auto format = choose_format(request.header("accept"));
  const auto items = parse_query(request.query);
  if (!format || !items.has_value()) {
    return format ? problem(items.error()) : problem(406, "none");
  }
  const auto query = parse_history_query(feed, *items);
  if (!query.has_value()) {
    return problem(query.error());
  }
  const storage::Scan scan = query->scan();
  CHECK(scan.equal.size() <= storage::Scan::kEqualMax);
  for (const storage::Scan::Equal& equal : scan.equal) {
    // Only names out of the schema become part of a path.
    CHECK(equal.path.find_first_of("'\\;") == std::string::npos);
  }
  Response response;
  response.set("Link", "<" + next_target(feed, *items, 2) + ">; rel=\"next\"");
  const auto again = parse_query(response.headers.back().second.substr(
      response.headers.back().second.find('?') + 1,
      response.headers.back().second.rfind('>') - response.headers.back().second.find('?') - 1));
  CHECK(again.has_value());
  return response;
}

struct Outcome {
  std::vector<std::string> paths;
  int refused = 0;
  std::string rest;
};

void check_answer(const Request& request, const Access& access, Response response) {
  access.add_cors(request, response);
  if (response.status >= 400) {
    const auto json = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
    CHECK(json.is_object() && json["status"] == response.status);
    CHECK(response.body.find_first_of("<>") == std::string::npos);
  }
  const std::string head = response_head(response, false, false, "today");
  CHECK(head.find("\r\n\r\n") == head.size() - 4);
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = head.find("\r\n", at)) != std::string::npos; at += 2) {
    ++lines;
  }
  // Status, date, ours, three that every answer has at most two of by itself, length, connection,
  // and the empty one.
  CHECK(lines <= response.headers.size() + 8);
  CHECK(head.find('\n') != 0);
}

Outcome run(std::string_view bytes, std::size_t step) {
  static const Feed feed = make_feed();
  static const Access access = make_access();
  static const Router router = [] {
    Router made;
    made.add("GET",
             "/feeds/{feed}/messages",
             [](const Request& request, const PathParameters& path, const Respond& respond) {
               CHECK(path.size() == 1 && !path[0].empty());
               respond(answer_history(feed, request));
             });
    made.add("POST",
             "/quarantine/{id}/requeue",
             [](const Request& request, const PathParameters&, const Respond& respond) {
               auto refused = access.refuse_writing(request);
               CHECK(refused.has_value());  // no token is for writing
               respond(std::move(*refused));
             });
    return made;
  }();
  Outcome outcome;
  RequestReader reader;
  for (std::size_t at = 0; at < bytes.size() && outcome.refused == 0; at += step) {
    outcome.rest.append(bytes.substr(at, step));
    RequestReader::State state = RequestReader::State::kNeedMore;
    while ((state = reader.feed(outcome.rest)) == RequestReader::State::kComplete) {
      const Request request = reader.take();
      outcome.paths.push_back(request.method + " " + request.path + "?" + request.query + " " +
                              request.body);
      int answers = 0;
      router.route(request, [&](Response response) {
        ++answers;
        check_answer(request, access, std::move(response));
      });
      CHECK(answers == 1);
    }
    if (state == RequestReader::State::kRefused) {
      outcome.refused = reader.refused_status();
      check_answer({}, access, problem(reader.refused_status(), reader.refused_reason()));
    }
  }
  outcome.rest.clear();
  return outcome;
}

}  // namespace
}  // namespace feedvault::gateway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = feedvault::gateway::run(bytes, std::max<std::size_t>(1, size));
  const auto cut = feedvault::gateway::run(bytes, 1 + size % 7);
  // What was understood is the same, however it came.
  CHECK(whole.paths == cut.paths);
  CHECK((whole.refused == 0) == (cut.refused == 0));
  return 0;
}
