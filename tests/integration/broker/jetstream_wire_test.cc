// What $JS.API.> and publishes to streams are answered, byte by byte on the wire: the same requests
// to our broker and to nats-server, every field of their answers compared.

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/integration/broker/raw_client.h"
#include "tests/integration/broker/server_program.h"

namespace feedvault::broker::testing {
namespace {

struct WireRequest {
  const char* subject;
  const char* payload;
  const char* header = "";  // one line
};

// In this order: each may depend on what the ones before did.
const std::vector<WireRequest>& wire_requests() {
  static const std::vector<WireRequest> requests = {
      {"$JS.API.INFO", ""},
      {"$JS.API.STREAM.NAMES", ""},
      {"$JS.API.STREAM.LIST", ""},
      {"$JS.API.STREAM.INFO.NOPE", ""},
      {"$JS.API.STREAM.DELETE.NOPE", ""},
      {"$JS.API.STREAM.PURGE.NOPE", ""},
      {"$JS.API.STREAM.UPDATE.NOPE", R"({"name":"NOPE"})"},
      {"$JS.API.STREAM.UPDATE.NOPE", R"({"name":"OTHER"})"},
      {"$JS.API.STREAM.CREATE.A", R"({"name":"B"})"},
      {"$JS.API.STREAM.CREATE.A", "{bad"},
      {"$JS.API.STREAM.CREATE.A", ""},
      {"$JS.API.STREAM.CREATE.A", "[]"},
      {"$JS.API.STREAM.CREATE.A", R"({"name":1})"},
      {"$JS.API.STREAM.CREATE.A", R"({"name":"A","subjects":"a.>"})"},
      {"$JS.API.STREAM.CREATE.A", R"({"name":"A","max_msgs":1.5})"},
      {"$JS.API.STREAM.CREATE.A", R"({"name":"A","subjects":["a.>"],"unknown":1})"},
      {"$JS.API.STREAM.CREATE.A", R"({"NAME":"A","Subjects":["a.\u003e"],"description":null})"},
      {"$JS.API.STREAM.CREATE.A", R"({"name":"A","subjects":["a.>","b"]})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["a.x"]})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b"],"num_replicas":3})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b"],"retention":"foo"})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b","b"]})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b.*","b.c"]})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["$JS.API.>"]})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b"],"max_age":1000})"},
      {"$JS.API.STREAM.CREATE.B",
       R"({"name":"B","subjects":["b"],"max_age":1000000000,"duplicate_window":2000000000})"},
      {"$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b"],"sealed":true})"},
      {"$JS.API.STREAM.CREATE.a*b", R"({"name":"a*b","subjects":["b"]})"},
      {"a.1", "hello"},
      {"a.2", "world", "K: v"},
      {"a.1", "again"},
      {"a.1", "x", "Nats-Expected-Last-Sequence: 99"},
      {"a.1", "x", "Nats-Expected-Last-Sequence: 3"},
      {"a.1", "x", "Nats-Expected-Stream: B"},
      {"a.1", "x", "Nats-Expected-Last-Subject-Sequence: 1"},
      {"a.9", "x", "Nats-Expected-Last-Subject-Sequence: 0"},
      {"a.1", "x", "Nats-Expected-Last-Msg-Id: nope"},
      {"a.1", "x", "Nats-Msg-Id: one"},
      {"a.1", "x", "Nats-Msg-Id: one"},
      {"a.1", "x", "Nats-Rollup: sub"},
      {"$JS.API.STREAM.INFO.A", ""},
      {"$JS.API.STREAM.INFO.A", R"({"subjects_filter":">","deleted_details":true})"},
      {"$JS.API.STREAM.MSG.DELETE.A", R"({"seq":2})"},
      {"$JS.API.STREAM.MSG.DELETE.A", ""},
      {"$JS.API.STREAM.MSG.DELETE.A", "{bad"},
      {"$JS.API.STREAM.INFO.A", R"({"subjects_filter":"a.*","deleted_details":true})"},
      {"$JS.API.STREAM.INFO.A", R"({"subjects_filter":"a.1"})"},
      {"$JS.API.STREAM.INFO.A", "{bad"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"seq":1})"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"seq":2})"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"last_by_subj":"a.1"})"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"last_by_subj":"a.nope"})"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"seq":2,"next_by_subj":"a.>"})"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"next_by_subj":"a.>"})"},
      {"$JS.API.STREAM.MSG.GET.A", "{}"},
      {"$JS.API.STREAM.MSG.GET.A", ""},
      {"$JS.API.STREAM.MSG.GET.A", R"({"seq":1,"last_by_subj":"a.1"})"},
      {"$JS.API.STREAM.MSG.GET.A", R"({"seq":-1})"},
      {"$JS.API.STREAM.MSG.GET.NOPE", R"({"seq":1})"},
      {"$JS.API.STREAM.PURGE.A", R"({"seq":1,"keep":1})"},
      {"$JS.API.STREAM.PURGE.A", "{bad"},
      {"$JS.API.STREAM.PURGE.A", R"({"filter":"a.1","keep":1})"},
      {"$JS.API.STREAM.PURGE.A", R"({"seq":5})"},
      {"$JS.API.STREAM.PURGE.A", ""},
      {"$JS.API.STREAM.NAMES", R"({"subject":"a.1"})"},
      {"$JS.API.STREAM.NAMES", R"({"subject":"z"})"},
      {"$JS.API.STREAM.NAMES", "{bad"},
      {"$JS.API.STREAM.LIST", ""},
      {"$JS.API.STREAM.LIST", R"({"offset":1})"},
      {"$JS.API.STREAM.DELETE.A", R"({"x":1})"},
      {"$JS.API.STREAM.LEADER.STEPDOWN.A", ""},
      {"$JS.API.STREAM.TEMPLATE.NAMES", ""},
      {"$JS.API.CONSUMER.NAMES.A", ""},
      {"$JS.API.CONSUMER.LIST.A", ""},
      {"$JS.API.CONSUMER.NAMES.NOPE", ""},
      {"$JS.API.CONSUMER.LIST.NOPE", ""},
      {"$JS.API.CONSUMER.INFO.A.NOPE", ""},
      {"$JS.API.CONSUMER.INFO.NOPE.NOPE", ""},
      {"$JS.API.CONSUMER.DELETE.A.NOPE", ""},
      {"$JS.API.CONSUMER.CREATE.NOPE", R"({"stream_name":"NOPE","config":{}})"},
      {"$JS.API.CONSUMER.CREATE.A", "{bad"},
      {"$JS.API.CONSUMER.CREATE.A", ""},
      {"$JS.API.CONSUMER.CREATE.A", R"({"stream_name":"B","config":{}})"},
      {"$JS.API.CONSUMER.CREATE.A",
       R"({"stream_name":"A","config":{"durable_name":"D","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.CREATE.A", R"({"stream_name":"A","config":{"ack_policy":"bogus"}})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.A.D",
       R"({"stream_name":"A","config":{"durable_name":"E","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.A.D",
       R"({"stream_name":"A","config":{"ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.A.D",
       R"({"stream_name":"A","config":{"durable_name":"D","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.A.D",
       R"({"stream_name":"A","config":{"durable_name":"D","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.CREATE.A.F.a.1",
       R"({"stream_name":"A","config":{"name":"F","durable_name":"F","filter_subject":"a.1","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.CREATE.A.F.a.2",
       R"({"stream_name":"A","config":{"name":"F","durable_name":"F","filter_subject":"a.1","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.CREATE.A.G",
       R"({"stream_name":"A","config":{"name":"H","durable_name":"G","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","deliver_subject":"out.*"}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","deliver_subject":"a.1"}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","deliver_subject":"out","idle_heartbeat":1}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","deliver_subject":"out","flow_control":true}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","deliver_subject":"out","max_waiting":3}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","deliver_policy":"by_start_sequence","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.CREATE.A.P",
       R"({"stream_name":"A","config":{"durable_name":"P","ack_policy":"explicit","filter_subject":"zzz"}})"},
      {"$JS.API.CONSUMER.INFO.A.D", ""},
      {"$JS.API.CONSUMER.NAMES.A", ""},
      {"$JS.API.CONSUMER.LIST.A", ""},
      {"$JS.API.CONSUMER.MSG.NEXT.A.D", R"({"batch":1,"no_wait":true})"},
      {"a.7", "seven"},
      {"$JS.API.CONSUMER.MSG.NEXT.A.D", R"({"batch":1,"no_wait":true})"},
      {"$JS.API.CONSUMER.INFO.A.D", ""},
      {"$JS.API.CONSUMER.DELETE.A.D", "x"},
      {"$JS.API.CONSUMER.DELETE.A.D", ""},
      {"$JS.API.CONSUMER.DELETE.A.D", ""},
      {"$JS.API.STREAM.UPDATE.A",
       R"({"name":"A","subjects":["a.>"],"allow_direct":true,"max_msgs":10})"},
      {"$JS.API.STREAM.UPDATE.A", R"({"name":"A","subjects":["a.>"],"storage":"memory"})"},
      {"a.5", "five"},
      {"$JS.API.DIRECT.GET.A", R"({"seq":1})"},
      {"$JS.API.DIRECT.GET.A", R"({"last_by_subj":"a.5"})"},
      {"$JS.API.DIRECT.GET.A.a.5", ""},
      {"$JS.API.DIRECT.GET.A.a.nope", ""},
      {"$JS.API.DIRECT.GET.A", ""},
      {"$JS.API.DIRECT.GET.A", "{}"},
      {"$JS.API.DIRECT.GET.A", "{bad"},
      {"$JS.API.STREAM.DELETE.A", ""},
      {"$JS.API.STREAM.CREATE.L",
       R"({"name":"L","subjects":["l.*"],"max_msgs":2,"discard":"new"})"},
      {"l.1", "a"},
      {"l.1", "b"},
      {"l.1", "c"},
      {"$JS.API.STREAM.CREATE.M",
       R"({"name":"M","subjects":["m.*"],"max_msg_size":4,"storage":"memory","no_ack":false})"},
      {"m.1", "abcde"},
      {"m.1", "abcd"},
      {"$JS.API.STREAM.INFO.M", ""},
      {"$JS.API.STREAM.CREATE.K",
       R"({"name":"K","subjects":["k.*"],"max_msgs_per_subject":1,"allow_rollup_hdrs":true,"deny_delete":true})"},
      {"k.1", "a"},
      {"k.1", "b"},
      {"k.2", "c", "Nats-Rollup: all"},
      {"$JS.API.STREAM.INFO.K", R"({"subjects_filter":">"})"},
      {"$JS.API.STREAM.MSG.DELETE.K", R"({"seq":3})"},
      {"$JS.API.STREAM.CREATE.R", R"({"name":"R","subjects":["r"],"deny_purge":true})"},
      {"$JS.API.STREAM.PURGE.R", ""},
      {"$JS.API.STREAM.CREATE.W", R"({"name":"W","subjects":["w"],"retention":"workqueue"})"},
      {"$JS.API.CONSUMER.CREATE.W",
       R"({"stream_name":"W","config":{"deliver_subject":"ww","ack_policy":"none"}})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.W.X",
       R"({"stream_name":"W","config":{"durable_name":"X","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.W.Y",
       R"({"stream_name":"W","config":{"durable_name":"Y","ack_policy":"explicit"}})"},
      {"$JS.API.STREAM.NAMES", ""},
  };
  return requests;
}

