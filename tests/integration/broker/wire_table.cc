#include "tests/integration/broker/wire_table.h"

namespace feedvault::broker::testing {
namespace {

// What a usual client says first.
const std::string& usual() {
  static const std::string connect =
      "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
      "\"protocol\":1,\"echo\":true}\r\n";
  return connect;
}

std::string plain(std::string_view more) {
  return usual() + std::string(more);
}

std::string with(const std::string& options, std::string_view more) {
  return "CONNECT {" + options + "}\r\n" + std::string(more);
}

std::string error(const std::string& text) {
  return "-ERR '" + text + "'\r\n";
}

std::string times(std::size_t count, char c) {
  return std::string(count, c);
}

using Cases = std::vector<WireCase>;

void add_basics(Cases& all) {
  const Cases cases = {
      {"before CONNECT a client is verbose",
       "SUB foo 1\r\nPUB foo 2\r\nhi\r\n",
       "+OK\r\n+OK\r\nMSG foo 1 2\r\nhi\r\n"},
      {"CONNECT {} keeps it verbose", "CONNECT {}\r\nPING\r\n", "+OK\r\nPONG\r\n"},
      {"operations in lower case",
       "connect {\"verbose\":false}\r\nping\r\nsub foo 1\r\npub foo 2\r\nhi\r\n",
       "PONG\r\nMSG foo 1 2\r\nhi\r\n"},
      {"bare line feeds end control lines",
       "connect {\"verbose\":false}\nping\nsub foo 1\npub foo 2\nhi\r\n",
       "PONG\r\nMSG foo 1 2\r\nhi\r\n"},
      {"tabs and several blanks",
       plain("SUB\t\tfoo  \t 1  \r\nPUB   foo    2 \r\nhi\r\n"),
       "MSG foo 1 2\r\nhi\r\n"},
      {"sizes come back as they were sent",
       plain("SUB a 1\r\nPUB a 002\r\nhi\r\n"),
       "MSG a 1 002\r\nhi\r\n"},
      {"sids are any word", plain("SUB a x-7.y\r\nPUB a 1\r\nx\r\n"), "MSG a x-7.y 1\r\nx\r\n"},
      {"an empty payload", plain("SUB a 1\r\nPUB a 0\r\n\r\n"), "MSG a 1 0\r\n\r\n"},
      {"replies are passed on",
       plain("SUB a 1\r\nPUB a back 1\r\nx\r\n"),
       "MSG a 1 back 1\r\nx\r\n"},
      {"line ends in a payload",
       plain("SUB a 1\r\nPUB a 6\r\n\r\nA\r\nB\r\n"),
       "MSG a 1 6\r\n\r\nA\r\nB\r\n"},
      {"PING with something behind it", plain("PINGxyz\r\nPING 1\r\n"), "PONG\r\nPONG\r\n"},
      {"+OK and PONG from a client mean nothing", plain("+OK\r\nPONG\r\nPING\r\n"), "PONG\r\n"},
      {"INFO from a client must be JSON", plain("INFO {}\r\nPING\r\n"), "PONG\r\n"},
      {"verbose: +OK comes before the message",
       with("\"verbose\":true", "PING\r\nSUB a 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\n"),
       "+OK\r\nPONG\r\n+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\n+OK\r\n"},
      {"several CONNECTs",
       with("\"verbose\":false", "CONNECT {\"verbose\":true}\r\nCONNECT {\"verbose\":false}\r\n"),
       "+OK\r\n"},
      {"unknown options are ignored",
       with("\"verbose\":false,\"colour\":7", "PING\r\n"),
       "PONG\r\n"},
      {"no blank after CONNECT", "CONNECT{\"verbose\":false}\r\nPING\r\n", "PONG\r\n"},
      {"credentials are ignored where none are needed",
       with("\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"", "PING\r\n"),
       "PONG\r\n"},
  };
  all.insert(all.end(), cases.begin(), cases.end());
}

void add_terminal(Cases& all) {
  const std::string why =
      "people at terminals end every line, the payload's too, with a bare line feed";
  all.push_back({"nc: a bare line feed after the payload",
                 "CONNECT {}\nPING\nSUB foo 1\nPUB foo 5\nnoice\n",
                 "+OK\r\nPONG\r\n+OK\r\n+OK\r\nMSG foo 1 5\r\nnoice\r\n",
                 false,
                 why,
                 "+OK\r\nPONG\r\n+OK\r\n" + error("Unknown Protocol Operation"),
                 true});
}

void add_errors(Cases& all) {
  const std::string unknown = error("Unknown Protocol Operation");
  const Cases cases = {
      {"a payload that is too short", plain("PUB foo 5\r\nhi\r\nPING\r\n"), unknown, true},
      {"a payload that is too long", plain("PUB foo 1\r\nhi\r\n"), unknown, true},
      {"an unknown operation", plain("HELLO\r\n"), unknown, true},
      {"an empty line", plain("\r\n"), unknown, true},
      {"a leading blank", plain(" PING\r\n"), unknown, true},
      {"an operation of the server's", plain("MSG a 1 1\r\nx\r\n"), unknown, true},
      {"what came before an error is answered",
       plain("PING\r\nHELLO\r\n"),
       "PONG\r\n" + unknown,
       true},
      {"PUB without a size", plain("PUB foo\r\n"), "", true},
      {"PUB with a word for a size", plain("PUB foo abc\r\n"), "", true},
      {"PUB with a negative size", plain("PUB foo -1\r\n"), "", true},
      {"PUB with ten digits", plain("PUB foo 1000000000\r\n"), "", true},
      {"PUB with too much", plain("PUB a b c 1\r\nx\r\n"), "", true},
      {"SUB without a sid", plain("SUB foo\r\n"), "", true},
      {"SUB with too much", plain("SUB a b c d\r\n"), "", true},
      {"UNSUB without a sid", plain("UNSUB \r\n"), "", true},
      {"CONNECT with bad JSON", "CONNECT {bad\r\n", "", true},
      {"CONNECT with a wrong type", "CONNECT {\"verbose\":\"yes\"}\r\n", "", true},
      {"CONNECT with nothing", "CONNECT \r\n", "", true},
      {"INFO with bad JSON", plain("INFO {\r\n"), "", true},
      {"an error from the client", plain("-ERR 'no'\r\n"), "", true},
      {"HPUB with a header larger than all", plain("HPUB a 5 4\r\nabcd\r\n"), "", true},
      {"HPUB without headers in CONNECT",
       with("\"verbose\":false", "HPUB a 0 1\r\nx\r\n"),
       "",
       true},
      {"max_payload", plain("PUB foo 1048577\r\n"), error("Maximum Payload Violation"), true},
      {"max_payload counts headers",
       plain("HPUB foo 12 1048577\r\n"),
       error("Maximum Payload Violation"),
       true},
      {"the longest control line", plain("SUB " + times(4094, 'a') + " 1\r\nPING\r\n"), "PONG\r\n"},
      {"a control line one too long",
       plain("SUB " + times(4095, 'a') + " 1\r\nPING\r\n"),
       error("maximum control line exceeded"),
       true},
      {"a control line that never ends",
       plain("PUB " + times(5000, 'a')),
       error("maximum control line exceeded"),
       true},
      {"an unknown protocol version",
       with("\"verbose\":false,\"protocol\":2", "PING\r\n"),
       error("invalid client protocol"),
       true},
      {"no_responders without headers",
       with("\"verbose\":false,\"no_responders\":true", "PING\r\n"),
       error("no responders requires headers support"),
       true},
  };
  all.insert(all.end(), cases.begin(), cases.end());
}

void add_subscriptions(Cases& all) {
  const std::string invalid = error("Invalid Subject");
  const Cases cases = {
      {"invalid filters: an empty token",
       plain("SUB foo..bar 1\r\nPING\r\n"),
       invalid + "PONG\r\n"},
      {"invalid filters: a leading dot", plain("SUB .foo 1\r\nPING\r\n"), invalid + "PONG\r\n"},
      {"invalid filters: a trailing dot", plain("SUB foo. 1\r\nPING\r\n"), invalid + "PONG\r\n"},
      {"invalid filters: > at the beginning", plain("SUB >.a 1\r\nPING\r\n"), invalid + "PONG\r\n"},
      {"invalid filters: > in the middle",
       plain("SUB foo.>.bar 1\r\nPING\r\n"),
       invalid + "PONG\r\n"},
      {"stars in words are letters",
       plain("SUB foo* 1\r\nPUB foobar 1\r\nx\r\nPUB foo* 1\r\ny\r\n"),
       "MSG foo* 1 1\r\ny\r\n"},
      {"a published star is a letter",
       plain("SUB foo.* 1\r\nSUB foo.bar 2\r\nPUB foo.* 1\r\nx\r\n"),
       "MSG foo.* 1 1\r\nx\r\n"},
      {"> needs a token",
       plain("SUB a.> 1\r\nPUB a 1\r\nx\r\nPUB a.b.c 1\r\ny\r\n"),
       "MSG a.b.c 1 1\r\ny\r\n"},
      {"* is one token",
       plain("SUB a.* 1\r\nPUB a.b.c 1\r\nx\r\nPUB a.b 1\r\ny\r\n"),
       "MSG a.b 1 1\r\ny\r\n"},
      {"subjects with empty tokens reach nobody",
       plain("SUB > 1\r\nPUB a..b 1\r\nx\r\nPUB .a 1\r\nx\r\nPUB a. 1\r\nx\r\nPING\r\n"),
       "PONG\r\n"},
      {"a sid in use stays what it was",
       plain("SUB a 1\r\nSUB b 1\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\nPING\r\n"),
       "MSG a 1 1\r\nx\r\nPONG\r\n"},
      {"UNSUB of an unknown sid", plain("UNSUB 9\r\nPING\r\n"), "PONG\r\n"},
      {"UNSUB at once", plain("SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\nx\r\nPING\r\n"), "PONG\r\n"},
      {"UNSUB after two",
       plain("SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\nx\r\nPUB a 1\r\ny\r\nPUB a 1\r\nz\r\nPING\r\n"),
       "MSG a 1 1\r\nx\r\nMSG a 1 1\r\ny\r\nPONG\r\n"},
      {"UNSUB counts from the subscription",
       plain("SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 3\r\nPUB a 1\r\n3\r\nPUB a "
             "1\r\n4\r\nPING\r\n"),
       "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\nPONG\r\n"},
      {"UNSUB with a maximum that is reached already",
       plain("SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 2\r\nPUB a 1\r\n3\r\nPING\r\n"),
       "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nPONG\r\n"},
      {"a later UNSUB extends",
       plain("SUB a 1\r\nUNSUB 1 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a "
             "1\r\n3\r\nPING\r\n"),
       "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nPONG\r\n"},
      {"a sid can be used again after its last message",
       plain("SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\nx\r\nSUB b 1\r\nPUB b 1\r\ny\r\n"),
       "MSG a 1 1\r\nx\r\nMSG b 1 1\r\ny\r\n"},
      {"one member of a queue group, once for the name",
       plain("SUB q.* g 1\r\nSUB q.> g 1\r\nPUB q.x 1\r\nx\r\nPING\r\n"),
       "MSG q.x 1 1\r\nx\r\nPONG\r\n"},
      {"plain subscriptions come before queue groups",
       plain("SUB q g 1\r\nSUB q 4\r\nPUB q 1\r\nx\r\nPING\r\n"),
       "MSG q 4 1\r\nx\r\nMSG q 1 1\r\nx\r\nPONG\r\n"},
      {"echo off",
       with("\"verbose\":false,\"echo\":false", "SUB a 1\r\nSUB a g 2\r\nPUB a 1\r\nx\r\nPING\r\n"),
       "PONG\r\n"},
      {"pedantic: a bad subject is told, and routed",
       with("\"verbose\":false,\"pedantic\":true", "SUB foo.* 1\r\nPUB foo.* 2\r\nhi\r\n"),
       error("Invalid Publish Subject") + "MSG foo.* 1 2\r\nhi\r\n"},
      {"the queue name that is reserved",
       plain("SUB a _sys_ 1\r\nPING\r\n"),
       error("Permissions Violation for Subscription to \"a\" using queue \"_sys_\"") + "PONG\r\n"},
  };
  all.insert(all.end(), cases.begin(), cases.end());
}

void add_headers_and_replies(Cases& all) {
  const std::string none = "NATS/1.0 503\r\n\r\n";
  const Cases cases = {
      {"headers",
       plain("SUB a 1\r\nHPUB a r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n"),
       "HMSG a 1 r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n"},
      {"headers that are none pass through",
       plain("SUB a 1\r\nHPUB a 4 6\r\njunkhi\r\n"),
       "HMSG a 1 4 6\r\njunkhi\r\n"},
      {"HPUB without any header bytes",
       plain("SUB a 1\r\nHPUB a 0 2\r\nhi\r\n"),
       "MSG a 1 2\r\nhi\r\n"},
      {"no responders",
       plain("SUB inbox.* 7\r\nPUB nobody inbox.x 2\r\nhi\r\nPING\r\n"),
       "HMSG inbox.x 7 16 16\r\n" + none + "\r\nPONG\r\n"},
      {"no responders: not to a queue subscription",
       plain("SUB inbox.* q 7\r\nPUB nobody inbox.x 2\r\nhi\r\nPING\r\n"),
       "PONG\r\n"},
      {"no responders: not without a reply",
       plain("SUB inbox.* 7\r\nPUB nobody 2\r\nhi\r\nPING\r\n"),
       "PONG\r\n"},
      {"no responders: a subject with an empty token",
       plain("SUB i 2\r\nPUB a..b i 1\r\nx\r\n"),
       "HMSG i 2 16 16\r\n" + none + "\r\n"},
      {"no responders: when only the sender itself listens, without echo",
       with("\"verbose\":false,\"echo\":false,\"headers\":true,\"no_responders\":true",
            "SUB a 1\r\nSUB i 2\r\nPUB a i 1\r\nx\r\n"),
       "HMSG i 2 16 16\r\n" + none + "\r\n"},
      {"no responders: also after the last one has unsubscribed",
       plain("SUB a 1\r\nSUB i 2\r\nUNSUB 1 1\r\nPUB a 1\r\nx\r\nPUB a i 1\r\ny\r\n"),
       "MSG a 1 1\r\nx\r\nHMSG i 2 16 16\r\n" + none + "\r\n"},
      {"reserved replies",
       plain("PUB foo $JS.ACK.a.b.1.1.1.1.1 2\r\nhi\r\nPING\r\n"),
       error("Permissions Violation for Publish with Reply of \"$JS.ACK.a.b.1.1.1.1.1\"") +
           "PONG\r\n"},
      {"reserved subjects",
       plain("PUB _GR_.abcdef.ghijkl.x 1\r\nx\r\nPING\r\n"),
       error("Permissions Violation for Publish to \"_GR_.abcdef.ghijkl.x\"") + "PONG\r\n"},
  };
  all.insert(all.end(), cases.begin(), cases.end());
}

}  // namespace

const std::vector<WireCase>& wire_table() {
  static const Cases all = [] {
    Cases cases;
    add_basics(cases);
    add_terminal(cases);
    add_errors(cases);
    add_subscriptions(cases);
    add_headers_and_replies(cases);
    return cases;
  }();
  return all;
}

}  // namespace feedvault::broker::testing
