#include "broker/nats_conf.h"

#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace feedvault::broker {
namespace {

using Kind = ConfValue::Kind;

ConfValue parse(std::string_view text, const char* const* environment = nullptr) {
  auto parsed = parse_nats_conf(text, "x.conf", environment);
  EXPECT_TRUE(parsed.has_value()) << text << "\n" << parsed.status().message();
  return parsed.has_value() ? *parsed : ConfValue{};
}

std::string problem(std::string_view text, const char* const* environment = nullptr) {
  return parse_nats_conf(text, "x.conf", environment).status().message();
}

// A value in JSON's spelling, so that tables of expectations read well.
std::string show(const ConfValue& value) {
  std::string text;
  switch (value.kind) {
    case Kind::kString:
      return "'" + value.text + "'";
    case Kind::kInteger:
      return std::to_string(value.integer);
    case Kind::kFloat:
      return "f" + std::to_string(value.number);
    case Kind::kBool:
      return value.boolean ? "true" : "false";
    case Kind::kArray:
      for (const ConfValue& item : value.items) {
        text += (text.empty() ? "" : ",") + show(item);
      }
      return "[" + text + "]";
    case Kind::kMap:
      for (const ConfValue& entry : value.entries) {
        text += (text.empty() ? "" : ",") + entry.key + ":" + show(entry);
      }
      return "{" + text + "}";
  }
  return text;
}

struct Case {
  const char* text;
  const char* expected;
};

TEST(NatsConf, ReadsEverySpellingOfAnEntry) {
  const Case cases[] = {
      {"a: 1\nb = 2\nc 3", "{a:1,b:2,c:3}"},
      {"a:1;b:2,c:3", "{a:1,b:2,c:3}"},
      {"{ \"a\": 1, 'b': \"x\" }", "{a:1,b:'x'}"},
      {"a { b: 1 }\nc = { d 2; e: 3 }", "{a:{b:1},c:{d:2,e:3}}"},
      {"a\n{\n b: 1\n}\n", "{a:{b:1}}"},
      {"a: [1, 2\n 3\n]\nb: [ {x: 1}, {x: 2} ]", "{a:[1,2,3],b:[{x:1},{x:2}]}"},
      {"# c\na: 1 # c\n// c\nb: [ # c\n 1 // c\n]\n", "{a:1,b:[1]}"},
      {"a: 1\r\nb: 2\r\n", "{a:1,b:2}"},
      {"a: {}\nb: []", "{a:{},b:[]}"},
      {"\xef\xbb\xbf"
       "a: 1",
       "{a:1}"},
      {"a: 1\na: 2", "{a:2}"},
      {"", "{}"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(show(parse(c.text)), c.expected) << c.text;
  }
}

TEST(NatsConf, ReadsEveryKindOfValue) {
  const Case cases[] = {
      {"a: yes, b: ON, c: true, d: No, e: off, f: FALSE",
       "{a:true,b:true,c:true,d:false,e:false,f:false}"},
      {"a: -5, b: 1k, c: 1kb, d: 2Mi, e: 1gib, f: 3T",
       "{a:-5,b:1000,c:1024,d:2097152,e:1073741824,"
       "f:3000000000000}"},
      {"a: 0.5, b: -2.25", "{a:f0.500000,b:f-2.250000}"},
      {"a: 127.0.0.1:4222, b: nats://h:1, c: 2026-01-01T00:00:00Z, d: 3xyz",
       "{a:'127.0.0.1:4222',b:'nats://h:1',c:'2026-01-01T00:00:00Z',d:'3xyz'}"},
      {"a: foo.*, b: foo.>, c: _INBOX.>", "{a:'foo.*',b:'foo.>',c:'_INBOX.>'}"},
      {R"(a: "x\ty\x41\\\"", b: 'raw\n', c: bare\x20x)",
       "{a:'x\ty"
       "A\\\"',b:'raw\\n',c:'bare x'}"},
      {"a: \"true\", b: \"12\"", "{a:'true',b:'12'}"},
      {"a: $2a$11$abc/def., b: 1", "{a:'$2a$11$abc/def.',b:1}"},
      {"a: (\n x (y)\n z\n)\nb: 1", "{a:'\n x (y)\n z\n',b:1}"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(show(parse(c.text)), c.expected) << c.text;
  }
}

TEST(NatsConf, VariablesComeFromEnclosingMapsAndThenTheEnvironment) {
  const char* const environment[] = {"HOST=10.0.0.1", "N=64mb", "L=[1, 2]", "S=\"a b\"", nullptr};
  EXPECT_EQ(show(parse("x: 1\nm { x: 2, a: $x, b { c: $x } }\nd: $x")),
            "{x:1,m:{x:2,a:2,b:{c:2}},d:1}");
  EXPECT_EQ(show(parse("a: $HOST, b: $N, c: $L, d: $S", environment)),
            "{a:'10.0.0.1',b:67108864,c:[1,2],d:'a b'}");
  EXPECT_EQ(show(parse("p: {pub: foo}\nu: [{x: $p}, {x: $p}]")),
            "{p:{pub:'foo'},u:[{x:{pub:'foo'}},{x:{pub:'foo'}}]}");
  const ConfValue used = parse("x: 1\ny: 2\na: $x");
  EXPECT_TRUE(used.find("x")->variable);
  EXPECT_FALSE(used.find("y")->variable);
}

TEST(NatsConf, KeysAreFoundInAnyCase) {
  EXPECT_EQ(parse("Max_Payload: 5").find("max_payload")->integer, 5);
  EXPECT_EQ(parse("a: 1").find("b"), nullptr);
}

TEST(NatsConf, ErrorsNameTheLine) {
  const Case cases[] = {
      {"a: 1\nb {\n c: 2\n", "x.conf:4: the '{' of line 2 is not closed"},
      {"a: [1,\n2\n", "x.conf:3: the '[' of line 1 is not closed"},
      {"a: \"x\n\n", "x.conf:1: a string's quote"},
      {"a: 'x", "x.conf:1: a string's quote"},
      {"a: (\nx\n", "x.conf:1: a block is not closed"},
      {"a: 1\nb\n", "x.conf:2: b: no value"},
      {"a:\nb: 1", "x.conf:1: a: no value"},
      {"a: }", "x.conf:1: a: no value"},
      {": 1", "x.conf:1: ':' where a key"},
      {"a: 1 2", "x.conf:1: text behind the value"},
      {"a: 1 }", "x.conf:1: '}' without a '{'"},
      {"{a: 1} b: 2", "x.conf:1: 'b' behind the end"},
      {"a: [1 2]", "x.conf:1: text behind an element"},
      {"a: \"\\q\"", "x.conf:1: \\q is no escape"},
      {"a: \"\\xg1\"", "x.conf:1: \\x without"},
      {"a: 99999999999999999999", "x.conf:1: 99999999999999999999 does not fit"},
      {"a: 99999999999g", "x.conf:1: 99999999999g does not fit"},
      {"a: $NOPE", "x.conf:1: $NOPE is neither"},
      {"\n\ninclude nope.conf", "x.conf:3: include: "},
      {"\"a: 1\n", "x.conf:1: a key's quote"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(problem(c.text).substr(0, std::string(c.expected).size()), c.expected) << c.text;
  }
  EXPECT_NE(problem(std::string_view("a: \0", 4)), "");
}

TEST(NatsConf, ABadEnvironmentValueIsNotPrinted) {
  const char* const environment[] = {"SECRET=[pass", "LOOP=$LOOP", nullptr};
  const std::string text = problem("a: $SECRET", environment);
  EXPECT_NE(text.find("$SECRET"), std::string::npos);
  EXPECT_EQ(text.find("pass"), std::string::npos);
  EXPECT_NE(problem("a: $LOOP", environment), "");
}

TEST(NatsConf, BoundsNestingAndExpansion) {
  EXPECT_NE(problem(std::string(5000, '[')).find("no value"), 0U);
  EXPECT_NE(problem("a: " + std::string(5000, '[')).find("nested deeper"), std::string::npos);
  std::string doubling = "a0: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";
  for (int i = 1; i < 40; ++i) {
    doubling += fmt::format("a{}: [$a{}, $a{}]\n", i, i - 1, i - 1);
  }
  EXPECT_NE(problem(doubling).find("variables expand"), std::string::npos);
}

TEST(NatsConf, IncludesAreRelativeAndBounded) {
  const testing::TempDir folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder.file(name)) << text;
    return folder.file(name);
  };
  write("users.conf", "users: [{user: a, password: $PW}]\n");
  const std::string main = write("main.conf",
                                 "PW: secret\nauthorization {\n include 'users.conf'\n"
                                 " timeout: 1\n}\ninclude \"users.conf\"\nport: 1\n");
  const auto loaded = load_nats_conf(main, nullptr);
  ASSERT_TRUE(loaded.has_value()) << loaded.status().message();
  EXPECT_EQ(show(*loaded->find("authorization")),
            "{users:[{user:'a',password:'secret'}],timeout:1}");
  EXPECT_EQ(loaded->find("users")->items[0].place(), folder.file("users.conf") + ":1: ");

  const std::string loop = write("loop.conf", "include loop.conf\n");
  EXPECT_NE(load_nats_conf(loop, nullptr).status().message().find("nested deeper"),
            std::string::npos);
  EXPECT_EQ(load_nats_conf(folder.file("none.conf"), nullptr).status().code(),
            StatusCode::kNotFound);
}

TEST(NatsConf, ReadsALoneValue) {
  EXPECT_EQ(show(*parse_nats_conf_value(" 64mb ", "x")), "67108864");
  EXPECT_EQ(show(*parse_nats_conf_value("127.0.0.1", "x")), "'127.0.0.1'");
  EXPECT_FALSE(parse_nats_conf_value("a b", "x").has_value());
  EXPECT_FALSE(parse_nats_conf_value("", "x").has_value());
  EXPECT_FALSE(parse_nats_conf_value("}", "x").has_value());
}

}  // namespace
}  // namespace feedvault::broker