/// A client that asks one thing at a time.
class Asker {
 public:
  explicit Asker(std::uint16_t port) : client_(port) {
    client_.send(
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n"
        "SUB inbox 1\r\nPING\r\n");
    EXPECT_EQ(client_.receive_until("PONG\r\n"), "PONG\r\n");
  }

  /// "MSG inbox ..." or "HMSG inbox ..." and what it brings; "" when nothing comes.
  std::string ask(const WireRequest& request) {
    const std::string payload = request.payload;
    if (*request.header == '\0') {
      return ask_with(request.subject, payload);
    }
    const std::string headers = fmt::format("NATS/1.0\r\n{}\r\n\r\n", request.header);
    client_.send(fmt::format("HPUB {} inbox {} {}\r\n{}{}\r\n",
                             request.subject,
                             headers.size(),
                             headers.size() + payload.size(),
                             headers,
                             payload));
    return next();
  }

  std::string ask_with(const std::string& subject, const std::string& payload) {
    client_.send(fmt::format("PUB {} inbox {}\r\n{}\r\n", subject, payload.size(), payload));
    return next();
  }

  void publish(const std::string& subject) { client_.send("PUB " + subject + " 0\r\n\r\n"); }
  void listen(const std::string& subject) {
    client_.send("SUB " + subject + " 2\r\nPING\r\n");
    EXPECT_EQ(client_.receive_until("PONG\r\n"), "PONG\r\n");
  }

