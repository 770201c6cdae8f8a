#include "proto/message_schema.h"

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "proto/event.pb.h"
#include "proto/execution.pb.h"
#include "tests/support/process.h"

namespace feedvault {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::string kProtoDir = FEEDVAULT_PROTO_DIR;

std::string event_bytes() {
  event message;
  message.set_sport(event::TENNIS);
  message.set_match_title(
      "Gra\xC3\xA7"
      "a v. Weiss");
  message.set_data_event("15:0");
  return message.SerializeAsString();
}

std::string execution_bytes() {
  execution message;
  message.set_symbol("MSFT");
  message.set_market("NASDAQ");
  message.set_price(412.25F);
  message.set_quantity(100);
  message.set_executionepoch(1'700'000'000'123);
  message.set_statesymbol("NY");
  return message.SerializeAsString();
}

/// A schema out of the text of a .proto file, and its decoder.
class Loaded {
 public:
  explicit Loaded(const std::string& text, const std::string& type = "m") {
    std::ofstream(folder_.file("m.proto")) << text;
    auto schema = MessageSchema::load(folder_.file("m.proto"), type);
    if (!schema.has_value()) {
      throw std::runtime_error(schema.error().to_string());
    }
    schema_ = std::move(*schema);
    decoder_ = schema_->new_decoder();
  }

  std::string check(std::string_view data) { return decoder_->check(data).message(); }
  std::string json(std::string_view data) {
    std::string text;
    const Status status = decoder_->to_json(data, text);
    return status.ok() ? text : status.to_string();
  }
  const MessageSchema& schema() const { return *schema_; }

 private:
  testing::TempDir folder_;
  std::unique_ptr<MessageSchema> schema_;
  std::unique_ptr<MessageSchema::Decoder> decoder_;
};

class FeedSchemas : public ::testing::Test {
 protected:
  static std::unique_ptr<MessageSchema> load(const std::string& type) {
    auto schema = MessageSchema::load(kProtoDir + "/" + type + ".proto", type);
    EXPECT_TRUE(schema.has_value()) << schema.error().to_string();
    return std::move(*schema);
  }

  std::unique_ptr<MessageSchema> events_ = load("event");
  std::unique_ptr<MessageSchema::Decoder> event_ = events_->new_decoder();
  std::unique_ptr<MessageSchema> executions_ = load("execution");
  std::unique_ptr<MessageSchema::Decoder> execution_ = executions_->new_decoder();
};

TEST_F(FeedSchemas, DescribeTheirFields) {
  ASSERT_EQ(events_->fields().size(), 3U);
  EXPECT_EQ(events_->fields()[0].type, "enum sport_type");
  EXPECT_EQ(events_->fields()[1].name, "match_title");
  EXPECT_EQ(events_->fields()[1].json_name, "matchTitle");
  EXPECT_TRUE(events_->fields()[2].required);
  EXPECT_EQ(executions_->type_name(), "execution");
  EXPECT_EQ(executions_->fields()[4].type, "int64");
}

TEST_F(FeedSchemas, TakeWholeMessages) {
  EXPECT_TRUE(event_->check(event_bytes()).ok());
  EXPECT_TRUE(execution_->check(execution_bytes()).ok());
}

TEST_F(FeedSchemas, PrintProtobufsJson) {
  std::string json = "[";
  ASSERT_TRUE(event_->to_json(event_bytes(), json).ok());
  json += ",";
  ASSERT_TRUE(execution_->to_json(execution_bytes(), json).ok());
  json += "]";
  EXPECT_EQ(Json::parse(json),
            Json::parse(R"([{"sport":"TENNIS","matchTitle":"Graça v. Weiss","dataEvent":"15:0"},
                            {"symbol":"MSFT","market":"NASDAQ","price":412.25,"quantity":100,
                             "executionEpoch":"1700000000123","stateSymbol":"NY"}])"));
}

TEST_F(FeedSchemas, LeaveJsonAloneOnError) {
  std::string json = "before";
  EXPECT_EQ(event_->to_json("", json).message(), "empty payload");
  EXPECT_EQ(json, "before");
}

TEST_F(FeedSchemas, HandOutTheDecodedMessage) {
  auto message = execution_->decode(execution_bytes());
  ASSERT_TRUE(message.has_value());
  const auto* field = (*message)->GetDescriptor()->FindFieldByName("price");
  EXPECT_EQ((*message)->GetReflection()->GetFloat(**message, field), 412.25F);
  EXPECT_EQ(execution_->decode("\x01").error().code(), StatusCode::kCorruption);
}

TEST_F(FeedSchemas, RefuseAnEmptyPayload) {
  EXPECT_EQ(event_->check(""), Status(StatusCode::kCorruption, "empty payload"));
}

TEST_F(FeedSchemas, NameWhatIsMissing) {
  event message;
  message.set_sport(event::GOLF);
  EXPECT_EQ(event_->check(message.SerializePartialAsString()).message(),
            "missing required fields match_title, data_event");
  message.set_match_title("x");
  EXPECT_EQ(event_->check(message.SerializePartialAsString()).message(),
            "missing required field data_event");
}

TEST_F(FeedSchemas, NameAnUnknownEnumNumber) {
  EXPECT_EQ(event_->check(std::string("\x08\x63\x12\x01x\x1a\x01y")).message(),
            "unknown number 99 for enum sport_type in field sport");
  // A known number first does not excuse the unknown one behind it.
  EXPECT_EQ(event_->check(std::string("\x08\x01\x08\x63\x12\x01x\x1a\x01y")).message(),
            "unknown number 99 for enum sport_type in field sport");
}

TEST_F(FeedSchemas, RefuseTextThatIsNotUtf8) {
  EXPECT_EQ(event_->check(std::string("\x08\x01\x12\x01\xff\x1a\x01y")).message(),
            "text that is not UTF-8 in field match_title");
}

TEST_F(FeedSchemas, RefuseBrokenBytesAtEveryCut) {
  const std::string whole = execution_bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(execution_->check(whole.substr(0, size)).code(), StatusCode::kCorruption) << size;
  }
  EXPECT_THAT(execution_->check("\xff\xff\xff").message(),
              ::testing::StartsWith("not a message of type execution"));
}