  /// One more message, or "".
  std::string next() {
    while (true) {
      const std::size_t line_end = text_.find("\r\n");
      if (line_end != std::string::npos) {
        const std::string line = text_.substr(0, line_end);
        const bool is_message = line.rfind("MSG ", 0) == 0 || line.rfind("HMSG ", 0) == 0;
        const std::size_t bytes = is_message ? std::stoul(line.substr(line.rfind(' ') + 1)) + 2 : 0;
        if (text_.size() >= line_end + 2 + bytes) {
          const std::string frame = text_.substr(0, line_end + 2 + bytes);
          text_.erase(0, frame.size());
          if (is_message) {
            return frame;
          }
          continue;  // a PING
        }
      }
      const std::string more = client_.receive_some();
      if (more.empty()) {
        return "";
      }
      text_ += more;
    }
  }

 private:
  RawClient client_;
  std::string text_;
};

// Times differ, and with them the length of what has them in it; internal messages of nats-server
// have a second blank.
std::string without_times(std::string text) {
  static const std::regex kTime(R"(20\d\d-\d\d-\d\dT[0-9:.]+Z)");
  static const std::regex kAckTime(R"((\$JS\.ACK\.[^ ]*\.)\d{19}(\.\d+ ))");
  static const std::regex kLengths(R"(^HMSG (\S+) 1 +\d+ \d+)");
  static const std::regex kBlanks(R"(^(H?MSG \S+ 1)  +)");
  text = std::regex_replace(text, kAckTime, "$1TIME$2");
  if (std::regex_search(text, kTime)) {
    text = std::regex_replace(text, kTime, "TIME");
    text = std::regex_replace(text, kLengths, "HMSG $1 1 N N");
  }
  return std::regex_replace(text, kBlanks, "$1 ");
}

/// The answer's fields by path; one field with all of it where it is no JSON.
std::map<std::string, std::string> fields(const std::string& frame) {
  const std::size_t line_end = frame.find("\r\n");
  const std::string body = line_end == std::string::npos ? "" : frame.substr(line_end + 2);
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return {{"frame", without_times(frame)}};
  }
  std::map<std::string, std::string> all;
  const nlohmann::json leaves = json.flatten();
  for (const auto& [path, value] : leaves.items()) {
    all[path] = without_times(value.dump());
  }
  if (json.contains("error")) {
    all["body"] = body.find("\"error\"") == 1 ? body : "";  // PubAcks are compared as text
  } else if (json.contains("seq")) {
    all["body"] = body;
  }
  return all;
}

// Where we do what newer releases do, or say more exactly how things are. `path` ends the field's.
struct WireDifference {
  const char* path;
  const char* why;
};
constexpr WireDifference kWireDifferences[] = {
    {"/config/compression", "2.10"},
    {"/config/consumer_limits", "2.10"},
    {"/config/name", "of a consumer that was created as a durable one: 2.10 puts it in"},
    {"/ack_floor/stream_seq", "of a new consumer: where it begins"},
    {"/streams", "an empty list is [], not null"},
};

bool is_allowed(const std::string& path) {
  return std::any_of(
      std::begin(kWireDifferences), std::end(kWireDifferences), [&](const WireDifference& each) {
        const std::string_view end = each.path;
        return path.size() >= end.size() &&
               std::string_view(path).substr(path.size() - end.size()) == end;
      });
}