TEST_F(FeedSchemas, IgnoreFieldsOfNewerProducers) {
  EXPECT_TRUE(event_->check(event_bytes() + std::string("\xa2\x06\x02hi")).ok());
}

TEST_F(FeedSchemas, KeepNothingOfTheMessageBefore) {
  ASSERT_TRUE(event_->check(event_bytes()).ok());
  EXPECT_EQ(event_->check("\x08\x01").message(), "missing required fields match_title, data_event");
}

TEST_F(FeedSchemas, ServeADecoderPerThread) {
  std::vector<std::thread> threads(4);
  std::atomic<int> good{0};
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      const auto decoder = events_->new_decoder();
      for (int k = 0; k < 500; ++k) {
        std::string json;
        good += decoder->to_json(event_bytes(), json).ok() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(good, 2000);
}

constexpr const char* kNested = R"(
  syntax = "proto2";
  enum side { NO_SIDE = 0; BUY = 1; SELL = 2; }
  message leg { required side side = 1; optional string note = 2; optional leg next = 3; }
  message m { repeated leg legs = 1; repeated side sides = 2 [packed = true];
              map<string, side> by_name = 3; map<string, string> notes = 4;
              optional bytes raw = 5; })";

TEST(NestedMessages, AreChecked) {
  Loaded m(kNested);
  EXPECT_EQ(m.check(std::string("\x0a\x02\x08\x01")), "");
  EXPECT_EQ(m.check(std::string("\x0a\x02\x08\x07")),
            "unknown number 7 for enum side in field legs.side");
  EXPECT_EQ(m.check(std::string("\x0a\x06\x08\x01\x1a\x02\x08\x07")),
            "unknown number 7 for enum side in field legs.next.side");
  EXPECT_EQ(m.check(std::string("\x0a\x03\x12\x01x")), "missing required field legs[0].side");
  EXPECT_EQ(m.check(std::string("\x0a\x05\x08\x01\x12\x01\x80")),
            "text that is not UTF-8 in field legs.note");
  EXPECT_EQ(m.check(std::string("\x12\x02\x01\x07")),
            "unknown number 7 for enum side in field sides");
  EXPECT_EQ(m.check(std::string("\x2a\x01\xff")), "") << "bytes need not be UTF-8";
}

TEST(NestedMessages, MapsAreChecked) {
  Loaded m(kNested);
  EXPECT_EQ(m.check(std::string("\x1a\x05\x0a\x01k\x10\x02")), "");
  EXPECT_THAT(m.check(std::string("\x1a\x05\x0a\x01k\x10\x07")), HasSubstr("for enum side"));
  EXPECT_THAT(m.check(std::string("\x22\x06\x0a\x01k\x12\x01\xff")),
              HasSubstr("not UTF-8 in field notes"));
  EXPECT_EQ(Json::parse(m.json(std::string("\x1a\x05\x0a\x01k\x10\x02"))),
            Json::parse(R"({"byName":{"k":"SELL"}})"));
}