TEST(JetStreamWire, AnswersAreNatsServers) {
  const feedvault::testing::TempDir folder;
  const auto config = [&](const char* name) {
    return "jetstream { store_dir: \"" + folder.file(name) + "\" }";
  };
  ServerProgram ours(ServerKind::kOurs, config("ours"));
  ServerProgram reference(ServerKind::kReference, config("reference"));
  Asker our_client(ours.port());
  Asker reference_client(reference.port());
  for (const WireRequest& request : wire_requests()) {
    SCOPED_TRACE(fmt::format("{} {} {}", request.subject, request.payload, request.header));
    const std::string our_answer = our_client.ask(request);
    const std::string reference_answer = reference_client.ask(request);
    ASSERT_FALSE(our_answer.empty());
    ASSERT_FALSE(reference_answer.empty());
    const auto got = fields(our_answer);
    const auto expected = fields(reference_answer);
    for (const auto& [path, value] : expected) {
      const auto found = got.find(path);
      if (found == got.end()) {
        EXPECT_TRUE(is_allowed(path)) << path << " is missing; nats-server says " << value;
      } else if (found->second != value) {
        EXPECT_TRUE(is_allowed(path))
            << path << " is " << found->second << "; nats-server says " << value;
      }
    }
    for (const auto& [path, value] : got) {
      EXPECT_TRUE(expected.count(path) > 0 || is_allowed(path))
          << path << " is " << value << "; nats-server has none";
    }
  }
}

// What 2.9.10 leaves unanswered, or allows and we cannot do.
TEST(JetStreamWire, SaysAtOnceWhatNobodyAnswers) {
  const feedvault::testing::TempDir folder;
  ServerProgram ours(ServerKind::kOurs, "jetstream { store_dir: \"" + folder.path() + "\" }");
  Asker client(ours.port());
  EXPECT_NE(client.ask({"$JS.API.STREAM.CREATE.A", R"({"name":"A","subjects":["a"]})"}), "");
  const std::string nobody = "HMSG inbox 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
  for (const char* subject : {"$JS.API.CONSUMER.MSG.NEXT.A.C",
                              "$JS.API.CONSUMER.MSG.NEXT.B.C",
                              "$JS.API.DIRECT.GET.A",
                              "$JS.API.DIRECT.GET.A.a",
                              "$JS.API.DIRECT.GET.B",
                              "$JS.ACK.A.C.1.1.1.1.1",
                              "$JS.ACK.nonsense"}) {
    EXPECT_EQ(client.ask({subject, ""}), nobody) << subject;
  }
  const auto error = [&](const char* subject, const char* payload) {
    const std::string answer = client.ask({subject, payload});
    const auto json = nlohmann::json::parse(
        answer.substr(answer.find("\r\n") + 2), nullptr, /*allow_exceptions=*/false);
    return json.is_object() && json.contains("error") ? json["error"]["err_code"].get<int>() : 0;
  };
  EXPECT_EQ(error("$JS.API.BOGUS", ""), 10003);
  EXPECT_EQ(error("$JS.API.STREAM.INFO", ""), 10003);
  EXPECT_EQ(error("$JS.API.STREAM.INFO.A.B", ""), 10003);
  EXPECT_EQ(error("$JS.API.META.LEADER.STEPDOWN", ""), 10010);
  EXPECT_NE(error("$JS.API.STREAM.SNAPSHOT.A", "{}"), 0);
  EXPECT_NE(error("$JS.API.STREAM.CREATE.M", R"({"name":"M","mirror":{"name":"A"}})"), 0);
  EXPECT_NE(error("$JS.API.STREAM.CREATE.M", R"({"name":"M","sources":[{"name":"A"}]})"), 0);
}

// What was done and what was asked, once each.
TEST(JetStreamWire, AdvisoriesTellOnceWhatHappened) {
  const std::vector<WireRequest> requests = {
      {"$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s"]})"},
      {"$JS.API.STREAM.INFO.S", ""},
      {"$JS.API.STREAM.INFO.NOPE", ""},
      {"s", "x"},
      {"$JS.API.STREAM.MSG.DELETE.S", R"({"seq":1})"},
      {"$JS.API.STREAM.UPDATE.S", R"({"name":"S","subjects":["s","t"]})"},
      {"$JS.API.CONSUMER.DURABLE.CREATE.S.C",
       R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}})"},
      {"$JS.API.CONSUMER.DELETE.S.C", ""},
      {"$JS.API.STREAM.DELETE.S", ""},
  };
  const std::multiset<std::string> expected = {
      "$JS.EVENT.ADVISORY.STREAM.CREATED.S create",
      "$JS.EVENT.ADVISORY.STREAM.UPDATED.S modify",
      "$JS.EVENT.ADVISORY.STREAM.DELETED.S delete",
      "$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.C create",
      "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.C delete",
      R"(API $JS.API.STREAM.CREATE.S {"name":"S","subjects":["s"]} stream_create_response)",
      "API $JS.API.STREAM.INFO.S  stream_info_response",
      "API $JS.API.STREAM.INFO.NOPE  stream_info_response",
      R"(API $JS.API.STREAM.MSG.DELETE.S {"seq":1} stream_msg_delete_response)",
      R"(API $JS.API.STREAM.UPDATE.S {"name":"S","subjects":["s","t"]} stream_update_response)",
      "API $JS.API.STREAM.DELETE.S  stream_delete_response",
      R"(API $JS.API.CONSUMER.DURABLE.CREATE.S.C {"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}} consumer_create_response)",
      "API $JS.API.CONSUMER.DELETE.S.C  consumer_delete_response",
  };
  const feedvault::testing::TempDir folder;
  for (const ServerKind kind : {ServerKind::kOurs, ServerKind::kReference}) {
    const bool ours = kind == ServerKind::kOurs;
    SCOPED_TRACE(ours ? "ours" : "nats-server");
    ServerProgram server(
        kind, "jetstream { store_dir: \"" + folder.file(ours ? "ours" : "reference") + "\" }");
    Asker client(server.port());
    Asker listener(server.port());
    listener.listen("$JS.EVENT.ADVISORY.>");
    for (const WireRequest& request : requests) {
      ASSERT_NE(client.ask(request), "");
    }
    std::multiset<std::string> told;
    while (told.size() < expected.size()) {
      const std::string frame = listener.next();
      ASSERT_NE(frame, "");
      if (frame.rfind("MSG inbox ", 0) == 0) {
        continue;  // the other one's
      }
      const std::string subject = frame.substr(4, frame.find(' ', 4) - 4);
      const auto json = nlohmann::json::parse(
          frame.substr(frame.find("\r\n") + 2), nullptr, /*allow_exceptions=*/false);
      if (subject == "$JS.EVENT.ADVISORY.API") {
        EXPECT_EQ(json.value("type", ""), "io.nats.jetstream.advisory.v1.api_audit");
        const auto response =
            nlohmann::json::parse(json.value("response", ""), nullptr, /*allow_exceptions=*/false);
        std::string type = response.value("type", "");
        type = type.substr(type.rfind('.') + 1);
        told.insert(fmt::format(
            "API {} {} {}", json.value("subject", ""), json.value("request", ""), type));
      } else {
        told.insert(subject + " " + json.value("action", ""));
      }
    }
    EXPECT_EQ(told, expected);
    client.publish("$JS.EVENT.ADVISORY.END");
    std::string end = listener.next();
    while (end.rfind("MSG inbox ", 0) == 0) {
      end = listener.next();
    }
    EXPECT_EQ(end.rfind("MSG $JS.EVENT.ADVISORY.END ", 0), 0U) << end;
  }
}