TEST(NestedMessages, DeepNestingIsAnError) {
  std::string data = "\x08\x01";
  for (int i = 0; i < 200; ++i) {
    std::string outer("\x08\x01\x1a", 3);
    outer += data.size() < 128 ? std::string(1, static_cast<char>(data.size()))
                               : std::string{static_cast<char>(0x80 | (data.size() & 0x7F)),
                                             static_cast<char>(data.size() >> 7)};
    data = outer.append(data);
  }
  Loaded leg(kNested, "leg");
  EXPECT_THAT(leg.check(data), HasSubstr("not a message of type leg"));
}

TEST(Proto3, UnknownEnumNumbersAndBadTextAreErrorsToo) {
  Loaded m(R"(syntax = "proto3"; enum color { NONE = 0; RED = 1; }
              message m { color color = 1; string name = 2; repeated color all = 3; })");
  EXPECT_EQ(m.check(std::string("\x08\x01\x12\x01x")), "");
  EXPECT_EQ(m.check(std::string("\x08\x09")), "unknown number 9 for enum color in field color");
  EXPECT_EQ(m.check(std::string("\x1a\x02\x01\x09")),
            "unknown number 9 for enum color in field all");
  EXPECT_NE(m.check(std::string("\x12\x01\xff")), "");
}

TEST(WellKnownTypes, NeedNoFiles) {
  Loaded m(R"(syntax = "proto3"; import "google/protobuf/timestamp.proto"; package p;
              message m { google.protobuf.Timestamp at = 1; })",
           "p.m");
  EXPECT_EQ(Json::parse(m.json(std::string("\x0a\x02\x08\x01"))),
            Json::parse(R"({"at":"1970-01-01T00:00:01Z"})"));
}

class BadProtoFiles : public ::testing::Test {
 protected:
  std::string error(const std::string& text, const std::string& type = "m") {
    std::ofstream(folder_.file("bad.proto")) << text;
    const auto schema = MessageSchema::load(folder_.file("bad.proto"), type);
    EXPECT_FALSE(schema.has_value());
    EXPECT_EQ(schema.status().code(), StatusCode::kInvalidArgument);
    return schema.status().message();
  }
  testing::TempDir folder_;
};

TEST_F(BadProtoFiles, SyntaxErrorsNameFileAndLine) {
  EXPECT_THAT(error("syntax = \"proto2\";\nmessage m { required int32 x }\n"),
              ::testing::StartsWith(folder_.file("bad.proto") + ":2:30: Missing field number."));
}

TEST_F(BadProtoFiles, MeaningErrorsNameFileAndLine) {
  EXPECT_THAT(
      error("syntax = \"proto2\";\n\nmessage m { required nothing x = 1; }"),
      ::testing::StartsWith(folder_.file("bad.proto") + ":3:22: \"nothing\" is not defined"));
}

TEST_F(BadProtoFiles, MissingImportsAreNamed) {
  EXPECT_THAT(error("syntax = \"proto2\";\nimport \"other.proto\";\nmessage m {}"),
              HasSubstr(folder_.file("bad.proto") + ":2:1: Import \"other.proto\""));
}

TEST_F(BadProtoFiles, ManyErrorsAreCut) {
  EXPECT_THAT(error("syntax = \"proto2\"; message m { optional a a=1; optional b b=2;"
                    "optional c c=3; optional d d=4; optional e e=5; }"),
              EndsWith("; and 2 more"));
}

TEST_F(BadProtoFiles, UnknownTypesListTheKnown) {
  EXPECT_THAT(error("syntax = \"proto2\"; package p; message a { message b {} }"),
              EndsWith("no message type 'm'; the file has: p.a, p.a.b"));
  EXPECT_THAT(error("syntax = \"proto2\"; enum e { A = 1; }"), EndsWith("has no message types"));
}

TEST_F(BadProtoFiles, MissingFilesAreNamed) {
  const auto schema = MessageSchema::load(folder_.file("none.proto"), "m");
  EXPECT_THAT(schema.status().message(),
              ::testing::StartsWith(folder_.file("none.proto") + ": no such file"));
  EXPECT_FALSE(MessageSchema::load(folder_.path(), "m").has_value());
}

TEST(Imports, AreReadFromTheFilesFolder) {
  const testing::TempDir folder;
  std::ofstream(folder.file("other.proto"))
      << "syntax = \"proto2\"; message o { required int32 n = 1; }";
  std::ofstream(folder.file("m.proto"))
      << "syntax = \"proto2\"; import \"other.proto\"; message m { required o o = 1; }";
  auto schema = MessageSchema::load(folder.file("m.proto"), "m");
  ASSERT_TRUE(schema.has_value()) << schema.error().to_string();
  EXPECT_EQ((*schema)->new_decoder()->check(std::string("\x0a\x00", 2)).message(),
            "missing required field o.n");
  EXPECT_EQ((*schema)->fields()[0].type, "message o");
}

}  // namespace
}  // namespace feedvault