struct OddPull {
  std::string payload;
  std::size_t messages;  // 0: a status of 400
};

// Only an object can be wrong. All that is neither a number nor an object asks for one message.
TEST(JetStreamWire, OddPullRequestsAskForAsMuchAsInNatsServer) {
  const std::vector<OddPull> pulls = {
      {"abc", 1},
      {"2abc", 1},
      {"0", 1},
      {"-1", 1},
      {"+2", 2},
      {"+-2", 1},
      {"+", 1},
      {" 2", 2},
      {"2 ", 2},
      {"\t2\r\n", 2},
      {"02", 2},
      {"0x2", 1},
      {"2.5", 1},
      {"2e1", 1},
      {"99999999999999999999", 1},
      {"\n", 1},
      {std::string(1, '\0'), 1},
      {"[]", 1},
      {"[2]", 1},
      {"null", 1},
      {"true", 1},
      {"\"2\"", 1},
      {"{}", 1},
      {" {\"batch\":2}\n", 2},
      {"{\"BATCH\":2}", 2},
      {"{\"batch\":1,\"batch\":2}", 2},
      {"{\"batch\":0}", 1},
      {"{\"batch\":-3}", 1},
      {"{\"batch\":null}", 1},
      {"{\"batch\":2,\"max_bytes\":-5,\"more\":[]}", 2},
      {"{", 0},
      {"{\"batch\":3}x", 0},
      {"{\"batch\":\"2\"}", 0},
      {"{\"batch\":1.5}", 0},
      {"{\"batch\":9223372036854775808}", 0},
      {"{\"expires\":\"1s\"}", 0},
      {"{\"expires\":1000000.0}", 0},
      {"{\"no_wait\":1}", 0},
  };
  const feedvault::testing::TempDir folder;
  for (const ServerKind kind : {ServerKind::kOurs, ServerKind::kReference}) {
    const bool ours = kind == ServerKind::kOurs;
    ServerProgram server(
        kind, "jetstream { store_dir: \"" + folder.file(ours ? "ours" : "reference") + "\" }");
    Asker client(server.port());
    client.ask({"$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s"],"storage":"memory"})"});
    for (int i = 0; i < 5; ++i) {
      client.ask({"s", "x"});
    }
    for (const OddPull& pull : pulls) {
      SCOPED_TRACE(fmt::format("{} {}", ours ? "ours" : "nats-server", pull.payload));
      client.ask({"$JS.API.CONSUMER.DURABLE.CREATE.S.C",
                  R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"none"}})"});
      std::string got = client.ask_with("$JS.API.CONSUMER.MSG.NEXT.S.C", pull.payload);
      if (pull.messages == 0) {
        EXPECT_NE(got.find("NATS/1.0 400 Bad Request - "), std::string::npos) << got;
      }
      for (std::size_t i = 0; i < pull.messages; ++i) {
        got = i == 0 ? got : client.next();
        EXPECT_EQ(got.substr(0, 4), "MSG ") << got;
        EXPECT_NE(got.find("$JS.ACK.S.C."), std::string::npos) << got;
      }
      const std::string info = client.ask({"$JS.API.CONSUMER.INFO.S.C", ""});
      EXPECT_NE(info.find(fmt::format(R"("delivered":{{"consumer_seq":{0},"stream_seq":{0})",
                                      pull.messages)),
                std::string::npos)
          << info;
      EXPECT_NE(info.find(R"("num_waiting":0)"), std::string::npos) << info;
      client.ask({"$JS.API.CONSUMER.DELETE.S.C", ""});
    }
  }
}

}  // namespace
}  // namespace feedvault::broker::testing
